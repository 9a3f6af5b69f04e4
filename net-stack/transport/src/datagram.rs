//! Datagram sockets: UDP.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    net::SocketAddr,
    rc::Rc,
    task::{Context, Poll},
};

use hemi_net::{UdpError, UdpId, device::MarkedRewrite};
use hemi_queue::{
    Error, PushError, Result, Sga, Waiter,
    program::{Changes, Program, RunsIn},
    transport::{DatagramSocket, Endpoint, SocketOptions},
};

use crate::{error, inner::Inner, options};

/// A datagram that waits for room in the transmit queue.
type Waiting = (Sga, Option<SocketAddr>);

pub(crate) struct Datagram {
    inner: Rc<Inner>,
    pub(crate) id: UdpId,
    at: SocketAddr,
    /// Accepted, and the transmit queue had no room.
    sends: RefCell<VecDeque<Waiting>>,
    send_bytes: Cell<usize>,
    send_limit: usize,
    /// An error of a datagram that was sent before, for the popping side (RFC 1122 section 4.1.3.3).
    error: Cell<Option<UdpError>>,
    closed: Cell<bool>,
    /// A predicate that the device runs.
    pub(crate) filter: RefCell<Option<Program>>,
    /// A rewrite that the device makes.
    pub(crate) rewrite: RefCell<Option<MarkedRewrite>>,
    /// The mark of that, and of the datagram that was popped last.
    marks: Cell<(u32, u32)>,
    rx_waiter: Waiter,
    tx_waiter: Waiter,
}

pub(crate) fn bind(
    inner: &Rc<Inner>,
    at: &Endpoint,
    options: &SocketOptions,
) -> Result<Rc<dyn DatagramSocket>> {
    inner.check_open("bind")?;
    let wanted = options::ip(at, "bind")?;
    let limit = options.recv_buffer.unwrap_or(0).max(options.recv_limit).max(1);
    let (id, at) = inner
        .stack(|stack, _| stack.udp_bind_as(wanted, limit, options.broadcast, options.reuse_port))
        .map_err(|e| error::of_udp("bind", wanted, e))?;
    let socket = Rc::new(Datagram {
        inner: Rc::clone(inner),
        id,
        at,
        sends: RefCell::default(),
        send_bytes: Cell::new(0),
        send_limit: options.send_limit.max(1),
        error: Cell::new(None),
        closed: Cell::new(false),
        filter: RefCell::default(),
        rewrite: RefCell::default(),
        marks: Cell::default(),
        rx_waiter: Waiter::new(),
        tx_waiter: Waiter::new(),
    });
    inner.add_datagram(&socket);
    inner.filters_changed();
    Ok(Rc::new(Handle(socket)))
}

impl Datagram {
    /// Another rewrite from now on, or none; what was before.
    pub(crate) fn replace_rewrite(&self, rewrite: Option<MarkedRewrite>) -> Option<MarkedRewrite> {
        self.marks.set((rewrite.as_ref().map_or(0, |rewrite| rewrite.mark.get()), 0));
        self.rewrite.replace(rewrite)
    }

    /// There is something to receive, or an error.
    pub(crate) fn on_event(&self) {
        self.rx_waiter.wake();
    }

    pub(crate) fn device_lost(&self) {
        self.sends.take();
        self.rx_waiter.wake();
        self.tx_waiter.wake();
    }

    #[inline]
    fn poll_pop_from(&self, cx: &mut Context<'_>) -> Poll<Result<Option<(Sga, Endpoint)>>> {
        if self.closed.get() {
            return Poll::Ready(Ok(None));
        }
        self.inner.check("recv")?;
        match self.inner.stack(|stack, _| stack.udp_recv(self.id)) {
            Ok(Some(datagram)) => {
                self.marks.set((self.marks.get().0, datagram.mark));
                Poll::Ready(Ok(Some((datagram.payload.into(), datagram.from.into()))))
            }
            Ok(None) => {
                if let Some(e) = self.error.take() {
                    return Poll::Ready(Err(self.failure("recv", None, e)));
                }
                self.rx_waiter.register(cx.waker());
                Poll::Pending
            }
            Err(e) => Poll::Ready(Err(self.failure("recv", None, e))),
        }
    }

    #[cold]
    fn failure(&self, op: &'static str, to: Option<SocketAddr>, e: UdpError) -> Error {
        let target = to.or_else(|| self.inner.stack(|stack, _| stack.udp_peer(self.id))).unwrap_or(self.at);
        error::of_udp(op, target, e)
    }

    /// One try. An error of an earlier datagram goes to the popping side, and this one is sent.
    fn send(&self, unit: Sga, to: Option<SocketAddr>) -> Result<(), (UdpError, Sga)> {
        let sent = self.inner.stack(|stack, now| match stack.udp_send(self.id, unit, to, now) {
            Err((e @ (UdpError::Refused | UdpError::Unreachable), unit)) => {
                (stack.udp_send(self.id, unit, to, now), Some(e))
            }
            sent => (sent, None),
        });
        if let (Ok(()), Some(e)) = (&sent.0, sent.1) {
            self.error.set(Some(e));
            self.rx_waiter.wake();
        }
        sent.0
    }

