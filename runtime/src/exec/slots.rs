//! The slot array: who is armed, who is queued, who is free.
//!
//! Three words decide everything. `armed` holds the task's name while a wake should queue it, and otherwise the same word
//! with the executor field zero, which is nobody's name. `next` links the ready list (first in, first out) or the list
//! of free slots; a slot is in at most one of them. `task` means something in slots that are in use.
//!
//! Slot 0 is no task: it is the head of the ready list, so that appending needs no "is it empty" branch.

use std::{
    alloc::{self, Layout},
    cell::Cell,
    panic::Location,
    ptr::{self, NonNull},
};

use super::{
    arena::Arena,
    cell::{Header, TOMBSTONE_NAME, tombstone},
    name,
};

/// 32 bytes, so that two share a cache line and a place is a shift.
#[repr(C)]
pub(super) struct Slot {
    pub(super) armed: Cell<u64>,
    next: Cell<Place>,
    pub(super) task: Cell<*const Header>,
    /// Where `spawn` was called, for the watchdog.
    pub(super) spawned_at: Cell<&'static Location<'static>>,
}

const SLOT_SHIFT: u32 = 5;
const _: () = assert!(size_of::<Slot>() == 1 << SLOT_SHIFT);

/// Where a slot is: its offset in the array, in bytes; an index that is shifted already. Places are made by this module
/// only and are within the array.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(usize);

impl Place {
    /// The head of the ready list. In links: none.
    const HEAD: Self = Self(0);

    const fn of(index: u32) -> Self {
        Self((index as usize) << SLOT_SHIFT)
    }

    const fn index(self) -> u32 {
        (self.0 >> SLOT_SHIFT) as u32
    }
}

