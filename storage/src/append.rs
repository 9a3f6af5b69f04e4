//! [`Appender`]: units to bytes.

use hemi_queue::{AllocError, BufMut, Pool, Sga};

use crate::{
    Geometry, Lsn, RecordHeader, RecordKind, SegmentHeader,
    record::{ALIGN, RECORD_HEADER, Seed},
};

/// The size of the buffers that bytes are gathered in, and what a gathered write is aligned to in memory.
const CHUNK: usize = 64 << 10;

/// Lays units out in one segment after the other.
///
/// # How it is driven
/// For each unit: [`begin`](Self::begin), then [`fill`](Self::fill) until it says [`Whole`](Filled::Whole). At the end of a
/// batch [`seal`](Self::seal). [`take`](Self::take) gives what is to be written, in whole blocks; it may be called at
/// any time, so that a unit of any size goes through a few buffers. When `fill` says
/// [`SegmentFull`](Filled::SegmentFull): seal and write, wait until all of it is durable, then
/// [`next_segment`](Self::next_segment), whose header is laid out before the rest. When the pool has no buffer nothing is
/// lost: call the same method again later.
///
/// Small payloads are copied next to their headers into buffers of the pool, which begin at a multiple of 4 KiB where the
/// pool's do; payload parts of `gather` bytes or more are not copied but written from where they are.
#[derive(Debug)]
pub struct Appender {
    geometry: Geometry,
    salt: u64,
    epoch: u32,
    gather: usize,
    segment: SegmentHeader,
    seed: Seed,
    /// Where the next byte goes, in bytes from the segment's first.
    offset: u64,
    next: Lsn,
    unit: Option<Unit>,
    /// A header to be laid out before anything else.
    opening: bool,
    /// What is laid out and not taken: `out`, then the content of `chunk`. Ends at `offset`.
    out: Sga,
    out_len: usize,
    chunk: Option<BufMut>,
    copied: u64,
}

/// A unit that is being laid out.
#[derive(Debug)]
struct Unit {
    /// Payload behind the current fragment.
    rest: Sga,
    time: u64,
    fragment: u32,
    /// Payload of the current fragment that is not laid out.
    body: Sga,
    /// Zeros behind it.
    pad: usize,
    /// The current fragment's header is laid out.
    begun: bool,
    more: bool,
}

/// How far [`Appender::fill`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// The unit is laid out.
    Whole,
    /// The segment is full and the unit is not.
    SegmentFull,
    /// As much as was asked for is laid out: take it.
    Much,
}

impl Appender {
    /// Go on at `offset` of a segment, where a walk has found the log's end. The offset is rounded up to a block: what is
    /// there already is never written again.
    pub fn resume(
        geometry: Geometry,
        (salt, epoch): (u64, u32),
        segment: SegmentHeader,
        offset: u64,
        next: Lsn,
    ) -> Self {
        Self {
            geometry,
            salt,
            epoch,
            gather: usize::MAX,
            segment,
            seed: Seed::new(salt, segment.sequence),
            offset: geometry.round_up(offset.max(geometry.block())),
            next,
            unit: None,
            opening: false,
            out: Sga::new(),
            out_len: 0,
            chunk: None,
            copied: 0,
        }
    }

    /// Write payload parts of `bytes` or more from where they are. Default: copy all.
    pub fn gather_from(&mut self, bytes: usize) {
        self.gather = bytes;
    }

    /// Where the next byte goes, from the segment's first.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The LSN of the next unit: of the one that is being laid out, if there is one.
    pub fn next_lsn(&self) -> Lsn {
        self.next
    }

    /// The segment being filled.
    pub fn segment(&self) -> SegmentHeader {
        self.segment
    }

    /// Payload bytes that were copied.
    pub fn copied(&self) -> u64 {
        self.copied
    }

    /// Whether a unit is laid out in part.
    pub fn is_mid_unit(&self) -> bool {
        self.unit.is_some()
    }

    /// Bytes laid out and not taken.
    pub fn out_len(&self) -> usize {
        self.out_len
    }

    /// Whether anything is laid out that was not taken.
    pub fn has_out(&self) -> bool {
        self.out_len > 0
    }

