//! What must hold for a log on any bytes: shared by the fuzz targets and by the smoke test that needs no fuzzer.
//!
//! Checksums would keep nearly all mutations from getting anywhere, so the first byte of an input may ask for them to be made
//! good again.

use hemi_log_mem::{MemConfig, MemDevice, MemDisk};
use hemi_queue::{Buf, Pool, Sga, time::Instant};
use hemi_storage::{
    BlockDevice, DATA_START, Geometry, Log, LogConfig, LogError, Lsn, NewLog, OpenMode, Opening, Popped,
    SegmentHeader, Step, Superblock, Walker,
};

/// Bytes of an input that are the beginning of the device: both superblocks, with blocks of 512 bytes.
const AREA: usize = 1024;
/// Checksums are made good.
const MEND: u8 = 1;
/// The log is opened with `cut`.
const CUT: u8 = 2;
/// New space is slow: it is filled with zeros.
const SLOW: u8 = 4;
/// Records that a log of a few kilobytes cannot have more than.
const MANY: usize = 10_000;

fn number(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}

fn put_crc(bytes: &mut [u8], covered: std::ops::Range<usize>, seed: u32, at: usize) {
    let crc = bytes.get(covered).map(|covered| crc32c::crc32c_append(seed, covered));
    if let (Some(crc), Some(place)) = (crc, bytes.get_mut(at..at + 4)) {
        place.copy_from_slice(&crc.to_le_bytes());
    }
}

/// One superblock: what is understood is written back as it was understood.
pub fn superblock(data: &[u8]) {
    let Some((how, data)) = data.split_first() else { return };
    let mut data = data.to_vec();
    if how & MEND != 0 {
        put_crc(&mut data, 0..76, 0, 76);
        put_crc(&mut data, 512..588, 0, 588);
    }
    for found in [Superblock::decode(&data), Superblock::find(&data).map(|(found, _)| found)] {
        match found {
            Ok(superblock) => {
                let again = Superblock::decode(&superblock.encode());
                assert_eq!(again, Ok(superblock));
            }
            Err(e) => assert!(!e.to_string().is_empty()),
        }
    }
}

/// Give every record of a segment its checksum, as far as their lengths lead.
fn mend_records(segment: &mut [u8], block: usize, seed: u32) {
    let mut at = block;
    while at + 40 <= segment.len() {
        if block - at % block < 40 {
            at = at / block * block + block;
            continue;
        }
        let length = u32::from_le_bytes([segment[at + 4], segment[at + 5], segment[at + 6], segment[at + 7]]);
        let end = (at + 40).saturating_add(length as usize);
        let unit = segment[at + 36] == 1;
        if end > segment.len() || !matches!(segment[at + 36], 1 | 2) {
            at = at / block * block + block;
            continue;
        }
        put_crc(segment, at + 4..if unit { end } else { at + 40 }, seed, at);
        at = end.next_multiple_of(8);
    }
}

fn seed(salt: u64, sequence: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&salt.to_le_bytes()), &sequence.to_le_bytes())
}

/// The records of one segment: a walk ends, gives LSNs in order, and never goes past the segment.
pub fn records(data: &[u8]) {
    let Some((how, data)) = data.split_first() else { return };
    let len = data.len() / 512 * 512;
    let Ok(geometry) = Geometry::new(512, len as u64) else { return };
    let mut data = data[..len].to_vec();
    let salt = 7_u64;
    if how & MEND != 0 {
        data[..8].copy_from_slice(b"hemi-seg");
        data[8..16].copy_from_slice(&salt.to_le_bytes());
        put_crc(&mut data, 0..52, 0, 52);
        let sequence = number(&data, 16);
        mend_records(&mut data, 512, seed(salt, sequence));
    }
    let Some(header) = SegmentHeader::decode(&data, salt) else { return };
    assert_eq!(SegmentHeader::decode(&header.encode(salt), salt), Some(header));
    let mut walker = Walker::new(geometry, (salt, u32::MAX), header);
    // In pieces of some size.
    let piece = usize::from(how >> 2) * 8 + 1;
    let (mut input, mut given, mut last) = (Sga::new(), walker.at() as usize, None);
    for _ in 0..MANY {
        match walker.next(&mut input) {
            Step::Record { header, payload } => {
                assert!(payload.len() == header.length as usize && walker.offset() <= geometry.segment());
                assert!(last.is_none_or(|last| header.lsn.0 == last || header.lsn.0 == last + 1));
                last = Some(header.lsn.0);
            }
            Step::Need if given >= len => {
                drop(walker.give_up());
            }
            Step::Need => {
                let to = len.min(given + piece);
                input.push(Buf::from(data[given..to].to_vec()));
                given = to;
            }
            Step::Jump => {
                input = Sga::new();
                given = walker.at() as usize;
            }
            Step::End(_) => {
                let from = (walker.offset() / 512 * 512) as usize;
                let behind = walker.survivors(&data[from.min(len)..]);
                assert!(behind.records <= len as u64 / 40);
                return;
            }
        }
    }
    panic!("the walk does not end");
}

