//! The slot array: who is armed, who is queued, who is free.
//!
//! Three words decide everything. `armed` holds the task's name while a wake should queue it, and otherwise the same word
//! with the executor field zero, which is nobody's name. `next` links the ready list (first in, first out) or the list
//! of free slots; a slot is in at most one of them. `task` is null in a slot without a task.
//!
//! Slot 0 is no task: it is the head of the ready list, so that appending needs no "is it empty" branch.

use std::{
    alloc::{self, Layout},
    cell::Cell,
    ptr,
};

use super::{
    arena::Arena,
    cell::{Header, PollFn, tombstone},
    name,
};

/// 32 bytes, so that two share a cache line and an index is a shift.
#[repr(C)]
pub(super) struct Slot {
    pub(super) armed: Cell<u64>,
    pub(super) next: Cell<u32>,
    pub(super) task: Cell<*const Header>,
    pub(super) poll: Cell<PollFn>,
}

const _: () = assert!(size_of::<Slot>() == 32);

/// The slots of one executor. All cells: reached from wakers, tasks and the turn of one thread.
#[repr(C)]
pub(super) struct Slots {
    base: Cell<*const Slot>,
    /// Capacity - 1; the capacity is a power of two.
    mask: Cell<u32>,
    /// The last queued slot; 0 when none is.
    tail: Cell<u32>,
    /// The executor's number, where a name has it.
    id: u64,
    /// First of the free slots; 0 when there is none.
    free: Cell<u32>,
    /// Slots that were ever used, and the head.
    used: Cell<u32>,
    /// Slots with a task.
    taken: Cell<u32>,
    closed: Cell<bool>,
    /// The generation that fresh slots start with, where a name has it.
    epoch: u64,
    /// Memory for the cells of tasks.
    pub(super) arena: Arena,
}

/// The one slot of the executor that is nobody's, and its array.
struct Nobody(Slots);
struct NobodySlot(Slot);
// SAFETY: nothing writes to it: no name has executor 0, so no wake matches, and nothing is spawned on it.
unsafe impl Sync for Nobody {}
// SAFETY: as above.
unsafe impl Sync for NobodySlot {}

static NOBODY_SLOT: NobodySlot = NobodySlot(Slot {
    armed: Cell::new(0),
    next: Cell::new(0),
    task: Cell::new(ptr::null()),
    poll: Cell::new(no_task),
});
static NOBODY: Nobody = Nobody(Slots {
    base: Cell::new(&raw const NOBODY_SLOT.0),
    mask: Cell::new(0),
    tail: Cell::new(0),
    id: 0,
    free: Cell::new(0),
    used: Cell::new(1),
    taken: Cell::new(0),
    closed: Cell::new(true),
    epoch: 0,
    arena: Arena::none(),
});

unsafe fn no_task(_: *const Header, _: &mut std::task::Context<'_>) -> bool {
    false
}

impl Slots {
    /// What is current on a thread without an executor.
    pub(super) const fn nobody() -> *const Self {
        &raw const NOBODY.0
    }

    pub(super) fn new(id: u16, lives: u64) -> Self {
        let capacity = 64;
        // A number that is used again starts elsewhere, so that names of the executor before it rarely match.
        let epoch = lives.wrapping_mul(0x9e_3779) << name::GENERATION_SHIFT;
        Self {
            base: Cell::new(allocate(capacity)),
            mask: Cell::new(capacity as u32 - 1),
            tail: Cell::new(0),
            id: u64::from(id) << name::EXEC_SHIFT,
            free: Cell::new(0),
            used: Cell::new(1),
            taken: Cell::new(0),
            closed: Cell::new(false),
            epoch,
            arena: Arena::new(),
        }
    }

    /// The slot at `index`, wherever the array is now. Not to be held across a [`take`](Self::take).
    #[inline(always)]
    pub(super) fn at(&self, index: u32) -> &Slot {
        // SAFETY: masked to the capacity, and every slot of the array is initialised.
        unsafe { &*self.base.get().add((index & self.mask.get()) as usize) }
    }

    /// Queue the task that `name` names, if it is armed.
    #[inline(always)]
    pub(super) fn wake(&self, name: u64) -> bool {
        let index = name::slot(name);
        let slot = self.at(index);
        if slot.armed.get() != name {
            return false;
        }
        self.enqueue(slot, index, name);
        true
    }

    #[inline(always)]
    fn enqueue(&self, slot: &Slot, index: u32, armed: u64) {
        slot.armed.set(armed ^ self.id);
        self.at(self.tail.get()).next.set(index);
        self.tail.set(index);
    }

    /// Queue whatever is in slot `index`, if it is armed: wakes that bring no generation.
    pub(super) fn wake_slot(&self, index: u32) {
        let slot = self.at(index);
        let armed = slot.armed.get();
        if index < self.used.get() && armed & name::EXEC_MASK != 0 {
            self.enqueue(slot, index, armed);
        }
    }

    /// Whether `name` is of this executor.
    #[inline]
    pub(super) fn owns(&self, name: u64) -> bool {
        name & name::EXEC_MASK == self.id
    }

    #[inline]
    pub(super) fn has_ready(&self) -> bool {
        self.tail.get() != 0
    }

