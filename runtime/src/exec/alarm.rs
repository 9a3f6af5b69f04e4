//! Alarms: where a task's waker waits for a time.
//!
//! ```text
//!            after, at               settle (the batch is over)             fire
//!   (free) ─────────────► fresh list ───────────────────────────► the wheel ──────► fired
//!      ▲                      │                                        │              │
//!      └──────────────────────┴───────────── Alarm's drop ─────────────┴──────────────┘
//! ```
//!
//! What is armed during a batch is only noted in a list, and goes to the wheel when the batch is over: relative deadlines
//! count from that reading of the clock, and the many alarms that are released in the batch that made them (a
//! time limit around something that was ready) never see the wheel.
//!
//! Who waits is kept as the name that its waker is, in one word that needs no drop. A waker of another runtime or library
//! is boxed beside it and says so by a bit in the state, so that nothing on the short way has to ask.
//!
//! All cells, and no foreign code (a waker's clone, drop or wake) runs while anything here is borrowed.

use std::{
    cell::{Cell, RefCell, UnsafeCell},
    ops::Deref,
    ptr::NonNull,
    task::{Poll, Waker},
    time::Duration,
};

use hemi_queue::{
    time::Instant,
    wheel::{Key, Wheel},
};

use super::waker;

/// The most alarms that go off in one turn; the others in the next.
const BURST: usize = 256;
/// The list of fresh alarms keeps room for so many.
const KEEP: usize = 4096;
/// The end of the list of free entries: entry 0 is never used.
const NONE: u32 = 0;

/// It went off, or the entry is free.
const FIRED: u32 = 0;
/// In the wheel. Any other state is `Fresh`: how long the fresh list was with this one, its first element (nobody's)
/// included. So the latest alarm is known by one comparison.
const ARMED: u32 = (1 << 31) - 1;
/// Added to a state: a waker that is no name is kept.
const FOREIGN: u32 = 1 << 31;

/// 32 bytes, so that a place is a shift.
struct Entry {
    state: Cell<u32>,
    next_free: Cell<u32>,
    /// Who waits; 0 is nobody.
    name: Cell<u64>,
    /// Who waits, if that is no name.
    foreign: Cell<Option<Box<Waker>>>,
    /// While `ARMED`.
    key: Cell<Key>,
}

const _: () = assert!(size_of::<Entry>() == 32);

#[derive(Clone, Copy)]
struct Fresh {
    alarm: u32,
    relative: bool,
    /// A delay or a deadline, in nanoseconds.
    nanos: u64,
}

/// One alarm, disarmed when it is dropped. It may outlive its core: then it never goes off.
pub(crate) struct Alarm {
    table: NonNull<Table>,
    index: u32,
}

/// The alarms of one core, and the clock of its turn.
///
/// # How it is driven
/// During a batch: [`after`](Table::after), [`at`](Table::at), and each [`Alarm`]'s own [`poll`](Alarm::poll) and drop.
/// After it: [`turn`](Table::turn), which arms and fires. Before a sleep: [`next_deadline`](Table::next_deadline).
///
/// # Who frees the table
/// Nobody counts alarms while the core lives. When it ends, the outstanding ones are counted once, and the last of them
/// frees the table.
pub(crate) struct Alarms(NonNull<Table>);

/// The alarms whose core has ended.
#[derive(Clone, Copy)]
struct Orphans {
    /// How many are left.
    left: u32,
    /// What the last one frees.
    table: NonNull<Table>,
}

/// What [`Alarms`] and every [`Alarm`] point to.
pub(crate) struct Table {
    /// Set when the core has ended before its alarms.
    orphans: Cell<Option<Orphans>>,
    now: Cell<Instant>,
    /// Added to delays, in nanoseconds.
    uncertainty: u64,
    free: Cell<u32>,
    entries: UnsafeCell<Vec<Entry>>,
    /// The first one is nobody's.
    fresh: UnsafeCell<Vec<Fresh>>,
    wheel: RefCell<Wheel<u32>>,
}

impl Alarms {
    pub(crate) fn new(now: Instant, uncertainty: Duration) -> Self {
        let table = Box::new(Table {
            orphans: Cell::new(None),
            now: Cell::new(now),
            uncertainty: uncertainty.as_nanos() as u64,
            free: Cell::new(NONE),
            entries: UnsafeCell::new(vec![Entry::new()]),
            fresh: UnsafeCell::new(vec![Fresh { alarm: NONE, relative: false, nanos: 0 }]),
            wheel: RefCell::new(Wheel::starting_at(now)),
        });
        Self(NonNull::from(Box::leak(table)))
    }
}

impl Deref for Alarms {
    type Target = Table;

