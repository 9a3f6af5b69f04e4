//! A log in memory, cut at every point: what was sealed is there, once, in order; the rest is absent or whole.

use hemi_queue::{Pool, Sga};
use hemi_storage::{Appender, Ending, Geometry, Lsn, SegmentHeader, Step, Walker};
use proptest::prelude::*;

const SALT: u64 = 0x5a17;

/// A device of a few segments, with the order in which it was written to.
struct Device {
    geometry: Geometry,
    bytes: Vec<u8>,
    /// Byte ranges in write order, and how many units were whole after each.
    writes: Vec<(usize, Vec<u8>, u64)>,
}

/// Append `units` in batches, a sealed batch after each `true`.
fn write(geometry: Geometry, units: &[(Vec<u8>, bool)], stale: u8) -> (Device, Vec<SegmentHeader>) {
    let pool = Pool::new().unwrap();
    let first = SegmentHeader { sequence: 4, first: Lsn(100), continues: false };
    let mut appender = Appender::resume(geometry, SALT, first, 0, Lsn(100));
    let mut segments = vec![first];
    let mut writes = vec![(0, first.encode(SALT).to_vec(), 0)];
    let (mut out, mut at) = (Sga::new(), appender.offset());
    let mut sealed = 0;
    let flush = |appender: &mut Appender, out: &mut Sga, at: &mut u64, slot: usize, whole: u64| {
        appender.seal(1, &pool, out).unwrap();
        assert_eq!((*at + out.len() as u64) % geometry.block(), 0, "a batch ends at a block boundary");
        let offset = slot * geometry.segment() as usize + *at as usize;
        *at = appender.offset();
        (offset, std::mem::take(out).to_vec(), whole)
    };
    for (n, (unit, seal)) in units.iter().enumerate() {
        let mut rest = Some(Sga::from(unit.clone()));
        while let Some(unit) = rest {
            rest = appender.append(unit, n as u64, &pool, &mut out).unwrap();
            if rest.is_some() {
                writes.push(flush(&mut appender, &mut out, &mut at, segments.len() - 1, sealed));
                let header = appender.next_segment();
                segments.push(header);
                let offset = (segments.len() - 1) * geometry.segment() as usize;
                writes.push((offset, header.encode(SALT).to_vec(), sealed));
                at = appender.offset();
            }
        }
        if *seal {
            sealed = n as u64 + 1;
            writes.push(flush(&mut appender, &mut out, &mut at, segments.len() - 1, sealed));
        }
    }
    let bytes = vec![stale; segments.len() * geometry.segment() as usize];
    (Device { geometry, bytes, writes }, segments)
}

/// Read back what a crash after `bytes` has left: whole units, and how the last segment ended.
fn read(geometry: Geometry, bytes: &[u8], segments: &[SegmentHeader]) -> (Vec<Vec<u8>>, Ending) {
    let mut units = Vec::new();
    let mut part = Vec::new();
    for (slot, planned) in segments.iter().enumerate() {
        let segment = &bytes[slot * geometry.segment() as usize..][..geometry.segment() as usize];
        let Some(header) = SegmentHeader::decode(segment, SALT).filter(|h| h == planned) else {
            return (units, Ending::Clean);
        };
        let mut walker = Walker::new(geometry, SALT, header);
        let ending = loop {
            match walker.next(&segment[walker.offset() as usize..]) {
                Step::Record { header, payload } => {
                    part.extend_from_slice(payload);
                    if !header.more {
                        assert_eq!(header.lsn, Lsn(100 + units.len() as u64));
                        units.push(std::mem::take(&mut part));
                    }
                }
                Step::Need(n) => panic!("the whole segment was given, {n} more asked for"),
                Step::End(ending) => break ending,
            }
        };
        if ending != Ending::Full {
            return (units, ending);
        }
    }
    (units, Ending::Full)
}