    fn start_push_to(self: &Rc<Self>, unit: Sga, to: Option<&Endpoint>) -> Result<(), PushError<Sga>> {
        if self.closed.get() {
            return Err(PushError::new(Error::Closed, unit));
        }
        let to = match self.inner.check("send").and_then(|()| to.map(|t| options::ip(t, "send")).transpose())
        {
            Ok(to) => to,
            Err(e) => return Err(PushError::new(e, unit)),
        };
        if self.send_bytes.get() >= self.send_limit.saturating_mul(2) {
            return Err(PushError::new(Error::Busy, unit));
        }
        let waits = !self.sends.borrow().is_empty();
        let unit = if waits {
            unit
        } else {
            match self.send(unit, to) {
                Ok(()) => return Ok(()),
                Err((UdpError::Full, unit)) => unit,
                Err((e, unit)) => return Err(PushError::new(self.failure("send", to, e), unit)),
            }
        };
        if unit.len() > hemi_net::udp::MAX_PAYLOAD {
            let e = UdpError::TooLarge(unit.len());
            return Err(PushError::new(self.failure("send", to, e), unit));
        }
        self.send_bytes.set(self.send_bytes.get() + unit.len().max(1));
        self.sends.borrow_mut().push_back((unit, to));
        if !waits {
            self.inner.block(self);
        }
        Ok(())
    }

    /// The transmit queue may have room.
    pub(crate) fn retry(self: &Rc<Self>) {
        loop {
            let Some((unit, to)) = self.sends.borrow_mut().pop_front() else { break };
            let len = unit.len().max(1);
            match self.send(unit, to) {
                Err((UdpError::Full, unit)) => {
                    self.sends.borrow_mut().push_front((unit, to));
                    self.inner.block(self);
                    break;
                }
                Ok(()) => {}
                Err((e, _)) => {
                    self.error.set(Some(e)); // its push has returned: the popping side is told
                    self.rx_waiter.wake();
                }
            }
            self.send_bytes.set(self.send_bytes.get() - len);
        }
        if self.send_bytes.get() < self.send_limit {
            self.tx_waiter.wake();
        }
        if self.closed.get() && self.sends.borrow().is_empty() {
            self.release();
        }
    }

    fn poll_below(&self, below: usize, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if self.closed.get() {
            return Poll::Ready(Err(Error::Closed));
        }
        self.inner.check("send")?;
        if self.send_bytes.get() < below {
            return Poll::Ready(Ok(()));
        }
        self.tx_waiter.register(cx.waker());
        Poll::Pending
    }

    fn connect(&self, to: &Endpoint) -> Result<()> {
        if self.closed.get() {
            return Err(Error::Closed);
        }
        self.inner.check("connect")?;
        let peer = options::ip(to, "connect")?;
        self.inner
            .stack(|stack, _| stack.udp_connect(self.id, peer))
            .map_err(|e| error::of_udp("connect", peer, e))?;
        self.inner.filters_changed();
        Ok(())
    }

    /// Accepted datagrams still go out.
    pub(crate) fn close(&self) {
        if self.closed.replace(true) {
            return;
        }
        self.rx_waiter.wake();
        self.tx_waiter.wake();
        if self.sends.borrow().is_empty() {
            self.release();
        }
    }

    fn release(&self) {
        self.inner.stack(|stack, _| stack.udp_close(self.id));
        self.inner.remove_datagram(self.id);
        self.inner.filters_changed();
    }
}

/// What the application holds; dropping it closes the socket.
struct Handle(Rc<Datagram>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl DatagramSocket for Handle {
    #[inline]
    fn poll_pop_from(&self, cx: &mut Context<'_>) -> Poll<Result<Option<(Sga, Endpoint)>>> {
        self.0.poll_pop_from(cx)
    }

    fn install_filter(&self, program: Option<&Program>) -> RunsIn {
        self.0.inner.install_filter(&self.0, program)
    }

    fn install_rewrite(&self, changes: Option<&Changes>) -> RunsIn {
        self.0.inner.install_rewrite(&self.0, changes)
    }

    #[inline]
    fn is_rewritten(&self) -> bool {
        let (installed, popped) = self.0.marks.get();
        installed == popped && popped != 0
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.poll_below(self.0.send_limit, cx)
    }

    #[inline]
    fn start_push_to(&self, unit: Sga, to: Option<&Endpoint>) -> Result<(), PushError<Sga>> {
        self.0.start_push_to(unit, to)
    }

    fn poll_flushed(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.poll_below(1, cx)
    }

    fn connect(&self, to: &Endpoint) -> Result<()> {
        self.0.connect(to)
    }

    fn local_addr(&self) -> Result<Endpoint> {
        Ok(self.0.at.into())
    }

    fn peer_addr(&self) -> Result<Endpoint> {
        let peer = self.0.inner.stack(|stack, _| stack.udp_peer(self.0.id));
        peer.map(Endpoint::Ip).ok_or_else(|| Error::errno("peer address of", self.0.at, libc::ENOTCONN))
    }

    fn close(&self) {
        self.0.close();
    }
}
