//! A log on a simulated disk in virtual time, what was told of it, and the check of what a power cut leaves.
#![allow(dead_code)] // each test program uses its part

use std::time::Duration;

use hemi_log_mem::{
    Lie, Lying, MemConfig, MemDevice, MemDisk, MemZone, MemZones, Rng, ZoneDriver, ZoneLayout,
};
use hemi_queue::{Buf, Pool, Sga, time::Instant};
use hemi_storage::{
    BlockDevice, Geometry, Log, LogConfig, LogError, Lsn, NewLog, OpenMode, Opening, Popped, Record,
    Recovery, Zoned,
};

/// Submit and complete until `ready`, in virtual time. False: nothing can happen any more.
pub(crate) fn settle(
    log: &mut Log,
    device: &mut dyn BlockDevice,
    now: &mut Instant,
    mut ready: impl FnMut(&mut Log) -> bool,
) -> bool {
    loop {
        if ready(log) {
            return true;
        }
        if !step(log, device, now) {
            return ready(log);
        }
    }
}

/// One completion time. False: nothing is in flight.
pub(crate) fn step(log: &mut Log, device: &mut dyn BlockDevice, now: &mut Instant) -> bool {
    log.pump();
    let mut done = Vec::new();
    submit(log, device);
    let Some(deadline) = device.deadline() else { return false };
    *now = deadline.max(*now);
    device.poll(*now, &mut done);
    for d in done {
        log.complete(d);
    }
    log.pump();
    submit(log, device);
    true
}

fn submit(log: &mut Log, device: &mut dyn BlockDevice) {
    while let Some((id, command)) = log.next_command() {
        device.submit(id, command);
    }
}

/// Drive an opening to its end.
pub(crate) fn open_on(
    mut opening: Opening,
    device: &mut dyn BlockDevice,
    now: &mut Instant,
) -> Result<(Log, Recovery), LogError> {
    let mut done = Vec::new();
    loop {
        if let Some(result) = opening.finish() {
            return result;
        }
        while let Some((id, command)) = opening.next_command() {
            device.submit(id, command);
        }
        *now = device.deadline().expect("an opening waits for the device").max(*now);
        device.poll(*now, &mut done);
        for d in done.drain(..) {
            opening.complete(d);
        }
    }
}

/// Every record from `from` on, with the errors met on the way.
pub(crate) fn read_all(
    log: &mut Log,
    device: &mut dyn BlockDevice,
    now: &mut Instant,
    from: Lsn,
) -> (Vec<Record>, Vec<LogError>) {
    let cursor = log.cursor(from);
    let (mut records, mut errors) = (Vec::new(), Vec::new());
    loop {
        match log.pop(cursor) {
            Ok(Popped::Record(record)) => records.push(record),
            Ok(Popped::End) => break,
            Ok(Popped::Wait) if log.position(cursor) >= Some(log.visible()) => break,
            Ok(Popped::Wait) => assert!(step(log, device, now), "a reader waits for nothing"),
            Err(e) => {
                errors.push(e);
                assert!(errors.len() < 100, "errors without end: {errors:?}");
            }
        }
    }
    log.drop_cursor(cursor);
    (records, errors)
}

/// What a log lies on, and what a power cut leaves of it.
pub(crate) trait Medium: Clone {
    type Image: Clone;
    fn new(config: MemConfig) -> Self;
    fn with_image(config: MemConfig, image: Self::Image) -> Self;
    fn open(&self, pool: &Pool) -> Box<dyn BlockDevice>;
    fn cut(&self, rng: &mut Rng) -> Self::Image;
    fn config(&self) -> MemConfig;
    fn geometry() -> Geometry;
}

impl Medium for MemDisk {
    type Image = Vec<u8>;
    fn new(config: MemConfig) -> Self {
        Self::new(config)
    }
    fn with_image(config: MemConfig, image: Vec<u8>) -> Self {
        let len = image.len() as u64;
        Self::with_image(MemConfig { len, max_len: config.max_len.max(len), ..config }, image)
    }
    fn open(&self, pool: &Pool) -> Box<dyn BlockDevice> {
        Box::new(MemDevice::open(self, pool).unwrap())
    }
    fn cut(&self, rng: &mut Rng) -> Vec<u8> {
        self.cut(rng)
    }
    fn config(&self) -> MemConfig {
        let mut config = MemConfig::default();
        self.configure(|c| config = c.clone());
        config
    }
    fn geometry() -> Geometry {
        small_geometry()
    }
}

