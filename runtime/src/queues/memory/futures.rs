//! The futures of a memory queue. What can finish at once takes the short way, inlined; all else is outlined
//! (inlined slow paths cost twice the instructions per unit).

use std::{
    cell::Cell,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use hemi_queue::{Error, Result};

use super::{
    Queue,
    state::{Shared, Turn},
};

#[inline(always)]
pub(super) fn poll_pop<T>(
    shared: &Shared<T>,
    place: &Cell<u64>,
    kept: bool,
    cx: &mut Context<'_>,
) -> Poll<Option<T>> {
    let unit = shared.hot.take_simple();
    if unit.is_some() { Poll::Ready(unit) } else { poll_pop_in_turn(shared, place, kept, cx) }
}

#[cold]
#[inline(never)]
fn poll_pop_in_turn<T>(
    shared: &Shared<T>,
    place: &Cell<u64>,
    kept: bool,
    cx: &mut Context<'_>,
) -> Poll<Option<T>> {
    let turn = shared.lock().take_in_turn(place.get(), kept, cx.waker());
    match turn {
        Turn::Taken(unit, next) => {
            place.set(0);
            next.wake();
            Poll::Ready(unit)
        }
        Turn::Wait(at, _replaced) => {
            place.set(at);
            Poll::Pending
        }
    }
}

/// Give up a place in the line of pops, if there is one.
#[inline]
pub(super) fn leave_line<T>(shared: &Shared<T>, place: &Cell<u64>) {
    if place.get() != 0 {
        leave_line_slow(shared, place.take());
    }
}

#[cold]
#[inline(never)]
fn leave_line_slow<T>(shared: &Shared<T>, place: u64) {
    let (_mine, next) = shared.lock().leave(place);
    next.wake();
}

/// The future of [`Queue::pop`].
#[must_use = "a pop does nothing until it is awaited"]
pub struct PopFuture<'q, T> {
    queue: &'q Queue<T>,
    place: Cell<u64>,
}

impl<'q, T> PopFuture<'q, T> {
    #[inline]
    pub(super) fn new(queue: &'q Queue<T>) -> Self {
        Self { queue, place: Cell::new(0) }
    }
}

impl<T> Future for PopFuture<'_, T> {
    type Output = Result<Option<T>>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        poll_pop(&self.queue.shared, &self.place, false, cx).map(Ok)
    }
}

impl<T> Drop for PopFuture<'_, T> {
    #[inline]
    fn drop(&mut self) {
        leave_line(&self.queue.shared, &self.place);
    }
}

impl<T> fmt::Debug for PopFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PopFuture").finish_non_exhaustive()
    }
}

/// What a push future has to tell, in one word: the number that waits for room, or one of these.
const DONE: u64 = u64::MAX;
const CLOSED: u64 = u64::MAX - 1;
const BUSY: u64 = u64::MAX - 2;

/// The future of [`Queue::push`].
#[must_use = "a push tells of its completion and its errors only when it is awaited"]
pub struct PushFuture<'q, T> {
    queue: &'q Queue<T>,
    state: u64,
}

impl<'q, T> PushFuture<'q, T> {
    #[inline(always)]
    pub(super) fn new(queue: &'q Queue<T>, unit: T) -> Self {
        let hot = &queue.shared.hot;
        if hot.push_is_simple() {
            hot.put(unit);
            return Self { queue, state: DONE };
        }
        Self { queue, state: Self::begin_slow(queue, unit) }
    }

    #[cold]
    #[inline(never)]
    fn begin_slow(queue: &Queue<T>, unit: T) -> u64 {
        let mut s = queue.shared.lock();
        if s.is_closed() {
            return CLOSED;
        }
        if s.is_overfull() {
            return BUSY;
        }
        let (number, popper) = s.append(unit);
        let complete = s.is_within(number);
        if !complete {
            s.attend();
        }
        drop(s);
        popper.wake();
        if complete { DONE } else { number }
    }

    #[cold]
    #[inline(never)]
    fn poll_slow(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match self.state {
            CLOSED => return Poll::Ready(Err(Error::Closed)),
            BUSY => return Poll::Ready(Err(Error::Busy)),
            _ => {}
        }
        let mut s = self.queue.shared.lock();
        if s.is_within(self.state) {
            self.state = DONE;
            s.neglect();
            return Poll::Ready(Ok(()));
        }
        let _replaced = s.wait_for(self.state, cx.waker());
        drop(s);
        Poll::Pending
    }
}

impl<T> Future for PushFuture<'_, T> {
    type Output = Result<()>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.state == DONE { Poll::Ready(Ok(())) } else { self.poll_slow(cx) }
    }
}

impl<T> Drop for PushFuture<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.state < BUSY {
            self.queue.abandon(self.state);
        }
    }
}

impl<T> fmt::Debug for PushFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushFuture").finish_non_exhaustive()
    }
}
