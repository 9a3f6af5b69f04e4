//! Listeners.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    net::SocketAddr,
    rc::Rc,
    task::{Context, Poll},
};

use hemi_queue::{
    Result, Waiter,
    transport::{Acceptor, Endpoint, SocketOptions, StreamSocket},
};
use hemi_rdma::{Hello, Refusal};

use crate::{
    cm::Id,
    inner::{Inner, listener_place},
    stream::{self, Stream},
};

/// A listening identifier.
pub(crate) struct Listening {
    inner: Rc<Inner>,
    slot: usize,
    id: RefCell<Option<Id>>,
    at: SocketAddr,
    options: SocketOptions,
    /// Being established, or established and not yet accepted.
    waiting: Cell<u32>,
    ready: RefCell<VecDeque<Rc<Stream>>>,
    /// Requests beyond the backlog, unanswered: as many again.
    held: RefCell<VecDeque<Request>>,
    refused: Cell<u64>,
    closed: Cell<bool>,
    waiter: Waiter,
}

pub(crate) fn listen(inner: &Rc<Inner>, at: &Endpoint, options: &SocketOptions) -> Result<Rc<dyn Acceptor>> {
    inner.check_open()?;
    let at = inner.params.listen_at(stream::ip(at, "listen")?)?;
    let listening = inner.add_listener(|slot| {
        let id = Id::new(&inner.channel, listener_place(slot))?;
        id.listen(at, options.backlog, options.reuse_addr, options.only_v6)?;
        let at = id.local_addr().unwrap_or(at);
        Ok(Rc::new(Listening {
            inner: Rc::clone(inner),
            slot,
            id: RefCell::new(Some(id)),
            at,
            options: options.clone(),
            waiting: Cell::new(0),
            ready: RefCell::default(),
            held: RefCell::default(),
            refused: Cell::new(0),
            closed: Cell::new(false),
            waiter: Waiter::new(),
        }))
    })?;
    Ok(Rc::new(Handle(listening)))
}

/// Somebody asks for a connection.
pub(crate) struct Request {
    pub(crate) id: Id,
    pub(crate) hello: Hello,
    /// READs and atomics at a time, that the peer wants answered, and that it will ask for.
    pub(crate) limits: (u8, u8),
}

impl Listening {
    /// Somebody asks for a connection, with this private data.
    pub(crate) fn on_request(self: &Rc<Self>, id: Id, data: &[u8], limits: (u8, u8)) {
        let backlog = self.options.backlog.max(1);
        let request = match Hello::parse(data) {
            Ok(hello) => Request { id, hello, limits },
            Err(refusal) => return self.refuse(&id, refusal),
        };
        if self.waiting.get() < backlog {
            self.admit(request);
        } else if self.held.borrow().len() < backlog as usize {
            self.held.borrow_mut().push_back(request);
        } else {
            self.refuse(&request.id, Refusal::Backlog);
        }
    }

    fn refuse(&self, id: &Id, refusal: Refusal) {
        id.reject(&refusal.encode());
        self.refused(&refusal);
    }

    fn refused(&self, why: &dyn std::fmt::Display) {
        self.refused.set(self.refused.get() + 1);
        tracing::debug!(target: "hemi::rdma", at = %self.at, %why, "a connection was refused");
    }

    fn admit(self: &Rc<Self>, request: Request) {
        match stream::accept(&self.inner, self, request) {
            Ok(()) => self.waiting.set(self.waiting.get() + 1),
            Err(why) => self.refused(&why),
        }
    }

    /// One fewer waits: those that were held are answered.
    fn left(self: &Rc<Self>) {
        self.waiting.set(self.waiting.get().saturating_sub(1));
        while self.waiting.get() < self.options.backlog.max(1) {
            let Some(next) = self.held.borrow_mut().pop_front() else { return };
            self.admit(next);
        }
    }

    pub(crate) fn options(&self) -> &SocketOptions {
        &self.options
    }

    /// A connection of this listener is up.
    pub(crate) fn established(&self, stream: &Rc<Stream>) {
        if self.closed.get() {
            return stream.abort();
        }
        self.ready.borrow_mut().push_back(Rc::clone(stream));
        self.waiter.wake();
    }

    /// One that was being established will not be.
    pub(crate) fn gave_up(self: &Rc<Self>) {
        self.refused.set(self.refused.get() + 1);
        self.left();
    }

    pub(crate) fn wake(&self) {
        self.waiter.wake();
    }

    pub(crate) fn close(&self) {
        if self.closed.replace(true) {
            return;
        }
        drop(self.id.take());
        let held = self.held.take();
        for request in held {
            request.id.reject(&Refusal::Closing.encode());
        }
        let unaccepted = self.ready.take();
        unaccepted.iter().for_each(Stream::abort);
        self.waiter.wake();
        self.inner.remove_listener(self.slot);
    }
}

/// What the application holds; dropping it closes the listener.
struct Handle(Rc<Listening>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Acceptor for Handle {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Rc<dyn StreamSocket>>>> {
        let this = &self.0;
        if this.closed.get() {
            return Poll::Ready(Ok(None));
        }
        this.inner.check()?;
        let next = this.ready.borrow_mut().pop_front();
        if let Some(stream) = next {
            this.left();
            return Poll::Ready(Ok(Some(stream::handle(stream))));
        }
        this.waiter.register(cx.waker());
        Poll::Pending
    }

    fn local_addr(&self) -> Result<Endpoint> {
        Ok(self.0.at.into())
    }

    /// Connections that were refused, or gave up before they were established.
    fn transient_failures(&self) -> u64 {
        self.0.refused.get()
    }

    fn close(&self) {
        self.0.close();
    }
}
