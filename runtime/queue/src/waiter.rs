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

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::Wake,
    };

    use super::*;

    #[derive(Default)]
    struct Bell(AtomicUsize);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_last_to_register_is_woken_once() {
        let (first, last) = (Arc::<Bell>::default(), Arc::<Bell>::default());
        let waiter = Waiter::new();
        assert!(!waiter.wake() && !waiter.is_waiting());
        waiter.register(&Arc::clone(&first).into());
        waiter.register(&Arc::clone(&last).into());
        assert!(waiter.is_waiting());
        assert_eq!(format!("{waiter:?}"), "Waiter(true)");
        assert!(waiter.wake() && !waiter.wake());
        assert_eq!((first.0.load(Ordering::Relaxed), last.0.load(Ordering::Relaxed)), (0, 1));
    }

    #[test]
    fn the_same_task_is_kept_not_cloned() {
        let bell = Arc::<Bell>::default();
        let waker = Waker::from(Arc::clone(&bell));
        let waiter = Waiter::default();
        waiter.register(&waker);
        waiter.register(&waker);
        assert_eq!(Arc::strong_count(&bell), 3);
        assert!(waiter.take().is_some_and(|kept| kept.will_wake(&waker)));
        assert!(!waiter.is_waiting());
        assert_eq!(bell.0.load(Ordering::Relaxed), 0);
    }
}
