//! Queues between cores: bounded, lock-free, for `Send` items, with the `push` and `pop` of every other queue.
//!
//! ```
//! use hemi::{Pop, Push, Runtime};
//!
//! let mut numbers = hemi::cross::queue::<u32>(16);
//! let mut there = numbers.clone();
//! let thread = std::thread::spawn(move || {
//!     Runtime::builder().build()?.block_on(async {
//!         for i in 0..100_u32 {
//!             there.push(i).await?;
//!         }
//!         there.close();
//!         Ok::<(), hemi::Error>(())
//!     })
//! });
//! let sum = Runtime::builder().build()?.block_on(async {
//!     let mut sum = 0;
//!     while let Some(i) = numbers.pop().await? {
//!         sum += i;
//!     }
//!     Ok::<u32, hemi::Error>(sum)
//! })?;
//! assert_eq!(sum, 4950);
//! # thread.join().unwrap()?;
//! # Ok::<(), hemi::Error>(())
//! ```

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use hemi_queue::{Error, Pop, Push, PushError, Result, Ticket};

use crate::exec::cross::{Seat, Shared};

/// A queue between cores that holds `capacity` items (at least one) and then makes pushers wait.
pub fn queue<T: Send>(capacity: usize) -> CrossQueue<T> {
    CrossQueue::of(Arc::new(Shared::new(capacity)))
}

/// One end of a queue between cores; all ends are alike, and may be cloned and sent anywhere.
///
/// Items of one pusher arrive in order. It ends for all when anyone calls [`close`](Self::close): pushes are refused,
/// pops give what is left and then `None`.
///
/// A push that waits has been accepted: at most twice the capacity is held, beyond which a push is refused
/// ([`Error::Busy`]).
///
/// Cancel-safe in both directions: an item is taken only when it is returned.
pub struct CrossQueue<T: Send> {
    shared: Arc<Shared<T>>,
    popping: Seat,
    pushing: Seat,
}

impl<T: Send> CrossQueue<T> {
    fn of(shared: Arc<Shared<T>>) -> Self {
        Self { shared, popping: Seat::default(), pushing: Seat::default() }
    }

    /// End the queue: no more pushes, and `None` after what is in it.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Take an item if one is there.
    pub fn try_pop(&self) -> Option<T> {
        self.shared.pop()
    }

    /// How many items are in it, as far as one thread can know.
    pub fn len(&self) -> usize {
        self.shared.len()
    }

    /// Whether it holds nothing, as far as one thread can know.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let shared = &self.shared;
        shared
            .pushers
            .poll(&mut self.pushing, cx, || (shared.is_closed() || shared.has_room()).then_some(Ok(())))
    }
}

impl<T: Send> Clone for CrossQueue<T> {
    fn clone(&self) -> Self {
        Self::of(Arc::clone(&self.shared))
    }
}

impl<T: Send> Pop for CrossQueue<T> {
    type Unit = T;

    fn poll_pop(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<T>>> {
        let shared = &self.shared;
        shared.poppers.poll(&mut self.popping, cx, || match shared.pop() {
            Some(item) => Some(Ok(Some(item))),
            // Closed is asked before the second look: what was pushed before the close is seen by it.
            None if shared.is_closed() => Some(Ok(shared.pop())),
            None => None,
        })
    }
}

impl<T: Send> Push for CrossQueue<T> {
    type Unit = T;
    type Receipt = ();

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if self.shared.is_closed() {
            return Poll::Ready(Err(Error::Closed));
        }
        self.poll_room(cx)
    }

    fn start_push(&mut self, item: T) -> Result<Ticket, PushError<T>> {
        if self.shared.is_closed() {
            return Err(PushError::new(Error::Closed, item));
        }
        match self.shared.push(item) {
            Ok(()) => Ok(Ticket::default()),
            Err(item) => Err(PushError::new(Error::Busy, item)),
        }
    }

    fn poll_pushed(&mut self, _: Ticket, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_room(cx)
    }
}

impl<T: Send> Drop for CrossQueue<T> {
    fn drop(&mut self) {
        self.shared.poppers.leave(&mut self.popping);
        self.shared.pushers.leave(&mut self.pushing);
    }
}

impl<T: Send> fmt::Debug for CrossQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CrossQueue").field("len", &self.len()).finish_non_exhaustive()
    }
}