/// Small zones, and few of them: two for superblocks, and not enough for all that a program pushes.
const ZONES: ZoneLayout = ZoneLayout { zones: 2 + 10, capacity: 32 << 10, append: 4096, active: 4 };

impl Medium for MemZones {
    type Image = Vec<MemZone>;
    fn new(config: MemConfig) -> Self {
        Self::new(config, ZONES)
    }
    fn with_image(config: MemConfig, zones: Vec<MemZone>) -> Self {
        Self::with_zones(config, ZONES, zones)
    }
    fn open(&self, pool: &Pool) -> Box<dyn BlockDevice> {
        Box::new(Zoned::new(ZoneDriver::open(self, pool)))
    }
    fn cut(&self, rng: &mut Rng) -> Vec<MemZone> {
        self.cut(rng)
    }
    fn config(&self) -> MemConfig {
        self.config()
    }
    fn geometry() -> Geometry {
        Geometry::new(512, ZONES.capacity).unwrap()
    }
}

/// What a test does to a log.
pub(crate) struct World<M: Medium = MemDisk> {
    pub(crate) disk: M,
    pub(crate) device: Lying<Box<dyn BlockDevice>>,
    pub(crate) log: Log,
    pub(crate) now: Instant,
    pub(crate) pool: Pool,
    pub(crate) rng: Rng,
    /// The unit of every LSN, as it was pushed last.
    pub(crate) units: Vec<Vec<u8>>,
    /// The most that was told to be durable.
    pub(crate) durable: Lsn,
    /// The head that was told to be so, and the one that was asked for.
    pub(crate) head: (Lsn, Lsn),
    pub(crate) life: u8,
    pub(crate) cuts: u64,
    pub(crate) lie: Lie,
}

pub(crate) fn small_geometry() -> Geometry {
    Geometry::new(512, 4096).unwrap()
}

fn small_config() -> LogConfig {
    LogConfig { batch: 2048, writes: 3, pending_limit: 16 << 10, recent: 4096, ..LogConfig::default() }
}

impl<M: Medium> World<M> {
    pub(crate) fn new(seed: u64, config: &MemConfig, lie: Lie) -> Self {
        let pool = Pool::new().unwrap();
        let disk = M::new(MemConfig { seed, ..config.clone() });
        let mut device = Lying::new(disk.open(&pool), lie);
        let new = NewLog { geometry: M::geometry(), salt: seed ^ 0x5a17, created: 1, overwrite: false };
        let opening = Opening::create(small_config(), device.caps(), pool.clone(), new);
        let mut now = Instant::ZERO;
        let (log, _) = open_on(opening, &mut device, &mut now).unwrap();
        Self {
            disk,
            device,
            log,
            now,
            pool,
            rng: Rng::new(seed),
            units: Vec::new(),
            durable: Lsn(0),
            head: (Lsn(0), Lsn(0)),
            life: 0,
            cuts: 0,
            lie,
        }
    }

    /// A unit that no other has the bytes of.
    fn unit(&mut self) -> Vec<u8> {
        let len = match self.rng.below(20) {
            0 => 0,
            1..=10 => 1 + self.rng.below(60),
            11..=16 => 200 + self.rng.below(900),
            17 | 18 => 3000 + self.rng.below(2000),
            _ => 6000 + self.rng.below(8000),
        };
        let mut fill = Rng::new(self.rng.word());
        let mut unit: Vec<u8> = (0..len).map(|_| fill.word() as u8).collect();
        if let Some(first) = unit.first_mut() {
            *first = self.life;
        }
        unit
    }

