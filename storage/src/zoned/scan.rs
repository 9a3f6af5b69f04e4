//! [`Scan`]: from the bytes of a zone, in whatever order they were appended, to the order of the log.
//!
//! ```text
//!   zone      │header│ 0..3 │ 7..9 │ 3..7 │ garbage │ 9..10 │ 12..13 │◄ write pointer
//!   segment   │header│ 0..3 │ 3..7 │ 7..9 │ 9..10 │                      12..13 is behind a gap: cut off, an orphan
//! ```
//! Every append begins at a block with a record, or follows the append that it goes on from; records that are whole are
//! sorted by LSN, and what is reached without a gap from the segment's first is the segment. Orphans come behind it, so that a
//! recovery can look at what they say, and then what is no record at all.

use std::{collections::BTreeMap, io};

use hemi_queue::Sga;

use super::map::{Map, Place};
use crate::{Geometry, Lsn, RecordHeader, SegmentHeader, Step, Walker, record::RECORD_HEADER};

/// Bytes per read.
const CHUNK: u64 = 64 << 10;

/// Reads a zone forward, once.
///
/// # How it is driven
/// Read what [`wants`](Self::wants) says and [`feed`](Self::feed) it, until it wants nothing more.
#[derive(Debug)]
pub(super) struct Scan {
    geometry: Geometry,
    walker: Walker,
    /// The write pointer.
    end: u64,
    /// Where the stretch in hand begins, or the next one is looked for.
    at: u64,
    /// The LSN that the stretch in hand begins with.
    stretch: Option<Lsn>,
    /// Whole records of it.
    records: u64,
    /// Bytes from `input_at` on that were read and not used.
    input: Sga,
    input_at: u64,
    /// Bytes that may still be checked: what looks like a long record costs, and anybody may write such bytes.
    budget: u64,
    /// No record of the segment has a lower LSN.
    first: Lsn,
    /// Stretches that do not follow what is mapped: by their first LSN; where they lie, how long, and the LSN behind them.
    waiting: BTreeMap<Lsn, Vec<(u64, u64, Lsn)>>,
    /// The LSN that the next stretch must begin with, and the byte of the segment where it goes.
    expected: Lsn,
    mapped: u64,
    resumes_at: u64,
}

impl Scan {
    /// Of a zone whose first block is `segment`'s header, up to its write pointer `end`.
    pub(super) fn new(geometry: Geometry, id: (u64, u32), segment: SegmentHeader, end: u64) -> Self {
        let block = geometry.block();
        let walker = Walker::new(geometry, id, segment).keep(false);
        let (expected, budget) = (walker.next_lsn(), 4 * geometry.segment());
        Self {
            geometry,
            walker,
            end: end.min(geometry.segment()),
            at: block,
            stretch: None,
            records: 0,
            input: Sga::new(),
            input_at: block,
            budget,
            first: expected,
            waiting: BTreeMap::new(),
            expected,
            mapped: block,
            resumes_at: block,
        }
    }

    /// The segment's bytes below this are mapped.
    pub(super) fn mapped(&self) -> u64 {
        self.mapped
    }

    /// The byte of the segment behind its last record, once the end is reached.
    pub(super) fn resumes_at(&self) -> u64 {
        self.resumes_at
    }

    /// What to read next, or nothing: the end is reached.
    pub(super) fn wants(&self) -> Option<(u64, usize)> {
        let from = self.input_at + self.input.len() as u64;
        (from < self.end).then(|| (from, (CHUNK - from % CHUNK).min(self.end - from) as usize))
    }

    /// The bytes that were wanted. A shorter answer is the end.
    ///
    /// # Errors
    /// So much of the zone only looks like records that finding those that are would take too long.
    pub(super) fn feed(&mut self, data: Sga, map: &mut Map) -> io::Result<()> {
        if data.is_empty() {
            self.end = self.input_at + self.input.len() as u64;
        }
        self.input.append(data);
        loop {
            let starved = if self.stretch.is_some() { self.walk(map)? } else { self.look() };
            if starved && self.wants().is_some() {
                return Ok(());
            }
            if starved {
                if self.stretch.is_none() {
                    self.finish(map);
                    return Ok(());
                }
                self.walker.give_up();
                self.close(map);
            }
        }
    }