fn unit() -> impl Strategy<Value = (Vec<u8>, bool)> {
    let len = prop_oneof![4 => 0..64_usize, 2 => 400..700_usize, 1 => 3000..9000_usize];
    (len.prop_flat_map(|n| prop::collection::vec(any::<u8>(), n)), any::<bool>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_cut_keeps_what_was_sealed(
        units in prop::collection::vec(unit(), 1..24),
        stale in prop_oneof![Just(0_u8), any::<u8>()],
        torn in any::<u64>(),
    ) {
        let geometry = Geometry::new(512, 4096).unwrap();
        let (device, segments) = write(geometry, &units, stale);
        let mut bytes = device.bytes.clone();
        let mut durable = 0;
        for (offset, data, whole) in &device.writes {
            // Torn inside this write: some of its blocks arrive, any of them.
            let mut crashed = bytes.clone();
            for (n, block) in data.chunks(512).enumerate() {
                if torn.rotate_left(n as u32 * 7) & 1 == 1 {
                    crashed[offset + n * 512..][..block.len()].copy_from_slice(block);
                }
            }
            let (found, _) = read(geometry, &crashed, &segments);
            prop_assert!(found.len() as u64 >= durable, "{} of {durable} acknowledged units", found.len());
            for (found, (unit, _)) in found.iter().zip(&units) {
                prop_assert_eq!(found, unit);
            }
            // Whole.
            bytes[*offset..][..data.len()].copy_from_slice(data);
            durable = *whole;
            let (found, _) = read(geometry, &bytes, &segments);
            prop_assert!(found.len() as u64 >= durable);
            for (found, (unit, _)) in found.iter().zip(&units) {
                prop_assert_eq!(found, unit);
            }
        }
        prop_assert_eq!(device.geometry, geometry);
    }

    #[test]
    fn a_flipped_bit_cuts_there_and_harms_nothing_before(
        units in prop::collection::vec(unit(), 1..8),
        at in any::<prop::sample::Index>(),
        bit in 0..8,
    ) {
        let geometry = Geometry::new(512, 4096).unwrap();
        let sealed: Vec<_> = units.into_iter().map(|(u, _)| (u, true)).collect();
        let (device, segments) = write(geometry, &sealed, 0);
        let mut bytes = device.bytes.clone();
        for (offset, data, _) in &device.writes {
            bytes[*offset..][..data.len()].copy_from_slice(data);
        }
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        let (found, _) = read(geometry, &bytes, &segments);
        for (found, (unit, _)) in found.iter().zip(&sealed) {
            prop_assert_eq!(found, unit);
        }
    }

    #[test]
    fn random_bytes_are_never_records(bytes in prop::collection::vec(any::<u8>(), 4096), skip in 0..4096_usize) {
        let geometry = Geometry::new(512, 4096).unwrap();
        let header = SegmentHeader { sequence: 0, first: Lsn(0), continues: false };
        let mut walker = Walker::new(geometry, SALT, header);
        let step = walker.next(&bytes[512.max(skip)..]);
        let found = matches!(step, Step::Record { .. });
        prop_assert!(!found);
        prop_assert_eq!(walker.survivors(&bytes[512..]), 0);
    }
}

#[test]
fn records_behind_a_cut_are_counted() {
    let geometry = Geometry::new(512, 8192).unwrap();
    let units: Vec<_> = (0..6_u8).map(|n| (vec![n; 100], true)).collect();
    let (device, segments) = write(geometry, &units, 0);
    let mut bytes = device.bytes;
    for (offset, data, _) in &device.writes {
        bytes[*offset..][..data.len()].copy_from_slice(data);
    }
    bytes[512 * 3 + 40] ^= 0xff; // the third unit's payload
    let mut walker = Walker::new(geometry, SALT, segments[0]);
    let ending = loop {
        match walker.next(&bytes[walker.offset() as usize..]) {
            Step::Record { .. } => {}
            Step::Need(_) => unreachable!("all bytes are at hand"),
            Step::End(ending) => break ending,
        }
    };
    assert_eq!((ending, walker.next_lsn()), (Ending::Cut, Lsn(102)));
    assert_eq!(walker.survivors(&bytes[walker.offset() as usize..]), 3);
}
