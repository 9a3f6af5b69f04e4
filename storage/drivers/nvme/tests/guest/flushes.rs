//! Flushes are proven: a recorder listens to every command, and the namespace is rebuilt as a power cut at any moment may leave it: with any
//! subset of the blocks that nothing had made durable. The log on it must have everything that was acknowledged by then. Devices that lie must
//! be noticed.

use std::{
    path::Path,
    rc::Rc,
    time::{Duration, Instant as Wall},
};

use hemi_log_mem::{
    Lie, Lying, MemConfig, MemDevice, MemDisk, MemZone, MemZones, Rng, ZoneDriver, ZoneLayout,
};
use hemi_log_nvme::{Access, NvmeDevice, NvmeOptions, NvmeZones, Sync};
use hemi_park::{Park, ParkConfig};
use hemi_queue::{Pool, time::Instant};
use hemi_storage::{
    BlockDevice, Geometry, Log, LogConfig, LogError, Lsn, NewLog, OpenMode, Opening, Popped, Recovery,
    ZoneDevice, Zoned,
};

use crate::recorder::{Layout, Recorder};

/// What the log lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    Blocks,
    Zones,
}

/// Units of one run.
const UNITS: u64 = 40;
const BLOCK: usize = 4096;

fn config() -> LogConfig {
    LogConfig { batch: 16 << 10, writes: 3, ..LogConfig::default() }
}

/// Wait for the device, in real time.
fn turn(park: &Park) {
    if park.poll() == hemi_queue::Progress::Idle {
        park.park(Some(Duration::from_millis(1)), || true);
        park.poll();
    }
}

fn finish(
    mut opening: Opening,
    device: &mut dyn BlockDevice,
    mut wait: impl FnMut(),
) -> Result<(Log, Recovery), LogError> {
    let begun = Wall::now();
    let mut now = 0;
    loop {
        if let Some(result) = opening.finish() {
            return result;
        }
        now += 1;
        opening.turn(device, Instant::from_nanos(now));
        wait();
        assert!(begun.elapsed() < Duration::from_secs(300), "the opening hangs");
    }
}

/// The device, its recorder, and the log's sizes.
fn open(
    on: On,
    sync: Sync,
    pool: &Pool,
    park: &Rc<Park>,
) -> (Box<dyn BlockDevice>, Rc<Recorder>, Geometry, ZoneLayout) {
    let geometry = Geometry::new(BLOCK as u32, 64 << 10).unwrap();
    let options = NvmeOptions { sync, limit: geometry.slot_offset(8) };
    let none = ZoneLayout { zones: 0, capacity: 0, append: 0, active: 0 };
    match on {
        On::Blocks => {
            let path = Path::new("/dev/hemi-blocks");
            let mut device = NvmeDevice::open(path, Access::Write, options, pool, park).unwrap();
            let recorder = Rc::new(Recorder::new(Layout { block: BLOCK, zones: None }));
            device.set_tap(Rc::clone(&recorder) as _);
            (Box::new(device), recorder, geometry, none)
        }
        On::Zones => {
            let path = Path::new("/dev/hemi-zones");
            let mut device = NvmeZones::open(path, Access::Write, options, pool, park).unwrap();
            let (caps, size) = (device.caps(), device.identity().zoned.unwrap().size);
            let zones = Some((size, caps.zones as usize, caps.capacity as usize));
            let recorder = Rc::new(Recorder::new(Layout { block: BLOCK, zones }));
            device.set_tap(Rc::clone(&recorder) as _);
            let device = Zoned::new(device);
            let geometry = Geometry::new(BLOCK as u32, device.segment()).unwrap();
            let (zones, capacity, append) = (caps.zones, caps.capacity, caps.append);
            (Box::new(device), recorder, geometry, ZoneLayout { zones, capacity, append, active: 8 })
        }
    }
}