/// A device that holds `data`.
fn image(data: &[u8], mend: bool) -> Vec<u8> {
    let (area, rest) = data.split_at(data.len().min(AREA));
    let mut image = vec![0; DATA_START as usize + rest.len().next_multiple_of(512)];
    image[..area.len()].copy_from_slice(area);
    image[DATA_START as usize..][..rest.len()].copy_from_slice(rest);
    if !mend {
        return image;
    }
    put_crc(&mut image, 0..76, 0, 76);
    put_crc(&mut image, 512..588, 0, 588);
    let Ok((superblock, _)) = Superblock::find(&image[..DATA_START as usize]) else { return image };
    let geometry = superblock.geometry;
    for slot in 0..geometry.slots_in(image.len() as u64) {
        let from = geometry.slot_offset(slot) as usize;
        let segment = &mut image[from..from + geometry.segment() as usize];
        if segment.starts_with(b"hemi-seg") {
            segment[8..16].copy_from_slice(&superblock.salt.to_le_bytes());
            put_crc(segment, 0..52, 0, 52);
            let sequence = number(segment, 16);
            mend_records(segment, geometry.block() as usize, seed(superblock.salt, sequence));
        }
    }
    image
}

/// Drive an opening to its end.
fn open(image: Vec<u8>, mode: OpenMode, slow: bool) -> (Result<Log, LogError>, MemDevice) {
    let len = image.len() as u64;
    let config = MemConfig {
        cache: false,
        len,
        max_len: len + (64 << 10),
        slow_when_new: slow,
        ..MemConfig::default()
    };
    let pool = Pool::new().expect("memory for a pool");
    let mut device =
        MemDevice::open(&MemDisk::with_image(config, image), &pool).expect("nobody else has the disk");
    let mut opening = Opening::open(LogConfig::default(), device.caps(), pool, mode);
    for _ in 0..100 * MANY {
        opening.turn(&mut device, Instant::ZERO);
        if let Some(result) = opening.finish() {
            return (result.map(|(log, _)| log), device);
        }
    }
    panic!("the opening does not end");
}

fn settle(log: &mut Log, device: &mut MemDevice, mut ready: impl FnMut(&Log) -> bool) -> bool {
    let mut done = Vec::new();
    for _ in 0..MANY {
        if ready(log) {
            return true;
        }
        log.turn(device, Instant::ZERO, &mut done);
    }
    false
}

/// All records: each is told of once, whole or as a part of damage, in order.
fn read(log: &mut Log, device: &mut MemDevice) {
    let (mut next, cursor, mut done) = (log.head(), log.cursor(Lsn(0)), Vec::new());
    for _ in 0..100 * MANY {
        match log.pop(cursor) {
            Ok(Popped::Record(record)) => {
                assert_eq!(record.lsn, next);
                next = Lsn(next.0 + 1);
            }
            Ok(Popped::Wait) if log.position(cursor) >= Some(log.visible()) => return,
            Ok(Popped::Wait) => drop(log.turn(device, Instant::ZERO, &mut done)),
            Ok(Popped::End) => return,
            Err(LogError::Unreadable { from, to }) => {
                assert!(from == next && to > from, "{from} to {to} at {next}");
                next = to;
            }
            Err(LogError::Truncated { .. }) => {}
            Err(e) => panic!("{e}"),
        }
    }
    panic!("the reading does not end");
}

