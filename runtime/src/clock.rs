//! The clock of one core, read once per turn.

use std::{cell::Cell, time};

use hemi_queue::time::Instant;

/// Where a core's time comes from.
pub(crate) enum Clock {
    /// The system's monotonic clock, since the runtime was made.
    Real(time::Instant),
    /// Stands still until everything has been done, then jumps to the next deadline.
    Virtual(VirtualClock),
}

impl Clock {
    pub(crate) fn real() -> Self {
        Self::Real(time::Instant::now())
    }

    pub(crate) fn simulated() -> Self {
        Self::Virtual(VirtualClock(Cell::new(Instant::ZERO)))
    }

    /// The time now. Never goes back.
    #[inline]
    pub(crate) fn read(&self) -> Instant {
        match self {
            Self::Real(epoch) => Instant::from_nanos(epoch.elapsed().as_nanos() as u64),
            Self::Virtual(clock) => clock.0.get(),
        }
    }

    /// The virtual clock, if this is one.
    #[inline]
    pub(crate) fn as_virtual(&self) -> Option<&VirtualClock> {
        match self {
            Self::Virtual(clock) => Some(clock),
            Self::Real(_) => None,
        }
    }
}

/// Time that is only a number.
pub(crate) struct VirtualClock(Cell<Instant>);

impl VirtualClock {
    /// Jump to `instant`, unless that is in the past.
    pub(crate) fn advance_to(&self, instant: Instant) {
        self.0.set(self.0.get().max(instant));
    }
}
