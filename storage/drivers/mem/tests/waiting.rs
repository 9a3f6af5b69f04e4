//! What was accepted is told of in the end, with no further call that helps.

mod rig;

use hemi_log_mem::{MemConfig, MemDevice, MemDisk};
use hemi_queue::{Buf, Pool, Sga, time::Instant};
use hemi_storage::{BlockDevice, Geometry, Log, LogConfig, LogError, Lsn, NewLog, OpenMode, Opening};
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

#[test]
fn a_full_log_can_be_closed() {
    for (cache, fua, durable) in
        [(false, false, true), (true, true, true), (true, false, true), (true, false, false)]
    {
        let geometry = Geometry::new(512, 4096).unwrap();
        let disk = MemConfig { cache, fua, max_len: geometry.slot_offset(3), ..MemConfig::default() };
        let (mut log, mut device, mut now) = create(disk, geometry, LogConfig::default());
        for _ in 0..20 {
            log.push(unit(1000), 1, durable).unwrap();
        }
        settle(&mut log, &mut device, &mut now, |log| log.is_full());
        log.close();
        let closed = settle(&mut log, &mut device, &mut now, |log| log.is_closed());
        let case = format!("cache {cache}, fua {fua}, durable {durable}");
        assert!(closed, "{case}: never closed, durable is {}", log.durable());
        assert!(
            matches!(log.poison(), Some(LogError::Full { segments: 3, .. })),
            "{case}: {:?}",
            log.poison()
        );
        assert!(log.truncate_head(Lsn(1)).is_err(), "{case}: nobody would hear of it");
        let written = log.written();
        assert!(written > Lsn(5) && written < Lsn(20), "{case}: {written}");
        assert_eq!((log.durable(), log.superblock().tail), (written, written), "{case}");
        let opening =
            Opening::open(LogConfig::default(), device.caps(), Pool::new().unwrap(), OpenMode::default());
        let (log, _) = open_on(opening, &mut device, &mut now).unwrap();
        assert_eq!(log.tail(), written, "{case}");
    }
}
