//! [`PushReserved`]: room first, then the push.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use hemi_queue::{Error, Push, Result, Ticket};

/// A push to several queues: waits until every one has room, hands the unit to all in the same poll, and
/// waits until all have completed.
///
/// Dropping it never retracts the push: a unit that still waits for room is then handed over without it, which the
/// queues take up to twice their limits.
#[must_use = "a push does nothing until it is awaited"]
pub struct PushReserved<'q, Q: Push> {
    queue: &'q mut Q,
    state: State<Q::Unit>,
}

enum State<U> {
    /// Never polled: dropping it pushes nothing, as with every future.
    New(U),
    Reserving(U),
    Sent(Ticket),
    Done,
}

impl<'q, Q: Push> PushReserved<'q, Q> {
    pub(super) fn new(queue: &'q mut Q, unit: Q::Unit) -> Self {
        Self { queue, state: State::New(unit) }
    }
}

// The unit is only ever moved out whole, never pinned.
impl<Q: Push> Unpin for PushReserved<'_, Q> {}

impl<Q: Push> Future for PushReserved<'_, Q> {
    type Output = Result<Q::Receipt>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let ticket = match std::mem::replace(&mut this.state, State::Done) {
            State::New(unit) | State::Reserving(unit) => match this.queue.poll_ready(cx) {
                Poll::Pending => {
                    this.state = State::Reserving(unit);
                    return Poll::Pending;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) => this.queue.start_push(unit)?,
            },
            State::Sent(ticket) => ticket,
            State::Done => return Poll::Ready(Err(Error::StaleToken)),
        };
        this.state = State::Sent(ticket);
        let receipt = ready!(this.queue.poll_pushed(ticket, cx));
        this.state = State::Done;
        Poll::Ready(receipt)
    }
}

impl<Q: Push> Drop for PushReserved<'_, Q> {
    fn drop(&mut self) {
        if let State::Reserving(unit) = std::mem::replace(&mut self.state, State::Done)
            && let Err(refused) = self.queue.start_push(unit)
        {
            tracing::warn!(error = %refused.error, "a push whose future was dropped found no queue that takes it");
        }
    }
}

impl<Q: Push> fmt::Debug for PushReserved<'_, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushReserved").finish_non_exhaustive()
    }
}
