//! [`queue()`]: a queue inside the program.
//!
//! One object with both ends: every clone pushes and pops. It is made for the tasks of one core (`!Send`); between cores
//! use the cross-core queue. What costs nothing is in `hot.rs`, the
//! rules for all else in `state.rs`, the two futures in `futures.rs`.
//!
//! It deliberately has no notion of "all senders are gone": every handle is both. Say [`close`](Queue::close).

mod futures;
mod hot;
mod state;

#[cfg(test)]
mod tests;

use std::{
    cell::Cell,
    fmt,
    rc::Rc,
    task::{Context, Poll, Waker},
};

pub use futures::{PopFuture, PushFuture};
use hemi_queue::{Error, Pop, Push, PushError, Result, Ticket};
use state::Shared;

/// A queue in memory that holds `capacity` units (at least one).
///
/// ```
/// # use futures::executor::block_on;
/// let queue = hemi::queue::<u32>(2);
/// block_on(async {
///     let other = queue.clone();
///     queue.push(1).await?;
///     other.push(2).await?;
///     assert!(queue.try_push(3).is_err()); // full
///     assert_eq!(other.pop().await?, Some(1));
///     queue.close();
///     assert_eq!(queue.pop().await?, Some(2)); // what was there drains
///     assert_eq!(queue.pop().await?, None);
///     Ok::<(), hemi::Error>(())
/// })?;
/// # Ok::<(), hemi::Error>(())
/// ```
pub fn queue<T>(capacity: usize) -> Queue<T> {
    Queue::with_limit(u64::try_from(capacity).unwrap_or(state::UNBOUNDED).clamp(1, state::UNBOUNDED))
}

/// A queue in memory without a bound: a push completes at once. The program must bound it by other means.
///
/// ```
/// let queue = hemi::queue_unbounded();
/// for n in 0..1000 {
///     queue.try_push(n)?;
/// }
/// assert_eq!((queue.len(), queue.try_pop()), (1000, Some(0)));
/// # Ok::<(), hemi::Error>(())
/// ```
pub fn queue_unbounded<T>() -> Queue<T> {
    Queue::with_limit(state::UNBOUNDED)
}

/// A handle to a queue in memory; clones are handles to the same queue.
///
/// # Order and fairness
/// Units are popped in the order they were pushed. Waiting pops are served in the order they began to wait, and a pop
/// that comes later cannot overtake them; pushes complete in the order their units were accepted.
///
/// # Back-pressure
/// A push hands its unit over at once and completes as soon as the unit is among the first `capacity` in the queue. So a
/// queue holds `capacity` units and one more for each pusher that waits. A push future dropped while it waits is
/// *not* retracted; when `capacity` such abandoned units have piled up on top, further pushes are refused with
/// [`Error::Busy`] until a pop.
///
/// # Cancel safety
/// Dropping a [`pop`](Self::pop) future gives its place in the line to the next; no unit is lost. The trait method
/// [`Pop::poll_pop`] keeps the place in the handle until that handle pops or is dropped; once woken it may be overtaken, so
/// that a handle which does something else holds no unit back. [`Push::poll_ready`] keeps the room that it waited for.
pub struct Queue<T> {
    shared: Rc<Shared<T>>,
    /// This handle's place in the line of pops (trait path); 0 is none.
    place: Cell<u64>,
    /// The number that `poll_ready` has reserved for this handle's next push (trait path).
    reserved: Cell<Option<u64>>,
    /// The push that this handle waits for (trait path).
    pushing: Cell<Option<u64>>,
}

impl<T> Queue<T> {
    fn with_limit(capacity: u64) -> Self {
        Self::handle(Rc::new(Shared::new(capacity)))
    }

    /// The push `number` of this handle is waited for no longer.
    #[cold]
    fn abandon(&self, number: u64) {
        let mut state = self.shared.lock();
        state.neglect();
        let waker = state.stop_waiting(number);
        drop(state);
        drop(waker); // outside of the borrow: a waker's drop may run anything
    }

    #[cold]
    #[inline(never)]
    fn start_push_slow(&self, unit: T) -> Result<Ticket, PushError<T>> {
        if let Some(number) = self.pushing.take() {
            self.abandon(number);
        }
        let mut state = self.shared.lock();
        if state.is_closed() {
            return Err(PushError::new(Error::Closed, unit));
        }
        let (number, popper) = match self.reserved.get() {
            Some(number) => (number, state.append_reserved(unit)),
            None if state.is_overfull() => return Err(PushError::new(Error::Busy, unit)),
            None => state.append(unit),
        };
        self.reserved.set(None);
        let replaced = state.stop_waiting(number);
        drop(state);
        drop(replaced);
        self.shared.wake(popper);
        Ok(Ticket(number))
    }

    #[cold]
    #[inline(never)]
    fn poll_pushed_slow(&self, number: u64, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let mut state = self.shared.lock();
        if state.is_within(number) {
            if self.pushing.take().is_some() {
                state.neglect();
            }
            return Poll::Ready(Ok(()));
        }
        if self.pushing.replace(Some(number)).is_none() {
            state.attend();
        }
        let replaced = state.wait_for(number, cx.waker());
        drop(state);
        drop(replaced);
        Poll::Pending
    }