    #[inline(always)]
    fn deref(&self) -> &Table {
        // SAFETY: freed after this handle is gone, and only shared references are made meanwhile.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Alarms {
    fn drop(&mut self) {
        // From here on no alarm is the latest fresh one, so every drop takes the long way, which counts.
        self.settle(self.now.get());
        let left = self.outstanding();
        self.orphans.set(Some(Orphans { left, table: self.0 }));
        if left == 0 {
            // SAFETY: leaked by `new`, and no alarm points to it.
            unsafe { Table::free(self.0) };
        }
    }
}

impl Table {
    /// # Safety
    /// The table is not used any more.
    unsafe fn free(this: NonNull<Self>) {
        // SAFETY: leaked by `Alarms::new`.
        drop(unsafe { Box::from_raw(this.as_ptr()) });
    }

    /// How many alarms there are.
    fn outstanding(&self) -> u32 {
        // SAFETY: as in `make`.
        let entries = unsafe { (*self.entries.get()).len() } as u32;
        let free = std::iter::successors(Some(self.free.get()), |&at| Some(self.entry(at).next_free.get()));
        entries - 1 - free.take_while(|&at| at != NONE).count() as u32
    }

    /// The reading of this turn.
    #[inline]
    pub(crate) fn now(&self) -> Instant {
        self.now.get()
    }

    pub(crate) fn set_now(&self, now: Instant) {
        self.now.set(now);
    }

    /// An alarm that goes off `delay` after the next reading of the clock.
    #[inline]
    pub(crate) fn after(&self, delay: Duration) -> Alarm {
        // Two and a half centuries are as good as for ever; the compiler makes less of a saturating conversion.
        let nanos = if delay.as_secs() < 1 << 33 {
            delay.as_secs() * 1_000_000_000 + u64::from(delay.subsec_nanos()) + self.uncertainty
        } else {
            u64::MAX
        };
        self.make(true, nanos)
    }

    /// An alarm that goes off at `deadline`.
    #[inline]
    pub(crate) fn at(&self, deadline: Instant) -> Alarm {
        self.make(false, deadline.as_nanos())
    }

    #[inline(always)]
    fn make(&self, relative: bool, nanos: u64) -> Alarm {
        let alarm = self.free.get();
        // SAFETY: the list is borrowed by this function only, and a push runs no foreign code.
        let fresh = unsafe { &mut *self.fresh.get() };
        if alarm == NONE || fresh.len() == fresh.capacity() {
            return self.make_slow(relative, nanos);
        }
        fresh.push(Fresh { alarm, relative, nanos });
        let state = fresh.len() as u32;
        let entry = self.entry(alarm);
        self.free.set(entry.next_free.get());
        entry.state.set(state);
        Alarm { table: NonNull::from(self), index: alarm }
    }

    /// Make room, and then the alarm.
    #[cold]
    #[inline(never)]
    fn make_slow(&self, relative: bool, nanos: u64) -> Alarm {
        if self.free.get() == NONE {
            self.free.set(self.grow());
        }
        // SAFETY: as in `make`.
        let fresh = unsafe { &mut *self.fresh.get() };
        assert!(fresh.len() < ARMED as usize - 1, "2^31 alarms were armed in one batch");
        fresh.reserve(1);
        self.make(relative, nanos)
    }

    /// The entry of an alarm. Not to be held across a [`grow`](Self::grow).
    #[inline(always)]
    fn entry(&self, alarm: u32) -> &Entry {
        // SAFETY: the numbers of alarms are indices of the vector, which never shrinks; the reference is shared, as are all.
        unsafe { (&*self.entries.get()).get_unchecked(alarm as usize) }
    }

    fn grow(&self) -> u32 {
        // SAFETY: no reference to an entry is held across this call.
        let entries = unsafe { &mut *self.entries.get() };
        entries.push(Entry::new());
        (entries.len() - 1) as u32
    }

    /// Give an entry back.
    #[inline(always)]
    fn free_entry(&self, index: u32) {
        let entry = self.entry(index);
        entry.state.set(FIRED);
        entry.name.set(0);
        entry.next_free.set(self.free.replace(index));
    }

    /// Take an alarm out of the list or the wheel that it is in.
    fn disarm(&self, entry: &Entry) {
        match entry.state.get() & !FOREIGN {
            FIRED => {}
            ARMED => {
                self.wheel.borrow_mut().cancel(entry.key.get());
            }
            length => {
                // SAFETY: as in `make`.
                let fresh = unsafe { &mut *self.fresh.get() };
                let position = length as usize - 1;
                fresh.swap_remove(position);
                if let Some(moved) = fresh.get(position) {
                    let moved = self.entry(moved.alarm);
                    moved.state.set(length | moved.state.get() & FOREIGN);
                }
            }
        }
    }

    /// The batch is over and it is `now`: arm what is fresh, let off what is due. Whether anything was.
    #[inline]
    pub(crate) fn turn(&self, now: Instant) -> bool {
        self.now.set(now);
        // SAFETY: as in `make`.
        if unsafe { (&*self.fresh.get()).len() > 1 } {
            self.settle(now);
        }
        let due = self.wheel.borrow().next_deadline().is_some_and(|next| next <= now);
        due && self.fire(now)
    }