    /// Look for a record at the block `at`. True: bytes are missing.
    fn look(&mut self) -> bool {
        if self.at >= self.end {
            return true;
        }
        self.go_to(self.at);
        let mut bytes = [0; RECORD_HEADER];
        if self.input.copy_to(&mut bytes) < RECORD_HEADER {
            return true;
        }
        let header = RecordHeader::peek(&bytes).filter(|h| {
            let fits = h.footprint() as u64 <= self.geometry.segment() - self.at;
            fits && h.lsn >= self.first && self.walker.knows_epoch(h)
        });
        let Some(header) = header else {
            self.at += self.geometry.block();
            return false;
        };
        // The rest of a record that began in the segment before stands at the very front, as the walker expects it.
        if self.at > self.geometry.block() || header.lsn != self.walker.next_lsn() {
            self.walker.skip_to(self.at, header.lsn);
        }
        (self.stretch, self.records) = (Some(header.lsn), 0);
        false
    }

    /// Go on with the stretch in hand. True: bytes are missing.
    fn walk(&mut self, map: &mut Map) -> io::Result<bool> {
        loop {
            let before = self.input.len();
            let step = self.walker.next(&mut self.input);
            let used = (before - self.input.len()) as u64;
            self.input_at += used;
            let Some(left) = self.budget.checked_sub(used) else {
                let why = "a zone holds too much that looks like records and is none: it is damaged, or somebody wrote it";
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            };
            self.budget = left;
            match step {
                Step::Record { .. } => self.records += 1,
                Step::Need => return Ok(true),
                Step::Jump | Step::End(_) => {
                    self.close(map);
                    return Ok(false);
                }
            }
        }
    }

    /// The stretch in hand has ended: with its last whole record, and what fills that one's block.
    fn close(&mut self, map: &mut Map) {
        let Some(first) = self.stretch.take() else { return };
        let end = self.geometry.round_up(self.walker.offset());
        if self.records == 0 {
            self.at += self.geometry.block();
            return;
        }
        let stretch = (self.at, end - self.at, self.walker.next_lsn());
        self.waiting.entry(first).or_default().push(stretch);
        self.at = end;
        while let Some(mut found) = self.waiting.remove(&self.expected) {
            let (at, len, next) = found.remove(0);
            map.insert(self.mapped, Place::At(at), len);
            self.mapped += len;
            // A record that goes on in the next segment keeps its number: nothing follows it here.
            let stuck = next == self.expected;
            if !found.is_empty() {
                self.waiting.insert(self.expected, found);
            }
            self.expected = next;
            if stuck {
                break;
            }
        }
    }

    /// Have the input begin at `at`.
    fn go_to(&mut self, at: u64) {
        let have = self.input_at..=self.input_at + self.input.len() as u64;
        if have.contains(&at) {
            self.input.advance((at - self.input_at) as usize);
        } else {
            self.input = Sga::new();
        }
        self.input_at = at;
    }

    /// Orphans and garbage, behind what is mapped.
    fn finish(&mut self, map: &mut Map) {
        let mut to = self.mapped;
        self.resumes_at = to;
        let mut put = |place, len: u64| {
            map.insert(to, place, len);
            to += len;
        };
        for (at, len, _) in std::mem::take(&mut self.waiting).into_values().flatten() {
            put(Place::At(at), len);
        }
        if to < self.end {
            map.insert(to, Place::Garbage, self.end - to);
        }
        self.mapped = self.geometry.segment();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RecordKind;

    /// A zone in which every block begins as a long record does; whether its scan ends well, and how much it has read.
    fn scan(epoch: u32, lsn: u64) -> (bool, usize) {
        let geometry = Geometry::new(512, 256 << 10).unwrap();
        let size = geometry.segment() as usize;
        let mut zone = vec![0; size];
        for at in (512..size).step_by(512) {
            let length = (size - at - RECORD_HEADER) as u32;
            let (kind, lsn) = (RecordKind::Unit, Lsn(lsn));
            let fake =
                RecordHeader { kind, lsn, time: 0, epoch, behind: 0, length, fragment: 0, more: false };
            zone[at..at + RECORD_HEADER].copy_from_slice(&fake.unsealed());
        }
        let segment = SegmentHeader { sequence: 3, first: Lsn(10), continues: false, epoch: 5, time: 0 };
        let (mut scan, mut map) = (Scan::new(geometry, (1, 6), segment, size as u64), Map::default());
        let mut read = 0;
        while let Some((from, len)) = scan.wants() {
            read += len;
            if scan.feed(Sga::from(zone[from as usize..][..len].to_vec()), &mut map).is_err() {
                return (false, read);
            }
        }
        (true, read)
    }

    #[test]
    fn what_only_looks_like_records_costs_little_or_is_an_error() {
        let size = 256 << 10;
        for (epoch, lsn) in [(4, 10), (7, 10), (5, 9)] {
            let (ended, read) = scan(epoch, lsn);
            assert!(ended && read <= size, "epoch {epoch}, LSN {lsn}: {read} bytes");
        }
        let (ended, read) = scan(5, 10);
        assert!(!ended && read <= 6 * size, "{read} bytes");
    }
}
