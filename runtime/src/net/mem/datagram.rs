//! A datagram socket.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    path::PathBuf,
    rc::Rc,
    task::{Context, Poll},
};

use hemi_queue::{
    Error, PushError, Result, Sga, Waiter,
    transport::{DatagramSocket, Endpoint, SocketOptions},
};

use super::{Host, os_error};

/// The most a UDP datagram over IPv4 carries.
const MAX_DATAGRAM: usize = 65_507;

pub(super) struct MemDatagram {
    host: Rc<Host>,
    at: Endpoint,
    peer: RefCell<Option<Endpoint>>,
    arrived: RefCell<VecDeque<(Sga, Endpoint)>>,
    held: Cell<usize>,
    limit: usize,
    popper: Waiter,
    /// Nobody was there for a datagram to the connected peer.
    unreachable: Cell<bool>,
    closed: Cell<bool>,
}

impl MemDatagram {
    pub(super) fn bind(host: &Rc<Host>, at: &Endpoint, options: &SocketOptions) -> Result<Rc<Self>> {
        let table = &host.network.datagrams;
        let at = host.network.resolve(table, at)?;
        let socket = Rc::new(Self {
            host: Rc::clone(host),
            at: at.clone(),
            peer: RefCell::default(),
            arrived: RefCell::default(),
            held: Cell::new(0),
            limit: options.recv_limit.max(1),
            popper: Waiter::new(),
            unreachable: Cell::new(false),
            closed: Cell::new(false),
        });
        if at != Endpoint::Unix(PathBuf::new()) {
            table.insert(&at, &socket, options)?;
        }
        Ok(socket)
    }

    /// A datagram that finds the socket full is dropped, as a kernel does.
    fn arrive(&self, unit: Sga, from: Endpoint) {
        let from_stranger = self.peer.borrow().as_ref().is_some_and(|peer| *peer != from);
        if from_stranger || self.closed.get() || self.held.get() >= self.limit {
            return;
        }
        self.held.set(self.held.get() + unit.len() + 64);
        self.arrived.borrow_mut().push_back((unit, from));
        self.popper.wake();
    }

    /// The address that a peer sees: a socket bound to every address sends from the host's own.
    fn source(&self) -> Endpoint {
        match self.at {
            Endpoint::Ip(mut a) if a.ip().is_unspecified() => {
                a.set_ip(self.host.ip);
                Endpoint::Ip(a)
            }
            ref at => at.clone(),
        }
    }
}

impl DatagramSocket for MemDatagram {
    fn poll_pop_from(&self, cx: &mut Context<'_>) -> Poll<Result<Option<(Sga, Endpoint)>>> {
        if self.closed.get() {
            return Poll::Ready(Ok(None));
        }
        let next = self.arrived.borrow_mut().pop_front();
        if let Some((unit, from)) = next {
            self.held.set(self.held.get() - unit.len() - 64);
            return Poll::Ready(Ok(Some((unit, from))));
        }
        if self.unreachable.replace(false) {
            let to = self.peer_addr()?;
            return Poll::Ready(Err(os_error("recv", &to, libc::ECONNREFUSED)));
        }
        self.popper.register(cx.waker());
        Poll::Pending
    }

    fn poll_ready(&self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(if self.closed.get() { Err(Error::Closed) } else { Ok(()) })
    }

    fn start_push_to(&self, unit: Sga, to: Option<&Endpoint>) -> Result<(), PushError<Sga>> {
        if self.closed.get() {
            return Err(PushError::new(Error::Closed, unit));
        }
        let got = unit.len();
        if got > MAX_DATAGRAM {
            return Err(PushError::new(
                Error::UnitTooLarge { got: got as u64, limit: MAX_DATAGRAM as u64 },
                unit,
            ));
        }
        let connected = self.peer.borrow().clone();
        let Some(to) = to.cloned().or_else(|| connected.clone()) else {
            return Err(PushError::new(os_error("send", &self.at, libc::EDESTADDRREQ), unit));
        };
        let receiver = self.host.network.datagrams.find(&to);
        if receiver.is_none() && to.ip().is_none() {
            return Err(PushError::new(os_error("send to", &to, libc::ECONNREFUSED), unit));
        }
        let from = self.source();
        match receiver {
            Some(receiver) => self.host.flight.send(None, move || receiver.arrive(unit, from)),
            None if connected.is_some() => {
                self.unreachable.set(true); // ICMP port unreachable
                self.popper.wake();
            }
            None => {}
        }
        Ok(())
    }

    fn poll_flushed(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_ready(cx)
    }

    fn connect(&self, to: &Endpoint) -> Result<()> {
        *self.peer.borrow_mut() = Some(to.clone());
        Ok(())
    }

    fn local_addr(&self) -> Result<Endpoint> {
        Ok(self.at.clone())
    }

    fn peer_addr(&self) -> Result<Endpoint> {
        let peer = self.peer.borrow().clone();
        peer.ok_or_else(|| os_error("peer address", &self.at, libc::ENOTCONN))
    }

    fn close(&self) {
        if !self.closed.replace(true) {
            self.host.network.datagrams.remove(&self.at, self);
            self.arrived.take();
            self.popper.wake();
        }
    }
}

impl Drop for MemDatagram {
    fn drop(&mut self) {
        self.close();
    }
}
