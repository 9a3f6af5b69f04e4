//! Damage of any kind: recovery never panics, never invents a record, and gives up nothing acknowledged by itself.

mod rig;

use hemi_log_mem::{Lie, MemConfig, MemDevice, MemDisk, Rng};
use hemi_queue::{Buf, Pool, Sga, time::Instant};
use hemi_storage::{BlockDevice, Geometry, Log, LogConfig, LogError, Lsn, NewLog, OpenMode, Opening};
use rig::{World, open_on, read_all, settle};

/// Images that are tried per test.
const CASES: u64 = 400;

/// A log that was closed in good order: its image, and the units in it by LSN.
fn closed_log(seed: u64) -> (Vec<u8>, Vec<Vec<u8>>) {
    let mut world = World::<MemDisk>::new(seed, &MemConfig { cache: false, ..rig::rough() }, Lie::Honest);
    for _ in 0..30 {
        world.push();
        world.step(0).unwrap();
    }
    world.reopen().unwrap();
    (world.disk.image(), world.units)
}

/// What opening `image` says, and the device that it says it of.
fn open(image: Vec<u8>, mode: OpenMode) -> (Result<Log, LogError>, MemDevice) {
    let len = image.len() as u64;
    let config = MemConfig { cache: false, len, max_len: len, ..MemConfig::default() };
    let pool = Pool::new().unwrap();
    let mut device = MemDevice::open(&MemDisk::with_image(config, image), &pool).unwrap();
    let opening = Opening::open(LogConfig::default(), device.caps(), pool, mode);
    let opened = open_on(opening, &mut device, &mut Instant::ZERO.clone()).map(|(log, _)| log);
    (opened, device)
}

/// Every record that a reader gets is one that was pushed, at its own LSN, and the reader is told of each that it does not get.
fn check_records(image: Vec<u8>, units: &[Vec<u8>], case: u64) {
    let (opened, mut device) = open(image, OpenMode { read_only: true, cut: false });
    let Ok(mut log) = opened else { return };
    let (records, errors) = read_all(&mut log, &mut device, &mut Instant::ZERO.clone(), Lsn(0));
    let mut told: Vec<u64> = records.iter().map(|r| r.lsn.0).collect();
    for error in errors {
        match error {
            LogError::Unreadable { from, to } => told.extend(from.0..to.0),
            LogError::Truncated { .. } => {}
            other => panic!("case {case}: {other}"),
        }
    }
    told.sort_unstable();
    assert!(told.iter().copied().eq(log.head().0..log.tail().0), "case {case}: a silent hole in {told:?}");
    for record in records {
        let (pushed, popped) = (units.get(record.lsn.0 as usize), record.unit.to_vec());
        let lens = (pushed.map(Vec::len), popped.len());
        assert!(pushed == Some(&popped), "case {case}: {} was never pushed, lengths {lens:?}", record.lsn);
    }
}

#[test]
fn one_flipped_bit_loses_nothing_in_silence() {
    let (image, units) = closed_log(1);
    let mut rng = Rng::new(1);
    let mut refused = 0;
    for case in 0..CASES {
        let mut image = image.clone();
        let at = rng.below(image.len() as u64) as usize;
        image[at] ^= 1 << rng.below(8);
        check_records(image.clone(), &units, case);
        match open(image, OpenMode::default()).0 {
            Ok(log) => {
                assert_eq!(
                    log.tail().0,
                    units.len() as u64,
                    "case {case}, byte {at}: acknowledged units are gone"
                );
            }
            Err(e) => {
                refused += 1;
                assert!(!e.to_string().is_empty());
            }
        }
    }
    assert!(refused > 0, "no flip hit anything that matters: this test tests nothing");
}

#[test]
fn a_stretch_of_anything_invents_nothing() {
    let (image, units) = closed_log(2);
    let mut rng = Rng::new(2);
    for case in 0..CASES {
        let mut image = image.clone();
        let at = rng.below(image.len() as u64) as usize;
        let end = image.len().min(at + 1 + rng.below(5000) as usize);
        let from = rng.below(image.len() as u64) as usize;
        for n in at..end {
            // Noise, zeros, or a stretch of the log itself in another place.
            image[n] = match case % 3 {
                0 => rng.word() as u8,
                1 => 0,
                _ => image[(from + n - at) % image.len()],
            };
        }
        check_records(image, &units, case);
    }
}

#[test]
fn a_shortened_image_invents_nothing() {
    let (image, units) = closed_log(3);
    let mut rng = Rng::new(3);
    for case in 0..CASES {
        let blocks = rng.below(image.len() as u64 / 512 + 1) as usize;
        check_records(image[..blocks * 512].to_vec(), &units, case);
    }
}

