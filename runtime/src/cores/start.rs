//! [`Start`]: how several cores begin: one after another, and none before all are ready.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The beginning of a program on several cores.
///
/// Devices are opened in the order of the cores: the first one's queue configures the device for all, and a kernel numbers queues
/// as they come. No core's program starts before all have opened theirs, so none can end before another one needs it.
#[derive(Debug, Default)]
pub(crate) struct Start {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    ready: usize,
    failed: bool,
}

impl Start {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, until: impl Fn(&State) -> bool) -> bool {
        let state = self.state();
        let state = self.changed.wait_while(state, |s| !s.failed && !until(s));
        !state.unwrap_or_else(PoisonError::into_inner).failed
    }

    /// Run `open` when all cores before `index` have. `None`: one of them has failed, and nothing was run.
    pub(crate) fn in_turn<T, E>(
        &self,
        index: usize,
        open: impl FnOnce() -> Result<T, E>,
    ) -> Option<Result<T, E>> {
        if !self.wait(|s| s.ready == index) {
            return None;
        }
        let done = Done(self);
        let opened = open();
        if opened.is_ok() {
            std::mem::forget(done);
            self.state().ready += 1;
            self.changed.notify_all();
        }
        Some(opened)
    }

    /// Wait until all `cores` are ready. False: one has failed.
    pub(crate) fn all(&self, cores: usize) -> bool {
        self.wait(|s| s.ready == cores)
    }

    /// A core cannot start: nobody shall wait for it.
    pub(crate) fn fail(&self) {
        self.state().failed = true;
        self.changed.notify_all();
    }
}

/// A core that has not said that it is ready: it failed, or panicked.
struct Done<'s>(&'s Start);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.fail();
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;

    #[test]
    fn in_order_and_together() {
        let start = Arc::new(Start::default());
        let order = Arc::new(Mutex::new(Vec::new()));
        let threads: Vec<_> = (0..4)
            .rev()
            .map(|index| {
                let (start, order) = (Arc::clone(&start), Arc::clone(&order));
                thread::spawn(move || {
                    let opened = start.in_turn(index, || {
                        order.lock().unwrap().push(index);
                        Ok::<_, ()>(())
                    });
                    assert!(opened == Some(Ok(())) && start.all(4));
                    assert_eq!(order.lock().unwrap().len(), 4);
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3]);
    }

    #[test]
    fn nobody_waits_for_one_that_fails() {
        let start = Arc::new(Start::default());
        let waits = thread::spawn({
            let start = Arc::clone(&start);
            move || start.in_turn(2, || Ok::<_, ()>(()))
        });
        let ready = thread::spawn({
            let start = Arc::clone(&start);
            move || start.in_turn(0, || Ok::<_, ()>(())).is_some() && start.all(3)
        });
        assert_eq!(start.in_turn(1, || Err::<(), _>("no device")), Some(Err("no device")));
        assert_eq!(waits.join().unwrap(), None);
        assert!(!ready.join().unwrap());
    }
}