/// Recovery on any bytes: it is refused with a reason, or there is a log that can be read and gone on with.
pub fn log(data: &[u8]) {
    let Some((how, data)) = data.split_first() else { return };
    let (mend, cut, slow) = (how & MEND != 0, how & CUT != 0, how & SLOW != 0);
    let image = image(data, mend);
    let (opened, mut device) = open(image.clone(), OpenMode { read_only: true, cut: false }, slow);
    match opened {
        Ok(mut log) => read(&mut log, &mut device),
        Err(e) => assert!(!e.to_string().is_empty()),
    }
    let (opened, mut device) = open(image.clone(), OpenMode { read_only: false, cut }, slow);
    let Ok(mut log) = opened else {
        assert!(device.disk().image() == image, "a log that is refused is not changed");
        return;
    };
    let unit = Sga::from(Buf::from(b"goes on".to_vec()));
    let Ok(lsn) = log.push(unit, 1, true) else { return };
    if !settle(&mut log, &mut device, |log| log.durable() > lsn || log.is_full()) || log.is_full() {
        return;
    }
    // It is the same log for whoever comes next.
    let (again, mut device) = open(device.disk().image(), OpenMode::default(), slow);
    if mend {
        // A forged superblock may name an epoch that was there before: then old records are as good as new ones.
        return;
    }
    let mut again = again.unwrap_or_else(|e| panic!("gone on with, and then: {e}"));
    assert_eq!(again.tail(), Lsn(lsn.0 + 1));
    let cursor = again.cursor(lsn);
    let mut got = None;
    let there = settle(&mut again, &mut device, |_| false);
    let mut done = Vec::new();
    for _ in 0..MANY {
        match again.pop(cursor) {
            Ok(Popped::Record(record)) => {
                got = Some(record.unit.to_vec());
                break;
            }
            Ok(_) => drop(again.turn(&mut device, Instant::ZERO, &mut done)),
            Err(e) => panic!("gone on with, and then: {e}"),
        }
    }
    assert!(!there && got.as_deref() == Some(b"goes on"), "{got:?}");
}

/// Inputs to begin with, by target: logs of some kinds, and parts of them.
pub fn seeds() -> Vec<(&'static str, String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for (n, (units, life)) in [(0, 1), (1, 1), (6, 1), (6, 3), (20, 2)].into_iter().enumerate() {
        let pool = Pool::new().expect("memory for a pool");
        let config = MemConfig { cache: false, max_len: DATA_START + 64 * 2048, ..MemConfig::default() };
        let disk = MemDisk::new(config);
        for opening in 0..life {
            let mut device = MemDevice::open(&disk, &pool).expect("nobody else has the disk");
            let geometry = Geometry::new(512, 2048).expect("small, but right");
            let mut begun = if opening == 0 {
                let new = NewLog { geometry, salt: 7 + n as u64, created: 1, overwrite: false };
                Opening::create(LogConfig::default(), device.caps(), pool.clone(), new)
            } else {
                Opening::open(LogConfig::default(), device.caps(), pool.clone(), OpenMode::default())
            };
            let mut log = loop {
                begun.turn(&mut device, Instant::ZERO);
                if let Some(result) = begun.finish() {
                    break result.expect("a log").0;
                }
            };
            for unit in 0..units {
                let bytes = vec![unit as u8; unit * 37 % 900];
                let lsn = log.push(Sga::from(Buf::from(bytes)), 5, true).expect("room");
                assert!(settle(&mut log, &mut device, |log| log.durable() > lsn));
            }
            if n % 2 == 0 {
                log.close();
                assert!(settle(&mut log, &mut device, Log::is_closed));
            }
        }
        let image = disk.image();
        let (area, rest) = (&image[..AREA], &image[DATA_START as usize..]);
        for how in [0, MEND, MEND | CUT, MEND | CUT | SLOW] {
            seeds.push(("log", format!("{n}-{how}"), [&[how], area, rest].concat()));
        }
        seeds.push(("superblock", format!("{n}"), [&[MEND], area].concat()));
        for (slot, segment) in rest.chunks_exact(2048).enumerate().filter(|(_, s)| s.starts_with(b"hemi-seg"))
        {
            seeds.push(("records", format!("{n}-{slot}"), [&[MEND | 0xa4], segment].concat()));
        }
    }
    seeds
}