#[test]
fn noise_is_not_a_log() {
    let mut rng = Rng::new(4);
    for case in 0..CASES {
        let image: Vec<u8> = (0..(64 << 10)).map(|_| rng.word() as u8).collect();
        let (opened, _) = open(image, OpenMode { read_only: true, cut: false });
        assert!(opened.is_err(), "case {case}");
    }
}

/// A log that was not closed, with acknowledged records in its newest segment, the `segments`th: its image, where that segment
/// lies, and the log's end.
fn killed_log(segments: usize) -> (Vec<u8>, usize, Lsn) {
    let config = MemConfig { cache: false, discard: false, ..MemConfig::default() };
    let mut world = World::<MemDisk>::new(5, &config, Lie::Honest);
    while world.log.segments().0 < segments as u64 || world.log.durable() < world.log.tail() {
        world.push();
        while world.step(0).unwrap() {}
    }
    let image = world.disk.image();
    let at = |n: usize| rig::small_geometry().slot_offset(n as u64) as usize;
    let headers =
        (0..).take_while(|n: &usize| image.get(at(*n)..).is_some_and(|s| s.starts_with(b"hemi-seg")));
    let newest = headers.last().unwrap();
    (image, at(newest), world.log.durable())
}

#[test]
fn what_lies_behind_the_superblocks_is_not_overwritten() {
    for (at, refused) in [(64 << 10, true), ((1 << 20) - 1, true), (1 << 20, false)] {
        let mut image = vec![0; 2 << 20];
        image[at] = 1;
        let config = MemConfig { len: 2 << 20, max_len: 2 << 20, ..MemConfig::default() };
        let pool = Pool::new().unwrap();
        let mut device = MemDevice::open(&MemDisk::with_image(config, image), &pool).unwrap();
        let new = NewLog { geometry: rig::small_geometry(), salt: 1, created: 1, overwrite: false };
        let opening = Opening::create(LogConfig::default(), device.caps(), pool, new);
        let opened = open_on(opening, &mut device, &mut Instant::ZERO.clone());
        assert_eq!(matches!(opened, Err(LogError::NotEmpty { .. })), refused, "byte {at}");
    }
}

#[test]
fn a_lost_newest_segment_is_damage() {
    for segments in [1, 2, 5] {
        let (image, newest, durable) = killed_log(segments);
        assert_eq!(open(image.clone(), OpenMode::default()).0.unwrap().tail(), durable);
        let mut flipped = image.clone();
        flipped[newest + 17] ^= 1;
        let shortened = image[..newest + 512].to_vec();
        for (what, image) in [("flipped", flipped), ("shortened", shortened)] {
            match open(image, OpenMode::default()).0 {
                Err(LogError::Damaged { acknowledged, .. }) => assert!(acknowledged <= durable),
                Err(e) => panic!("{segments} segments, the last {what}: {e}"),
                Ok(log) => panic!("{segments} segments, the last {what}: {} of {durable}", log.tail()),
            }
        }
    }
}

#[test]
fn a_large_damaged_unit_does_not_hide_those_behind_it() {
    let pool = Pool::new().unwrap();
    let disk = MemDisk::new(MemConfig { cache: false, ..MemConfig::default() });
    let mut device = MemDevice::open(&disk, &pool).unwrap();
    let geometry = Geometry::new(4096, 32 << 20).unwrap();
    let new = NewLog { geometry, salt: 1, created: 1, overwrite: false };
    let opening = Opening::create(LogConfig::default(), device.caps(), pool, new);
    let mut now = Instant::ZERO;
    let (mut log, _) = open_on(opening, &mut device, &mut now).unwrap();
    for len in [10, 6 << 20, 10] {
        let lsn = log.push(Sga::from(Buf::from(vec![7; len])), 1, true).unwrap();
        assert!(settle(&mut log, &mut device, &mut now, |log| log.durable() > lsn));
    }
    // Its header, behind the one block of the first unit; its payload.
    let header = geometry.slot_offset(0) as usize + 2 * 4096;
    for at in [header + 8, header + (3 << 20)] {
        let mut image = disk.image();
        image[at] ^= 1;
        let (opened, _) = open(image, OpenMode::default());
        let damaged = matches!(opened, Err(LogError::Damaged { from: Lsn(1), whole_behind: 1, .. }));
        assert!(damaged, "byte {at}: {:?}", opened.map(|log| log.tail()));
    }
}
