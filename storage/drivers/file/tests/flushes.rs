//! Flushes are proven: a recorder listens to what is asked of the kernel, with the very flags, and the file is rebuilt as a power
//! cut at any moment may leave it: with none, or any subset, of the writes that no flush had made durable. The log on it must have
//! everything that was acknowledged by then. Devices that lie must be noticed.
//!
//! The program's steps are paced by the device's, so that a slow disk sees as many of them as a fast one, and is cut as often.

use std::{
    cell::RefCell,
    path::{Path, PathBuf},
    rc::Rc,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant as Wall},
};

use hemi_log_file::{Access, FileDevice, FileOptions, Sync, Tap, Ticket};
use hemi_log_mem::{Lie, Lying, MemConfig, MemDevice, MemDisk, Rng};
use hemi_park::{Backend, Park, ParkConfig};
use hemi_queue::{Pool, time::Instant};
use hemi_storage::{
    BlockDevice, Geometry, Log, LogConfig, LogError, Lsn, NewLog, OpenMode, Opening, Popped, Recovery,
};

struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("hemi-flushes-{}-{n}.log", std::process::id());
        Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What was asked of the kernel, in order.
#[derive(Default)]
struct Recorder {
    writes: RefCell<Vec<Write>>,
    /// Syncs in flight: which writes had completed when each was asked for.
    syncs: RefCell<Vec<(Ticket, Vec<usize>)>>,
    next: RefCell<Ticket>,
    /// Counts what happened.
    events: std::cell::Cell<u64>,
}

#[derive(Clone)]
struct Write {
    ticket: Ticket,
    offset: u64,
    data: Vec<u8>,
    dsync: bool,
    done: bool,
    durable: bool,
}

impl Recorder {
    fn ticket(&self) -> Ticket {
        self.events.set(self.events.get() + 1);
        *self.next.borrow_mut() += 1;
        *self.next.borrow()
    }

    /// Nothing is in flight.
    fn is_idle(&self) -> bool {
        self.syncs.borrow().is_empty() && self.writes.borrow().iter().all(|write| write.done)
    }

    /// The file as a power cut now may leave it; `lucky` says which sectors survive that nothing had made durable.
    fn cut(&self, len: u64, mut lucky: impl FnMut() -> bool) -> Vec<u8> {
        let mut image = vec![0; len as usize];
        for write in &*self.writes.borrow() {
            for (n, sector) in write.data.chunks(512).enumerate() {
                if write.durable || lucky() {
                    let at = write.offset as usize + n * 512;
                    image[at..at + sector.len()].copy_from_slice(sector);
                }
            }
        }
        image
    }
}

impl Tap for Recorder {
    fn write(&self, offset: u64, data: &[u8], dsync: bool) -> Ticket {
        let ticket = self.ticket();
        let data = data.to_vec();
        let write = Write { ticket, offset, data, dsync, done: false, durable: false };
        self.writes.borrow_mut().push(write);
        ticket
    }

    fn sync(&self) -> Ticket {
        let ticket = self.ticket();
        let writes = self.writes.borrow();
        let covered = writes.iter().enumerate().filter(|(_, w)| w.done).map(|(n, _)| n).collect();
        self.syncs.borrow_mut().push((ticket, covered));
        ticket
    }

    fn done(&self, ticket: Ticket, whole: bool) {
        self.events.set(self.events.get() + 1);
        let mut writes = self.writes.borrow_mut();
        if let Some(write) = writes.iter_mut().find(|w| w.ticket == ticket) {
            write.done = true;
            write.durable |= whole && write.dsync;
        }
        let mut syncs = self.syncs.borrow_mut();
        if let Some(at) = syncs.iter().position(|(t, _)| *t == ticket) {
            for covered in syncs.remove(at).1 {
                writes[covered].durable |= whole;
            }
        }
    }
}

