//! [`Seen`]: the bytes that a scan has read, kept for the walk behind it.
//!
//! A scan reads a zone to find the order of its records; the walk that comes next wants the same bytes in that order. Up to a limit they
//! are kept until it has had them, so that a zone is read once. Of a zone with more than that nothing is kept: memory is bounded, and the
//! device is read twice. They are copied: kept in the pool's buffers they would hold up the scan itself where the pool is small.

use std::collections::BTreeMap;

use hemi_queue::Sga;

/// Bytes that are kept at most.
const LIMIT: usize = 4 << 20;

/// What a scan has read of one zone.
#[derive(Debug, Default)]
pub(super) struct Seen {
    zone: u32,
    /// By the first byte in the zone.
    chunks: BTreeMap<u64, Sga>,
    bytes: usize,
}

impl Seen {
    /// Read at `at` of `zone`; `written` is all that the zone has.
    pub(super) fn add(&mut self, zone: u32, at: u64, data: &Sga, written: u64) {
        if written > LIMIT as u64 {
            return;
        }
        if self.zone != zone || self.bytes + data.len() > LIMIT {
            *self = Self { zone, ..Self::default() };
        }
        self.bytes += data.len();
        self.chunks.insert(at, Sga::from(data.to_vec()));
    }

    /// The first of the `len` bytes at `at` of `zone`, if they are here: as many as lie together.
    pub(super) fn find(&self, zone: u32, at: u64, len: u64) -> Option<Sga> {
        let (begin, data) = self.chunks.range(..=at).next_back().filter(|_| zone == self.zone)?;
        let mut data = data.clone();
        data.advance((at - begin) as usize);
        data.truncate(len as usize);
        (!data.is_empty()).then_some(data)
    }

    /// The walk is over, or the zone is not what it was.
    pub(super) fn forget(&mut self) {
        if !self.chunks.is_empty() {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_and_found_by_place() {
        let mut seen = Seen::default();
        let chunk = |byte, len| Sga::from(vec![byte; len]);
        seen.add(3, 100, &chunk(1, 50), 1000);
        seen.add(3, 150, &chunk(2, 50), 1000);
        assert_eq!(seen.find(3, 120, 1000).unwrap().to_vec(), [1; 30]);
        assert_eq!(seen.find(3, 150, 10).unwrap().to_vec(), [2; 10]);
        for (zone, at) in [(4, 120), (3, 99), (3, 200)] {
            assert!(seen.find(zone, at, 10).is_none(), "zone {zone}, byte {at}");
        }
        seen.add(4, 0, &chunk(3, 50), LIMIT as u64 + 1);
        assert!(seen.find(4, 0, 1).is_none(), "too large a zone");
        seen.add(4, 0, &chunk(3, LIMIT), LIMIT as u64);
        assert!(seen.find(3, 120, 1).is_none() && seen.find(4, 7, 1).is_some(), "one zone at a time");
        seen.forget();
        assert!(seen.find(4, 7, 1).is_none());
    }
}
