//! Segment slots: which are free, when to grow, and what truncation gives back.

use std::{
    collections::{BTreeSet, VecDeque},
    io,
    sync::Arc,
};

use hemi_queue::{Buf, Pool, Sga};

use super::{Log, Segment, command::Owner};
use crate::{Command, DeviceCaps, Geometry, Lsn, SegmentHeader};

/// What a record may need beyond its payload: header, filling, a rest of a segment too small for another.
const OVERHEAD: u64 = 192;

/// Slots that truncation does not give back to the device.
const SPARE: u64 = 2;
/// Zeros are written so many bytes at a time, one write after the other: records go first. Less at a time would be more flushes that find
/// something new of the file system to write.
pub(super) const PREPARE: u64 = 1 << 20;
/// Batches below this are made slow by new space; larger ones would lose more by sharing the device with zeros.
const SMALL_BATCH: u64 = 64 << 10;

/// Where segments are.
#[derive(Debug)]
pub(super) struct Space {
    /// In order of sequence; the last is being filled.
    pub(super) segments: VecDeque<Segment>,
    free: BTreeSet<u64>,
    /// Free slots that were never written, or were discarded, where such are slow to write.
    new: BTreeSet<u64>,
    /// The slot being filled with zeros, and what is written or in flight of it.
    preparing: Option<(u64, u64)>,
    /// Slots being discarded.
    discarding: u64,
    /// The most that the device can have.
    most: u64,
    /// Slots that an extension in flight adds.
    growing: u64,
    /// Slots wanted beyond those that there are.
    wanted: u64,
    /// A unit waits for space, and the device does not grow.
    pub(super) full: bool,
    /// Why it does not, if it should.
    pub(super) growth_failed: Option<Arc<io::Error>>,
}

impl Space {
    pub(super) fn new(
        segments: Vec<Segment>,
        free: BTreeSet<u64>,
        prepared: Option<u64>,
        caps: &DeviceCaps,
        geometry: Geometry,
    ) -> Self {
        // What lies in them is not known.
        let (free, new) = if caps.slow_when_new {
            free.into_iter().partition(|slot| Some(*slot) == prepared)
        } else {
            (free, BTreeSet::new())
        };
        Self {
            segments: segments.into(),
            free,
            new,
            preparing: None,
            discarding: 0,
            most: geometry.slots_in(caps.max_len),
            growing: 0,
            wanted: 0,
            full: false,
            growth_failed: None,
        }
    }

    /// Slots that there are.
    pub(super) fn slots(&self) -> u64 {
        self.segments.len() as u64 + self.unused() + u64::from(self.preparing.is_some()) + self.discarding
    }

    /// Nothing of it is in flight.
    pub(super) fn is_idle(&self) -> bool {
        self.preparing.is_none() && self.discarding == 0 && self.growing == 0
    }

    /// Slots that can be taken.
    fn unused(&self) -> u64 {
        (self.free.len() + self.new.len()) as u64
    }

    fn per_slot(geometry: Geometry) -> u64 {
        geometry.segment() - geometry.block() - OVERHEAD
    }

    /// The largest unit that fits into the whole device.
    pub(super) fn capacity(&self, geometry: Geometry) -> u64 {
        self.most.max(self.slots()).saturating_mul(Self::per_slot(geometry))
    }

    /// Whether a unit of `len` bytes fits into the rest of the current segment, filled up to `offset`, and the free ones. It is
    /// begun only if it does: a unit cut off by a full device would be in the way of its own truncation.
    pub(super) fn fits(&self, len: usize, geometry: Geometry, offset: Option<u64>) -> bool {
        let here = offset.map_or(0, |at| geometry.segment().saturating_sub(at + OVERHEAD));
        let need = len as u64;
        need <= here || need <= here + self.unused() * Self::per_slot(geometry)
    }

    pub(super) fn take(&mut self) -> Option<u64> {
        self.free.pop_first().or_else(|| self.new.pop_first())
    }

    pub(super) fn give_back(&mut self, slot: u64, slow_when_new: bool) {
        self.discarding -= 1;
        self.full = false;
        if slow_when_new {
            self.new.insert(slot)
        } else {
            self.free.insert(slot)
        };
    }

    pub(super) fn push(&mut self, slot: u64, header: SegmentHeader) {
        self.segments.push_back(Segment::new(slot, header));
    }

    /// The segment that the record `lsn` begins in, as far as headers tell: its place in `segments`.
    pub(super) fn find(&self, lsn: Lsn) -> usize {
        self.segments.iter().rposition(|s| s.header.first <= lsn).unwrap_or(0)
    }
}

impl Log {
    /// A unit does not fit: grow, or be full.
    #[cold]
    pub(super) fn want_space(&mut self) {
        let len = self.pending.front().map_or(0, |p| p.unit.len()) as u64;
        let per_slot = Space::per_slot(self.geometry);
        let offset = if self.turning { self.geometry.segment() } else { self.appender.offset() };
        let here = self.geometry.segment().saturating_sub(offset + OVERHEAD);
        let more = len.saturating_sub(here).div_ceil(per_slot).max(u64::from(self.turning));
        let space = &mut self.space;
        space.wanted = space.wanted.max(more.saturating_sub(space.unused()));
        let can_grow = space.slots() + space.wanted <= space.most && space.growth_failed.is_none();
        let coming = space.discarding > 0 || space.growing > 0 || space.preparing.is_some();
        space.full = !can_grow && !coming;
    }

