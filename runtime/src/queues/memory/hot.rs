//! The short way: what a push or a pop that neither waits nor wakes touches.
//!
//! A ring of a fixed number of slots that lies in the queue itself: no length to load, no bound to check, no borrow to
//! note. What does not fit waits in `overflow` (`state.rs`), and then there is no short way until it has moved up.

use std::cell::Cell;

/// Slots of the ring. A burst of this many units never leaves the short way.
const SLOTS: u64 = 64;

pub(super) struct Hot<T> {
    /// The tail at which a push must look closer: no room below the limit, no free slot, or a reason to.
    bound: Cell<u64>,
    /// Nobody waits, nothing has overflowed, the queue is open and not over its limit: a pop need only take and move the bound.
    calm: Cell<bool>,
    /// How many units ever left the ring.
    head: Cell<u64>,
    /// How many units ever came into the ring.
    tail: Cell<u64>,
    /// Reservations that were not used for a unit (yet): how far numbers are ahead of the units.
    pub(super) ahead: Cell<u64>,
    slots: [Cell<Option<T>>; SLOTS as usize],
}

impl<T> Hot<T> {
    pub(super) fn new(capacity: u64) -> Self {
        Self {
            bound: Cell::new(capacity.min(SLOTS)),
            calm: Cell::new(true),
            head: Cell::new(0),
            tail: Cell::new(0),
            ahead: Cell::new(0),
            slots: std::array::from_fn(|_| Cell::new(None)),
        }
    }

    /// Whether a unit can be appended and its push is then complete, with nothing else to do.
    #[inline(always)]
    pub(super) fn push_is_simple(&self) -> bool {
        self.tail.get() != self.bound.get()
    }

    /// The first unit, if nobody waits for it nor for its room.
    #[inline(always)]
    pub(super) fn take_simple(&self) -> Option<T> {
        if !self.calm.get() {
            return None;
        }
        let unit = self.take()?;
        self.bound.set(self.bound.get().wrapping_add(1));
        Some(unit)
    }

    /// The number of the next unit, if it may go the short way.
    #[inline]
    pub(super) fn next(&self) -> u64 {
        self.tail.get() + self.ahead.get()
    }

    pub(super) fn head(&self) -> u64 {
        self.head.get()
    }

    pub(super) fn len(&self) -> u64 {
        self.tail.get() - self.head.get()
    }

    pub(super) fn is_full(&self) -> bool {
        self.len() == SLOTS
    }

    /// Into the next slot, which is free.
    #[inline(always)]
    pub(super) fn put(&self, unit: T) {
        let tail = self.tail.get();
        let slot = &self.slots[(tail % SLOTS) as usize];
        let free = slot.replace(Some(unit));
        debug_assert!(free.is_none(), "a ring slot was written over");
        std::mem::forget(free); // nothing to drop, and no need to ask
        self.tail.set(tail.wrapping_add(1));
    }

    #[inline(always)]
    pub(super) fn take(&self) -> Option<T> {
        let head = self.head.get();
        let unit = self.slots[(head % SLOTS) as usize].take()?;
        self.head.set(head.wrapping_add(1));
        Some(unit)
    }

    /// Somebody waits: nothing goes the short way.
    #[inline]
    pub(super) fn hush(&self) {
        self.bound.set(self.tail.get());
        self.calm.set(false);
    }

    /// Say how many pushes and whether pops may go the short way from now on.
    pub(super) fn settle(&self, room: u64, calm: bool) {
        self.bound.set(self.tail.get() + room.min(SLOTS - self.len()));
        self.calm.set(calm);
    }
}
