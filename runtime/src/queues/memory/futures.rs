//! The futures of a memory queue. What can finish at once takes the short way, inlined; all else is outlined
//! (inlined slow paths cost twice the instructions per unit).
//!
//! A unit or a result that an outlined function reads or writes through a pointer lives in memory on the short way as well,
//! and is copied there. So units go in and out of outlined functions through an `Option` of their own, and all
//! else that such a function says is one word.

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
    queue: &Queue<T>,
    place: &Cell<u64>,
    kept: bool,
    cx: &mut Context<'_>,
) -> Poll<Option<T>> {
    let unit = queue.shared.hot.take_simple();
    if unit.is_some() {
        place.set(0); // it is: nobody waits. The compiler, told so, leaves out the future's drop
        return Poll::Ready(unit);
    }
    let mut unit = None;
    let at = poll_pop_in_turn(queue, place.get(), kept, cx, &mut unit);
    place.set(at);
    if at == 0 { Poll::Ready(unit) } else { Poll::Pending }
}

/// The place at which to wait; 0 when the pop is done, with `unit` or with the end.
#[cold]
#[inline(never)]
fn poll_pop_in_turn<T>(
    queue: &Queue<T>,
    place: u64,
    kept: bool,
    cx: &mut Context<'_>,
    unit: &mut Option<T>,
) -> u64 {
    let turn = queue.shared.lock().take_in_turn(place, kept, cx.waker());
    match turn {
        Turn::Taken(taken, next) => {
            *unit = taken;
            queue.shared.wake(next);
            0
        }
        Turn::Wait(at, _replaced) => at,
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
    shared.wake(next);
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
        poll_pop(self.queue, &self.place, false, cx).map(Ok)
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
        let mut unit = Some(unit);
        Self { queue, state: Self::begin_slow(queue, &mut unit) }
    }

    /// Takes the unit, or leaves it to be dropped.
    #[cold]
    #[inline(never)]
    fn begin_slow(queue: &Queue<T>, unit: &mut Option<T>) -> u64 {
        let mut s = queue.shared.lock();
        if s.is_closed() {
            return CLOSED;
        }
        if s.is_overfull() {
            return BUSY;
        }
        let Some(unit) = unit.take() else { return DONE };
        let (number, popper) = s.append(unit);
        let complete = s.is_within(number);
        if !complete {
            s.attend();
        }
        drop(s);
        queue.shared.wake(popper);
        if complete { DONE } else { number }
    }

    /// Whether the push is complete: its state as of now.
    #[cold]
    #[inline(never)]
    fn poll_slow(&mut self, cx: &mut Context<'_>) -> u64 {
        if self.state >= BUSY {
            return self.state;
        }
        let mut s = self.queue.shared.lock();
        if s.is_within(self.state) {
            self.state = DONE;
            s.neglect();
            return DONE;
        }
        let _replaced = s.wait_for(self.state, cx.waker());
        drop(s);
        self.state
    }
}

impl<T> Future for PushFuture<'_, T> {
    type Output = Result<()>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.state == DONE {
            return Poll::Ready(Ok(()));
        }
        match self.poll_slow(cx) {
            DONE => Poll::Ready(Ok(())),
            CLOSED => Poll::Ready(Err(Error::Closed)),
            BUSY => Poll::Ready(Err(Error::Busy)),
            _ => Poll::Pending,
        }
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
