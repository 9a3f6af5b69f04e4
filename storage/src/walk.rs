//! [`Walker`]: bytes to records, and where the log ends.

use crate::{
    Geometry, Lsn, RecordHeader, RecordKind, SegmentHeader,
    record::{ALIGN, RECORD_HEADER, Seed},
};

/// Reads one segment's records forward, believing nothing that its checksum does not prove.
///
/// # How it is driven
/// Give [`next`](Self::next) the segment's bytes from [`offset`](Self::offset) on, as many as are at hand; it
/// answers a record, asks for more bytes, or says that the records end here and why.
#[derive(Clone, Debug)]
pub struct Walker {
    geometry: Geometry,
    seed: Seed,
    offset: u64,
    next: Lsn,
    fragment: u32,
}

/// One step of a walk.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'b> {
    /// A unit, or a fragment of one. Padding is passed over silently.
    Record {
        /// Its header.
        header: RecordHeader,
        /// Its bytes.
        payload: &'b [u8],
    },
    /// At least this many bytes from [`Walker::offset`] on are needed.
    Need(usize),
    /// No record follows in this segment.
    End(Ending),
}

/// Why a segment's records end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The segment is full: the log goes on in the next, if there is one.
    Full,
    /// Nothing was written behind the last record: a clean end.
    Clean,
    /// Bytes follow that are no record of this log in this place: a torn write, or what the space held before.
    Cut,
}

impl Walker {
    /// From the first record of a segment.
    pub fn new(geometry: Geometry, salt: u64, segment: SegmentHeader) -> Self {
        let seed = Seed::new(salt, segment.sequence);
        // The rest of an earlier record carries that record's LSN; which fragment it is its own header tells.
        let next = if segment.continues { Lsn(segment.first.0.wrapping_sub(1)) } else { segment.first };
        Self { geometry, seed, offset: geometry.block(), next, fragment: u32::from(segment.continues) }
    }

    /// Where the next record is looked for, in bytes from the segment's first.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The LSN that the next record must have.
    pub fn next_lsn(&self) -> Lsn {
        self.next
    }

    /// The next step, given the segment's bytes from [`offset`](Self::offset) on.
    pub fn next<'b>(&mut self, mut bytes: &'b [u8]) -> Step<'b> {
        loop {
            let left = (self.geometry.segment() - self.offset) as usize;
            if left < RECORD_HEADER {
                return Step::End(Ending::Full);
            }
            // What is left of a block behind a batch can be too small for a header: it is zero.
            let tail = (self.geometry.round_up(self.offset + 1) - self.offset) as usize;
            if bytes.len() < RECORD_HEADER {
                return Step::Need(RECORD_HEADER);
            }
            let believed = RecordHeader::peek(bytes).filter(|h| h.footprint() <= left && self.expects(h));
            let Some(header) = believed else {
                if tail < RECORD_HEADER && bytes[..tail].iter().all(|b| *b == 0) {
                    self.offset += tail as u64;
                    bytes = &bytes[tail..];
                    continue;
                }
                return Step::End(Self::ending(bytes));
            };
            let end = RECORD_HEADER + header.length as usize;
            if bytes.len() < end {
                return Step::Need(header.footprint());
            }
            if !header.is_whole(self.seed, bytes) {
                return Step::End(Ending::Cut);
            }
            self.offset += header.footprint() as u64;
            if header.kind == RecordKind::Padding {
                if bytes.len() < header.footprint() {
                    return Step::Need(RECORD_HEADER);
                }
                bytes = &bytes[header.footprint()..];
                continue;
            }
            self.fragment = if header.more { header.fragment + 1 } else { 0 };
            if !header.more {
                self.next = self.next.next();
            }
            return Step::Record { header, payload: &bytes[RECORD_HEADER..end] };
        }
    }

    fn expects(&self, header: &RecordHeader) -> bool {
        // At a segment's start any fragment but the first may come: the walk began in the middle of a record.
        let fragment = header.fragment == self.fragment
            || (self.fragment > 0 && header.fragment > 0 && self.offset == self.geometry.block());
        header.lsn == self.next && (header.kind == RecordKind::Padding || fragment)
    }

    fn ending(bytes: &[u8]) -> Ending {
        if bytes.iter().all(|b| *b == 0) { Ending::Clean } else { Ending::Cut }
    }

    /// After a cut: how many whole records of this segment lie behind it, block by block, with LSNs from the expected
    /// one on. `bytes` are the segment's from [`offset`](Self::offset) on.
    pub fn survivors(&self, bytes: &[u8]) -> u64 {
        let mut count = 0;
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() >= RECORD_HEADER) {
            let found =
                RecordHeader::peek(rest).filter(|h| h.lsn >= self.next && h.is_whole(self.seed, rest));
            at = match found {
                Some(header) => {
                    count += u64::from(header.kind == RecordKind::Unit && !header.more);
                    at + header.footprint()
                }
                // Lost: records can be found again at their alignment.
                None => at + ALIGN,
            };
        }
        count
    }
}
