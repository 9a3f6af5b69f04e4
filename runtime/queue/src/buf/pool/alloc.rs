//! Back-pressure of memory: the future of [`Pool::alloc`], and who waits for which class.
//!
//! ```text
//!            poll: nothing free             a buffer of a class that fits comes home
//!   (new) ────────────────────► waiting ───────────────────────────────────────────► notified
//!     │                          ▲  │ dropped: leaves                                  │  │ dropped: passes it on
//!     │                          │  ▼                                                  │  ▼
//!     │                          └──── poll: somebody was faster (keeps its turn) ─────┤
//!     └──────────────────────────────► done ◄──────────────────────────────────────────┘ poll: takes it
//! ```
//!
//! One buffer wakes one waiter, the one that waits longest of those that it fits, so that ten thousand waiters cost no
//! more than one. Whoever leaves looks whether a buffer is left for the next.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use super::{AllocError, MAX_CLASSES, Pool};
use crate::BufMut;

/// The future of [`Pool::alloc`].
#[must_use = "an allocation does nothing until it is awaited"]
#[derive(Debug)]
pub struct Alloc {
    pool: Pool,
    len: usize,
    /// The turn among the waiters, kept until the end. In the queue, or notified when it is not there.
    ticket: Option<Ticket>,
}

#[derive(Clone, Copy, Debug)]
struct Ticket {
    class: usize,
    number: u64,
}

impl Alloc {
    pub(super) fn new(pool: Pool, len: usize) -> Self {
        Self { pool, len, ticket: None }
    }

    fn leave(&mut self) {
        if let Some(ticket) = self.ticket.take()
            && !self.pool.inner.waiters.remove(ticket)
        {
            self.pool.inner.wake_all_that_fit();
        }
    }
}

impl Future for Alloc {
    type Output = Result<BufMut, AllocError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let answer = this.pool.try_alloc(this.len);
        let inner = &this.pool.inner;
        if let Err(AllocError::Drained { .. }) = answer
            && let Some(class) = inner.class_for(this.len)
        {
            let ticket = *this.ticket.get_or_insert_with(|| inner.waiters.ticket(class));
            inner.waiters.insert(ticket, cx.waker());
            inner.attention.set(true);
            return Poll::Pending;
        }
        this.leave();
        Poll::Ready(answer)
    }
}

impl Drop for Alloc {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The waiting allocations of a pool, oldest first, by class.
#[derive(Default)]
pub(super) struct Waiters {
    tickets: Cell<u64>,
    by_class: RefCell<[BTreeMap<u64, Waker>; MAX_CLASSES]>,
}

impl Waiters {
    fn ticket(&self, class: usize) -> Ticket {
        let number = self.tickets.get();
        self.tickets.set(number + 1);
        Ticket { class, number }
    }

    // Wakers are cloned, dropped and woken outside of the borrow: they may run anything, this module included.

    fn insert(&self, ticket: Ticket, waker: &Waker) {
        let waker = waker.clone();
        let old = self.by_class.borrow_mut()[ticket.class].insert(ticket.number, waker);
        drop(old);
    }

    /// Whether it was there.
    fn remove(&self, ticket: Ticket) -> bool {
        let waker = self.by_class.borrow_mut()[ticket.class].remove(&ticket.number);
        waker.is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_class.borrow().iter().all(BTreeMap::is_empty)
    }

    /// Take out the longest waiter among those of class `largest` and smaller.
    pub(super) fn oldest(&self, largest: usize) -> Option<Waker> {
        let mut by_class = self.by_class.borrow_mut();
        by_class[..=largest]
            .iter_mut()
            .filter(|queue| !queue.is_empty())
            .min_by_key(|queue| queue.first_key_value().map(|(&number, _)| number))?
            .pop_first()
            .map(|(_, waker)| waker)
    }
}
