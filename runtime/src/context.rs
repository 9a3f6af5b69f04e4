//! [`Core`]: everything that belongs to one runtime, found through the thread while it runs.

use std::{
    cell::{Cell, RefCell},
    fmt,
    os::fd::RawFd,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use hemi_park::Park;
use hemi_queue::{Error, Pool, Reactor, Result, Wakeup, time::Instant};

use crate::{
    clock::Clock,
    cores::Groups,
    exec::{Alarms, BlockingPool, Exec, Spin, current, watchdog},
    names::Names,
    net::Transports,
    rand::Rng,
    shutdown,
    storage::Storage,
};

/// One runtime: its tasks, timers, memory, devices and tables. Never leaves its thread.
#[allow(clippy::struct_field_names)] // the index of this core among `cores`
pub(crate) struct Core {
    pub(crate) exec: Exec,
    /// Has the reading of this turn.
    pub(crate) alarms: Alarms,
    pub(crate) clock: Clock,
    pub(crate) spin: RefCell<Spin>,
    pub(crate) pool: Pool,
    /// The core's io_uring and what it sleeps in; none in a simulation.
    pub(crate) park: Option<Rc<Park>>,
    pub(crate) reactors: RefCell<Vec<Rc<dyn Reactor>>>,
    /// The descriptor by which each reactor, at the same place, wakes the core.
    pub(crate) watched: RefCell<Vec<Option<RawFd>>>,
    pub(crate) transports: Transports,
    pub(crate) names: Names,
    /// The open logs and files.
    pub(crate) storage: Rc<Storage>,
    /// What everything random on this core is derived from.
    pub(crate) seed: u64,
    pub(crate) rng: RefCell<Rng>,
    /// This core's place among `cores`.
    pub(crate) core_index: usize,
    /// How many cores run the same program; listeners share their ports when there are several.
    pub(crate) cores: usize,
    /// How long a turn may take before the watchdog names its task.
    pub(crate) patience: Option<Duration>,
    /// Shared by all cores of the program.
    pub(crate) shutdown: shutdown::Token,
    /// Shared by all cores of the program.
    pub(crate) blocking: Arc<BlockingPool>,
    /// The user-level stacks with the same addresses, shared by all cores of the program.
    pub(crate) groups: Arc<Groups>,
    /// A device could not be watched: look at it often.
    pub(crate) deaf: Cell<bool>,
    /// A turn of this core is on the stack.
    pub(crate) running: Cell<bool>,
}

impl Core {
    /// The clock of this turn.
    #[inline]
    pub(crate) fn now(&self) -> Instant {
        self.alarms.now()
    }

    /// Poll `reactor` once per turn from now on.
    pub(crate) fn add_reactor(&self, reactor: Rc<dyn Reactor>) {
        let wakeup = reactor.wakeup();
        self.reactors.borrow_mut().push(reactor);
        self.watched.borrow_mut().push(None);
        let at = self.watched.borrow().len() - 1;
        self.watch_anew(at, wakeup);
    }

    /// The reactor at `at` wakes the core by what `wakeup` says: one whose device is gone must not keep it awake.
    pub(crate) fn watch_anew(&self, at: usize, wakeup: Wakeup) {
        let now = if let Wakeup::Fd(fd) = wakeup { Some(fd) } else { None };
        let (Some(before), Some(park)) = (self.watched.borrow().get(at).copied(), &self.park) else { return };
        if before == now {
            return;
        }
        if let Some(fd) = before {
            park.unwatch(fd);
        }
        if let Some(Err(error)) = now.map(|fd| park.watch(fd)) {
            tracing::warn!(%error, "a device cannot wake this core; it is looked at every millisecond");
            self.deaf.set(true);
        }
        self.watched.borrow_mut()[at] = now;
    }

    /// Have the watchdog look at this core, until the guard is dropped.
    pub(crate) fn watch(&self) -> watchdog::Watch {
        let patience = self.patience.filter(|_| !self.is_simulated());
        watchdog::watch(self.exec.remote(), patience)
    }

    /// Whether time is virtual: no park, no threads, one seed replays everything.
    pub(crate) fn is_simulated(&self) -> bool {
        self.clock.as_virtual().is_some()
    }

    /// Make this the core of this thread until the guard is dropped. Several may be entered, one inside another; the
    /// innermost is current.
    pub(crate) fn enter(self: &Rc<Self>) -> current::Entered {
        current::enter(self)
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("core_index", &self.core_index).finish_non_exhaustive()
    }
}

/// Call `f` with the core that runs on this thread; `None` when there is none.
#[inline(always)]
pub(crate) fn try_with<R>(f: impl FnOnce(&Core) -> R) -> Option<R> {
    current::with(f)
}

/// Call `f` with the core that runs on this thread.
#[inline]
pub(crate) fn with<R>(f: impl FnOnce(&Core) -> R) -> Result<R> {
    current::with(f).ok_or(Error::NoRuntime)
}

/// The core that runs on this thread.
pub(crate) fn current() -> Result<Rc<Core>> {
    current::rc().ok_or(Error::NoRuntime)
}