/// The slots of one executor. All cells: reached from wakers, tasks and the turn of one thread.
#[repr(C)]
pub(super) struct Slots {
    base: Cell<*const Slot>,
    /// The executor's number, where a name has it.
    id: u64,
    /// Capacity - 1; the capacity is a power of two.
    mask: Cell<u32>,
    /// The last queued slot; the head when none is.
    tail: Cell<Place>,
    /// First of the free slots; the head when there is none.
    free: Cell<Place>,
    /// Slots that were ever used, and the head.
    used: Cell<u32>,
    closed: Cell<bool>,
    /// The generation that fresh slots start with, where a name has it.
    epoch: u64,
    /// What leads from a name to the word of its slot's next life: a generation more, no executor.
    next_life: u64,
    /// How many slots were freed out of the ready list.
    buried: Cell<u64>,
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
    next: Cell::new(Place::HEAD),
    task: Cell::new(ptr::null()),
    spawned_at: Cell::new(Location::caller()),
});
static NOBODY: Nobody = Nobody(Slots {
    base: Cell::new(&raw const NOBODY_SLOT.0),
    id: 0,
    mask: Cell::new(0),
    tail: Cell::new(Place::HEAD),
    free: Cell::new(Place::HEAD),
    used: Cell::new(1),
    closed: Cell::new(true),
    epoch: 0,
    next_life: 0,
    buried: Cell::new(0),
    arena: Arena::none(),
});

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
            id: u64::from(id) << name::EXEC_SHIFT,
            mask: Cell::new(capacity as u32 - 1),
            tail: Cell::new(Place::HEAD),
            free: Cell::new(Place::HEAD),
            used: Cell::new(1),
            closed: Cell::new(false),
            epoch,
            next_life: (1 << name::GENERATION_SHIFT) - (u64::from(id) << name::EXEC_SHIFT),
            buried: Cell::new(0),
            arena: Arena::new(),
        }
    }

    /// The slot at `place`, wherever the array is now. Not to be held across a [`take`](Self::take).
    #[inline(always)]
    pub(super) fn at(&self, place: Place) -> &Slot {
        // SAFETY: places are within the array, and every slot of the array is initialised.
        unsafe { &*self.base.get().byte_add(place.0) }
    }

    /// The place that a name means; of a name of another executor, any place.
    #[inline(always)]
    pub(super) fn place_of(&self, name: u64) -> Place {
        Place::of(name as u32 & self.mask.get())
    }

    /// Queue the task that `name` names, if it is armed.
    #[inline(always)]
    pub(super) fn wake(&self, name: u64) -> bool {
        let place = self.place_of(name);
        // The array is looked up once: the compiler cannot know that a store into it does not move it.
        let base = self.base.get();
        // SAFETY: both places are within the array.
        let (slot, last) = unsafe { (&*base.byte_add(place.0), &*base.byte_add(self.tail.get().0)) };
        if slot.armed.get() != name {
            return false;
        }
        slot.armed.set(name ^ self.id);
        last.next.set(place);
        self.tail.set(place);
        true
    }

    #[inline(always)]
    fn append(&self, place: Place) {
        self.at(self.tail.get()).next.set(place);
        self.tail.set(place);
    }

    /// Queue whatever is at `place`, if it is armed: wakes that bring no generation.
    pub(super) fn wake_place(&self, place: Place) {
        let slot = self.at(place);
        let armed = slot.armed.get();
        if armed & name::EXEC_MASK != 0 {
            slot.armed.set(armed ^ self.id);
            self.append(place);
        }
    }

    /// The same by index, which may be any number.
    pub(super) fn wake_index(&self, index: u32) {
        if (1..self.used.get()).contains(&index) {
            self.wake_place(Place::of(index));
        }
    }

    /// Whether `name` is of this executor.
    #[inline]
    pub(super) fn owns(&self, name: u64) -> bool {
        name & name::EXEC_MASK == self.id
    }

    #[inline]
    pub(super) fn has_ready(&self) -> bool {
        self.tail.get() != Place::HEAD
    }

    /// Slots that were ever used, and the head: indices are below it.
    pub(super) fn used(&self) -> u32 {
        self.used.get()
    }

    /// Every task in a slot, oldest slot first. Found by a walk along the free list, so that spawning and ending a task
    /// need no bookkeeping for it.
    pub(super) fn tasks(&self) -> Vec<NonNull<Header>> {
        let mut in_use = vec![true; self.used.get() as usize];
        let mut free = self.free.get();
        while free != Place::HEAD {
            in_use[free.index() as usize] = false;
            free = self.at(free).next.get();
        }
        let places = (1..self.used.get()).filter(|&i| in_use[i as usize]).map(Place::of);
        let tasks = places.filter_map(|place| NonNull::new(self.at(place).task.get().cast_mut()));
        tasks.filter(|task| task.as_ptr().cast_const() != tombstone()).collect()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Take out everything that is queued: the first and the last, linked by [`next`](Self::next).
    #[inline(always)]
    pub(super) fn take_ready(&self) -> Option<(Place, Place)> {
        let last = self.tail.get();
        if last == Place::HEAD {
            return None;
        }
        self.tail.set(Place::HEAD);
        Some((self.at(Place::HEAD).next.get(), last))
    }

    /// What was queued after `slot`. Meaningless for the last.
    #[inline(always)]
    pub(super) fn next(slot: &Slot) -> Place {
        slot.next.get()
    }

    /// Put back the rest of what was taken out, before whatever was queued meanwhile.
    #[cold]
    pub(super) fn put_back(&self, first: Place, last: Place) {
        let head = self.at(Place::HEAD);
        if self.has_ready() {
            self.at(last).next.set(head.next.get());
        } else {
            self.tail.set(last);
        }
        head.next.set(first);
    }

    /// A free slot. `None` when all 2^24 - 1 are taken, or none is given any more.
    #[inline(always)]
    pub(super) fn take(&self) -> Option<Vacancy<'_>> {
        let mut place = self.free.get();
        let mut base = self.base.get();
        if place == Place::HEAD {
            place = self.fresh()?;
            base = self.base.get();
        } else {
            // SAFETY: places are within the array.
            self.free.set(unsafe { &*base.byte_add(place.0) }.next.get());
        }
        // SAFETY: as above.
        let slot = unsafe { &*base.byte_add(place.0) };
        Some(Vacancy { slots: self, base, slot, place, name: slot.armed.get() | self.id })
    }

    /// The task at `place`, which was polled, has ended. A slot that was queued meanwhile stays in the list and is freed
    /// when it comes up.
    #[inline(always)]
    pub(super) fn retire(&self, place: Place) {
        let slot = self.at(place);
        let word = slot.armed.get();
        if name::executor(word) != 0 {
            slot.armed.set(word.wrapping_add(self.next_life));
            slot.next.set(self.free.get());
            self.free.set(place);
        } else {
            self.bury_or_free(place);
        }
    }

    /// The slot is queued, or it was a tombstone's.
    #[cold]
    #[inline(never)]
    fn bury_or_free(&self, place: Place) {
        let slot = self.at(place);
        if slot.armed.get() != TOMBSTONE_NAME {
            slot.task.set(tombstone());
            return;
        }
        // The word that the slot had is lost: a generation that no task of this slot had lately.
        self.buried.set(self.buried.get().wrapping_add(1));
        let word =
            (self.epoch ^ (self.buried.get() << (name::GENERATION_SHIFT + 12))) | u64::from(place.index());
        slot.armed.set(word | self.id);
        self.retire(place);
    }

    /// Free a slot whose task goes away without having ended.
    pub(super) fn evict(&self, place: Place) {
        self.retire(place);
    }

    /// End the task called `name` when its turn comes.
    ///
    /// # Safety
    /// The task is in its slot: it is not DONE.
    pub(super) unsafe fn abort(&self, name: u64) {
        let place = self.place_of(name);
        // SAFETY: by contract.
        unsafe { (*self.at(place).task.get()).cancel_next() };
        self.wake_place(place);
    }

    /// Give out no slot any more, arm none, forget what is queued; the tasks that were in slots.
    pub(super) fn close(&self) -> Vec<NonNull<Header>> {
        let tasks = if self.closed.replace(true) { Vec::new() } else { self.tasks() };
        for index in 1..self.used.get() {
            let slot = self.at(Place::of(index));
            slot.armed.set(slot.armed.get() & !name::EXEC_MASK);
        }
        self.free.set(Place::HEAD);
        self.tail.set(Place::HEAD);
        tasks
    }

    #[cold]
    #[inline(never)]
    fn fresh(&self) -> Option<Place> {
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
        let place = Place::of(index);
        self.at(place).armed.set(self.epoch | u64::from(index));
        Some(place)
    }
}

