//! [`Framed`]: a codec on a byte queue.

use std::{
    fmt,
    task::{Context, Poll, ready},
};

use hemi_queue::{Error, Pool, Pop, Push, PushError, Result, Sga, Ticket};

use super::{Decoder, Encoder, Input, Room};
use crate::context;

/// A queue of units made of a queue of bytes and a codec.
///
/// `Q` pops buffers ([`Buf`](hemi_queue::Buf) or [`Sga`]) cut anyhow, and pushes [`Sga`]s; `C` is a [`Decoder`],
/// an [`Encoder`], or both.
///
/// # Life
/// ```text
///   Open ──(1)──► Ended          (1) the byte queue ended between two units: `None` from now on
///    │                           (2) it ended inside a unit, or failed, or the decoder answered an error (malformed
///    └────(2)──► Failed              input, a unit over the limit): the error once, then `None`. The decoder's
///                                    refusal has been pushed to the peer; later pushes answer `Closed`.
/// ```
/// The byte queue closes when the `Framed` is dropped, as its owner does on an error.
///
/// # Cancel safety
/// Dropping a pop loses nothing: arrived bytes stay here. A pushed unit goes out whole.
pub struct Framed<Q, C> {
    queue: Q,
    codec: C,
    input: Input,
    room: Room,
    state: State,
    /// How to push a refusal, for queues that can be pushed to.
    refuse: fn(&mut Q, Sga),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// The byte queue has ended; units that are left are still decoded.
    Draining,
    Ended,
    Failed,
}

/// What a [`Framed`] was made of, and what it had read ahead.
#[derive(Debug)]
pub struct FramedParts<Q, C> {
    /// The byte queue.
    pub queue: Q,
    /// The codec.
    pub codec: C,
    /// Bytes that have arrived and make no whole unit yet, or whole units not yet popped.
    pub unread: Sga,
}

impl<Q: Push<Unit: From<Sga>>, C> Framed<Q, C> {
    /// `codec` on `queue`.
    pub fn new(queue: Q, codec: C) -> Self {
        Self::make(queue, codec, |queue, words| {
            // The queue is about to be closed: what it says to the peer's error message changes nothing.
            let _ = queue.start_push(words.into());
        })
    }
}

impl<Q, C> Framed<Q, C> {
    /// `codec` on a queue that can only be popped: the peer is not told of errors.
    pub fn reader(queue: Q, codec: C) -> Self {
        Self::make(queue, codec, |_, _| ())
    }

    fn make(queue: Q, codec: C, refuse: fn(&mut Q, Sga)) -> Self {
        let framed =
            Self { queue, codec, input: Input::new(), room: Room::new(), state: State::Open, refuse };
        match context::with(|core| core.pool.clone()) {
            Ok(pool) => framed.with_pool(&pool),
            Err(_) => framed,
        }
    }

    /// Use memory of `pool` for headers and for compacting. Default: the running runtime's pool, else the heap.
    pub fn with_pool(mut self, pool: &Pool) -> Self {
        let unread = self.input.take_all();
        self.input = Input::with_pool(pool.clone());
        self.input.extend(unread);
        self.room = Room::with_pool(pool.clone());
        self
    }

    /// Start with bytes that were already read from the queue, such as those of
    /// [`FramedParts::unread`] when a protocol changes its framing.
    pub fn with_unread(mut self, unread: Sga) -> Self {
        self.input.extend(unread);
        self
    }

    /// The byte queue.
    pub fn get_ref(&self) -> &Q {
        &self.queue
    }

    /// The byte queue. Popping it takes bytes away from the decoder.
    pub fn get_mut(&mut self) -> &mut Q {
        &mut self.queue
    }

    /// The codec.
    pub fn codec(&mut self) -> &mut C {
        &mut self.codec
    }

    /// Take it apart. Nothing that was read is lost.
    pub fn into_parts(mut self) -> FramedParts<Q, C> {
        FramedParts { queue: self.queue, codec: self.codec, unread: self.input.take_all() }
    }
}

impl<Q, C> Framed<Q, C>
where
    C: Decoder,
{
    #[cold]
    fn fail(&mut self, error: Error) -> Error {
        self.state = State::Failed;
        self.input.take_all();
        if let Some(words) = self.codec.refusal(&error) {
            (self.refuse)(&mut self.queue, words);
        }
        error
    }
}

impl<Q, C> Pop for Framed<Q, C>
where
    Q: Pop<Unit: Into<Sga>>,
    C: Decoder,
{
    type Unit = C::Unit;

    fn poll_pop(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<C::Unit>>> {
        loop {
            let decoded = match self.state {
                State::Open => self.codec.decode(&mut self.input),
                State::Draining => self.codec.finish(&mut self.input),
                State::Ended | State::Failed => return Poll::Ready(Ok(None)),
            };
            match decoded {
                Ok(Some(unit)) => return Poll::Ready(Ok(Some(unit))),
                Ok(None) if self.state == State::Draining => {
                    self.state = State::Ended;
                    return Poll::Ready(Ok(None));
                }
                Ok(None) => {}
                Err(error) => return Poll::Ready(Err(self.fail(error))),
            }
            match ready!(self.queue.poll_pop(cx)) {
                Ok(Some(segments)) => self.input.extend(segments.into()),
                Ok(None) => self.state = State::Draining,
                Err(error) => return Poll::Ready(Err(self.fail(error))),
            }
        }
    }
}

impl<Q, C> Push for Framed<Q, C>
where
    Q: Push<Unit: From<Sga>>,
    C: Encoder,
{
    type Unit = C::Unit;
    type Receipt = Q::Receipt;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.queue.poll_ready(cx)
    }

    fn start_push(&mut self, unit: C::Unit) -> Result<Ticket, PushError<C::Unit>> {
        if self.state == State::Failed {
            return Err(PushError::new(Error::Closed, unit));
        }
        let wire = match self.codec.encode(&unit, &mut self.room) {
            Ok(wire) => wire,
            Err(error) => return Err(PushError::new(error, unit)),
        };
        self.queue.start_push(wire.into()).map_err(|refused| PushError::new(refused.error, unit))
    }

    fn poll_pushed(&mut self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<Result<Q::Receipt>> {
        self.queue.poll_pushed(ticket, cx)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.queue.poll_finish(cx)
    }
}

impl<Q, C> fmt::Debug for Framed<Q, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Framed")
            .field("state", &self.state)
            .field("input", &self.input)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
