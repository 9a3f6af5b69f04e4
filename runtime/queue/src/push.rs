//! [`Push`]: putting units into a queue.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use crate::{Error, Result};

/// Names one push on one queue, in submission order. Meaningful to the queue that gave it only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ticket(pub u64);

/// A queue that units can be pushed to.
///
/// # How it is driven
/// A push is accepted first and waited for afterwards: [`start_push`](Self::start_push) hands the unit over whole,
/// [`poll_pushed`](Self::poll_pushed) says when the queue has taken responsibility for delivering it in order (there is room in
/// the send buffer again, or the record is durable). So a push that was begun is never retracted by dropping its
/// future, and a queue holds at most its limit and one unit more per pusher that waits. A queue that is already
/// over its limit because earlier push futures were dropped waiting refuses with [`Error::Busy`] once it
/// holds twice its limit: memory stays bounded and no unit is lost silently.
///
/// [`poll_ready`](Self::poll_ready) asks for room *before* handing a unit over; adapters that push to two queues
/// (`merge`) use it on both first. Ready means that a `start_push` in the same poll is not over the limit.
///
/// ```
/// use std::task::{Context, Poll};
/// use hemi_queue::{Error, Push, PushError, Result, Ticket};
///
/// /// Collects units, at most three; every push completes at once.
/// #[derive(Default)]
/// struct Box3(Vec<u32>);
///
/// impl Push for Box3 {
///     type Unit = u32;
///     type Receipt = usize; // where it lies
///     fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
///         if self.0.len() < 3 { Poll::Ready(Ok(())) } else { Poll::Ready(Err(Error::Closed)) }
///     }
///     fn start_push(&mut self, unit: u32) -> Result<Ticket, PushError<u32>> {
///         if self.0.len() == 3 {
///             return Err(PushError::new(Error::Closed, unit)); // not taken: the unit goes back
///         }
///         self.0.push(unit);
///         Ok(Ticket(self.0.len() as u64 - 1))
///     }
///     fn poll_pushed(&mut self, ticket: Ticket, _: &mut Context<'_>) -> Poll<Result<usize>> {
///         Poll::Ready(Ok(ticket.0 as usize))
///     }
/// }
///
/// # futures::executor::block_on(async {
/// let mut queue = Box3::default();
/// assert_eq!(queue.push(7_u32).await?, 0);
/// assert_eq!(queue.push(8_u32).await?, 1);
/// # Ok::<(), hemi_queue::Error>(()) }).unwrap();
/// ```
pub trait Push {
    /// What is pushed.
    type Unit;
    /// What a completed push tells: `()` for most queues, the LSN for a log, the verdict for a filter.
    type Receipt;

    /// Wait until the queue is under its limit.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>>;

    /// Hand one unit over. Never waits. An error gives the unit back.
    fn start_push(&mut self, unit: Self::Unit) -> Result<Ticket, PushError<Self::Unit>>;

    /// Wait until the push named by `ticket` is complete. Ask once per ticket after it was `Ready`.
    fn poll_pushed(&mut self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<Result<Self::Receipt>>;

    /// Say that nothing more will be pushed: after everything accepted so far the other side sees the end of the
    /// queue (a half-close on a stream), while popping here goes on. Idempotent. Queues that have no such notion
    /// (datagrams) complete at once, which is the default; an adapter passes the call on to what it wraps.
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let _ = cx;
        Poll::Ready(Ok(()))
    }

    /// Say that nothing more will be pushed; see [`poll_finish`](Self::poll_finish). Cancel-safe.
    fn finish(&mut self) -> Finish<'_, Self>
    where
        Self: Sized,
    {
        Finish { queue: self }
    }

    /// Push one unit and wait until the queue has taken it. The unit is handed over at the first poll; dropping
    /// the future after that does not retract it.
    fn push(&mut self, unit: impl Into<Self::Unit>) -> PushUnit<'_, Self>
    where
        Self: Sized,
    {
        PushUnit { queue: self, state: State::Unsent(unit.into()) }
    }
}

impl<Q: Push + ?Sized> Push for &mut Q {
    type Unit = Q::Unit;
    type Receipt = Q::Receipt;
    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        (**self).poll_ready(cx)
    }
    #[inline]
    fn start_push(&mut self, unit: Self::Unit) -> Result<Ticket, PushError<Self::Unit>> {
        (**self).start_push(unit)
    }
    #[inline]
    fn poll_pushed(&mut self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<Result<Self::Receipt>> {
        (**self).poll_pushed(ticket, cx)
    }
    #[inline]
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        (**self).poll_finish(cx)
    }
}

impl<Q: Push + ?Sized> Push for Box<Q> {
    type Unit = Q::Unit;
    type Receipt = Q::Receipt;
    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        (**self).poll_ready(cx)
    }
    #[inline]
    fn start_push(&mut self, unit: Self::Unit) -> Result<Ticket, PushError<Self::Unit>> {
        (**self).start_push(unit)
    }
    #[inline]
    fn poll_pushed(&mut self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<Result<Self::Receipt>> {
        (**self).poll_pushed(ticket, cx)
    }
    #[inline]
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        (**self).poll_finish(cx)
    }
}

