//! Flushes are proven: a recorder listens to every command, and the namespace is rebuilt as a power cut at any moment may leave it: with
//! none, or any subset, of the blocks that nothing had made durable. The log on it must have everything that was acknowledged by then. Devices
//! that lie must be noticed.
//!
//! The program's steps are paced by the device's, so that a slow device sees as many of them as a fast one, and is cut as often.

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

/// How long a device may take for one step: only a hang is longer.
const PATIENCE: Duration = Duration::from_secs(300);
/// One run has at least so many units, and is cut at so many moments.
const UNITS: usize = 40;
const CUTS: usize = 30;
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
        assert!(begun.elapsed() < PATIENCE, "the opening hangs");
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

/// Push to a log on the real device; whenever something happened, cut. What is wrong, if anything is.
fn run(on: On, sync: Sync, lie: Lie) -> Result<(), String> {
    let pool = Pool::new().unwrap();
    let park = Park::new(&ParkConfig::default()).unwrap();
    let (mut device, recorder, geometry, layout) = open(on, sync, &pool, &park);
    let len = device.caps().len as usize;
    let new = NewLog { geometry, salt: 77, created: 1, overwrite: true };
    let opening = Opening::create(config(), device.caps(), pool.clone(), new);
    let (mut log, _) = finish(opening, &mut *device, || turn(&park)).unwrap();
    let mut device = Lying::new(device, lie);

    let (mut program, mut luck) = (Rng::new(11), Rng::new(12));
    let (mut units, mut done) = (Vec::<Vec<u8>>::new(), Vec::new());
    let (mut cuts, mut happened, mut moved) = (0, true, Wall::now());
    loop {
        if units.len() < UNITS || cuts < CUTS {
            // No sooner than the device has moved: else a slow one gets all units in one write, and has no moments to be cut at.
            let step = happened || recorder.is_idle();
            for _ in 0..if step { 1 + program.below(3) } else { 0 } {
                let len = if program.one_in(12) { 30_000 } else { program.below(6000) };
                let unit = vec![units.len() as u8; len as usize];
                log.push(unit.clone().into(), 5, !program.one_in(3)).map_err(|(e, _)| e.to_string())?;
                units.push(unit);
            }
        } else if log.durable().0 < units.len() as u64 {
            log.flush();
        } else {
            return Ok(());
        }
        log.turn(&mut device, Instant::ZERO, &mut done);
        // Whatever the device says from here on comes later.
        happened = recorder.events.replace(0) > 0;
        if happened {
            (cuts, moved) = (cuts + 1, Wall::now());
            let all = luck.one_in(3);
            for lucky in [false, true] {
                let mut there = || lucky && (all || luck.one_in(2));
                let opened = match on {
                    On::Blocks => blocks(recorder.cut(len, &mut there), &pool),
                    On::Zones => zones(recorder.cut_zones(&mut there), layout, &pool),
                };
                check(&opened, &units, log.durable(), &pool)?;
            }
        }
        assert!(moved.elapsed() < PATIENCE, "the log hangs at {}", log.durable());
        turn(&park);
    }
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
            if let Err(why) = run(on, sync, Lie::Honest) {
                panic!("{on:?}, {sync:?}: {why}");
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
            let why = run(on, sync, lie).expect_err("it goes unnoticed");
            assert!(why.contains("records were acknowledged"), "{on:?}, {sync:?}, {lie:?}: {why}");
        }
    }
}
