//! Datagram sockets: UDP and Unix datagrams.
//!
//! A push is sent at once when nothing waits before it, so that its error (too large, unreachable, not permitted) is the
//! push's own; only when the kernel's send buffer is full is it queued. An ICMP error, which belongs to an earlier
//! datagram, is told to the popping side. Receiving stops at the limit; then the kernel drops, as datagrams may be.

mod filter;
mod handle;
mod scratch;

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    os::fd::{AsRawFd, RawFd},
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use hemi_queue::{
    Error, PushError, Result, Sga, Waiter,
    time::Instant,
    transport::{DatagramSocket, Endpoint, SocketOptions},
};
use socket2::{SockAddr, Socket as Descriptor};

pub(crate) use scratch::Scratch;

use crate::{
    addr,
    hot::{Member, Tried},
    inner::{Engine, Inner, Socket},
    options,
    stream::Mode,
    sys::{self, Errno},
    timers::Timer,
};
use handle::Handle;
use scratch::Arrived;

/// The most that one UDP datagram carries: 65535 minus the UDP header, and minus the IPv4 header (RFC 768, RFC 791).
const LARGEST_V4: usize = 65_507;
const LARGEST_V6: usize = 65_527;
/// A send to a Unix socket whose queue is full is tried again after this long: nothing tells when it has room.
const UNIX_RETRY: Duration = Duration::from_millis(1);
/// How long a close waits for datagrams that the kernel does not take.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

struct Received {
    unit: Result<Sga>,
    from: Endpoint,
    charge: usize,
}

pub(crate) struct Datagram {
    inner: Rc<Inner>,
    pub(crate) id: Cell<usize>,
    descriptor: RefCell<Option<Descriptor>>,
    pub(crate) fd: RawFd,
    is_unix: bool,
    largest: usize,
    pub(crate) mode: Cell<Mode>,
    pub(crate) untried: Cell<bool>,
    /// Datagrams wait in the kernel: take several at a time.
    eager: Cell<bool>,
    misses: Cell<u32>,
    received: RefCell<VecDeque<Received>>,
    charged: Cell<usize>,
    recv_limit: usize,
    /// Errors of the network, told once, oldest first.
    error: Cell<Errno>,
    rx_waiter: Waiter,
    sends: RefCell<VecDeque<(Sga, Option<SockAddr>)>>,
    send_bytes: Cell<usize>,
    send_limit: usize,
    /// The engine or a timer has the next word.
    blocked: Cell<bool>,
    tx_waiter: Waiter,
    peer: RefCell<Option<Endpoint>>,
    pub(crate) registered: Cell<bool>,
    /// Operations of the engine in flight.
    pub(crate) ops: Cell<u32>,
    closing: Cell<Option<Instant>>,
    released: Cell<bool>,
}

pub(crate) fn bind(
    inner: &Rc<Inner>,
    at: &Endpoint,
    options: &SocketOptions,
) -> Result<Rc<dyn DatagramSocket>> {
    inner.check_open()?;
    let descriptor = options::datagram(at, options)?;
    let largest = match at {
        Endpoint::Ip(a) if a.is_ipv4() => LARGEST_V4,
        Endpoint::Ip(_) => LARGEST_V6,
        _ => scratch::LARGEST,
    };
    let socket = Rc::new(Datagram {
        inner: Rc::clone(inner),
        id: Cell::new(0),
        fd: descriptor.as_raw_fd(),
        descriptor: RefCell::new(Some(descriptor)),
        is_unix: matches!(at, Endpoint::Unix(_)),
        largest,
        mode: Cell::new(Mode::Idle),
        untried: Cell::new(false),
        eager: Cell::new(false),
        misses: Cell::new(0),
        received: RefCell::default(),
        charged: Cell::new(0),
        recv_limit: options.recv_limit.max(1),
        error: Cell::new(0),
        rx_waiter: Waiter::new(),
        sends: RefCell::default(),
        send_bytes: Cell::new(0),
        send_limit: options.send_limit.max(1),
        blocked: Cell::new(false),
        tx_waiter: Waiter::new(),
        peer: RefCell::default(),
        registered: Cell::new(false),
        ops: Cell::new(0),
        closing: Cell::new(None),
        released: Cell::new(false),
    });
    socket.id.set(inner.add(|_| Socket::Datagram(Rc::clone(&socket))));
    Ok(Rc::new(Handle(socket)))
}

/// Receiving.
impl Datagram {
    fn is_closed(&self) -> bool {
        self.closing.get().is_some()
    }