    /// The common case in one step, without a look at the pool: lay out of `units` (with the time that each was appended at) as many as
    /// there is room for behind what is laid out already, copied, until there are `much` bytes. Returns how many that was. For the next
    /// one [`begin`](Self::begin) is the way. `durable` is the LSN below which everything is durable.
    #[inline(never)] // so that what its loop needs stays in registers
    pub fn append<'u>(
        &mut self,
        units: impl IntoIterator<Item = (&'u Sga, u64)>,
        durable: Lsn,
        much: usize,
    ) -> usize {
        let (in_segment, mut in_block) = (self.room(), self.left_in_block());
        let Some(chunk) = self.chunk.as_mut().filter(|_| self.unit.is_none() && !self.opening) else {
            return 0;
        };
        let (filled, spare) = (chunk.len(), chunk.spare_mut());
        let (room, block) = (spare.len().min(in_segment), self.geometry.block() as usize);
        let (much, first) = (much.saturating_sub(self.out_len), self.next);
        let mut header = RecordHeader {
            kind: RecordKind::Unit,
            lsn: first,
            time: 0,
            epoch: self.epoch,
            behind: 0,
            length: 0,
            fragment: 0,
            more: false,
        };
        let (mut at, mut copied) = (0, 0);
        for (unit, time) in units {
            let parts = unit.iter().as_slice();
            let len = if let [one] = parts { one.len() } else { unit.len() };
            let footprint = RECORD_HEADER + len.next_multiple_of(ALIGN);
            // A header never lies in two blocks.
            let gap = if in_block < RECORD_HEADER { in_block } else { 0 };
            let end = at + gap + footprint;
            if at >= much || len >= self.gather || end > room {
                break;
            }
            if gap > 0 {
                spare[at..at + gap].fill(0);
            }
            header.lsn = self.next;
            header.time = time;
            header.behind = u32::try_from(self.next.0.saturating_sub(durable.0)).unwrap_or(u32::MAX);
            header.length = len as u32;
            header.complete(self.seed, &mut spare[at + gap..end], parts);
            in_block = block - ((block - in_block + gap + footprint) & (block - 1));
            (at, copied) = (end, copied + len as u64);
            self.next = self.next.next();
        }
        chunk.set_len(filled + at);
        self.out_len += at;
        self.offset += at as u64;
        self.copied += copied;
        (self.next.0 - first.0) as usize
    }

    /// Begin with `unit`, appended at `time`. The one before must be whole; if it is not, it is given up.
    #[inline]
    pub fn begin(&mut self, unit: Sga, time: u64) {
        self.unit =
            Some(Unit { rest: unit, time, fragment: 0, body: Sga::new(), pad: 0, begun: false, more: false });
    }

    /// Lay out the unit, or as much of it as makes `much` bytes. `durable` is the LSN below which everything is durable.
    pub fn fill(&mut self, pool: &Pool, durable: Lsn, much: usize) -> Result<Filled, AllocError> {
        self.open(pool)?;
        let Some(mut unit) = self.unit.take() else { return Ok(Filled::Whole) };
        let filled = self.fill_unit(&mut unit, pool, durable, much);
        if filled == Ok(Filled::Whole) {
            self.next = self.next.next();
        } else {
            self.unit = Some(unit);
        }
        filled
    }

    fn fill_unit(
        &mut self,
        unit: &mut Unit,
        pool: &Pool,
        durable: Lsn,
        much: usize,
    ) -> Result<Filled, AllocError> {
        loop {
            if unit.begun {
                if !self.body(unit, pool, much)? {
                    return Ok(Filled::Much);
                }
                if !unit.more {
                    return Ok(Filled::Whole);
                }
                unit.begun = false;
                unit.fragment += 1;
                return Ok(Filled::SegmentFull);
            }
            // A header never lies in two blocks.
            let tail = self.left_in_block();
            if tail < RECORD_HEADER {
                self.put_zeros(tail, pool)?;
            }
            let len = unit.rest.len();
            let room = self.room();
            let whole = RECORD_HEADER + len.next_multiple_of(ALIGN) <= room;
            // A fragment is worth its header only if it takes something along.
            if !whole && room < RECORD_HEADER + ALIGN {
                return Ok(Filled::SegmentFull);
            }
            self.reserve(RECORD_HEADER, pool)?;
            let take = if whole { len } else { (room - RECORD_HEADER) / ALIGN * ALIGN };
            unit.body = if whole { std::mem::take(&mut unit.rest) } else { unit.rest.split_to(take) };
            unit.pad = take.next_multiple_of(ALIGN) - take;
            unit.more = !whole;
            let header = RecordHeader {
                kind: RecordKind::Unit,
                lsn: self.next,
                time: unit.time,
                epoch: self.epoch,
                behind: self.behind(durable),
                length: take as u32,
                fragment: unit.fragment,
                more: unit.more,
            };
            let bytes = header.encode(self.seed, &unit.body);
            self.put(&bytes);
            unit.begun = true;
        }
    }

    fn behind(&self, durable: Lsn) -> u32 {
        u32::try_from(self.next.0.saturating_sub(durable.0)).unwrap_or(u32::MAX)
    }