    /// Push one unit, in one part or two.
    pub(crate) fn push(&mut self) {
        let unit = self.unit();
        let durable = !self.rng.one_in(3);
        let mut sga = Sga::new();
        let at = unit.len() / 3;
        if self.rng.one_in(2) {
            sga.push(Buf::from(unit[..at].to_vec()));
            sga.push(Buf::from(unit[at..].to_vec()));
        } else {
            sga.push(Buf::from(unit.clone()));
        }
        match self.log.push(sga, self.now.as_nanos() + 1, durable) {
            Ok(lsn) => {
                assert_eq!(lsn.0 as usize, self.units.len());
                self.units.push(unit);
            }
            Err((LogError::Busy { .. }, back)) => {
                assert_eq!(back.to_vec(), unit, "a refused unit comes back");
            }
            Err((e, _)) => panic!("push: {e}"),
        }
    }

    /// What the application may believe now.
    pub(crate) fn listen(&mut self) {
        self.durable = self.durable.max(self.log.durable());
        self.head.0 = self.head.0.max(self.log.head());
    }

    pub(crate) fn truncate(&mut self) {
        let span = self.log.durable().0.saturating_sub(self.log.head().0);
        let to = Lsn(self.log.head().0 + self.rng.below(span + 1));
        let to = self.log.truncate_head(to).unwrap();
        self.head.1 = self.head.1.max(to);
    }

    /// Let the device make a step, and cut the power `cuts` times.
    pub(crate) fn step(&mut self, cuts: u64) -> Result<bool, String> {
        let went_on = step(&mut self.log, &mut self.device, &mut self.now);
        self.listen();
        for _ in 0..cuts {
            self.check_cut()?;
        }
        if cuts > 2 && self.rng.one_in(8) {
            self.check_second_cut()?;
        }
        Ok(went_on)
    }

    /// Cut the power now, recover on a copy of the medium, and compare.
    pub(crate) fn check_cut(&mut self) -> Result<(), String> {
        self.cuts += 1;
        let image = self.disk.cut(&mut self.rng);
        self.recover(image).map(drop)
    }

    /// The power is cut, and soon after the log is opened again it is cut once more, on a world of its own.
    fn check_second_cut(&mut self) -> Result<(), String> {
        let image = self.disk.cut(&mut self.rng);
        let mut again = self.fork(image)?;
        for _ in 0..=self.rng.below(3) {
            again.push();
            again.step(2)?;
        }
        self.cuts += again.cuts;
        Ok(())
    }

    /// Another world, that begins with what `image` holds of this one.
    fn fork(&mut self, image: M::Image) -> Result<Self, String> {
        let (log, _) = self.recover(image.clone())?;
        let disk = M::with_image(self.disk_config(), image);
        let device = Lying::new(disk.open(&self.pool), self.lie);
        let mut world = Self {
            disk: disk.clone(),
            device,
            log,
            now: self.now,
            pool: self.pool.clone(),
            rng: Rng::new(self.rng.word()),
            units: self.units.clone(),
            durable: self.durable,
            head: self.head,
            life: self.life,
            cuts: 0,
            lie: self.lie,
        };
        world.reopen_on(disk)?;
        Ok(world)
    }