    #[inline(never)]
    fn settle(&self, now: Instant) {
        // SAFETY: as in `make`; the wheel runs no foreign code either.
        let fresh = unsafe { &mut *self.fresh.get() };
        let wheel = &mut *self.wheel.borrow_mut();
        for f in &fresh[1..] {
            let entry = self.entry(f.alarm);
            entry.key.set(wheel.insert(f.deadline(now), f.alarm));
            entry.state.set(ARMED | entry.state.get() & FOREIGN);
        }
        fresh.truncate(1);
        fresh.shrink_to(KEEP);
    }

    #[cold]
    #[inline(never)]
    fn fire(&self, now: Instant) -> bool {
        for fired in 0..BURST {
            let due = self.wheel.borrow_mut().pop(now);
            let Some(alarm) = due else { return fired > 0 };
            let entry = self.entry(alarm);
            let (name, foreign) = (entry.name.replace(0), entry.foreign.take());
            entry.state.set(FIRED);
            waker::wake_name(name);
            if let Some(waker) = foreign {
                waker.wake();
            }
        }
        true
    }

    /// The time before which nothing goes off.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.wheel.borrow().next_deadline()
    }
}

impl Alarm {
    #[inline(always)]
    fn table(&self) -> &Table {
        // SAFETY: freed after the last alarm is gone.
        unsafe { self.table.as_ref() }
    }

    #[inline(always)]
    fn entry(&self) -> &Entry {
        self.table().entry(self.index)
    }

    /// The clock that it goes by.
    pub(crate) fn clock(&self) -> Instant {
        self.table().now.get()
    }

    /// Ready when it has gone off; else `waker` is woken when it does.
    #[inline]
    pub(crate) fn poll(&self, waker: &Waker) -> Poll<()> {
        let entry = self.entry();
        let state = entry.state.get();
        if state == FIRED {
            return Poll::Ready(());
        }
        if (state & FOREIGN) as usize | waker::strangeness(waker) != 0 {
            self.keep(waker);
        } else {
            entry.name.set(waker::name(waker));
        }
        Poll::Pending
    }

    /// Keep a waker where one of the two, the old or the new, is no name.
    #[cold]
    #[inline(never)]
    fn keep(&self, waker: &Waker) {
        let new = match self.entry().foreign.take() {
            Some(old) if old.will_wake(waker) => old,
            old => {
                let new = Box::new(waker.clone());
                drop(old);
                new
            }
        };
        // Looked up anew: the foreign code above may have made alarms.
        let entry = self.entry();
        entry.name.set(0);
        entry.foreign.set(Some(new));
        if entry.state.get() != FIRED {
            entry.state.set(entry.state.get() | FOREIGN);
        }
    }

    /// When it goes off, as far as is known; `None` when it has.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let (table, entry) = (self.table(), self.entry());
        match entry.state.get() & !FOREIGN {
            FIRED => None,
            ARMED => table.wheel.borrow().deadline(entry.key.get()),
            length => {
                // SAFETY: as in `make`.
                let fresh = unsafe { &*table.fresh.get() };
                fresh.get(length as usize - 1).map(|f| f.deadline(table.now.get()))
            }
        }
    }

    /// Go off at `deadline` instead, whether it has gone off or not. Who waits for it goes on waiting.
    pub(crate) fn reset(&mut self, deadline: Instant) {
        let (table, entry) = (self.table(), self.entry());
        table.disarm(entry);
        // SAFETY: as in `make`.
        let fresh = unsafe { &mut *table.fresh.get() };
        fresh.push(Fresh { alarm: self.index, relative: false, nanos: deadline.as_nanos() });
        entry.state.set(fresh.len() as u32 | entry.state.get() & FOREIGN);
        if table.orphans.get().is_some() {
            table.settle(table.now.get());
        }
    }

    #[cold]
    #[inline(never)]
    fn drop_slow(&mut self) {
        let (table, entry) = (self.table(), self.entry());
        table.disarm(entry);
        let foreign = entry.foreign.take();
        table.free_entry(self.index);
        if let Some(mut orphans) = table.orphans.get() {
            orphans.left -= 1;
            table.orphans.set(Some(orphans));
            if orphans.left == 0 {
                // SAFETY: the core is gone, and this was the last alarm.
                unsafe { Table::free(orphans.table) };
            }
        }
        drop(foreign);
    }
}

impl Drop for Alarm {
    #[inline]
    fn drop(&mut self) {
        let table = self.table();
        // SAFETY: as in `make`.
        let fresh = unsafe { &mut *table.fresh.get() };
        // The latest one: an alarm around something that was ready.
        if self.entry().state.get() as usize != fresh.len() {
            return self.drop_slow();
        }
        fresh.pop();
        table.free_entry(self.index);
    }
}

impl Entry {
    fn new() -> Self {
        Self {
            state: Cell::new(FIRED),
            next_free: Cell::new(NONE),
            name: Cell::new(0),
            foreign: Cell::new(None),
            key: Cell::new(Key::NONE),
        }
    }
}

impl Fresh {
    fn deadline(self, now: Instant) -> Instant {
        let nanos = if self.relative { now.as_nanos().saturating_add(self.nanos) } else { self.nanos };
        Instant::from_nanos(nanos)
    }
}
