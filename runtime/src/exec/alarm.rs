//! Alarms: where a task's waker waits for a time.
//!
//! ```text
//!            after, at                      settle (the batch is over)             fire
//!   (free) ─────────────► Fresh(position) ───────────────────────────► Armed(key) ──────► Fired
//!      ▲                        │                                          │                │
//!      └────────────────────────┴──────────────── release ─────────────────┴────────────────┘
//! ```
//!
//! What is armed during a batch is only noted in a list, and goes to the wheel when the batch is over: relative deadlines
//! count from that reading of the clock, and the many alarms that are released in the batch that made them (a
//! time limit around something that was ready) never see the wheel.
//!
//! All cells, and no foreign code (a waker's clone, drop or wake) runs while anything here is borrowed.

use std::{
    cell::{Cell, RefCell, UnsafeCell},
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

#[derive(Clone, Copy)]
enum State {
    /// It went off, or the entry is free.
    Fired,
    /// Noted at this position of the fresh list.
    Fresh(u32),
    /// In the wheel.
    Armed(Key),
}

/// 32 bytes.
struct Entry {
    waker: Cell<Option<Waker>>,
    state: Cell<State>,
    next_free: Cell<u32>,
}

const _: () = assert!(size_of::<Entry>() == 32);

#[derive(Clone, Copy)]
struct Fresh {
    alarm: u32,
    relative: bool,
    /// A delay or a deadline, in nanoseconds.
    nanos: u64,
}

/// Names one alarm; owned by whoever made it, until `release`.
#[derive(Debug)]
pub(crate) struct Alarm(u32);

/// The alarms of one core, and the clock of its turn.
///
/// # How it is driven
/// During a batch: [`after`](Self::after), [`at`](Self::at), [`poll`](Self::poll), [`release`](Self::release). After it:
/// [`turn`](Self::turn), which arms and fires. Before a sleep: [`next_deadline`](Self::next_deadline).
pub(crate) struct Alarms {
    now: Cell<Instant>,
    /// Added to delays, in nanoseconds.
    uncertainty: u64,
    free: Cell<u32>,
    entries: UnsafeCell<Vec<Entry>>,
    fresh: UnsafeCell<Vec<Fresh>>,
    wheel: RefCell<Wheel<u32>>,
}

impl Alarms {
    pub(crate) fn new(now: Instant, uncertainty: Duration) -> Self {
        Self {
            now: Cell::new(now),
            uncertainty: uncertainty.as_nanos() as u64,
            free: Cell::new(NONE),
            entries: UnsafeCell::new(vec![Entry::new()]),
            fresh: UnsafeCell::default(),
            wheel: RefCell::new(Wheel::starting_at(now)),
        }
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
        let mut alarm = self.free.get();
        if alarm == NONE {
            alarm = self.grow();
        }
        // SAFETY: the list is borrowed by this function only, and a push runs no foreign code.
        let fresh = unsafe { &mut *self.fresh.get() };
        let entry = self.entry(alarm);
        self.free.set(entry.next_free.get());
        entry.state.set(State::Fresh(fresh.len() as u32));
        fresh.push(Fresh { alarm, relative, nanos });
        Alarm(alarm)
    }

    /// The entry of an alarm. Not to be held across a [`grow`](Self::grow).
    #[inline(always)]
    fn entry(&self, alarm: u32) -> &Entry {
        // SAFETY: the numbers of alarms are indices of the vector, which never shrinks; the reference is shared, as are all.
        unsafe { (&*self.entries.get()).get_unchecked(alarm as usize) }
    }

    #[cold]
    #[inline(never)]
    fn grow(&self) -> u32 {
        // SAFETY: no reference to an entry is held across this call.
        let entries = unsafe { &mut *self.entries.get() };
        entries.push(Entry::new());
        (entries.len() - 1) as u32
    }

    /// Ready when it has gone off; else `waker` is woken when it does.
    #[inline]
    pub(crate) fn poll(&self, alarm: &Alarm, waker: &Waker) -> Poll<()> {
        let entry = self.entry(alarm.0);
        if let State::Fired = entry.state.get() {
            return Poll::Ready(());
        }
        match entry.waker.take() {
            // `take` left nothing to drop, and the copy of a name runs no foreign code.
            None if waker::is_name(waker) => std::mem::forget(entry.waker.replace(Some(waker::copy(waker)))),
            old => self.keep(alarm, old, waker),
        }
        Poll::Pending
    }

    #[inline(never)]
    fn keep(&self, alarm: &Alarm, old: Option<Waker>, waker: &Waker) {
        let kept = match old {
            None => waker::copy(waker),
            Some(old) => waker::renew(old, waker),
        };
        self.entry(alarm.0).waker.set(Some(kept));
    }

    /// Disarm, and let go of the name.
    #[inline]
    pub(crate) fn release(&self, alarm: &Alarm) {
        let entry = self.entry(alarm.0);
        // SAFETY: as in `make`.
        let fresh = unsafe { &mut *self.fresh.get() };
        match entry.state.get() {
            // The latest one: an alarm around something that was ready.
            State::Fresh(position) if position as usize + 1 == fresh.len() => {
                fresh.truncate(position as usize);
            }
            state => self.disarm(state),
        }
        entry.state.set(State::Fired);
        entry.next_free.set(self.free.replace(alarm.0));
        match entry.waker.take() {
            Some(waker) if !waker::is_name(&waker) => drop(waker),
            name_or_none => std::mem::forget(name_or_none),
        }
    }

    #[inline(never)]
    fn disarm(&self, state: State) {
        match state {
            State::Armed(key) => {
                self.wheel.borrow_mut().cancel(key);
            }
            State::Fresh(position) => {
                // SAFETY: as in `make`.
                let fresh = unsafe { &mut *self.fresh.get() };
                fresh.swap_remove(position as usize);
                if let Some(moved) = fresh.get(position as usize) {
                    self.entry(moved.alarm).state.set(State::Fresh(position));
                }
            }
            State::Fired => {}
        }
    }

    /// When an alarm goes off, as far as is known; `None` when it has.
    pub(crate) fn deadline(&self, alarm: &Alarm) -> Option<Instant> {
        match self.entry(alarm.0).state.get() {
            State::Fired => None,
            State::Armed(key) => self.wheel.borrow().deadline(key),
            State::Fresh(position) => {
                // SAFETY: as in `make`.
                let fresh = unsafe { &*self.fresh.get() };
                fresh.get(position as usize).map(|f| f.deadline(self.now.get()))
            }
        }
    }

    /// The batch is over and it is `now`: arm what is fresh, let off what is due. Whether anything was.
    #[inline]
    pub(crate) fn turn(&self, now: Instant) -> bool {
        self.now.set(now);
        // SAFETY: as in `make`.
        if unsafe { !(&*self.fresh.get()).is_empty() } {
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
        for f in fresh.iter() {
            self.entry(f.alarm).state.set(State::Armed(wheel.insert(f.deadline(now), f.alarm)));
        }
        fresh.clear();
        if fresh.capacity() > KEEP {
            *fresh = Vec::new();
        }
    }

    #[cold]
    #[inline(never)]
    fn fire(&self, now: Instant) -> bool {
        for fired in 0..BURST {
            let due = self.wheel.borrow_mut().pop(now);
            let Some(alarm) = due else { return fired > 0 };
            let entry = self.entry(alarm);
            entry.state.set(State::Fired);
            if let Some(waker) = entry.waker.take() {
                waker::wake_now(waker);
            }
        }
        true
    }

    /// The time before which nothing goes off.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.wheel.borrow().next_deadline()
    }
}

impl Entry {
    fn new() -> Self {
        Self { waker: Cell::new(None), state: Cell::new(State::Fired), next_free: Cell::new(NONE) }
    }
}

impl Fresh {
    fn deadline(self, now: Instant) -> Instant {
        let nanos = if self.relative { now.as_nanos().saturating_add(self.nanos) } else { self.nanos };
        Instant::from_nanos(nanos)
    }
}
