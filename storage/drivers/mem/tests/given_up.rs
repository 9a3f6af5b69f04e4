//! What a recovery gave up never comes back, whatever happens after it: another crash, another opening.

mod rig;

use hemi_log_mem::{MemConfig, MemDevice, MemDisk, Rng};
use hemi_queue::{Buf, Pool, Sga, time::Instant};
use hemi_storage::{BlockDevice, Log, LogConfig, LogError, Lsn, NewLog, OpenMode, Opening};
use rig::{open_on, read_all, settle, small_geometry};

const BLOCK: usize = 512;

/// Where segment slot `n` begins.
fn slot(n: u64) -> usize {
    small_geometry().slot_offset(n) as usize
}

fn disk(image: Option<Vec<u8>>, cache: bool) -> MemDisk {
    let config = MemConfig { cache, max_len: slot(40) as u64, ..MemConfig::default() };
    match image {
        Some(image) => MemDisk::with_image(MemConfig { len: image.len() as u64, ..config }, image),
        None => MemDisk::new(config),
    }
}

/// A log on a disk of its own.
struct Life {
    disk: MemDisk,
    device: MemDevice,
    log: Log,
    now: Instant,
}

impl Life {
    fn new(disk: MemDisk, mode: Option<OpenMode>) -> Result<Self, LogError> {
        let pool = Pool::new().unwrap();
        let mut device = MemDevice::open(&disk, &pool).unwrap();
        let (config, caps) = (LogConfig::default(), device.caps());
        let opening = if let Some(mode) = mode {
            Opening::open(config, caps, pool, mode)
        } else {
            let new = NewLog { geometry: small_geometry(), salt: 7, created: 1, overwrite: false };
            Opening::create(config, caps, pool, new)
        };
        let mut now = Instant::ZERO;
        let (log, _) = open_on(opening, &mut device, &mut now)?;
        Ok(Self { disk, device, log, now })
    }

    fn on(image: Vec<u8>, mode: OpenMode) -> Result<Self, LogError> {
        Self::new(disk(Some(image), false), Some(mode))
    }

    /// Push one durable unit, and wait for it.
    fn push(&mut self, unit: &[u8]) {
        let lsn = self.log.push(Sga::from(Buf::from(unit.to_vec())), 5, true).unwrap();
        assert!(settle(&mut self.log, &mut self.device, &mut self.now, |log| log.durable() > lsn));
    }

    fn units(&mut self) -> Vec<Vec<u8>> {
        let from = self.log.head();
        let (records, errors) = read_all(&mut self.log, &mut self.device, &mut self.now, from);
        assert!(errors.is_empty(), "{errors:?}");
        records.into_iter().map(|r| r.unit.to_vec()).collect()
    }

    fn close(&mut self) {
        self.log.close();
        assert!(settle(&mut self.log, &mut self.device, &mut self.now, |log| log.is_closed()));
    }
}

const CUT: OpenMode = OpenMode { read_only: false, cut: true };

#[test]
fn old_data_under_a_new_segment_header_is_not_taken_for_new() {
    // The first segment is begun, and the power cut: of header and first batch only the batch arrives.
    let mut first = Life::new(disk(None, false), None).unwrap();
    first.push(b"given up");
    let mut image = first.disk.image();
    image[slot(0)..slot(0) + BLOCK].fill(0);
    // Recovery finds nothing. The segment is begun again, and the power cut: only the header arrives.
    let mut second = Life::on(image, OpenMode::default()).unwrap();
    assert_eq!(second.log.tail(), Lsn(0));
    let before = second.disk.image();
    second.push(b"never acknowledged");
    let after = second.disk.image();
    assert_eq!(&after[slot(0)..slot(0) + 8], b"hemi-seg");
    let mut image = before;
    image[slot(0)..slot(0) + BLOCK].copy_from_slice(&after[slot(0)..slot(0) + BLOCK]);
    assert!(image[slot(0) + BLOCK..slot(1)].windows(8).any(|w| w == b"given up"), "the old batch is there");
    let mut third = Life::on(image, OpenMode::default()).unwrap();
    assert_eq!(third.units(), Vec::<Vec<u8>>::new());
}

