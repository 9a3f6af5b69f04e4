//! Virtual time, as packetdrill's threads see it.
//!
//! It moves when packetdrill sleeps or waits for a packet, and by a microsecond whenever it asks what time it is: packetdrill spins on
//! the clock for the last microseconds before an event, and with a clock that stood still it would spin forever.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use hemi_queue::time::Instant;

/// The time of day at which the world begins: any; scripts use differences only.
const EPOCH: Duration = Duration::from_secs(1_700_000_000);

thread_local! {
    /// When the call ended that this thread waited in. Meanwhile the clock may have moved on, but not for this thread.
    static WOKEN_AT: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The clock that both sides share.
#[derive(Debug)]
pub(crate) struct Clock(AtomicU64);

impl Clock {
    pub(crate) fn new(start: Instant) -> Self {
        Self(AtomicU64::new(start.as_nanos()))
    }

    /// The time, without moving it.
    pub(crate) fn now(&self) -> Instant {
        Instant::from_nanos(self.0.load(Ordering::Acquire))
    }

    /// The time, and a microsecond passes.
    pub(crate) fn tick(&self) -> Instant {
        if let Some(at) = WOKEN_AT.take() {
            return at;
        }
        Instant::from_nanos(self.0.fetch_add(1_000, Ordering::AcqRel))
    }

    /// It is `at` at least.
    pub(crate) fn reach(&self, at: Instant) {
        self.0.fetch_max(at.as_nanos(), Ordering::AcqRel);
    }

    /// The next time that this thread asks, it is `at`: the call that it waited in ended then.
    pub(crate) fn woken_at(at: Instant) {
        WOKEN_AT.set(Some(at));
    }
}

/// As the time of day.
pub(crate) fn time_of_day(at: Instant) -> Duration {
    EPOCH + Duration::from_nanos(at.as_nanos())
}