    /// Have a segment ready before the current one is full.
    pub(super) fn grow_ahead(&mut self) {
        let space = &mut self.space;
        if space.growing > 0 || space.growth_failed.is_some() || space.slots() >= space.most {
            return;
        }
        let none = space.unused() == 0 && space.preparing.is_none();
        let soon = none && !self.closing && self.appender.offset() >= self.geometry.segment() / 2;
        let more = space.wanted.max(u64::from(soon)).min(space.most - space.slots());
        if more > 0 {
            let len = self.geometry.slot_offset(space.slots() + more);
            space.growing = more;
            self.commands.push(Owner::Extend, Command::Extend { len });
        }
    }

    pub(super) fn extend_done(&mut self, result: io::Result<()>) {
        let space = &mut self.space;
        let more = std::mem::take(&mut space.growing);
        match result {
            Ok(()) => {
                let slots = space.slots();
                space.wanted = 0;
                space.full = false;
                let slots = slots..slots + more;
                if self.caps.slow_when_new { space.new.extend(slots) } else { space.free.extend(slots) }
            }
            // What there is goes on to be used; a unit that needs more finds the log full.
            Err(e) => space.growth_failed = Some(Arc::new(e)),
        }
    }

    /// Fill the slot that comes next with zeros, where that makes durable writes faster: small ones are appended, and the current
    /// segment is on its way.
    pub(super) fn prepare_ahead(&mut self) {
        let space = &mut self.space;
        let begun = space.preparing.is_some() || !space.free.is_empty() || space.new.is_empty();
        let (batches, bytes) = self.commits;
        let small = batches > 0 && bytes / batches < SMALL_BATCH;
        if begun
            || !small
            || self.turning
            || self.closing
            || self.appender.offset() < self.geometry.segment() / 4
        {
            return;
        }
        if let Some(slot) = space.new.pop_first() {
            space.preparing = Some((slot, 0));
            self.prepare_more();
        }
    }

    /// Write the next zeros, if any are wanted still.
    pub(super) fn prepare_more(&mut self) {
        let Some((slot, done)) = self.space.preparing else { return };
        let len = PREPARE.min(self.geometry.segment() - done);
        // Somebody waits for the slot: as it is will do.
        let enough =
            len == 0 || self.turning || self.space.wanted > 0 || self.closing || self.poison.is_some();
        let zeros = if enough { None } else { self.zeros(len as usize) };
        let Some(data) = zeros else {
            self.space.preparing = None;
            self.space.free.insert(slot);
            return;
        };
        let offset = self.geometry.slot_offset(slot) + done;
        self.commands.push(Owner::Prepare, Command::Write { offset, data, fua: false });
        self.space.preparing = Some((slot, done + len));
    }

    /// So many zeros, in buffers that a device can take; none when the pool has no memory.
    fn zeros(&mut self, len: usize) -> Option<Sga> {
        if self.zeros.is_none() {
            self.zeros = zeros(&self.pool);
        }
        repeated(self.zeros.as_ref()?, len)
    }

    /// Try to grow again, where that has failed before: somebody may have made room.
    pub fn retry_growth(&mut self) {
        if self.space.growth_failed.take().is_some() {
            self.space.full = false;
        }
    }

    /// A new head is durable: segments wholly below it are free.
    pub(super) fn release(&mut self, head: Lsn) {
        let sure = self.space.segments.len().saturating_sub(1 + usize::from(self.header_at_risk));
        let keep = self.space.find(head).min(sure);
        for _ in 0..keep {
            let Some(segment) = self.space.segments.pop_front() else { break };
            // Some are kept as they are, to be used again soon.
            if self.caps.discard && self.space.unused() + self.space.discarding >= SPARE {
                let (offset, len) = (self.geometry.slot_offset(segment.slot), self.geometry.segment());
                self.commands.push(Owner::Discard(segment.slot as u32), Command::Discard { offset, len });
                self.space.discarding += 1;
            } else {
                self.space.free.insert(segment.slot);
            }
        }
        if keep > 0 {
            self.space.full = false;
        }
        self.recent.drop_below(head);
    }
}

/// A buffer of zeros, if the pool has memory.
pub(super) fn zeros(pool: &Pool) -> Option<Buf> {
    let mut zeros = pool.try_alloc(pool.largest().min(64 << 10)).ok()?;
    zeros.set_len(zeros.capacity());
    zeros.fill(0);
    Some(zeros.freeze())
}

/// `len` bytes of `one`, again and again.
pub(super) fn repeated(one: &Buf, len: usize) -> Option<Sga> {
    let mut unit = Sga::new();
    let mut left = len;
    while left > 0 {
        let part = one.get(..left.min(one.len()))?;
        left -= part.len();
        unit.push(part);
    }
    Some(unit)
}
