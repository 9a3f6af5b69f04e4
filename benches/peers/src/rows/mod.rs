//! The micro rows: what is done, per runtime, between two readings of the clock.
//!
//! Each function runs a fixed warm-up, then `ops` operations, and returns how long those took. The
//! warm-up does not depend on `ops`, so that `Ir(3N) - Ir(N)` counts `2N` operations and nothing else.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

pub mod net;
pub mod queue;
pub mod spawn;
pub mod timer;
pub mod tokens;
pub mod wake;
pub mod yielding;

/// Operations before the clock is started.
pub const WARM_UP: u64 = 2_000;

/// Wakes itself and comes back on the task's next turn. The harness's own rather than each runtime's
/// `yield_now`: some of those defer behind a poll of the driver, which is another thing to measure.
pub struct Yield {
    yielded: bool,
}

/// One trip through the executor's ready queue.
pub fn yield_once() -> Yield {
    Yield { yielded: false }
}

impl Future for Yield {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Polls `future` once and forgets what it said: arms a timer without waiting for it.
pub async fn poll_once<F: Future>(mut future: Pin<&mut F>) {
    poll_fn(|cx| {
        let _ = future.as_mut().poll(cx);
        Poll::Ready(())
    })
    .await;
}
