//! What stands behind the stream queues: [`ByteStream`] pops what has arrived, [`UnitStream`] whole units.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::{Context, Poll, ready},
};

use hemi_queue::{
    Assembler, Buf, Completion, Error, Pool, PushError, Result, Sga, Ticket,
    transport::{Endpoint, StreamSocket},
};

use crate::{
    framing::{Decoder, Encoder, Input, LengthPrefix, Room},
    names::{Kind, Object},
};

/// A stream as bytes: [`TcpQueue`](super::TcpQueue), [`UnixQueue`](super::UnixQueue).
pub(crate) struct ByteStream {
    pub(super) socket: Rc<dyn StreamSocket>,
    /// Buffers that came together with the last one popped.
    rest: RefCell<Sga>,
    has_rest: Cell<bool>,
}

impl ByteStream {
    pub(crate) fn new(socket: Rc<dyn StreamSocket>) -> Self {
        Self { socket, rest: RefCell::default(), has_rest: Cell::new(false) }
    }

    #[inline]
    pub(super) fn poll_buf(
        &self,
        assembler: Option<&Rc<dyn Assembler>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Buf>>> {
        if self.has_rest.get() {
            return Poll::Ready(Ok(Some(self.next_of_rest())));
        }
        loop {
            let Some(sga) = ready!(poll_socket(&*self.socket, assembler, cx))? else {
                return Poll::Ready(Ok(None));
            };
            match sga.into_single() {
                Ok(buf) if buf.is_empty() => {} // an empty unit is nothing to a byte stream
                Ok(buf) => return Poll::Ready(Ok(Some(buf))),
                Err(several) => {
                    self.rest.replace(several);
                    return Poll::Ready(Ok(Some(self.next_of_rest())));
                }
            }
        }
    }

    #[inline]
    pub(super) fn put(&self, buf: Buf) -> Result<(), PushError<Buf>> {
        // The unit comes back as it was handed over: in one buffer.
        let give_back = |refused: PushError<Sga>| {
            PushError::new(refused.error, refused.unit.into_single().unwrap_or_default())
        };
        self.socket.start_push(Sga::from(buf)).map_err(give_back)
    }

    #[cold]
    fn next_of_rest(&self) -> Buf {
        let mut rest = self.rest.borrow_mut();
        let first = rest.first().map_or(0, Buf::len);
        let buf = rest.split_to(first).into_single().unwrap_or_default();
        self.has_rest.set(!rest.is_empty());
        buf
    }
}

impl Object for ByteStream {
    fn kind(&self) -> Kind {
        Kind::Stream
    }

    fn poll_pop(&self, cx: &mut Context<'_>) -> Poll<Result<Completion>> {
        self.poll_buf(None, cx).map_ok(|buf| Completion::Popped(buf.map(Sga::from)))
    }

    fn poll_connected(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.socket.poll_connected(cx)
    }

    fn start_push(&self, unit: Sga, to: Option<&Endpoint>) -> Result<Ticket, PushError<Sga>> {
        no_address(unit, to).and_then(|unit| self.socket.start_push(unit)).map(|()| Ticket::default())
    }

    fn poll_pushed(&self, _: Ticket, cx: &mut Context<'_>) -> Poll<Result<Completion>> {
        self.socket.poll_ready(cx).map_ok(|()| Completion::Pushed)
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.socket.poll_ready(cx)
    }

    fn local_addr(&self) -> Result<Endpoint> {
        self.socket.local_addr()
    }

    fn peer_addr(&self) -> Result<Endpoint> {
        self.socket.peer_addr()
    }

    fn close(&self) {
        self.socket.close();
    }
}

/// How a stream carries units.
#[derive(Clone, Debug)]
pub(crate) enum Framing {
    /// The transport keeps units.
    Native { limit: usize },
    /// Bytes as they come.
    Raw,
    /// Each unit behind its length.
    Prefix { codec: LengthPrefix, pool: Pool },
}

impl Framing {
    pub(crate) fn raw() -> Self {
        Self::Raw
    }

    pub(crate) fn native(limit: usize) -> Self {
        Self::Native { limit }
    }

    pub(crate) fn length_prefixed(limit: usize, pool: &Pool) -> Self {
        Self::Prefix { codec: LengthPrefix::with_limit(limit), pool: pool.clone() }
    }
}

/// A stream as units: [`Conn`](super::Conn).
pub(crate) struct UnitStream {
    pub(super) socket: Rc<dyn StreamSocket>,
    units: Units,
    /// Framing is off; what had been read for it comes first.
    raw: Cell<bool>,
}

enum Units {
    Native { limit: usize },
    Prefix(Rc<Assembly>),
}

/// The framing as the reactor sees it while a pop waits: it puts units together from what arrives.
struct Assembly(RefCell<Prefix>);

impl Assembler for Assembly {
    fn arrived(&self, segment: Buf) -> Result<bool, Buf> {
        let mut prefix = self.0.borrow_mut();
        if prefix.over {
            return Err(segment);
        }
        prefix.input.push(segment);
        Ok(prefix.codec.has_unit(&prefix.input))
    }
}

/// The framing of both directions.
struct Prefix {
    codec: LengthPrefix,
    input: Input,
    room: Room,
    /// The stream has ended, or a peer's mistake ended it.
    over: bool,
}

impl UnitStream {
    pub(crate) fn new(socket: Rc<dyn StreamSocket>, framing: Framing) -> Self {
        let raw = Cell::new(matches!(framing, Framing::Raw));
        let units = match framing {
            Framing::Native { limit } => Units::Native { limit },
            Framing::Raw => Units::Native { limit: usize::MAX },
            Framing::Prefix { codec, pool } => Units::Prefix(Rc::new(Assembly(RefCell::new(Prefix {
                codec,
                input: Input::with_pool(pool.clone()),
                room: Room::with_pool(pool),
                over: false,
            })))),
        };
        Self { socket, units, raw }
    }

