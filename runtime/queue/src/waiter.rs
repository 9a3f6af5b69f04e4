//! One waiting task: the place where a pending operation keeps its waker.

use std::{cell::Cell, fmt, task::Waker};

/// The single waiter of one direction of a queue.
///
/// An operation has one waiter (HotOS '19: a completion wakes exactly one), so a cell is enough: no list, no
/// allocation. Registering again replaces the waiter.
#[derive(Default)]
pub struct Waiter(Cell<Option<Waker>>);

impl Waiter {
    /// No waiter yet.
    pub const fn new() -> Self {
        Self(Cell::new(None))
    }

    /// Keep `waker` for the next [`wake`](Self::wake); keeps the old one when it wakes the same task.
    #[inline]
    pub fn register(&self, waker: &Waker) {
        let kept = match self.0.take() {
            Some(old) if old.will_wake(waker) => old,
            _ => waker.clone(),
        };
        self.0.set(Some(kept));
    }

    /// Wake the waiter, if there is one, and forget it. Returns whether there was one.
    #[inline]
    pub fn wake(&self) -> bool {
        match self.0.take() {
            Some(w) => {
                w.wake();
                true
            }
            None => false,
        }
    }

    /// Take the waker out without waking it.
    #[inline]
    pub fn take(&self) -> Option<Waker> {
        self.0.take()
    }

    /// Whether a task waits.
    #[inline]
    pub fn is_waiting(&self) -> bool {
        let w = self.0.take();
        let waiting = w.is_some();
        self.0.set(w);
        waiting
    }
}

impl fmt::Debug for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Waiter").field(&self.is_waiting()).finish()
    }
}