fn config() -> LogConfig {
    LogConfig { batch: 8192, writes: 3, ..LogConfig::default() }
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

/// How long a device may take for one step: only a hang is longer.
const PATIENCE: Duration = Duration::from_secs(300);
/// One run has at least so many units, and is cut at so many moments.
const UNITS: usize = 50;
const CUTS: usize = 40;

/// Push to a log on a real file, on this backend; whenever something happened, cut. What is wrong, if anything is.
fn run(backend: Backend, sync: Sync, direct: bool, lie: Lie) -> Result<(), String> {
    let file = Scratch::new();
    let pool = Pool::new().unwrap();
    let park = Park::new(&ParkConfig { backend: Some(backend), ..ParkConfig::default() }).unwrap();
    let geometry = Geometry::new(512, 32 << 10).unwrap();
    let len = geometry.slot_offset(8);
    let options = FileOptions { direct, sync, len: (len, len), ..FileOptions::default() };
    let mut device = FileDevice::open(&file.0, Access::Create, &options, &pool, &park).unwrap();
    let recorder = Rc::new(Recorder::default());
    device.set_tap(Rc::clone(&recorder) as Rc<dyn Tap>);
    let new = NewLog { geometry, salt: 77, created: 1, overwrite: false };
    let opening = Opening::create(config(), device.caps(), pool.clone(), new);
    let (mut log, _) = finish(opening, &mut device, || turn(&park)).unwrap();
    let mut device = Lying::new(device, lie);

    let (mut program, mut luck) = (Rng::new(11), Rng::new(12));
    let (mut units, mut done) = (Vec::<Vec<u8>>::new(), Vec::new());
    let (mut cuts, mut happened, mut moved) = (0, true, Wall::now());
    loop {
        if units.len() < UNITS || cuts < CUTS {
            // No sooner than the device has moved: else a slow one gets all units in one write, and has no moments to be cut at.
            let step = happened || recorder.is_idle();
            for _ in 0..if step { 1 + program.below(3) } else { 0 } {
                let unit = vec![units.len() as u8; program.below(3000) as usize];
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
            let unlucky = recorder.cut(len, || false);
            let lucky = recorder.cut(len, || all || luck.one_in(2));
            for image in [unlucky, lucky] {
                check(image, &units, log.durable(), &pool)?;
            }
        }
        assert!(moved.elapsed() < PATIENCE, "the log hangs at {}", log.durable());
        turn(&park);
    }
}

/// Recover from what a cut left, and compare.
fn check(image: Vec<u8>, units: &[Vec<u8>], durable: Lsn, pool: &Pool) -> Result<(), String> {
    let len = image.len() as u64;
    let disk =
        MemDisk::with_image(MemConfig { len, max_len: len, cache: false, ..MemConfig::default() }, image);
    let mut device = MemDevice::open(&disk, pool).unwrap();
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

fn backends() -> Vec<Backend> {
    let uring = ParkConfig { backend: Some(Backend::Uring), ..ParkConfig::default() };
    match Park::new(&uring) {
        Ok(_) => vec![Backend::Uring, Backend::Epoll],
        Err(error) => {
            hemi_skip::skip_part!("io_uring", "not here: {error}");
            vec![Backend::Epoll]
        }
    }
}

#[test]
fn every_acknowledged_record_survives_a_cut_at_any_moment() {
    for backend in backends() {
        for (sync, direct) in
            [(Sync::Dsync, true), (Sync::Flush, true), (Sync::Dsync, false), (Sync::Flush, false)]
        {
            if let Err(why) = run(backend, sync, direct, Lie::Honest) {
                panic!("{backend}, {sync:?}, direct {direct}: {why}");
            }
        }
    }
}

#[test]
fn skipped_flushes_dropped_fua_and_early_acknowledgements_are_noticed() {
    for backend in backends() {
        for (lie, sync) in [
            (Lie::SkipFlush, Sync::Flush),
            (Lie::DropFua, Sync::Dsync),
            (Lie::AckEarly, Sync::Dsync),
            (Lie::AckEarly, Sync::Flush),
        ] {
            let why = run(backend, sync, true, lie).expect_err("it goes unnoticed");
            assert!(why.contains("records were acknowledged"), "{backend}, {sync:?}, {lie:?}: {why}");
        }
    }
}
