//! [`Appender`]: units to bytes.

use hemi_queue::{AllocError, Buf, Pool, Sga};

use crate::{
    Geometry, Lsn, RecordHeader, RecordKind, SegmentHeader,
    record::{ALIGN, RECORD_HEADER, Seed},
};

/// Lays units out in one segment after the other.
///
/// # How it is driven
/// For a batch: [`append`](Self::append) each unit, then [`seal`](Self::seal), and write what they put into `out` at the
/// [`offset`](Self::offset) that was current before the batch. When `append` leaves a rest, the segment is full: seal and
/// write it, wait until it is durable, write the header that [`next_segment`](Self::next_segment) returns, and append the
/// rest. Payloads are not copied: `out` holds the units' own buffers between headers.
#[derive(Clone, Debug)]
pub struct Appender {
    geometry: Geometry,
    salt: u64,
    segment: SegmentHeader,
    seed: Seed,
    /// Where the next record begins, in bytes from the segment's first.
    offset: u64,
    next: Lsn,
    /// The fragment that `append` must begin with: not 0 in the middle of a record.
    fragment: u32,
}

impl Appender {
    /// Go on at `offset` of a segment, where a walk has found the log's end, or right behind a new segment's header block.
    /// The offset is rounded up to a block: what is there already is never written again.
    pub fn resume(geometry: Geometry, salt: u64, segment: SegmentHeader, offset: u64, next: Lsn) -> Self {
        let offset = geometry.round_up(offset.max(geometry.block()));
        let seed = Seed::new(salt, segment.sequence);
        Self { geometry, salt, segment, seed, offset, next, fragment: 0 }
    }

    /// Where the next byte goes, from the segment's first.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The LSN of the next unit.
    pub fn next_lsn(&self) -> Lsn {
        self.next
    }

    /// The segment being filled.
    pub fn segment(&self) -> SegmentHeader {
        self.segment
    }

    /// Lay out `unit`, appended at `time`, into `out`. Returns what did not fit into the segment, to be appended
    /// after [`next_segment`](Self::next_segment); `None` when the unit is in whole. Headers are taken from `pool`; when that has none
    /// nothing has changed.
    pub fn append(
        &mut self,
        unit: Sga,
        time: u64,
        pool: &Pool,
        out: &mut Sga,
    ) -> Result<Option<Sga>, AllocError> {
        let room = self.geometry.segment().saturating_sub(self.offset) as usize;
        let len = unit.len();
        let whole = RECORD_HEADER + len.next_multiple_of(ALIGN) <= room;
        // A fragment is worth its header only if it takes something along.
        if !whole && room < RECORD_HEADER + ALIGN {
            return Ok(Some(unit));
        }
        let take = if whole { len } else { (room - RECORD_HEADER) / ALIGN * ALIGN };
        let mut rest = unit;
        let payload = rest.split_to(take);
        let header = RecordHeader {
            kind: RecordKind::Unit,
            lsn: self.next,
            time,
            length: take as u32,
            fragment: self.fragment,
            more: !whole,
        };
        let mut bytes = pool.try_alloc(RECORD_HEADER)?;
        bytes.put(&header.encode(self.seed, &payload));
        out.push(bytes.freeze());
        out.append(payload);
        out.push(zeros(take.next_multiple_of(ALIGN) - take));
        self.offset += header.footprint() as u64;
        if whole {
            self.next = self.next.next();
            self.fragment = 0;
            return Ok(None);
        }
        self.fragment += 1;
        Ok(Some(rest))
    }

    /// End a batch: fill `out` up to the next block boundary.
    pub fn seal(&mut self, time: u64, pool: &Pool, out: &mut Sga) -> Result<(), AllocError> {
        let end = self.geometry.round_up(self.offset).min(self.geometry.segment());
        let gap = (end - self.offset) as usize;
        if gap >= RECORD_HEADER {
            let length = gap - RECORD_HEADER;
            let mut payload = Sga::new();
            push_zeros(length, &mut payload);
            let header = RecordHeader {
                kind: RecordKind::Padding,
                lsn: self.next,
                time,
                length: length as u32,
                fragment: self.fragment,
                more: false,
            };
            let mut bytes = pool.try_alloc(RECORD_HEADER)?;
            bytes.put(&header.encode(self.seed, &payload));
            out.push(bytes.freeze());
            out.append(payload);
        } else {
            out.push(zeros(gap));
        }
        self.offset = end;
        Ok(())
    }

    /// Turn to the next segment: its header, to be written as its first block once everything before is durable.
    pub fn next_segment(&mut self) -> SegmentHeader {
        let continues = self.fragment > 0;
        let first = if continues { self.next.next() } else { self.next };
        self.segment = SegmentHeader { sequence: self.segment.sequence + 1, first, continues };
        self.seed = Seed::new(self.salt, self.segment.sequence);
        self.offset = self.geometry.block();
        self.segment
    }
}

static ZEROS: [u8; 65_536] = [0; 65_536];

fn zeros(len: usize) -> Buf {
    Buf::from_static(&ZEROS[..len.min(ZEROS.len())])
}

fn push_zeros(mut len: usize, out: &mut Sga) {
    while len > 0 {
        let part = len.min(ZEROS.len());
        out.push(zeros(part));
        len -= part;
    }
}