/// The image of a log of six segments, the third of which lost its header, and what is before the hole.
fn with_a_hole() -> (Vec<u8>, Vec<Vec<u8>>) {
    let mut life = Life::new(disk(None, false), None).unwrap();
    let mut units = Vec::new();
    while life.log.segments().0 < 6 {
        let unit = format!("first life {} {}", units.len(), "x".repeat(700)).into_bytes();
        life.push(&unit);
        units.push(unit);
    }
    let mut image = life.disk.image();
    assert_eq!(&image[slot(2)..slot(2) + 8], b"hemi-seg");
    image[slot(2) + 17] ^= 1;
    let refused = Life::on(image.clone(), OpenMode::default()).map(|life| life.log.tail());
    assert!(matches!(refused, Err(LogError::Format(_))), "{refused:?}");
    let kept = Life::on(image.clone(), CUT).unwrap().units();
    assert!(!kept.is_empty() && units.starts_with(&kept) && kept.len() < units.len());
    (image, kept)
}

#[test]
fn segments_behind_a_hole_are_gone_once_they_are_given_up() {
    let (image, mut kept) = with_a_hole();
    let mut life = Life::on(image, CUT).unwrap();
    for opening in 0..8 {
        assert_eq!(life.units(), kept, "opening {opening}");
        // Fewer in the first lives than there were behind the hole, so that new and old segments stand side by side.
        for n in 0..opening * 3 {
            let unit = format!("life {opening}, {n} {}", "y".repeat(500)).into_bytes();
            life.push(&unit);
            kept.push(unit);
        }
        if opening % 2 == 0 {
            life.close();
        }
        life = Life::on(life.disk.image(), OpenMode::default())
            .unwrap_or_else(|e| panic!("opening {opening}: {e}"));
    }
}

#[test]
fn a_lost_header_where_the_head_is_costs_that_segment_and_no_other() {
    let mut life = Life::new(disk(None, false), None).unwrap();
    let mut firsts = Vec::new();
    while life.log.segments().0 < 6 {
        let (before, lsn) = (life.log.segments().0, life.log.tail().0);
        life.push(format!("{lsn} {}", "x".repeat(700)).as_bytes());
        if life.log.segments().0 > before {
            firsts.push(lsn);
        }
    }
    let all = life.units();
    // The head is inside the third; what truncation left of those before it is whole.
    let head = life.log.truncate_head(Lsn(firsts[2] + 1)).unwrap();
    assert!(settle(&mut life.log, &mut life.device, &mut life.now, |log| log.head() == head));
    let mut image = life.disk.image();
    for n in 0..6 {
        assert_eq!(&image[slot(n)..slot(n) + 8], b"hemi-seg");
    }
    image[slot(2) + 17] ^= 1;
    assert!(Life::on(image.clone(), OpenMode::default()).is_err());
    let mut life = Life::on(image, CUT).unwrap();
    let left = life.units();
    assert!(!left.is_empty() && all.ends_with(&left), "{} of {}", left.len(), all.len());
    assert!(left.len() >= all.len() - firsts[3] as usize - 1, "{} of {}", left.len(), all.len());
    life.push(b"next");
    let mut life = Life::on(life.disk.image(), OpenMode::default()).unwrap();
    assert_eq!(life.units()[..left.len()], left);
    assert_eq!(life.units().len(), left.len() + 1);
}

