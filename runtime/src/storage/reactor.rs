//! [`Storage`]: the one reactor of a core's logs and files.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use hemi_queue::{Progress, Reactor, Wakeup, time::Instant};

use crate::context::Core;

/// Something that is polled once per turn until it is over.
pub(super) trait Served {
    fn poll(&self, now: Instant) -> Progress;
    fn deadline(&self) -> Option<Instant>;
    fn wakeup(&self) -> Wakeup;
    /// See [`Reactor::yields_core`].
    fn yields_core(&self) -> bool;
    /// Nothing will happen to it any more.
    fn is_over(&self) -> bool;
    /// The runtime ends.
    fn shutdown(&self);
}

/// The logs and files of one core.
#[derive(Default)]
pub(crate) struct Storage {
    served: RefCell<Vec<Rc<dyn Served>>>,
    registered: Cell<bool>,
}

impl Storage {
    /// Serve `one` from the next turn on.
    pub(super) fn add(core: &Core, one: Rc<dyn Served>) {
        let this = &core.storage;
        this.served.borrow_mut().push(one);
        if !this.registered.replace(true) {
            core.add_reactor(Rc::clone(this) as Rc<dyn Reactor>);
        }
    }

    fn get(&self, at: usize) -> Option<Rc<dyn Served>> {
        self.served.borrow().get(at).cloned()
    }
}

impl Reactor for Storage {
    fn poll(&self, now: Instant) -> Progress {
        let mut progress = Progress::Idle;
        let mut at = 0;
        // By index, and without the borrow during the poll: a poll may wake, and a wake may drop.
        while let Some(one) = self.get(at) {
            if one.poll(now) == Progress::Busy {
                progress = Progress::Busy;
            }
            if one.is_over() {
                let gone = self.served.borrow_mut().swap_remove(at);
                drop(gone);
            } else {
                at += 1;
            }
        }
        progress
    }

    fn deadline(&self) -> Option<Instant> {
        self.served.borrow().iter().filter_map(|one| one.deadline()).min()
    }

    fn wakeup(&self) -> Wakeup {
        let never = |one: &Rc<dyn Served>| match one.wakeup() {
            Wakeup::Never { at_most_us } => Some(at_most_us),
            Wakeup::Core | Wakeup::Fd(_) => None,
        };
        let soonest = self.served.borrow().iter().filter_map(never).min();
        soonest.map_or(Wakeup::Core, |at_most_us| Wakeup::Never { at_most_us })
    }

    fn yields_core(&self) -> bool {
        self.served.borrow().iter().any(|one| one.yields_core())
    }

    fn shutdown(&self) {
        let all: Vec<_> = self.served.borrow().clone();
        for one in all {
            one.shutdown();
        }
    }

    fn is_quiet(&self) -> bool {
        self.served.borrow().iter().all(|one| one.is_over())
    }
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Storage").field("open", &self.served.borrow().len()).finish()
    }
}
