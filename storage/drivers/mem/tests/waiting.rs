//! What was accepted is told of in the end, with no further call that helps.

mod rig;

use hemi_log_mem::{MemConfig, MemDevice, MemDisk};
use hemi_queue::{Buf, Pool, Sga, time::Instant};
use hemi_storage::{BlockDevice, Geometry, Log, LogConfig, Lsn, NewLog, Opening};
use rig::{open_on, settle};

fn unit(len: usize) -> Sga {
    Sga::from(Buf::from(vec![7; len]))
}

/// A new log on a new disk.
fn create(disk: MemConfig, geometry: Geometry, config: LogConfig) -> (Log, MemDevice, Instant) {
    let pool = Pool::new().unwrap();
    let mut device = MemDevice::open(&MemDisk::new(disk), &pool).unwrap();
    let new = NewLog { geometry, salt: 1, created: 1, overwrite: false };
    let opening = Opening::create(config, device.caps(), pool, new);
    let mut now = Instant::ZERO;
    let (log, _) = open_on(opening, &mut device, &mut now).unwrap();
    (log, device, now)
}

#[test]
fn a_durable_push_does_not_wait_for_others_behind_a_relaxed_one() {
    for fua in [true, false] {
        let disk = MemConfig { fua, cache: true, gather: usize::MAX, ..MemConfig::default() };
        let geometry = Geometry::new(4096, 8 << 20).unwrap();
        let (mut log, mut device, mut now) = create(disk, geometry, LogConfig::default());
        let durable = log.push(unit(10), 1, true).unwrap();
        log.push(unit(3 << 20), 1, false).unwrap();
        let done = settle(&mut log, &mut device, &mut now, |log| log.durable() > durable);
        assert!(done, "fua {fua}: {durable} is written and never flushed, durable is {}", log.durable());
        assert_eq!(log.written(), Lsn(2));
    }
}
