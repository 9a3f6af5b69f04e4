//! A recovery on zones reads what it has to, once.

mod rig;

use std::{cell::Cell, rc::Rc};

use hemi_log_mem::{MemConfig, MemZones, ZoneDriver, ZoneLayout};
use hemi_queue::{Buf, Pool, PoolConfig, Progress, Sga, Wakeup, buf::ClassConfig, time::Instant};
use hemi_storage::{
    BlockDevice, CommandId, Geometry, LogConfig, Lsn, NewLog, OpenMode, Opening, ZoneCaps, ZoneCommand,
    ZoneDevice, ZoneDone, Zoned,
};
use rig::{open_on, settle};

/// Counts the bytes that are read.
struct Counting {
    inner: ZoneDriver,
    read: Rc<Cell<usize>>,
}

impl ZoneDevice for Counting {
    fn caps(&self) -> ZoneCaps {
        self.inner.caps()
    }
    fn written(&self, zone: u32) -> u64 {
        self.inner.written(zone)
    }
    fn submit(&mut self, id: CommandId, command: ZoneCommand) {
        if let ZoneCommand::Read { len, .. } = command {
            self.read.set(self.read.get() + len);
        }
        self.inner.submit(id, command);
    }
    fn poll(&mut self, now: Instant, done: &mut Vec<ZoneDone>) -> Progress {
        self.inner.poll(now, done)
    }
    fn deadline(&self) -> Option<Instant> {
        self.inner.deadline()
    }
    fn wakeup(&self) -> Wakeup {
        self.inner.wakeup()
    }
    fn describe(&self) -> String {
        self.inner.describe()
    }
}

#[test]
fn what_an_earlier_opening_has_written_is_read_once() {
    const UNITS: u64 = 500;
    let layout = ZoneLayout { zones: 2 + 4, capacity: 4 << 20, append: 64 << 10, active: 4 };
    let config = MemConfig { cache: false, ..MemConfig::default() };
    let (medium, pool) = (MemZones::new(config, layout), Pool::new().unwrap());
    let read = Rc::new(Cell::new(0));
    let open = |pool: &Pool| {
        let inner = ZoneDriver::open(&medium, pool);
        Zoned::new(Counting { inner, read: Rc::clone(&read) })
    };
    let mut device = open(&pool);
    let geometry = Geometry::new(4096, device.segment()).unwrap();
    let new = NewLog { geometry, salt: 1, created: 1, overwrite: false };
    let mut now = Instant::ZERO;
    let opening = Opening::create(LogConfig::default(), device.caps(), pool.clone(), new);
    let (mut log, _) = open_on(opening, &mut device, &mut now).unwrap();
    for n in 0..UNITS {
        let lsn = log.push(Sga::from(Buf::from(vec![n as u8; 3000])), 1, true).unwrap();
        assert!(settle(&mut log, &mut device, &mut now, |log| log.durable() > lsn));
    }
    let written = medium.zones()[2].bytes.len();
    assert!(written > UNITS as usize * 3000);
    drop((log, device));

    // What is kept is not kept in the pool.
    let classes = vec![ClassConfig { size: 64 << 10 }];
    let pool = Pool::with(&PoolConfig { classes, limit: 1 << 20, region: 1 << 20 }).unwrap();
    let mut device = open(&pool);
    read.set(0);
    let opening = Opening::open(LogConfig::default(), device.caps(), pool.clone(), OpenMode::default());
    let (log, _) = open_on(opening, &mut device, &mut now).unwrap();
    assert_eq!(log.durable(), Lsn(UNITS));
    // Beside the zone, the superblocks and one block of each segment.
    let most = written + (256 << 10);
    assert!((written..=most).contains(&read.get()), "{} bytes of {written} were read", read.get());
}