/// The future of [`Push::finish`].
#[must_use = "a finish does nothing until it is awaited"]
pub struct Finish<'q, Q: ?Sized> {
    queue: &'q mut Q,
}

impl<Q: Push + ?Sized> Future for Finish<'_, Q> {
    type Output = Result<()>;
    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.queue.poll_finish(cx)
    }
}

impl<Q: ?Sized> fmt::Debug for Finish<'_, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Finish").finish_non_exhaustive()
    }
}

/// A push that was refused: why, and the unit, which was not taken.
pub struct PushError<U> {
    /// Why the queue refused.
    pub error: Error,
    /// The unit, as it was handed over.
    pub unit: U,
}

impl<U> PushError<U> {
    /// A refusal.
    #[cold]
    pub fn new(error: Error, unit: U) -> Self {
        Self { error, unit }
    }
}

impl<U> fmt::Debug for PushError<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushError").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<U> fmt::Display for PushError<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<U> std::error::Error for PushError<U> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl<U> From<PushError<U>> for Error {
    fn from(e: PushError<U>) -> Self {
        e.error
    }
}

enum State<U> {
    Unsent(U),
    Sent(Ticket),
    Done,
}

/// The future of [`Push::push`].
#[must_use = "a push does nothing until it is awaited"]
pub struct PushUnit<'q, Q: Push + ?Sized> {
    queue: &'q mut Q,
    state: State<Q::Unit>,
}

// The unit is only ever moved out whole, never pinned.
impl<Q: Push + ?Sized> Unpin for PushUnit<'_, Q> {}

impl<Q: Push + ?Sized> Future for PushUnit<'_, Q> {
    type Output = Result<Q::Receipt>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let ticket = match std::mem::replace(&mut this.state, State::Done) {
            State::Unsent(unit) => this.queue.start_push(unit)?,
            State::Sent(ticket) => ticket,
            State::Done => return Poll::Ready(Err(Error::StaleToken)),
        };
        this.state = State::Sent(ticket);
        let receipt = ready!(this.queue.poll_pushed(ticket, cx));
        this.state = State::Done;
        Poll::Ready(receipt)
    }
}

impl<Q: Push + ?Sized> fmt::Debug for PushUnit<'_, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushUnit").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, pin::pin, task::Waker};

    use super::*;

    /// Completes a push when the test says so; refuses units over 100.
    #[derive(Default)]
    struct Slow {
        taken: VecDeque<u32>,
        complete: u64,
    }

    impl Push for Slow {
        type Unit = u32;
        type Receipt = u64;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn start_push(&mut self, unit: u32) -> Result<Ticket, PushError<u32>> {
            if unit > 100 {
                return Err(PushError::new(Error::UnitTooLarge { got: unit.into(), limit: 100 }, unit));
            }
            self.taken.push_back(unit);
            Ok(Ticket(self.taken.len() as u64))
        }
        fn poll_pushed(&mut self, ticket: Ticket, _: &mut Context<'_>) -> Poll<Result<u64>> {
            if ticket.0 <= self.complete { Poll::Ready(Ok(ticket.0)) } else { Poll::Pending }
        }
    }

    #[test]
    fn a_push_hands_over_at_the_first_poll_and_is_never_retracted() {
        let cx = &mut Context::from_waker(Waker::noop());
        let mut queue = Slow::default();
        drop(queue.push(1_u32));
        assert!(queue.taken.is_empty(), "not polled, not pushed");
        {
            let mut push = pin!(queue.push(2_u32));
            assert!(push.as_mut().poll(cx).is_pending());
            assert!(push.as_mut().poll(cx).is_pending());
        }
        assert_eq!(queue.taken, [2], "dropped while it waited: pushed once, and stays");
    }

    #[test]
    fn a_push_tells_its_receipt_once() {
        let cx = &mut Context::from_waker(Waker::noop());
        let mut queue = Slow { complete: 1, ..Slow::default() };
        let mut push = queue.push(3_u32);
        assert!(matches!(Pin::new(&mut push).poll(cx), Poll::Ready(Ok(1))));
        assert!(matches!(Pin::new(&mut push).poll(cx), Poll::Ready(Err(Error::StaleToken))));
    }

    #[test]
    fn a_refusal_gives_the_unit_back_and_keeps_its_cause() {
        let mut queue = Slow::default();
        let refused = Push::start_push(&mut &mut queue, 101).unwrap_err();
        assert_eq!(refused.unit, 101);
        assert!(refused.to_string().contains("101 bytes is over the limit of 100"));
        assert!(std::error::Error::source(&refused).is_some());
        assert!(format!("{refused:?}").contains("UnitTooLarge"));
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(matches!(pin!(queue.push(101_u32)).poll(cx), Poll::Ready(Err(Error::UnitTooLarge { .. }))));
    }

    #[test]
    fn a_queue_without_an_end_finishes_at_once() {
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(matches!(pin!(Slow::default().finish()).poll(cx), Poll::Ready(Ok(()))));
    }
}
