//! [`timeout`] and [`timeout_at`].

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use hemi_queue::{Error, time::Instant};
use pin_project::pin_project;

use super::{Sleep, sleep, sleep_until};

/// Run `future` for at most `duration`, counted from the first poll. A future that is ready at its first poll takes no
/// timer at all; one that is ready when the time is up wins.
///
/// As cancel-safe as `future`, which is dropped with the `Timeout`.
///
/// ```
/// use std::time::Duration;
/// use hemi::time::{sleep, timeout};
///
/// # hemi::Runtime::builder().simulated(1).build()?.block_on(async {
/// let slow = sleep(Duration::from_secs(5));
/// assert!(timeout(Duration::from_secs(1), slow).await.is_err());
/// assert_eq!(timeout(Duration::from_secs(1), async { 7 }).await, Ok(7));
/// # });
/// # Ok::<(), hemi::Error>(())
/// ```
pub fn timeout<F: Future>(duration: Duration, future: F) -> Timeout<F> {
    Timeout { future, limit: Limit::After(duration) }
}

/// Run `future` until `deadline` at most.
pub fn timeout_at<F: Future>(deadline: Instant, future: F) -> Timeout<F> {
    Timeout { future, limit: Limit::At(deadline) }
}

/// The future of [`timeout`] and [`timeout_at`].
#[pin_project]
#[derive(Debug)]
#[must_use = "a timeout does nothing until it is awaited"]
pub struct Timeout<F> {
    #[pin]
    future: F,
    limit: Limit,
}

#[derive(Debug)]
enum Limit {
    After(Duration),
    At(Instant),
    Armed(Sleep),
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    /// # Panics
    /// When polled for the first time on a thread without a runtime.
    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        let sleep = match this.limit {
            Limit::Armed(armed) => armed,
            limit => {
                *limit = Limit::Armed(match *limit {
                    Limit::At(deadline) => sleep_until(deadline),
                    Limit::After(duration) => sleep(duration),
                    Limit::Armed(_) => unreachable!("matched above"),
                });
                let Limit::Armed(armed) = limit else { unreachable!("set above") };
                armed
            }
        };
        Pin::new(sleep).poll(cx).map(|()| Err(Elapsed(())))
    }
}

/// The time was up first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the time limit passed")]
pub struct Elapsed(());

impl From<Elapsed> for Error {
    fn from(_: Elapsed) -> Self {
        Self::TimedOut("the operation")
    }
}
