//! [`Walker`]: bytes to records, and where the log ends.

use hemi_queue::{Sga, crc};

use crate::{
    Geometry, Lsn, RecordHeader, RecordKind, SegmentHeader,
    record::{ALIGN, RECORD_HEADER, Seed},
};

/// Reads one segment's records forward, believing nothing that its checksum does not prove.
///
/// # How it is driven
/// Give [`next`](Self::next) the segment's bytes from [`at`](Self::at) on, as many as are at hand; it takes what it
/// can use, and answers a record, asks for more bytes, or says that the records end here and why. A payload may come in any
/// number of pieces; a walker that does not [`keep`](Self::keep) payloads holds none of them.
#[derive(Debug)]
pub struct Walker {
    geometry: Geometry,
    seed: Seed,
    keep: bool,
    /// Where the current or next record begins.
    offset: u64,
    next: Lsn,
    fragment: u32,
    /// The epochs that the next record may have.
    epochs: (u32, u32),
    current: Option<Current>,
    /// Looking at the next block, because the records end inside one: where, and how.
    probe: Option<(u64, Ending)>,
}

/// A record whose payload is not all there yet.
#[derive(Debug)]
struct Current {
    header: RecordHeader,
    crc: u32,
    said: u32,
    /// Payload bytes to come, then bytes of filling.
    left: usize,
    pad: usize,
    payload: Sga,
}

/// One step of a walk.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// A unit, or a fragment of one. Padding is passed over silently.
    Record {
        /// Its header.
        header: RecordHeader,
        /// Its bytes, where they are kept.
        payload: Sga,
    },
    /// More bytes from [`Walker::at`] on are needed.
    Need,
    /// The walk goes on at another place: throw away what is left of the input, and give bytes from [`Walker::at`] on.
    Jump,
    /// No record follows in this segment.
    End(Ending),
}

/// Why a segment's records end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The segment is full: the log goes on in the next, if there is one.
    Full,
    /// Nothing that looks like this log's next record follows: zeros, or what an earlier use of the space has left.
    Clean,
    /// The header of the next record follows, but the record is not whole: a torn write, or damage.
    Torn,
}

impl Walker {
    /// From the first record of a segment, of a log that was opened `epoch` times. Keeps payloads.
    pub fn new(geometry: Geometry, (salt, epoch): (u64, u32), segment: SegmentHeader) -> Self {
        let seed = Seed::new(salt, segment.sequence);
        // The rest of an earlier record carries that record's LSN; which fragment it is its own header tells.
        let next = if segment.continues { Lsn(segment.first.0.wrapping_sub(1)) } else { segment.first };
        Self {
            geometry,
            seed,
            keep: true,
            offset: geometry.block(),
            next,
            fragment: u32::from(segment.continues),
            // What was in this place before the segment was begun is no part of it, whatever it looks like.
            epochs: (segment.epoch, epoch),
            current: None,
            probe: None,
        }
    }

    /// Whether payloads are kept for [`Step::Record`], or only checked.
    #[must_use]
    pub fn keep(mut self, payloads: bool) -> Self {
        self.keep = payloads;
        self
    }

    pub(crate) fn set_keep(&mut self, payloads: bool) {
        self.keep = payloads;
    }

    /// Go on at `offset`, where the record `next` is known to begin.
    pub fn skip_to(&mut self, offset: u64, next: Lsn) {
        self.offset = offset;
        self.next = next;
        self.fragment = 0;
        (self.current, self.probe) = (None, None);
    }

    /// Where the current or next record begins, in bytes from the segment's first: behind everything that is whole.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Where the bytes that are needed next lie.
    pub fn at(&self) -> u64 {
        let taken =
            self.current.as_ref().map_or(0, |c| c.header.footprint() as u64 - (c.left + c.pad) as u64);
        self.offset + taken
    }

    /// The LSN that the next record must have.
    pub fn next_lsn(&self) -> Lsn {
        self.next
    }

    /// Whether the last record was a fragment that goes on.
    pub fn is_mid_unit(&self) -> bool {
        self.fragment > 0
    }

    /// The epoch of the last record.
    pub fn epoch(&self) -> u32 {
        self.epochs.0
    }

