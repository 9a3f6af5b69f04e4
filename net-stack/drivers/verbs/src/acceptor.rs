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
            refused: Cell::new(0),
            closed: Cell::new(false),
            waiter: Waiter::new(),
        }))
    })?;
    Ok(Rc::new(Handle(listening)))
}

impl Listening {
    /// Somebody asks for a connection.
    pub(crate) fn on_request(self: &Rc<Self>, id: Id, data: &[u8], responder: u8, initiator: u8) {
        let full = self.waiting.get() >= self.options.backlog.max(1);
        let hello = if full { Err(Refusal::Backlog) } else { Hello::parse(data) };
        let accepted = match hello {
            Ok(hello) => stream::accept(&self.inner, self, id, hello, (responder, initiator)),
            Err(refusal) => {
                id.reject(&refusal.encode());
                Err(refusal.to_string())
            }
        };
        match accepted {
            Ok(()) => self.waiting.set(self.waiting.get() + 1),
            Err(why) => {
                self.refused.set(self.refused.get() + 1);
                tracing::debug!(target: "hemi::rdma", at = %self.at, %why, "a connection was refused");
            }
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
    pub(crate) fn gave_up(&self) {
        self.waiting.set(self.waiting.get().saturating_sub(1));
        self.refused.set(self.refused.get() + 1);
    }

    pub(crate) fn wake(&self) {
        self.waiter.wake();
    }

    pub(crate) fn close(&self) {
        if self.closed.replace(true) {
            return;
        }
        drop(self.id.take());
        let unaccepted = self.ready.take();
        unaccepted.iter().for_each(|stream| stream.abort());
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
            this.waiting.set(this.waiting.get().saturating_sub(1));
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