    /// Lay out the fragment's payload. False: there is much to take first.
    fn body(&mut self, unit: &mut Unit, pool: &Pool, much: usize) -> Result<bool, AllocError> {
        while let Some(part) = unit.body.first() {
            if self.out_len >= much {
                return Ok(false);
            }
            let len = part.len();
            if len >= self.gather {
                self.freeze();
                self.out.append(unit.body.split_to(len));
                self.out_len += len;
                self.offset += len as u64;
                continue;
            }
            self.reserve(1, pool)?;
            let Some(chunk) = &mut self.chunk else { break };
            let n = chunk.put(part);
            self.out_len += n;
            self.offset += n as u64;
            self.copied += n as u64;
            if n == len && unit.body.parts() == 1 {
                unit.body = Sga::new();
            } else {
                unit.body.advance(n);
            }
        }
        self.put_zeros(unit.pad, pool)?;
        unit.pad = 0;
        Ok(true)
    }

    /// End a batch: fill up to the next block boundary. Not in the middle of a fragment.
    pub fn seal(&mut self, time: u64, durable: Lsn, pool: &Pool) -> Result<(), AllocError> {
        self.open(pool)?;
        let gap = (self.geometry.round_up(self.offset).min(self.geometry.segment()) - self.offset) as usize;
        if gap < RECORD_HEADER {
            return self.put_zeros(gap, pool);
        }
        self.reserve(gap, pool)?;
        let length = gap - RECORD_HEADER;
        let header = RecordHeader {
            kind: RecordKind::Padding,
            lsn: self.next,
            time,
            epoch: self.epoch,
            behind: self.behind(durable),
            length: length as u32,
            fragment: 0,
            more: false,
        };
        let bytes = header.encode(self.seed, &Sga::new());
        self.put(&bytes);
        self.put_zeros(length, pool)
    }

    /// Turn to segment number `sequence`, begun at `time`: everything before must be durable and taken. Its header is laid
    /// out before what follows.
    pub fn next_segment(&mut self, sequence: u64, time: u64) -> SegmentHeader {
        let continues = self.unit.as_ref().is_some_and(|unit| unit.fragment > 0);
        let first = if continues { self.next.next() } else { self.next };
        let epoch = self.epoch;
        self.segment = SegmentHeader { sequence, first, continues, epoch, time };
        self.seed = Seed::new(self.salt, sequence);
        self.offset = 0;
        self.opening = true;
        self.segment
    }

    /// Whole blocks that are laid out, and where they begin in the segment.
    pub fn take(&mut self) -> Option<(u64, Sga)> {
        let begin = self.offset - self.out_len as u64;
        let whole = (self.out_len as u64 / self.geometry.block() * self.geometry.block()) as usize;
        if whole == 0 {
            return None;
        }
        self.freeze();
        self.out_len -= whole;
        let data = if self.out_len == 0 { std::mem::take(&mut self.out) } else { self.out.split_to(whole) };
        Some((begin, data))
    }

    fn open(&mut self, pool: &Pool) -> Result<(), AllocError> {
        if self.opening {
            let block = self.geometry.block() as usize;
            self.reserve(block, pool)?;
            self.opening = false;
            let bytes = self.segment.encode(self.salt);
            self.put(&bytes);
            self.put_zeros(block - bytes.len(), pool)?;
        }
        Ok(())
    }

    fn left_in_block(&self) -> usize {
        (self.geometry.round_up(self.offset + 1) - self.offset) as usize
    }

    fn room(&self) -> usize {
        (self.geometry.segment() - self.offset) as usize
    }

    /// Have `len` bytes of room in the chunk. Chunks hold whole blocks, so what lies within one block always fits.
    #[inline]
    fn reserve(&mut self, len: usize, pool: &Pool) -> Result<(), AllocError> {
        if self.chunk.as_mut().is_none_or(|chunk| chunk.spare_mut().len() < len) {
            let size = CHUNK.min(pool.largest());
            let fresh = pool.try_alloc(size)?;
            self.freeze();
            self.chunk = Some(fresh);
        }
        Ok(())
    }

    /// Into the chunk, which has room.
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        if let Some(chunk) = &mut self.chunk {
            let n = chunk.put(bytes);
            debug_assert_eq!(n, bytes.len(), "a header fits into the room reserved");
            self.out_len += n;
            self.offset += n as u64;
        }
    }

    fn put_zeros(&mut self, len: usize, pool: &Pool) -> Result<(), AllocError> {
        if len > 0 {
            self.reserve(len, pool)?;
            // In pieces that the compiler's fill does with vector registers, which begin at once.
            for from in (0..len).step_by(ZEROS.len()) {
                self.put(&ZEROS[..(len - from).min(ZEROS.len())]);
            }
        }
        Ok(())
    }

    fn freeze(&mut self) {
        if let Some(chunk) = &mut self.chunk {
            let len = chunk.len();
            self.out.push(chunk.split_frozen(len));
            if chunk.capacity() == 0 {
                self.chunk = None;
            }
        }
    }
}

static ZEROS: [u8; 1 << 10] = [0; 1 << 10];