    fn poll_pop_from(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<Result<Option<(Sga, Endpoint)>>> {
        let next = self.received.borrow_mut().pop_front();
        if let Some(next) = next {
            self.charged.set(self.charged.get() - next.charge);
            return Poll::Ready(next.unit.map(|unit| Some((unit, next.from))));
        }
        let error = self.error.replace(0);
        if error != 0 {
            return Poll::Ready(Err(Error::errno("recv", "", error)));
        }
        if self.is_closed() {
            return Poll::Ready(Ok(None));
        }
        self.rx_waiter.register(cx.waker());
        if self.mode.get() == Mode::Idle {
            self.heat();
        }
        Poll::Pending
    }

    fn heat(self: &Rc<Self>) {
        self.mode.set(Mode::Hot);
        self.untried.set(true);
        self.inner.hot.add(Member::Datagram(Rc::clone(self)));
    }

    /// The hot set's try: one call, one datagram or several.
    pub(crate) fn try_recv(self: &Rc<Self>) -> Tried {
        if self.is_closed() {
            self.mode.set(Mode::Idle);
            return Tried::Left;
        }
        let first = self.untried.replace(false);
        let eager = self.eager.get();
        let outcome = self.inner.with_scratch(|scratch| {
            if eager {
                scratch.receive(self.fd, |arrived| self.put(arrived))
            } else {
                scratch.receive_one(self.fd, |arrived| self.put(arrived))
            }
        });
        match outcome {
            // Found at the first look: they come faster than they are popped. Not a full burst: they do not.
            Ok(n) => self.eager.set(if eager { n == scratch::BURST } else { first }),
            Err(libc::EAGAIN | libc::EINTR) => {
                self.misses.set(self.misses.get() + 1);
                return Tried::Miss(self.misses.get());
            }
            Err(errno) => self.error.set(errno),
        }
        self.misses.set(0);
        if self.received.borrow().is_empty() && self.error.get() == 0 {
            return Tried::Miss(0); // all of it was filtered out
        }
        self.mode.set(Mode::Idle);
        self.rx_waiter.wake();
        Tried::Left
    }

    fn put(&self, arrived: Arrived<'_>) {
        // `connect`: "receive from `to` only, from now on"; what was on its way before may be of others.
        if self.peer.borrow().as_ref().is_some_and(|peer| !self.is_unix && *peer != arrived.from) {
            return;
        }
        let unit = match arrived.bytes {
            Ok(bytes) => match self.inner.pool.copy_from(bytes) {
                Ok(unit) => Ok(unit),
                Err(_) => return self.inner.count_dropped(),
            },
            Err(got) => Err(Error::UnitTooLarge { got: got as u64, limit: scratch::LARGEST as u64 }),
        };
        let charge = unit.as_ref().map_or(0, |u| u.iter().map(hemi_queue::Buf::pinned).sum());
        self.charged.set(self.charged.get() + charge);
        self.received.borrow_mut().push_back(Received { unit, from: arrived.from, charge });
    }

    pub(crate) fn arm_recv(self: &Rc<Self>) {
        self.misses.set(0);
        if self.is_closed() || self.charged.get() >= self.recv_limit {
            self.mode.set(Mode::Idle);
            return;
        }
        self.mode.set(Mode::Armed);
        match &self.inner.engine {
            Engine::Uring(uring) => uring.arm_datagram(&self.inner, self, libc::POLLIN),
            Engine::Ready(ready) => ready.arm_datagram(self),
        }
    }

    /// The engine says that there is something to read.
    pub(crate) fn readable(self: &Rc<Self>) {
        match self.mode.get() {
            Mode::Armed if self.rx_waiter.is_waiting() => self.heat(),
            Mode::Armed => self.mode.set(Mode::Idle),
            Mode::Hot => self.untried.set(true),
            Mode::Idle | Mode::Disarming => {}
        }
    }

    /// Arming failed.
    pub(crate) fn failed(&self, errno: Errno) {
        self.mode.set(Mode::Idle);
        self.error.set(errno);
        self.rx_waiter.wake();
    }
}

/// Sending.
impl Datagram {
    fn start_push_to(self: &Rc<Self>, unit: Sga, to: Option<&Endpoint>) -> Result<(), PushError<Sga>> {
        if self.is_closed() {
            return Err(PushError::new(Error::Closed, unit));
        }
        let len = unit.len();
        if len > self.largest {
            let error = Error::UnitTooLarge { got: len as u64, limit: self.largest as u64 };
            return Err(PushError::new(error, unit));
        }
        let to = match to.map(addr::to_sock).transpose() {
            Ok(to) => to.map(|(_, addr)| addr),
            Err(e) => return Err(PushError::new(e, unit)),
        };
        if self.send_bytes.get() >= self.send_limit.saturating_mul(2) {
            return Err(PushError::new(Error::Busy, unit));
        }
        if !self.blocked.get() {
            match self.send(&unit, to.as_ref()) {
                Ok(()) => return Ok(()),
                Err(libc::EAGAIN | libc::ENOBUFS) => {}
                Err(errno) => return Err(PushError::new(self.send_error(errno, len), unit)),
            }
        }
        self.send_bytes.set(self.send_bytes.get() + len.max(1));
        self.sends.borrow_mut().push_back((unit, to));
        self.block();
        Ok(())
    }