    /// Slots that were ever used, and the head: indices are below it.
    pub(super) fn used(&self) -> u32 {
        self.used.get()
    }

    /// Take the longest-queued slot out of the ready list and arm it: its index and name.
    #[inline(always)]
    pub(super) fn pop(&self) -> Option<(u32, u64)> {
        let tail = self.tail.get();
        if tail == 0 {
            return None;
        }
        let head = self.at(0);
        let index = head.next.get();
        let slot = self.at(index);
        head.next.set(slot.next.get());
        self.tail.set(if index == tail { 0 } else { tail });
        let name = slot.armed.get() | self.id;
        slot.armed.set(name);
        Some((index, name))
    }

    /// Slots with a task.
    pub(super) fn taken(&self) -> u32 {
        self.taken.get()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Put a task into a free slot and queue it. `None` when all 2^24 - 1 are taken, or none is given any more.
    #[inline(always)]
    pub(super) fn take(&self, task: *const Header, poll: PollFn) -> Option<u32> {
        let mut index = self.free.get();
        if index == 0 {
            index = self.fresh()?;
        } else {
            self.free.set(self.at(index).next.get());
        }
        let slot = self.at(index);
        slot.task.set(task);
        slot.poll.set(poll);
        self.taken.set(self.taken.get() + 1);
        self.at(self.tail.get()).next.set(index);
        self.tail.set(index);
        Some(index)
    }

    /// The task of a slot has ended. A slot that was queued meanwhile stays in the list and is freed when it comes up.
    #[inline(always)]
    pub(super) fn retire(&self, index: u32, name: u64) {
        if self.at(index).armed.get() == name {
            self.free(index, name);
        } else {
            self.bury(index);
        }
    }

    #[inline(always)]
    fn free(&self, index: u32, word: u64) {
        let slot = self.at(index);
        slot.armed.set(name::next_generation(word));
        slot.task.set(ptr::null());
        slot.next.set(self.free.get());
        self.free.set(index);
        self.taken.set(self.taken.get() - 1);
    }

    #[cold]
    #[inline(never)]
    fn bury(&self, index: u32) {
        let slot = self.at(index);
        slot.task.set(tombstone());
        slot.poll.set(reap);
    }

    /// Free a slot whose task goes away without having ended.
    pub(super) fn evict(&self, index: u32) {
        let word = self.at(index).armed.get();
        if word & name::EXEC_MASK != 0 {
            self.free(index, word);
        } else {
            self.bury(index);
        }
    }

    /// Give out no slot, arm none, and forget what is queued.
    pub(super) fn close(&self) {
        self.closed.set(true);
        for index in 1..self.used.get() {
            let slot = self.at(index);
            slot.armed.set(name::next_generation(slot.armed.get()));
        }
        self.free.set(0);
        self.tail.set(0);
        self.taken.set(0);
    }

    /// Take the task out of a slot of a closed array; null when it has none.
    pub(super) fn vacate(&self, index: u32) -> *const Header {
        let task = self.at(index).task.replace(ptr::null());
        if task == tombstone() { ptr::null() } else { task }
    }

    #[cold]
    #[inline(never)]
    fn fresh(&self) -> Option<u32> {
        let index = self.used.get();
        if self.closed.get() {
            return None;
        }
        if index > self.mask.get() {
            let capacity = self.mask.get() as usize + 1;
            if capacity == name::MAX_SLOTS {
                return None;
            }
            let (old, new) = (self.base.get(), allocate(capacity * 2));
            // SAFETY: both arrays have at least `capacity` slots and do not overlap; slots have no destructor.
            unsafe { ptr::copy_nonoverlapping(old, new.cast_mut(), capacity) };
            self.base.set(new);
            self.mask.set((capacity * 2) as u32 - 1);
            // SAFETY: allocated with this layout; nobody holds a slot across `take`.
            unsafe { alloc::dealloc(old.cast_mut().cast(), layout(capacity)) };
        }
        self.used.set(index + 1);
        self.at(index).armed.set(self.epoch | u64::from(index));
        Some(index)
    }
}

/// What a slot polls whose task ended while it was queued: nothing; it only has to come out of the list.
unsafe fn reap(_: *const Header, _: &mut std::task::Context<'_>) -> bool {
    true
}

fn layout(capacity: usize) -> Layout {
    Layout::array::<Slot>(capacity).expect("2^24 slots fit the address space")
}

fn allocate(capacity: usize) -> *const Slot {
    // SAFETY: the layout is not empty.
    let base = unsafe { alloc::alloc(layout(capacity)) }.cast::<Slot>();
    if base.is_null() {
        alloc::handle_alloc_error(layout(capacity));
    }
    for i in 0..capacity {
        let empty = Slot {
            armed: Cell::new(0),
            next: Cell::new(0),
            task: Cell::new(ptr::null()),
            poll: Cell::new(no_task),
        };
        // SAFETY: within the allocation.
        unsafe { base.add(i).write(empty) };
    }
    base
}

impl Drop for Slots {
    fn drop(&mut self) {
        let capacity = self.mask.get() as usize + 1;
        // SAFETY: allocated with this layout (`NOBODY` is a static and never dropped).
        unsafe { alloc::dealloc(self.base.get().cast_mut().cast(), layout(capacity)) };
    }
}