    fn recover(&self, image: M::Image) -> Result<(Log, Vec<Record>), String> {
        let config = MemConfig { cache: false, max_len: 0, ..MemConfig::default() };
        let disk = M::with_image(config, image);
        let mut device = disk.open(&self.pool);
        let mut now = Instant::ZERO;
        let mode = OpenMode { read_only: true, cut: false };
        let opening = Opening::open(small_config(), device.caps(), self.pool.clone(), mode);
        let (mut log, found) = open_on(opening, &mut device, &mut now).map_err(|e| format!("open: {e}"))?;
        let (records, errors) = read_all(&mut log, &mut device, &mut now, Lsn(0));
        let (head, tail) = (log.head(), log.tail());
        let wrong = |what: &str| {
            let told = (self.durable, self.head, self.units.len());
            Err(format!("{what}: found {found}, told durable, head, pushed {told:?}"))
        };
        // The first error is that LSN 0 was truncated, if it was.
        if errors.iter().any(|e| !matches!(e, LogError::Truncated { .. })) {
            return wrong(&format!("cannot be read: {errors:?}"));
        }
        if head < self.head.0 || head > self.head.1 {
            return wrong("the head is wrong");
        }
        if tail < self.durable {
            return wrong("acknowledged records are lost");
        }
        if tail.0 > self.units.len() as u64 {
            return wrong("records that were never pushed");
        }
        if records.len() as u64 != tail.0 - head.0 {
            return wrong("not all records can be read");
        }
        for (n, record) in records.iter().enumerate() {
            if record.lsn.0 != head.0 + n as u64 {
                return wrong("out of order");
            }
            if record.unit.to_vec() != self.units[record.lsn.0 as usize] {
                return wrong(&format!("record {} is not what was pushed", record.lsn));
            }
        }
        // Opening for writing must accept the same image: nothing of it is taken for damage.
        let mut device = {
            drop(device);
            disk.open(&self.pool)
        };
        let opening = Opening::open(small_config(), device.caps(), self.pool.clone(), OpenMode::default());
        let (again, _) = open_on(opening, &mut device, &mut now).map_err(|e| format!("to write: {e}"))?;
        if again.tail() != tail {
            return wrong("another tail when opened for writing");
        }
        Ok((again, records))
    }

    /// The power is cut for real: go on with what is left.
    pub(crate) fn crash(&mut self) -> Result<(), String> {
        let image = self.disk.cut(&mut self.rng);
        self.recover(image.clone())?;
        let disk = M::with_image(self.disk_config(), image);
        self.reopen_on(disk)
    }

    fn disk_config(&self) -> MemConfig {
        let config = self.disk.config();
        MemConfig { seed: config.seed + 1, ..config }
    }

    /// Close and open again.
    pub(crate) fn reopen(&mut self) -> Result<(), String> {
        self.log.close();
        while !self.log.is_closed() {
            if !self.step(1)? {
                return Err("cannot be closed: nothing happens any more".into());
            }
        }
        if self.log.durable().0 != self.units.len() as u64 {
            return Err("closed, and not all is durable".into());
        }
        self.reopen_on(self.disk.clone())
    }

    fn reopen_on(&mut self, disk: M) -> Result<(), String> {
        let nothing = M::new(MemConfig::default());
        // The old device lets go of its disk first.
        self.device = Lying::new(nothing.open(&self.pool), self.lie);
        self.device = Lying::new(disk.open(&self.pool), self.lie);
        self.disk = disk;
        let opening =
            Opening::open(small_config(), self.device.caps(), self.pool.clone(), OpenMode::default());
        let (log, _) =
            open_on(opening, &mut self.device, &mut self.now).map_err(|e| format!("reopen: {e}"))?;
        self.log = log;
        self.life += 1;
        // What was found is as safe as anything: nothing of it may go away again.
        self.units.truncate(self.log.tail().0 as usize);
        self.head.1 = self.log.head();
        self.listen();
        if self.log.tail() < self.durable {
            return Err("acknowledged records are lost".into());
        }
        self.durable = self.log.tail();
        Ok(())
    }

    /// A random program: pushes, flushes, truncations, closings, crashes; the power is cut `density` times at each step.
    pub(crate) fn program(&mut self, operations: u64, density: u64) -> Result<(), String> {
        for _ in 0..operations {
            match self.rng.below(16) {
                0..=6 => (0..=self.rng.below(5)).for_each(|_| self.push()),
                7 => {
                    self.log.flush();
                }
                8 | 9 => self.truncate(),
                10 if self.rng.one_in(3) => self.reopen()?,
                11 if self.rng.one_in(2) => self.crash()?,
                _ => {
                    for _ in 0..=self.rng.below(6) {
                        self.step(density)?;
                    }
                }
            }
            self.step(density)?;
        }
        self.reopen()
    }
}

/// A disk with a cache, latency and completions out of order.
pub(crate) fn rough() -> MemConfig {
    MemConfig {
        latency: Duration::from_micros(50),
        jitter: Duration::from_micros(200),
        max_len: (64 << 10) + 64 * 4096,
        ..MemConfig::default()
    }
}
