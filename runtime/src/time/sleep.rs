//! [`sleep`] and [`sleep_until`].

use std::{
    fmt,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use hemi_queue::{time::Instant, wheel::Key};

use super::Timers;
use crate::context;

/// Wait for `duration`, counted from this call: never less, by the system's clock.
///
/// Cancel-safe: a dropped sleep leaves nothing behind.
///
/// # Panics
/// When no runtime runs on this thread.
#[inline]
#[track_caller]
pub fn sleep(duration: Duration) -> Sleep {
    Sleep::new(|timers| timers.arm_after(duration))
}

/// Wait until `deadline`. One that has passed is ready after one turn.
///
/// # Panics
/// When no runtime runs on this thread.
#[inline]
#[track_caller]
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep::new(|timers| timers.arm_at(deadline))
}

/// The future of [`sleep`] and [`sleep_until`]. Armed when it is made, disarmed when it is dropped.
#[must_use = "a sleep does nothing until it is awaited"]
pub struct Sleep {
    timers: Rc<Timers>,
    key: Key,
}

impl Sleep {
    #[inline]
    #[track_caller]
    fn new(arm: impl FnOnce(&Timers) -> Key) -> Self {
        match context::with(|core| Rc::clone(&core.timers)) {
            Ok(timers) => Self { key: arm(&timers), timers },
            Err(e) => panic!("hemi::time::sleep: {e}"),
        }
    }

    /// When it fires; `None` when it has. Made by [`sleep`] in this same batch, the answer is still an estimate.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.deadline(self.key)
    }

    /// Whether it has fired.
    pub fn is_elapsed(&self) -> bool {
        self.deadline().is_none()
    }

    /// The clock that it goes by.
    pub(super) fn clock(&self) -> Instant {
        self.timers.now()
    }

    /// Wait until `deadline` instead, whether it has fired or not.
    pub fn reset(&mut self, deadline: Instant) {
        self.timers.cancel(self.key);
        self.key = self.timers.arm_at(deadline);
    }
}

impl Future for Sleep {
    type Output = ();

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.timers.poll(self.key, cx)
    }
}

impl Drop for Sleep {
    #[inline]
    fn drop(&mut self) {
        self.timers.cancel(self.key);
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("deadline", &self.deadline()).finish()
    }
}
