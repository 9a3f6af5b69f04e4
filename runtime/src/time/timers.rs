//! The timers of one core: a wheel of wakers.

use std::{
    cell::{Cell, RefCell},
    fmt,
    task::{Context, Poll, Waker},
    time::Duration,
};

use hemi_queue::{
    time::Instant,
    wheel::{Key, Wheel},
};

/// The most timers that fire in one turn: the others in the next.
const BURST: usize = 256;
/// What the list of fresh timers keeps for the next batch.
const KEEP: usize = 4096;

/// All timers of one core. Shared by the core and its sleeps.
///
/// # How it is driven
/// Sleeps arm and cancel during a batch; the turn calls [`turn`](Self::turn) after it. A relative timer is armed twice: at
/// once, from the reading that the batch began with, so that there is something to cancel; and by `turn`, from the
/// reading after the batch, if it is still there.
pub(crate) struct Timers {
    now: Cell<Instant>,
    uncertainty: Duration,
    inner: RefCell<Inner>,
}

struct Inner {
    wheel: Wheel<Option<Waker>>,
    /// Relative timers of this batch.
    fresh: Vec<(Key, Duration)>,
}

impl Timers {
    /// No timers. `uncertainty` is added to relative deadlines.
    pub(crate) fn new(now: Instant, uncertainty: Duration) -> Self {
        let inner = Inner { wheel: Wheel::starting_at(now), fresh: Vec::new() };
        Self { now: Cell::new(now), uncertainty, inner: RefCell::new(inner) }
    }

    /// The reading of this turn.
    #[inline]
    pub(crate) fn now(&self) -> Instant {
        self.now.get()
    }

    #[inline]
    pub(crate) fn set_now(&self, now: Instant) {
        self.now.set(now);
    }

    /// Arm a timer for `delay` from the next reading.
    #[inline]
    pub(super) fn arm_after(&self, delay: Duration) -> Key {
        let delay = delay.saturating_add(self.uncertainty);
        let inner = &mut *self.inner.borrow_mut();
        let key = inner.wheel.insert(self.now.get() + delay, None);
        inner.fresh.push((key, delay));
        key
    }

    /// Arm a timer for `deadline`.
    #[inline]
    pub(super) fn arm_at(&self, deadline: Instant) -> Key {
        self.inner.borrow_mut().wheel.insert(deadline, None)
    }

    /// Ready when the timer has fired; else the context's waker is woken when it does.
    #[inline]
    pub(super) fn poll(&self, key: Key, cx: &mut Context<'_>) -> Poll<()> {
        match self.inner.borrow_mut().wheel.get(key) {
            None => return Poll::Ready(()),
            Some(Some(waker)) if waker.will_wake(cx.waker()) => return Poll::Pending,
            Some(_) => {}
        }
        // Clones and drops of wakers are foreign code: not while the wheel is borrowed.
        let waker = cx.waker().clone();
        let old = self.inner.borrow_mut().wheel.get_mut(key).and_then(|kept| kept.replace(waker));
        drop(old);
        Poll::Pending
    }

    /// Disarm a timer.
    #[inline]
    pub(super) fn cancel(&self, key: Key) {
        let waker = self.inner.borrow_mut().wheel.cancel(key);
        drop(waker);
    }

    /// When a timer fires, as far as is known; `None` when it has fired.
    pub(super) fn deadline(&self, key: Key) -> Option<Instant> {
        self.inner.borrow().wheel.deadline(key)
    }

    /// The batch is over and it is `now`: arm what was relative, wake what is due. Whether anything fired.
    #[inline]
    pub(crate) fn turn(&self, now: Instant) -> bool {
        let began = self.now.replace(now);
        let due = {
            let inner = &mut *self.inner.borrow_mut();
            if !inner.fresh.is_empty() {
                inner.settle(began, now);
            }
            inner.wheel.next_deadline().is_some_and(|next| next <= now)
        };
        due && self.fire(now)
    }

    #[cold]
    #[inline(never)]
    fn fire(&self, now: Instant) -> bool {
        let mut fired = 0;
        while fired < BURST {
            let due = self.inner.borrow_mut().wheel.pop(now);
            let Some(waker) = due else { break };
            if let Some(waker) = waker {
                waker.wake();
            }
            fired += 1;
        }
        fired > 0
    }

    /// The time before which nothing fires.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.inner.borrow().wheel.next_deadline()
    }
}

impl Inner {
    fn settle(&mut self, began: Instant, now: Instant) {
        if now > began {
            for &(key, delay) in &self.fresh {
                self.wheel.rearm(key, now + delay); // false: cancelled meanwhile
            }
        }
        self.fresh.clear();
        if self.fresh.capacity() > KEEP {
            self.fresh = Vec::new();
        }
    }
}

impl fmt::Debug for Timers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timers").field("now", &self.now()).finish_non_exhaustive()
    }
}
