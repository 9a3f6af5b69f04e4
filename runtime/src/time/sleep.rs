//! [`sleep`] and [`sleep_until`].

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use hemi_queue::{Error, time::Instant};

use crate::{
    context,
    exec::{Alarm, Alarms},
};

/// Wait for `duration`, counted from this call: never less, by the system's clock.
///
/// Cancel-safe: a dropped sleep leaves nothing behind.
///
/// # Panics
/// When no runtime runs on this thread.
#[inline(always)]
#[track_caller]
pub fn sleep(duration: Duration) -> Sleep {
    Sleep::new(|alarms| alarms.after(duration))
}

/// Wait until `deadline`. One that has passed is ready after one turn.
///
/// # Panics
/// When no runtime runs on this thread.
#[inline]
#[track_caller]
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep::new(|alarms| alarms.at(deadline))
}

/// The future of [`sleep`] and [`sleep_until`]. Armed when it is made, disarmed when it is dropped.
#[must_use = "a sleep does nothing until it is awaited"]
pub struct Sleep(Alarm);

impl Sleep {
    #[inline(always)]
    #[track_caller]
    fn new(make: impl FnOnce(&Alarms) -> Alarm) -> Self {
        match context::try_with(|core| make(&core.alarms)) {
            Some(alarm) => Self(alarm),
            None => no_runtime(),
        }
    }

    /// When it fires; `None` when it has. Made by [`sleep`] in this same batch, the answer is still an estimate.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.deadline()
    }

    /// Whether it has fired.
    pub fn is_elapsed(&self) -> bool {
        self.deadline().is_none()
    }

    /// The clock that it goes by.
    pub(super) fn clock(&self) -> Instant {
        self.0.clock()
    }

    /// Wait until `deadline` instead, whether it has fired or not.
    pub fn reset(&mut self, deadline: Instant) {
        self.0.reset(deadline);
    }
}

#[cold]
#[inline(never)]
#[track_caller]
fn no_runtime() -> ! {
    panic!("hemi::time::sleep: {}", Error::NoRuntime)
}

impl Future for Sleep {
    type Output = ();

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll(cx.waker())
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("deadline", &self.deadline()).finish()
    }
}
