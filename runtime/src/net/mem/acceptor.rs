//! A listening socket.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    task::{Context, Poll},
};

use hemi_queue::{
    Result, Waiter,
    transport::{Acceptor, Endpoint, SocketOptions, StreamSocket},
};

use super::{Host, stream::MemStream};

pub(super) struct MemAcceptor {
    host: Rc<Host>,
    at: Endpoint,
    backlog: usize,
    /// Established and not accepted.
    waiting: RefCell<VecDeque<Rc<MemStream>>>,
    /// Beyond the backlog: their connect waits.
    outside: RefCell<VecDeque<Rc<MemStream>>>,
    acceptor: Waiter,
    closed: Cell<bool>,
}

impl MemAcceptor {
    pub(super) fn bind(host: &Rc<Host>, at: &Endpoint, options: &SocketOptions) -> Result<Rc<Self>> {
        let table = &host.network.streams;
        let at = host.network.resolve(table, at)?;
        let acceptor = Rc::new(Self {
            host: Rc::clone(host),
            at: at.clone(),
            backlog: options.backlog.max(1) as usize,
            waiting: RefCell::default(),
            outside: RefCell::default(),
            acceptor: Waiter::new(),
            closed: Cell::new(false),
        });
        table.insert(&at, &acceptor, options)?;
        Ok(acceptor)
    }

    /// A client wants to connect.
    pub(super) fn arrive(&self, client: Rc<MemStream>) {
        if self.waiting.borrow().len() < self.backlog {
            self.establish(&client);
        } else {
            self.outside.borrow_mut().push_back(client);
        }
    }

    fn establish(&self, client: &Rc<MemStream>) {
        let server = MemStream::accept(&self.host, client, &self.at);
        self.waiting.borrow_mut().push_back(server);
        self.acceptor.wake();
    }
}

impl Acceptor for MemAcceptor {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Rc<dyn StreamSocket>>>> {
        let first = self.waiting.borrow_mut().pop_front();
        if let Some(stream) = first {
            let next = self.outside.borrow_mut().pop_front();
            if let Some(client) = next {
                self.establish(&client);
            }
            return Poll::Ready(Ok(Some(stream)));
        }
        if self.closed.get() {
            return Poll::Ready(Ok(None));
        }
        self.acceptor.register(cx.waker());
        Poll::Pending
    }

    fn local_addr(&self) -> Result<Endpoint> {
        Ok(self.at.clone())
    }

    fn transient_failures(&self) -> u64 {
        0
    }

    fn close(&self) {
        if self.closed.replace(true) {
            return;
        }
        self.host.network.streams.remove(&self.at, self);
        self.waiting.take().iter().for_each(|stream| stream.abort());
        self.outside.take().iter().for_each(MemStream::refuse);
        self.acceptor.wake();
    }
}

impl Drop for MemAcceptor {
    fn drop(&mut self) {
        self.close();
    }
}