/// A slot that was taken and is not filled yet. No other is taken meanwhile.
pub(super) struct Vacancy<'s> {
    slots: &'s Slots,
    /// The array, which does not move before the next `take`.
    base: *const Slot,
    slot: &'s Slot,
    place: Place,
    /// Of the task that fills it.
    pub(super) name: u64,
}

impl Vacancy<'_> {
    /// Put a task into the slot, and queue it.
    #[inline(always)]
    pub(super) fn fill(self, task: *const Header, spawned_at: &'static Location<'static>) -> Place {
        self.slot.task.set(task);
        self.slot.spawned_at.set(spawned_at);
        // SAFETY: places are within the array, which has not moved since `take`.
        let last = unsafe { &*self.base.byte_add(self.slots.tail.get().0) };
        last.next.set(self.place);
        self.slots.tail.set(self.place);
        self.place
    }
}

fn layout(capacity: usize) -> Layout {
    Layout::array::<Slot>(capacity).expect("2^24 slots fit the address space")
}

fn allocate(capacity: usize) -> *const Slot {
    #[allow(clippy::cast_ptr_alignment)] // the layout says how it is aligned
    // SAFETY: the layout is not empty.
    let base = unsafe { alloc::alloc(layout(capacity)) }.cast::<Slot>();
    if base.is_null() {
        alloc::handle_alloc_error(layout(capacity));
    }
    for i in 0..capacity {
        let empty = Slot {
            armed: Cell::new(0),
            next: Cell::new(Place::HEAD),
            task: Cell::new(ptr::null()),
            spawned_at: Cell::new(Location::caller()),
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
