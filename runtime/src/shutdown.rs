//! Graceful shutdown: tell everybody, let them finish, then abort who is left.
//!
//! ```text
//!  begin() ──► every `begun().await` is ready ──► tasks finish what they have begun ──► drain(limit) returns
//!                                                                          │ limit passed
//!                                                                          └──► the rest are aborted, then drain returns
//! ```
//!
//! ```
//! use std::time::Duration;
//! use hemi::{shutdown, spawn, time::sleep};
//!
//! # hemi::Runtime::builder().simulated(1).build()?.block_on(async {
//! spawn(async {
//!     shutdown::begun().await;
//!     sleep(Duration::from_millis(50)).await; // send the last answers
//! });
//! spawn(std::future::pending::<()>()); // never finishes
//!
//! let drained = shutdown::drain(Duration::from_secs(1)).await;
//! assert_eq!((drained.finished, drained.aborted), (1, 1));
//! # });
//! # Ok::<(), hemi::Error>(())
//! ```
//!
//! All cores of one [`Builder::run`](crate::Builder::run) share one shutdown.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use hemi_queue::Error;
use slab::Slab;

use crate::{
    context,
    time::{now, sleep_until},
};

/// How often a drain counts who is left.
const LOOK: Duration = Duration::from_millis(1);

/// The shutdown of one runtime (all its cores): begin it, or wait for it, on any thread.
#[derive(Clone)]
pub struct Token(Arc<Shared>);

struct Shared {
    begun: AtomicBool,
    waiting: Mutex<Slab<Waker>>,
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Slab<Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Token {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Shared { begun: AtomicBool::new(false), waiting: Mutex::new(Slab::new()) }))
    }

    /// Begin the shutdown. Beginning twice is beginning once.
    pub fn begin(&self) {
        if !self.0.begun.swap(true, Ordering::AcqRel) {
            let waiting = std::mem::take(&mut *self.0.waiting());
            for (_, waker) in waiting {
                waker.wake();
            }
        }
    }

    /// Whether it has begun.
    pub fn is_begun(&self) -> bool {
        self.0.begun.load(Ordering::Acquire)
    }

    /// Wait until it begins. Cancel-safe.
    pub fn begun(&self) -> Begun {
        Begun { token: self.clone(), key: None }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("begun", &self.is_begun()).finish()
    }
}

/// The future of [`begun`]: ready when the shutdown begins.
#[derive(Debug)]
#[must_use = "waits only when awaited"]
pub struct Begun {
    token: Token,
    key: Option<usize>,
}

impl Future for Begun {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut waiting = this.token.0.waiting();
        // Asked under the lock: `begin` sets it first and takes the list afterwards.
        if this.token.is_begun() {
            this.key = None;
            return Poll::Ready(());
        }
        match this.key {
            Some(key) => waiting[key].clone_from(cx.waker()),
            None => this.key = Some(waiting.insert(cx.waker().clone())),
        }
        Poll::Pending
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let waker = self.token.0.waiting().try_remove(key);
            drop(waker);
        }
    }
}

/// The shutdown of this thread's runtime; may be sent anywhere.
///
/// # Panics
/// When no runtime runs on this thread.
#[track_caller]
pub fn token() -> Token {
    context::with(|core| core.shutdown.clone()).unwrap_or_else(|e| panic!("hemi::shutdown: {e}"))
}

/// Begin the shutdown of this thread's runtime.
///
/// # Panics
/// When no runtime runs on this thread.
#[track_caller]
pub fn begin() {
    token().begin();
}

/// Wait until the shutdown of this thread's runtime begins. Cancel-safe: made for a `select!` beside `accept`.
///
/// # Panics
/// When no runtime runs on this thread.
#[track_caller]
pub fn begun() -> Begun {
    token().begun()
}

/// What became of the tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Ended by themselves.
    pub finished: usize,
    /// Had to be aborted.
    pub aborted: usize,
}

/// Begin the shutdown, wait until all tasks of this core have ended, at most for `limit`, and abort those that have not.
///
/// The caller and the root future of `block_on` are not counted, nor are the runtime's own tasks.
///
/// # Panics
/// When no runtime runs on this thread.
pub async fn drain(limit: Duration) -> Drained {
    begin();
    let deadline = now() + limit;
    let begun_with = others().await;
    loop {
        let left = others().await;
        if left == 0 || now() >= deadline {
            break;
        }
        sleep_until((now() + LOOK).min(deadline)).await;
    }
    let aborted = poll_fn(|cx| Poll::Ready(on_core(|core| core.exec.abort_others(cx.waker())))).await;
    while others().await > 0 {
        crate::yield_now().await; // aborted tasks are dropped when their turn comes
    }
    Drained { finished: begun_with.saturating_sub(aborted), aborted }
}

async fn others() -> usize {
    poll_fn(|cx| Poll::Ready(on_core(|core| core.exec.count_others(cx.waker())))).await
}

fn on_core<R>(f: impl FnOnce(&context::Core) -> R) -> R {
    context::with(f).unwrap_or_else(|e: Error| panic!("hemi::shutdown: {e}"))
}
