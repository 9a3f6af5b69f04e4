//! [`Framed`]: a codec on a byte queue.

use std::{
    cell::RefMut,
    fmt,
    rc::Rc,
    task::{Context, Poll, ready},
};

use hemi_queue::{Assembler, Error, Pool, Pop, Push, PushError, Result, Sga, Ticket};

use super::{
    Decoder, Encoder, Input, Room,
    assembly::{Answer, Assembly, Half},
};
use crate::context;

/// A queue of units made of a queue of bytes and a codec.
///
/// `Q` pops buffers ([`Buf`](hemi_queue::Buf) or [`Sga`]) cut anyhow, and pushes [`Sga`]s; `C` is a [`Decoder`], and
/// an [`Encoder`] too to be pushed to.
///
/// While a pop waits, the decoder runs in the reactor's turn, on the segments as they arrive, and the task is woken once a
/// unit is whole: once for each unit, not for each segment (HotOS '19). So it is over every queue of this crate
/// that carries the bytes of a transport; over others the decoder runs in the task.
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
pub struct Framed<Q, C: Decoder> {
    queue: Q,
    assembly: Rc<Assembly<C>>,
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
pub struct FramedParts<Q, C: Decoder> {
    /// The byte queue.
    pub queue: Q,
    /// The codec.
    pub codec: C,
    /// What the decoder has answered and nobody has popped: it decodes one unit ahead while a pop waits.
    pub decoded: Option<Result<C::Unit>>,
    /// Bytes behind that: they make no whole unit yet, or were not yet decoded.
    pub unread: Sga,
}

impl<Q: Push<Unit: From<Sga>>, C: Decoder> Framed<Q, C> {
    /// `codec` on `queue`.
    pub fn new(queue: Q, codec: C) -> Self {
        Self::make(queue, codec, |queue, words| {
            // The queue is about to be closed: what it says to the peer's error message changes nothing.
            let _ = queue.start_push(words.into());
        })
    }
}

impl<Q, C: Decoder> Framed<Q, C> {
    /// `codec` on a queue that can only be popped: the peer is not told of errors.
    pub fn reader(queue: Q, codec: C) -> Self {
        Self::make(queue, codec, |_, _| ())
    }

    fn make(queue: Q, codec: C, refuse: fn(&mut Q, Sga)) -> Self {
        let assembly = Rc::new(Assembly::new(codec));
        let framed = Self { queue, assembly, room: Room::new(), state: State::Open, refuse };
        match context::with(|core| core.pool.clone()) {
            Ok(pool) => framed.with_pool(&pool),
            Err(_) => framed,
        }
    }

    /// Use memory of `pool` for headers and for compacting. Default: the running runtime's pool, else the heap.
    pub fn with_pool(mut self, pool: &Pool) -> Self {
        let mut half = self.assembly.borrow();
        let unread = half.input.take_all();
        half.input = Input::with_pool(pool.clone());
        half.input.extend(unread);
        drop(half);
        self.room = Room::with_pool(pool.clone());
        self
    }

    /// Start with bytes that were already read from the queue, such as those of
    /// [`FramedParts::unread`] when a protocol changes its framing.
    pub fn with_unread(self, unread: Sga) -> Self {
        self.assembly.borrow().input.extend(unread);
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

    /// The codec. Let go of it before the next await: the reactor decodes with it while a pop waits.
    pub fn codec(&mut self) -> RefMut<'_, C> {
        RefMut::map(self.assembly.borrow(), Half::codec)
    }

    /// Take it apart. Nothing that was read is lost.
    pub fn into_parts(self) -> FramedParts<Q, C> {
        let half = &mut *self.assembly.borrow();
        FramedParts {
            queue: self.queue,
            codec: half.take_codec(),
            decoded: half.answer.take().map(Answer::into_decoded),
            unread: half.input.take_all(),
        }
    }

    #[cold]
    fn fail(&mut self, error: Error) -> Error {
        self.state = State::Failed;
        let words = {
            let half = &mut *self.assembly.borrow();
            half.end();
            half.input.take_all();
            half.codec().refusal(&error)
        };
        if let Some(words) = words {
            (self.refuse)(&mut self.queue, words);
        }
        error
    }
}

impl<Q, C> Pop for Framed<Q, C>
where
    Q: Pop<Unit: Into<Sga>>,
    C: Decoder + 'static,
{
    type Unit = C::Unit;

    fn poll_pop(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<C::Unit>>> {
        loop {
            let decoded = {
                let half = &mut *self.assembly.borrow();
                match (self.state, half.answer.take()) {
                    (State::Ended | State::Failed, _) => return Poll::Ready(Ok(None)),
                    (_, Some(answer)) => answer.into_decoded().map(Some),
                    (State::Open, None) => half.decode(),
                    (State::Draining, None) => half.finish(),
                }
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
            let assembler: Rc<dyn Assembler> = Rc::clone(&self.assembly) as _;
            match ready!(self.queue.poll_pop_for(&assembler, cx)) {
                Ok(Some(segments)) => self.assembly.borrow().input.extend(segments.into()),
                Ok(None) => self.state = State::Draining,
                Err(error) => return Poll::Ready(Err(self.fail(error))),
            }
        }
    }
}

impl<Q, C> Push for Framed<Q, C>
where
    Q: Push<Unit: From<Sga>>,
    C: Decoder + Encoder,
{
    type Unit = <C as Encoder>::Unit;
    type Receipt = Q::Receipt;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.queue.poll_ready(cx)
    }

    fn start_push(&mut self, unit: Self::Unit) -> Result<Ticket, PushError<Self::Unit>> {
        if self.state == State::Failed {
            return Err(PushError::new(Error::Closed, unit));
        }
        let wire = match self.assembly.borrow().codec().encode(&unit, &mut self.room) {
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

impl<Q: fmt::Debug, C: Decoder + fmt::Debug> fmt::Debug for FramedParts<Q, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FramedParts")
            .field("queue", &self.queue)
            .field("codec", &self.codec)
            .field("decoded", &self.decoded.is_some())
            .field("unread", &self.unread)
            .finish()
    }
}

impl<Q, C: Decoder> fmt::Debug for Framed<Q, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Framed")
            .field("state", &self.state)
            .field("input", &self.assembly.borrow().input)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