    /// The next step, given the segment's bytes from [`at`](Self::at) on. Those that were used are taken from `input`.
    pub fn next(&mut self, input: &mut Sga) -> Step {
        loop {
            if let Some(current) = &mut self.current {
                if !current.take_from(input, self.keep) {
                    return Step::Need;
                }
                let Some(Current { header, crc, said, payload, .. }) = self.current.take() else { continue };
                if crc != said {
                    return self.ended(Ending::Torn);
                }
                self.probe = None;
                self.offset += header.footprint() as u64;
                self.epochs.0 = header.epoch;
                if header.kind == RecordKind::Padding {
                    continue;
                }
                self.fragment = if header.more { header.fragment + 1 } else { 0 };
                if !header.more {
                    self.next = self.next.next();
                }
                return Step::Record { header, payload };
            }
            let left = (self.geometry.segment() - self.offset) as usize;
            if left == 0 {
                return Step::End(Ending::Full);
            }
            // A header never lies in two blocks: what is too small for one is filling.
            let tail = (self.geometry.round_up(self.offset + 1) - self.offset) as usize;
            if tail < RECORD_HEADER {
                if input.len() < tail {
                    return Step::Need;
                }
                input.advance(tail);
                self.offset += tail as u64;
                continue;
            }
            let mut bytes = [0; RECORD_HEADER];
            if input.copy_to(&mut bytes) < RECORD_HEADER {
                return Step::Need;
            }
            let believed = RecordHeader::peek(&bytes).filter(|h| h.footprint() <= left && self.expects(h));
            let Some(header) = believed else { return self.ended(Ending::Clean) };
            input.advance(RECORD_HEADER);
            let (crc, said) = RecordHeader::checksum(self.seed, &bytes);
            let whole = (header.length as usize).next_multiple_of(ALIGN);
            // What fills a padding is passed over.
            let left = if header.kind == RecordKind::Unit { header.length as usize } else { 0 };
            let pad = whole - left;
            self.current = Some(Current { header, crc, said, left, pad, payload: Sga::new() });
        }
    }

    /// Whether a record of this segment that comes next may have this header's epoch.
    pub(crate) fn knows_epoch(&self, header: &RecordHeader) -> bool {
        (self.epochs.0..=self.epochs.1).contains(&header.epoch)
    }

    /// There are no more bytes: what is not whole by now is torn.
    pub fn give_up(&mut self) -> Step {
        self.current = None;
        self.ended(Ending::Torn)
    }

    /// No record is where one was looked for. After a crash the log went on at the next block, with a later epoch, because
    /// what is in a block with acknowledged records is never written again.
    fn ended(&mut self, ending: Ending) -> Step {
        if let Some((offset, ending)) = self.probe.take() {
            self.offset = offset;
            return Step::End(ending);
        }
        let block = self.geometry.round_up(self.offset);
        if block == self.offset || block >= self.geometry.segment() || self.fragment > 0 {
            return Step::End(ending);
        }
        self.probe = Some((self.offset, ending));
        self.offset = block;
        Step::Jump
    }

    fn expects(&self, header: &RecordHeader) -> bool {
        // At a segment's start any fragment but the first may come: the walk began in the middle of a record.
        let fragment = header.fragment == self.fragment
            || (self.fragment > 0 && header.fragment > 0 && self.offset == self.geometry.block());
        // What an earlier opening of the log has left behind its cut has an older epoch than what was written since.
        let later = self.probe.is_none() || header.epoch > self.epochs.0;
        let epoch = later && (self.epochs.0..=self.epochs.1).contains(&header.epoch);
        header.lsn == self.next && epoch && (header.kind == RecordKind::Padding || fragment)
    }

    /// After the end: which whole records of this segment lie behind it, looked for at every block. `bytes` are the segment's
    /// from the block of [`offset`](Self::offset) on, and the work is linear in their number.
    pub fn survivors(&self, bytes: &[u8]) -> Survivors {
        let block = self.geometry.block() as usize;
        let mut found = Survivors::default();
        // Bytes that may still be checked: what looks like a long record costs, and anybody may write such bytes.
        let mut budget = 4 * bytes.len();
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() >= RECORD_HEADER) {
            let plausible = RecordHeader::peek(rest).filter(|h| {
                let epoch = (self.epochs.0..=self.epochs.1).contains(&h.epoch);
                h.lsn >= self.next && epoch && h.footprint() <= rest.len().min(budget)
            });
            let whole = plausible.filter(|header| {
                budget -= header.footprint();
                header.is_whole(self.seed, rest)
            });
            let Some(header) = whole else {
                at = (at + 1).next_multiple_of(block);
                continue;
            };
            found.records += u64::from(header.kind == RecordKind::Unit && !header.more);
            found.durable = found.durable.max(header.durable());
            at += header.footprint();
            let tail = (at + 1).next_multiple_of(block) - at;
            if tail < RECORD_HEADER {
                at += tail;
            }
        }
        found
    }
}

/// What lies behind the end of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Survivors {
    /// Whole units.
    pub records: u64,
    /// The LSN below which everything was durable when the last of them was laid out. If this is above the log's end, records
    /// that were acknowledged are missing: damage, not a torn write.
    pub durable: Lsn,
}

impl Current {
    /// Take payload and filling. True: there is no more to come.
    fn take_from(&mut self, input: &mut Sga, keep: bool) -> bool {
        if self.left > 0 && !input.is_empty() {
            let part = input.split_to(self.left);
            self.left -= part.len();
            self.crc = part.iter().fold(self.crc, |crc, part| crc::append(crc, part));
            if keep {
                self.payload.append(part);
            }
        }
        if self.left > 0 {
            return false;
        }
        let pad = input.len().min(self.pad);
        if pad > 0 {
            input.advance(pad);
            self.pad -= pad;
        }
        self.pad == 0
    }
}
