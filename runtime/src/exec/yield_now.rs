//! [`yield_now`]: let the others run.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// Go to the end of the ready list once: every task that is queued now is polled before this one goes on, and devices
/// are served in between as always.
///
/// ```
/// # hemi::Runtime::builder().build()?.block_on(async {
/// for _ in 0..1000 {
///     hemi::yield_now().await; // in the middle of a long computation
/// }
/// # });
/// # Ok::<(), hemi::Error>(())
/// ```
#[inline]
pub fn yield_now() -> YieldNow {
    YieldNow { yielded: false }
}

/// The future of [`yield_now`].
#[derive(Debug)]
#[must_use = "a yield does nothing until it is awaited"]
pub struct YieldNow {
    yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
