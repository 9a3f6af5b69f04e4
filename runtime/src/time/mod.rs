//! The turn's clock, and timers on a timing wheel.
//!
//! [`now`] is the reading that the turn began with: the same for every task of one batch, virtual in simulation. What is
//! relative to it ([`sleep`], [`timeout`]) is armed from the *next* reading, after the batch, so that nothing fires
//! early even when a task ran long. Resolution is the clock's; how late a timer fires is decided by how long
//! batches take and how precisely the system ends a sleep (50 µs, typically).
//!
//! ```
//! use std::time::Duration;
//! use hemi::time::{now, sleep, timeout};
//!
//! # hemi::Runtime::builder().simulated(1).build()?.block_on(async {
//! let begin = now();
//! sleep(Duration::from_secs(3600)).await; // an hour, in virtual time
//! assert_eq!(now() - begin, Duration::from_secs(3600));
//!
//! let never = std::future::pending::<()>();
//! assert!(timeout(Duration::from_millis(20), never).await.is_err());
//! # });
//! # Ok::<(), hemi::Error>(())
//! ```

mod interval;
mod sleep;
mod timeout;

pub use std::time::Duration;

pub use hemi_queue::time::Instant;
pub use interval::{Interval, MissedTick, interval, interval_at};
pub use sleep::{Sleep, sleep, sleep_until};
pub use timeout::{Elapsed, Timeout, timeout, timeout_at};

use crate::context::{self, Core};

/// The clock of this turn.
///
/// # Panics
/// When no runtime runs on this thread.
#[inline]
#[track_caller]
pub fn now() -> Instant {
    match context::with(Core::now) {
        Ok(now) => now,
        Err(e) => panic!("hemi::time::now: {e}"),
    }
}
