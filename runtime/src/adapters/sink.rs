//! [`into_sink`]: a queue as a `futures` sink.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_sink::Sink;
use hemi_queue::{Error, Push, Result, Ticket};

/// Pushes that were started and whose completion was not seen yet.
const IN_FLIGHT: usize = 64;

/// `queue` as a [`Sink`] of units.
///
/// `poll_flush` waits until everything sent is complete, `poll_close` also [finishes](Push::finish) the queue. A sink has
/// no way to return what a push tells: receipts (such as a filter's verdicts) are dropped, and a unit that the queue
/// refuses is lost with the error. Push directly where that matters.
///
/// ```
/// # use futures::{executor::block_on, SinkExt, stream};
/// # block_on(async {
/// let q = hemi::queue(8);
/// let mut sink = hemi::adapters::into_sink(q.clone());
/// sink.send_all(&mut stream::iter([Ok(1), Ok(2)])).await?;
/// assert_eq!((q.try_pop(), q.try_pop()), (Some(1), Some(2)));
/// # Ok::<(), hemi::Error>(()) }).unwrap();
/// ```
pub fn into_sink<Q: Push>(queue: Q) -> PushSink<Q> {
    PushSink { queue, tickets: VecDeque::new() }
}

/// See [`into_sink()`].
pub struct PushSink<Q> {
    queue: Q,
    tickets: VecDeque<Ticket>,
}

impl<Q> PushSink<Q> {
    /// The queue.
    pub fn get_ref(&self) -> &Q {
        &self.queue
    }

    /// The queue.
    pub fn get_mut(&mut self) -> &mut Q {
        &mut self.queue
    }

    /// The queue. Units sent and not flushed are already in it.
    pub fn into_inner(self) -> Q {
        self.queue
    }
}

impl<Q: Push> PushSink<Q> {
    /// Claim completed pushes until at most `left` are in flight.
    fn poll_claim(&mut self, left: usize, cx: &mut Context<'_>) -> Poll<Result<()>> {
        while let Some(ticket) = self.tickets.front() {
            match self.queue.poll_pushed(*ticket, cx) {
                Poll::Ready(receipt) => {
                    self.tickets.pop_front();
                    receipt?;
                }
                Poll::Pending if self.tickets.len() > left => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

// The queue is never pinned.
impl<Q> Unpin for PushSink<Q> {}

impl<Q: Push> Sink<Q::Unit> for PushSink<Q> {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.poll_claim(IN_FLIGHT - 1, cx))?;
        self.queue.poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, unit: Q::Unit) -> Result<()> {
        let ticket = self.queue.start_push(unit)?;
        self.tickets.push_back(ticket);
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_claim(0, cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.poll_claim(0, cx))?;
        self.queue.poll_finish(cx)
    }
}

impl<Q> fmt::Debug for PushSink<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushSink").field("in_flight", &self.tickets.len()).finish_non_exhaustive()
    }
}
