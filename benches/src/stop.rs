//! How the lab ends a server: a flag for those that poll, a future for those that wait.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// Shared by the lab, which sets it once, and a server, which ends when it is set. Busy loops look at
/// [`is_set`](Stop::is_set); an async server awaits the `Stop` itself beside its accept loop.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    set: AtomicBool,
    waiter: Mutex<Option<Waker>>,
}

impl Stop {
    /// Asks the server to end, and wakes it if it waits.
    pub fn set(&self) {
        self.shared.set.store(true, Ordering::Release);
        let waiter = self.shared.waiter.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waiter {
            waker.wake();
        }
    }

    /// Whether the server should end.
    pub fn is_set(&self) -> bool {
        self.shared.set.load(Ordering::Acquire)
    }
}

/// Completes once the flag is set. The last task that polled it is the one woken.
impl Future for Stop {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut waiter = self.shared.waiter.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock: `set` stores first and locks afterwards, so one of the two sees the other.
        if self.is_set() {
            return Poll::Ready(());
        }
        *waiter = Some(cx.waker().clone());
        Poll::Pending
    }
}