    /// Without framing from now on.
    pub(super) fn make_raw(&self) {
        self.raw.set(true);
    }

    #[cold]
    fn poll_raw(
        &self,
        assembler: Option<&Rc<dyn Assembler>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Sga>>> {
        if let Units::Prefix(assembly) = &self.units {
            let read = assembly.0.borrow_mut().input.take_all();
            if !read.is_empty() {
                return Poll::Ready(Ok(Some(read)));
            }
        }
        poll_socket(&*self.socket, assembler, cx)
    }

    #[inline]
    pub(super) fn poll_unit(
        &self,
        assembler: Option<&Rc<dyn Assembler>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Sga>>> {
        if self.raw.get() {
            return self.poll_raw(assembler, cx);
        }
        match &self.units {
            Units::Native { limit } => match ready!(self.socket.poll_pop(cx))? {
                Some(unit) if unit.len() > *limit => Poll::Ready(Err(self.refuse(&unit, *limit))),
                unit => Poll::Ready(Ok(unit)),
            },
            Units::Prefix(assembly) => assembly.poll_unit(&*self.socket, cx),
        }
    }

    #[cold]
    fn refuse(&self, unit: &Sga, limit: usize) -> Error {
        self.socket.abort();
        too_large(unit, limit)
    }

    #[inline]
    pub(super) fn put(&self, unit: Sga) -> Result<(), PushError<Sga>> {
        match &self.units {
            _ if self.raw.get() => self.socket.start_push(unit),
            Units::Native { limit } if unit.len() > *limit => {
                Err(PushError::new(too_large(&unit, *limit), unit))
            }
            Units::Native { .. } => self.socket.start_push(unit),
            Units::Prefix(assembly) => {
                let mut prefix = assembly.0.borrow_mut();
                let Prefix { codec, room, .. } = &mut *prefix;
                let wire = match codec.encode(&unit, room) {
                    Ok(wire) => wire,
                    Err(error) => return Err(PushError::new(error, unit)),
                };
                self.socket.start_push(wire).map_err(|refused| PushError::new(refused.error, unit))
            }
        }
    }
}

impl Assembly {
    fn poll_unit(
        self: &Rc<Self>,
        socket: &dyn StreamSocket,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Sga>>> {
        let mut prefix = self.0.borrow_mut();
        let prefix = &mut *prefix;
        loop {
            if prefix.over {
                return Poll::Ready(Ok(None));
            }
            match prefix.codec.decode(&mut prefix.input) {
                Ok(Some(unit)) => return Poll::Ready(Ok(Some(unit))),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Err(prefix.refuse(error, socket))),
            }
            let assembler: Rc<dyn Assembler> = Rc::clone(self) as _;
            let Some(segments) = ready!(socket.poll_pop_for(&assembler, cx))? else {
                prefix.over = true;
                return Poll::Ready(prefix.codec.finish(&mut prefix.input));
            };
            prefix.input.extend(segments);
        }
    }
}

impl Prefix {
    /// The peer's units make no sense from here on: tell it, and stop.
    #[cold]
    fn refuse(&mut self, error: Error, socket: &dyn StreamSocket) -> Error {
        self.over = true;
        drop(self.input.take_all());
        if let Some(refusal) = self.codec.refusal(&error) {
            // Nothing can be done about a peer that cannot be told either.
            let _ = socket.start_push(refusal).is_ok() && socket.shutdown().is_ok();
        }
        error
    }
}

#[inline]
fn poll_socket(
    socket: &dyn StreamSocket,
    assembler: Option<&Rc<dyn Assembler>>,
    cx: &mut Context<'_>,
) -> Poll<Result<Option<Sga>>> {
    match assembler {
        Some(assembler) => socket.poll_pop_for(assembler, cx),
        None => socket.poll_pop(cx),
    }
}

#[cold]
fn too_large(unit: &Sga, limit: usize) -> Error {
    Error::UnitTooLarge { got: unit.len() as u64, limit: limit as u64 }
}

impl Object for UnitStream {
    fn kind(&self) -> Kind {
        Kind::Stream
    }

    fn poll_pop(&self, cx: &mut Context<'_>) -> Poll<Result<Completion>> {
        self.poll_unit(None, cx).map_ok(Completion::Popped)
    }

    fn poll_connected(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.socket.poll_connected(cx)
    }

    fn start_push(&self, unit: Sga, to: Option<&Endpoint>) -> Result<Ticket, PushError<Sga>> {
        no_address(unit, to).and_then(|unit| self.put(unit)).map(|()| Ticket::default())
    }

    fn poll_pushed(&self, _: Ticket, cx: &mut Context<'_>) -> Poll<Result<Completion>> {
        self.socket.poll_ready(cx).map_ok(|()| Completion::Pushed)
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.socket.poll_ready(cx)
    }

    fn local_addr(&self) -> Result<Endpoint> {
        self.socket.local_addr()
    }

    fn peer_addr(&self) -> Result<Endpoint> {
        self.socket.peer_addr()
    }

    fn close(&self) {
        self.socket.close();
    }
}

fn no_address(unit: Sga, to: Option<&Endpoint>) -> Result<Sga, PushError<Sga>> {
    if to.is_none() {
        return Ok(unit);
    }
    let why = "a connection has one peer; push without an address";
    Err(PushError::new(Error::wrong_kind("push_to", why), unit))
}