    fn send_error(&self, errno: Errno, len: usize) -> Error {
        match errno {
            libc::EMSGSIZE => Error::UnitTooLarge { got: len as u64, limit: self.largest as u64 },
            libc::EDESTADDRREQ | libc::ENOTCONN => Error::wrong_kind(
                "push without an address",
                "the socket is not connected; give an address or connect it",
            ),
            _ => Error::errno("send", "", errno),
        }
    }

    fn send(&self, unit: &Sga, to: Option<&SockAddr>) -> Result<(), Errno> {
        match sys::send_unit(self.fd, unit, to) {
            // An error of an earlier datagram, reported by ICMP: the popping side is told, and this one is sent.
            Err(e @ (libc::ECONNREFUSED | libc::EHOSTUNREACH | libc::ENETUNREACH)) if !self.is_unix => {
                match sys::send_unit(self.fd, unit, to) {
                    Ok(()) => {
                        self.error.set(e);
                        self.rx_waiter.wake();
                        Ok(())
                    }
                    again => again,
                }
            }
            Err(libc::EINTR) => sys::send_unit(self.fd, unit, to),
            other => other,
        }
    }

    /// Wait for room.
    fn block(self: &Rc<Self>) {
        if self.blocked.replace(true) {
            return;
        }
        if self.is_unix {
            self.inner.after(UNIX_RETRY, Timer::Send(Rc::clone(self)));
            return;
        }
        match &self.inner.engine {
            Engine::Uring(uring) => uring.arm_datagram(&self.inner, self, libc::POLLOUT),
            Engine::Ready(ready) => ready.arm_datagram(self),
        }
    }

    /// There may be room.
    pub(crate) fn writable(self: &Rc<Self>) {
        if !self.blocked.replace(false) || self.released.get() {
            return;
        }
        loop {
            let mut sends = self.sends.borrow_mut();
            let Some((unit, to)) = sends.front() else { break };
            match self.send(unit, to.as_ref()) {
                Err(libc::EAGAIN | libc::ENOBUFS) => {
                    drop(sends);
                    if self.closing.get().is_some_and(|until| self.inner.now() >= until) {
                        self.give_up();
                        return;
                    }
                    self.block();
                    break;
                }
                outcome => {
                    if let Err(errno) = outcome {
                        self.error.set(errno); // its push has returned: the popping side is told
                        self.rx_waiter.wake();
                    }
                    let len = unit.len().max(1);
                    self.send_bytes.set(self.send_bytes.get() - len);
                    sends.pop_front();
                }
            }
        }
        if self.send_bytes.get() < self.send_limit {
            self.tx_waiter.wake();
        }
        if self.is_closed() && self.sends.borrow().is_empty() {
            self.release();
        }
    }

    fn poll_below(&self, below: usize, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if self.is_closed() {
            return Poll::Ready(Err(Error::Closed));
        }
        if self.send_bytes.get() < below {
            return Poll::Ready(Ok(()));
        }
        self.tx_waiter.register(cx.waker());
        Poll::Pending
    }

    fn connect(&self, to: &Endpoint) -> Result<()> {
        let (_, addr) = addr::to_sock(to)?;
        let descriptor = self.descriptor.borrow();
        let descriptor = descriptor.as_ref().ok_or(Error::Closed)?;
        descriptor.connect(&addr).map_err(|e| Error::io("connect", to, e))?;
        let mut kept = 0;
        self.received.borrow_mut().retain(|r| {
            let keep = self.is_unix || r.from == *to;
            kept += if keep { r.charge } else { 0 };
            keep
        });
        self.charged.set(kept);
        *self.peer.borrow_mut() = Some(to.clone());
        Ok(())
    }
}

/// Closing.
impl Datagram {
    pub(crate) fn close(self: &Rc<Self>) {
        if self.is_closed() {
            return;
        }
        self.closing.set(Some(self.inner.now() + CLOSE_PATIENCE));
        self.received.take();
        self.charged.set(0);
        self.rx_waiter.wake();
        self.tx_waiter.wake();
        if self.sends.borrow().is_empty() {
            self.release();
        } else {
            self.inner.after(CLOSE_PATIENCE, Timer::Send(Rc::clone(self)));
        }
    }

    /// What was not sent is lost.
    pub(crate) fn give_up(self: &Rc<Self>) {
        self.sends.take();
        self.send_bytes.set(0);
        self.release();
    }

    fn release(self: &Rc<Self>) {
        if self.released.get() {
            return;
        }
        if self.ops.get() > 0 {
            if let Engine::Uring(uring) = &self.inner.engine {
                uring.cancel_all(&self.inner, self.fd);
            }
            return;
        }
        self.released.set(true);
        drop(self.descriptor.take());
        self.inner.remove(self.id.get());
    }

    /// An operation of the engine ended.
    pub(crate) fn op_done(self: &Rc<Self>) {
        self.ops.set(self.ops.get() - 1);
        if self.is_closed() && self.ops.get() == 0 && self.sends.borrow().is_empty() {
            self.release();
        }
    }
}
