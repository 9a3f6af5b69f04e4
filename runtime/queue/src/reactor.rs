//! [`Reactor`]: what the executor polls once per turn.

use std::os::fd::RawFd;

use crate::time::Instant;

/// What one poll of a reactor achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing happened.
    Idle,
    /// Something completed, or the burst was full and more may be waiting: poll again before idling.
    Busy,
}

/// How a reactor can wake a parked core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wakeup {
    /// Its operations are on the core's own io_uring or epoll (`hemi-park`): parking sees them by itself.
    Core,
    /// This descriptor becomes readable.
    Fd(RawFd),
    /// It cannot: the core spins, or parks no longer than this many microseconds at a time.
    Never {
        /// The longest park in microseconds while this reactor is open.
        at_most_us: u32,
    },
}

/// A device or transport, polled once per turn by the executor of its core.
///
/// # How it is driven
/// Once per turn: `poll(now)`, a bounded burst of work, which wakes the tasks whose operations completed. Before the
/// core parks: [`deadline`](Self::deadline) of all reactors is taken into account, then
/// [`prepare_park`](Self::prepare_park); if every reactor agrees, the core sleeps until a [`Wakeup`], a deadline or
/// a wake from another thread. Methods take `&self`: a reactor shares its state with the queues it gave out.
pub trait Reactor {
    /// Do one burst of work at time `now`. Must not block and must not allocate in steady state.
    fn poll(&self, now: Instant) -> Progress;

    /// When `poll` must be called next even if no event arrives.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// How this reactor wakes a parked core.
    fn wakeup(&self) -> Wakeup;

    /// What it waits for right now is done by a thread of this machine, in the kernel or not, which a spinning core may keep from
    /// running: rather sleep than spin.
    fn yields_core(&self) -> bool {
        false
    }

    /// The core is about to sleep: arm interrupts, flush what was deferred. `Busy` vetoes the sleep.
    fn prepare_park(&self) -> Progress {
        Progress::Idle
    }

    /// The core slept and is awake again: a reactor that armed something only for the sleep can undo it.
    fn unpark(&self) {}

    /// The runtime shuts down: stop accepting new work, begin to cancel what is in flight. Called once, then
    /// `poll` until [`is_quiet`](Self::is_quiet).
    fn shutdown(&self) {}

    /// The runtime on this core is shut down and quiet. True while programs on other cores go on, to whom what arrives here may belong: the
    /// reactor is then polled for their sake, and asked again before each time.
    fn stands_by(&self) -> bool {
        false
    }

    /// Whether nothing is in flight any more, so that memory lent to the device has come back.
    fn is_quiet(&self) -> bool {
        true
    }
}
