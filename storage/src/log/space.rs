//! Segment slots: which are free, when to grow, and what truncation gives back.

use std::{
    collections::{BTreeSet, VecDeque},
    io,
    sync::Arc,
};

use super::{Log, Segment, command::Owner};
use crate::{Command, DeviceCaps, Geometry, Lsn, SegmentHeader};

/// What a record may need beyond its payload: header, filling, a rest of a segment too small for another.
const OVERHEAD: u64 = 192;

/// Where segments are.
#[derive(Debug)]
pub(super) struct Space {
    /// In order of sequence; the last is being filled.
    pub(super) segments: VecDeque<Segment>,
    free: BTreeSet<u64>,
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
        caps: &DeviceCaps,
        geometry: Geometry,
    ) -> Self {
        Self {
            segments: segments.into(),
            free,
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
        self.segments.len() as u64 + self.free.len() as u64 + self.discarding
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
        need <= here || need <= here + self.free.len() as u64 * Self::per_slot(geometry)
    }

    pub(super) fn take(&mut self) -> Option<u64> {
        self.free.pop_first()
    }

    pub(super) fn give_back(&mut self, slot: u64) {
        self.discarding -= 1;
        self.freed(slot);
    }

    fn freed(&mut self, slot: u64) {
        self.free.insert(slot);
        self.full = false;
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
        space.wanted = space.wanted.max(more.saturating_sub(space.free.len() as u64));
        let can_grow = space.slots() + space.wanted <= space.most && space.growth_failed.is_none();
        space.full = !can_grow && space.discarding == 0 && space.growing == 0;
    }

    /// Have a segment ready before the current one is full.
    pub(super) fn grow_ahead(&mut self) {
        let space = &mut self.space;
        if space.growing > 0 || space.growth_failed.is_some() || space.slots() >= space.most {
            return;
        }
        let soon = space.free.is_empty() && self.appender.offset() >= self.geometry.segment() / 2;
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
                space.free.extend(slots..slots + more);
            }
            // What there is goes on to be used; a unit that needs more finds the log full.
            Err(e) => space.growth_failed = Some(Arc::new(e)),
        }
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
        for segment in self.space.segments.drain(..keep) {
            if self.caps.discard {
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