#[test]
fn a_crash_while_segments_are_given_up_brings_none_of_them_back() {
    let (image, kept) = with_a_hole();
    let mut rng = Rng::new(3);
    let (mut refused, mut opened) = (0, 0);
    for step in 0..60 {
        // A disk with a cache, whose power is cut after so many completions of the opening.
        let config = MemConfig {
            cache: true,
            fua: step % 2 == 0,
            len: image.len() as u64,
            max_len: slot(40) as u64,
            latency: std::time::Duration::from_micros(1),
            ..MemConfig::default()
        };
        let disk = MemDisk::with_image(config, image.clone());
        let pool = Pool::new().unwrap();
        let mut device = MemDevice::open(&disk, &pool).unwrap();
        let mut opening = Opening::open(LogConfig::default(), device.caps(), pool, CUT);
        let mut now = Instant::ZERO;
        for _ in 0..step {
            opening.turn(&mut device, now);
            now = device.deadline().unwrap_or(now);
        }
        let cut = disk.cut(&mut rng);
        // Either it is refused still, or all of it is given up.
        let mut life = match Life::on(cut.clone(), OpenMode::default()) {
            Ok(life) => {
                opened += 1;
                life
            }
            Err(e) => {
                refused += 1;
                assert!(matches!(e, LogError::Format(_) | LogError::Damaged { .. }), "step {step}: {e}");
                Life::on(cut, CUT).unwrap()
            }
        };
        assert_eq!(life.units(), kept, "step {step}");
        life.push(b"next");
        life = Life::on(life.disk.image(), OpenMode::default()).unwrap();
        assert_eq!(life.log.tail().0, kept.len() as u64 + 1, "step {step}");
    }
    assert!(
        refused > 0 && opened > 0,
        "{refused} refused, {opened} opened: the power was never cut in between"
    );
}

#[test]
fn a_lost_end_below_the_head_begins_a_segment_of_its_own() {
    let mut life = Life::new(disk(None, false), None).unwrap();
    for n in 0..41 {
        life.push(&[n; 700]);
    }
    let head = life.log.truncate_head(Lsn(40)).unwrap();
    assert!(settle(&mut life.log, &mut life.device, &mut life.now, |log| log.head() == head));
    let mut image = life.disk.image();
    // The newest segment, where the head is, is damaged. What truncation left of older ones is whole.
    let newest = life.log.segments().0;
    assert_eq!(newest, 1);
    let sequence = |n: u64| u64::from_le_bytes(image[slot(n) + 16..slot(n) + 24].try_into().unwrap());
    let mut slots: Vec<u64> = (0..40).filter(|n| image.len() >= slot(n + 1)).collect();
    slots.sort_unstable_by_key(|n| sequence(*n));
    let [.., older, last] = slots[..] else { panic!("{slots:?}") };
    image[slot(last) + 20] ^= 0x55;
    // The one before it has room: its records end early.
    image[slot(older) + 3 * BLOCK] ^= 0x55;
    assert!(Life::on(image.clone(), OpenMode::default()).is_err());
    let mut life = Life::on(image, CUT).unwrap();
    life.push(b"goes on");
    life.close();
    let mut life = Life::on(life.disk.image(), OpenMode::default()).unwrap();
    assert_eq!((life.log.head(), life.units()), (head, vec![b"goes on".to_vec()]));
}

#[test]
fn what_the_end_of_a_shortened_file_cuts_off_is_not_found_when_it_grows_again() {
    let (mut life, mut units) = (Life::new(disk(None, false), None).unwrap(), Vec::new());
    while life.log.segments().0 < 4 {
        let unit = format!("first life {} {}", units.len(), "x".repeat(700)).into_bytes();
        life.push(&unit);
        units.push(unit);
    }
    // The fourth segment loses its last block, and the third a record.
    let mut image = life.disk.image();
    image.truncate(slot(4) - BLOCK);
    image[slot(2) + 3 * BLOCK + 10] ^= 1;
    assert!(matches!(
        Life::on(image.clone(), OpenMode::default()).map(|_| ()),
        Err(LogError::Damaged { .. })
    ));
    let mut life = Life::on(image, CUT).unwrap();
    let mut kept = life.units();
    assert!(units.starts_with(&kept) && kept.len() < units.len());
    for n in 0..8_u8 {
        life.push(&[n]);
        kept.push(vec![n]);
        life = Life::on(life.disk.image(), OpenMode::default()).unwrap();
        assert_eq!(life.units(), kept, "opening {n}");
    }
}
