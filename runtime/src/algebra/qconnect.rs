//! [`qconnect`]: everything from one queue into another.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use hemi_queue::{Error, Pop, Push, Result, Ticket};

use super::Payload;

/// Pushes in flight at a time, where a push takes a while to complete (a durable log).
const IN_FLIGHT: usize = 64;

/// Move everything popped from `a` into `b`, until `a` ends.
///
/// Back-pressure: nothing is popped while `b` has no room, so at any time no unit is in between, and dropping the future
/// loses none. Pushes complete in order, several at a time. Pass `&mut` to keep the queues; `b` is not
/// [finished](Push::finish), because more may come from elsewhere.
///
/// ```
/// # use futures::executor::block_on;
/// use hemi::{Buf, algebra::qconnect};
/// # block_on(async {
/// let (a, b) = (hemi::queue::<Buf>(8), hemi::queue::<Buf>(8));
/// a.push("hello".into()).await?;
/// a.push("world!".into()).await?;
/// a.close();
/// let moved = qconnect(a, b.clone()).await;
/// assert_eq!((moved.units, moved.bytes), (2, 11));
/// moved.into_result()?;
/// # Ok::<(), hemi::Error>(()) }).unwrap();
/// ```
pub fn qconnect<A, B>(a: A, b: B) -> QConnect<A, B>
where
    A: Pop<Unit: Payload + Into<B::Unit>>,
    B: Push,
{
    QConnect { a, b, moved: 0, bytes: 0, tickets: VecDeque::new(), ended: None }
}

/// The future of [`qconnect()`].
#[must_use = "nothing moves until it is awaited"]
pub struct QConnect<A, B> {
    a: A,
    b: B,
    moved: u64,
    bytes: u64,
    tickets: VecDeque<Ticket>,
    /// `a` has ended or failed; pushes in flight are waited for.
    ended: Option<Result<()>>,
}

impl<A, B> QConnect<A, B> {
    /// Units moved so far.
    pub fn units(&self) -> u64 {
        self.moved
    }

    /// Bytes moved so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Both queues. No unit is ever in between.
    pub fn into_parts(self) -> (A, B) {
        (self.a, self.b)
    }
}

/// What [`qconnect()`] moved, and why it ended.
#[derive(Debug)]
#[must_use = "it says why the connection ended"]
pub struct Moved<U> {
    /// Units that the sink took.
    pub units: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Why it ended.
    pub why: Why<U>,
}

/// Why a [`qconnect()`] ended.
#[derive(Debug)]
pub enum Why<U> {
    /// The source ended, and the sink has completed every push.
    SourceEnded,
    /// The source failed. What was popped before was pushed.
    SourceFailed(Error),
    /// The sink failed, or refused a unit, which is given back. Pushes that were in flight may be lost with it.
    SinkFailed {
        /// What it failed with.
        error: Error,
        /// The unit that was popped and not taken.
        refused: Option<U>,
    },
}

impl<U> Moved<U> {
    /// Units and bytes, or the error, where only that matters.
    pub fn into_result(self) -> Result<(u64, u64)> {
        match self.why {
            Why::SourceEnded => Ok((self.units, self.bytes)),
            Why::SourceFailed(error) | Why::SinkFailed { error, .. } => Err(error),
        }
    }
}

// Neither queue is ever pinned.
impl<A, B> Unpin for QConnect<A, B> {}

impl<A, B> QConnect<A, B>
where
    A: Pop<Unit: Payload + Into<B::Unit>>,
    B: Push,
{
    fn end(&self, why: Why<B::Unit>) -> Poll<Moved<B::Unit>> {
        Poll::Ready(Moved { units: self.moved, bytes: self.bytes, why })
    }

    /// Claim pushes that have completed, until at most `left` are in flight.
    fn poll_claim(&mut self, left: usize, cx: &mut Context<'_>) -> Poll<Result<()>> {
        while let Some(ticket) = self.tickets.front() {
            match self.b.poll_pushed(*ticket, cx) {
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

impl<A, B> Future for QConnect<A, B>
where
    A: Pop<Unit: Payload + Into<B::Unit>>,
    B: Push,
{
    type Output = Moved<B::Unit>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        for _ in 0..super::BURST {
            let left = if this.ended.is_some() { 0 } else { IN_FLIGHT - 1 };
            if let Err(error) = ready!(this.poll_claim(left, cx)) {
                return this.end(Why::SinkFailed { error, refused: None });
            }
            match this.ended.take() {
                None => {}
                Some(Ok(())) => return this.end(Why::SourceEnded),
                Some(Err(error)) => return this.end(Why::SourceFailed(error)),
            }
            if let Err(error) = ready!(this.b.poll_ready(cx)) {
                return this.end(Why::SinkFailed { error, refused: None });
            }
            match ready!(this.a.poll_pop(cx)) {
                Ok(Some(unit)) => {
                    let bytes = unit.byte_len() as u64;
                    match this.b.start_push(unit.into()) {
                        Ok(ticket) => this.tickets.push_back(ticket),
                        Err(refused) => {
                            let (error, unit) = (refused.error, refused.unit);
                            return this.end(Why::SinkFailed { error, refused: Some(unit) });
                        }
                    }
                    this.moved += 1;
                    this.bytes += bytes;
                }
                Ok(None) => this.ended = Some(Ok(())),
                Err(error) => this.ended = Some(Err(error)),
            }
        }
        // A source that never runs dry must not keep the core to itself.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<A, B> fmt::Debug for QConnect<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QConnect")
            .field("units", &self.moved)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