    fn handle(shared: Rc<Shared<T>>) -> Self {
        Self { shared, place: Cell::new(0), reserved: Cell::new(None), pushing: Cell::new(None) }
    }

    /// The next unit, `None` once the queue is closed and drained. Cancel-safe.
    #[inline(always)]
    pub fn pop(&self) -> PopFuture<'_, T> {
        PopFuture::new(self)
    }

    /// Push one unit; the future waits for room. The unit is handed over by the call itself and not retracted when the
    /// future is dropped.
    ///
    /// # Errors
    /// [`Error::Closed`] on a closed queue, [`Error::Busy`] when abandoned pushes have filled it twice over.
    #[inline(always)]
    pub fn push(&self, unit: T) -> PushFuture<'_, T> {
        PushFuture::new(self, unit)
    }

    /// Take a unit if one is there that no waiting pop has a right to. `None` says nothing about the end: see
    /// [`is_closed`](Self::is_closed).
    #[inline]
    pub fn try_pop(&self) -> Option<T> {
        let unit = self.shared.hot.take_simple();
        if unit.is_some() { unit } else { self.try_pop_slow() }
    }

    #[cold]
    #[inline(never)]
    fn try_pop_slow(&self) -> Option<T> {
        let (unit, pusher) = self.shared.lock().take_spare();
        self.shared.wake(pusher);
        unit
    }

    /// Push a unit if there is room now.
    ///
    /// # Errors
    /// [`Error::Full`] or [`Error::Closed`], with the unit.
    #[inline]
    pub fn try_push(&self, unit: T) -> Result<(), PushError<T>> {
        if self.shared.hot.push_is_simple() {
            self.shared.hot.put(unit);
            return Ok(());
        }
        self.try_push_slow(unit)
    }

    #[cold]
    #[inline(never)]
    fn try_push_slow(&self, unit: T) -> Result<(), PushError<T>> {
        let mut state = self.shared.lock();
        if state.is_closed() {
            return Err(PushError::new(Error::Closed, unit));
        }
        if !state.has_room() {
            return Err(PushError::new(Error::Full, unit));
        }
        let (_, popper) = state.append(unit);
        drop(state);
        self.shared.wake(popper);
        Ok(())
    }

    /// Close it: pushes are refused from now on, pops drain what is there and then get `None`. Idempotent.
    pub fn close(&self) {
        let wakers = self.shared.lock().close();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.shared.lock().is_closed()
    }

    /// Units in the queue, those of waiting pushers included.
    pub fn len(&self) -> usize {
        self.shared.lock().len()
    }

    /// Whether there are no units in the queue.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many units it holds before pushes wait; `None` when it has no bound.
    pub fn capacity(&self) -> Option<usize> {
        let capacity = self.shared.lock().capacity();
        (capacity != state::UNBOUNDED).then(|| usize::try_from(capacity).unwrap_or(usize::MAX))
    }

    /// Whether two handles are of the same queue.
    pub fn same_queue(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.shared, &other.shared)
    }
}

impl<T> Pop for Queue<T> {
    type Unit = T;

    #[inline]
    fn poll_pop(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<T>>> {
        futures::poll_pop(self, &self.place, true, cx).map(Ok)
    }
}

impl<T> Push for Queue<T> {
    type Unit = T;
    type Receipt = ();

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let mut state = self.shared.lock();
        if state.is_closed() {
            return Poll::Ready(Err(Error::Closed));
        }
        let number = match self.reserved.get() {
            Some(number) => number,
            None if state.has_room() => return Poll::Ready(Ok(())),
            None => state.reserve(),
        };
        self.reserved.set(Some(number));
        if state.is_within(number) {
            return Poll::Ready(Ok(()));
        }
        let _replaced = state.wait_for(number, cx.waker());
        drop(state);
        Poll::Pending
    }

    #[inline]
    fn start_push(&mut self, unit: T) -> Result<Ticket, PushError<T>> {
        if self.shared.hot.push_is_simple() && self.reserved.get().is_none() {
            let number = self.shared.hot.next();
            self.shared.hot.put(unit);
            return Ok(Ticket(number));
        }
        self.start_push_slow(unit)
    }

    #[inline]
    fn poll_pushed(&mut self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if self.pushing.get().is_none() && self.shared.lock().is_within(ticket.0) {
            return Poll::Ready(Ok(()));
        }
        self.poll_pushed_slow(ticket.0, cx)
    }

    /// Closes the queue: what was pushed drains, then pops get `None`.
    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        self.close();
        Poll::Ready(Ok(()))
    }
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self::handle(Rc::clone(&self.shared))
    }
}

impl<T> Drop for Queue<T> {
    fn drop(&mut self) {
        futures::leave_line(&self.shared, &self.place);
        if let Some(number) = self.reserved.take() {
            let mut state = self.shared.lock();
            let waker = state.stop_waiting(number);
            let wake = state.unreserve();
            drop(state);
            drop(waker);
            self.shared.wake(wake);
        }
        if let Some(number) = self.pushing.take() {
            self.abandon(number);
        }
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.lock();
        f.debug_struct("Queue")
            .field("len", &state.len())
            .field("waiting", &state.waiting())
            .field("closed", &state.is_closed())
            .finish_non_exhaustive()
    }
}