/// Push to a log on the real device; at every step, cut. What is wrong, if anything is.
fn run(on: On, sync: Sync, lie: Lie, seed: u64) -> Result<u64, String> {
    let pool = Pool::new().unwrap();
    let park = Park::new(&ParkConfig::default()).unwrap();
    let (device, recorder, geometry, layout) = open(on, sync, &pool, &park);
    let mut device = Lying::new(device, lie);
    let len = device.caps().len as usize;
    let new = NewLog { geometry, salt: 77 + seed, created: 1, overwrite: true };
    let opening = Opening::create(config(), device.caps(), pool.clone(), new);
    let (mut log, _) = finish(opening, &mut device, || turn(&park)).unwrap();

    let mut rng = Rng::new(11 + seed);
    let (mut units, mut done, mut cuts) = (Vec::<Vec<u8>>::new(), Vec::new(), 0);
    let begun = Wall::now();
    while log.durable().0 < UNITS {
        assert!(begun.elapsed() < Duration::from_secs(300), "the log hangs at {}", log.durable());
        if units.len() < UNITS as usize && rng.one_in(2) {
            for _ in 0..=rng.below(3) {
                let len = if rng.one_in(12) { 30_000 } else { rng.below(6000) };
                let unit = vec![units.len() as u8; len as usize];
                let durable = units.len() as u64 > UNITS - 4 || !rng.one_in(3);
                log.push(unit.clone().into(), 5, durable).map_err(|(e, _)| e.to_string())?;
                units.push(unit);
            }
        }
        if units.len() >= UNITS as usize {
            log.flush();
        }
        log.turn(&mut device, Instant::ZERO, &mut done);
        // Whatever the device says from here on comes later.
        if recorder.events.replace(0) > 0 {
            cuts += 1;
            let durable = log.durable();
            match on {
                On::Blocks => check(&blocks(recorder.cut(len, &mut rng), &pool), &units, durable, &pool)?,
                On::Zones => {
                    check(&zones(recorder.cut_zones(&mut rng), layout, &pool), &units, durable, &pool)?;
                }
            }
        }
        turn(&park);
    }
    Ok(cuts)
}

type Opened<'a> = Box<dyn Fn() -> Box<dyn BlockDevice> + 'a>;

fn blocks(image: Vec<u8>, pool: &Pool) -> Opened<'_> {
    let len = image.len() as u64;
    let config = MemConfig { len, max_len: len, cache: false, sector: BLOCK as u32, ..MemConfig::default() };
    let disk = MemDisk::with_image(config, image);
    Box::new(move || Box::new(MemDevice::open(&disk, pool).unwrap()))
}

fn zones(zones: Vec<MemZone>, layout: ZoneLayout, pool: &Pool) -> Opened<'_> {
    let config = MemConfig { cache: false, sector: BLOCK as u32, ..MemConfig::default() };
    let medium = MemZones::with_zones(config, layout, zones);
    Box::new(move || Box::new(Zoned::new(ZoneDriver::open(&medium, pool))))
}

/// Recover from what a cut left, and compare.
fn check(opened: &Opened<'_>, units: &[Vec<u8>], durable: Lsn, pool: &Pool) -> Result<(), String> {
    let mut device = opened();
    let mode = OpenMode { read_only: true, cut: false };
    let opening = Opening::open(config(), device.caps(), pool.clone(), mode);
    let (mut log, found) =
        finish(opening, &mut device, || {}).map_err(|e| format!("cannot be opened: {e}"))?;
    if found.tail < durable {
        return Err(format!("{durable} records were acknowledged, and {found}"));
    }
    let cursor = log.cursor(Lsn(0));
    let mut done = Vec::new();
    let mut next = 0;
    while next < found.tail.0 {
        match log.pop(cursor) {
            Ok(Popped::Record(record)) => {
                if record.unit.to_vec() != units[next as usize] {
                    return Err(format!("record {next} is not what was pushed"));
                }
                next += 1;
            }
            Ok(Popped::Wait) => {
                log.turn(&mut device, Instant::from_nanos(1 << 40), &mut done);
            }
            other => return Err(format!("record {next}: {other:?}")),
        }
    }
    Ok(())
}

/// A device that keeps its word loses nothing.
pub(crate) fn honest() {
    for on in [On::Blocks, On::Zones] {
        for sync in [Sync::Fua, Sync::Flush] {
            match run(on, sync, Lie::Honest, 0) {
                Ok(cuts) => assert!(cuts >= 20, "{cuts} cuts"),
                Err(why) => panic!("{on:?}, {sync:?}: {why}"),
            }
        }
    }
}

/// One that does not is noticed.
pub(crate) fn lies() {
    for on in [On::Blocks, On::Zones] {
        for (lie, sync) in [
            (Lie::SkipFlush, Sync::Flush),
            (Lie::DropFua, Sync::Fua),
            (Lie::AckEarly, Sync::Fua),
            (Lie::AckEarly, Sync::Flush),
        ] {
            // A cut may be lucky; ten programs are not.
            let noticed = (0..10).any(|seed| run(on, sync, lie, seed).is_err());
            assert!(noticed, "{on:?}, {sync:?}: {lie:?} went unnoticed");
        }
    }
}
