//! Streams: TCP connections.
//!
//! ```text
//!            connect                    accept
//!               │                          │
//!               ▼        connected (1)     ▼
//!          CONNECTING ────────────────► OPEN
//!               │                          │ close (2)
//!               │ failed, timed out: the   ▼
//!               │ errors stay to be read CLOSING   sends what was accepted and a FIN, at most `linger` long
//!               │                          │ FIN acknowledged, failed, gave up (3)
//!               │ close                    ▼
//!               └───────────────────────► CLOSED   the stack has the rest (TIME-WAIT, FIN-WAIT-2), the waiter of the close is woken
//! ```
//! (1) [`Stream::on_event`] (2) [`Stream::close`] (3) [`Stream::closing_turn`], [`Stream::close_timed_out`].
//!
//! `close.rs` is the way out, `handle.rs` what the application holds. Nothing is buffered here: received data and pushed data
//! lie in the stack's connection, and a poll function asks it.

mod close;
mod handle;

use std::{
    cell::Cell,
    net::SocketAddr,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use hemi_net::{ConnError, ConnId, Readiness};
use hemi_queue::{
    Error, PushError, Result, Sga, Waiter,
    transport::{Endpoint, SocketOptions, StreamOption, StreamSocket},
    wheel::Key,
};

use crate::{
    error,
    inner::{Inner, Timer},
    options,
};
use close::Patience;
use handle::Handle;

/// What a stream may hold of pushed and unacknowledged bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Buffers {
    /// With the stack, which counts as the device.
    pub(crate) send: usize,
    /// And beyond that before pushes wait.
    pub(crate) limit: usize,
}

impl Buffers {
    /// A push completes below this.
    pub(crate) fn most(self) -> usize {
        self.send + self.limit
    }

    /// A push is refused from here on.
    fn refused(self) -> usize {
        self.send + 2 * self.limit
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Connecting,
    Open,
    Closing,
    Closed,
}

pub(crate) struct Stream {
    inner: Rc<Inner>,
    pub(crate) id: ConnId,
    local: SocketAddr,
    peer: SocketAddr,
    life: Cell<Life>,
    buffers: Cell<Buffers>,
    linger: Cell<Option<Duration>>,
    /// What the connection ended with, kept beyond its name's life.
    failed: Cell<Option<ConnError>>,
    /// The connect or close under way.
    timer: Cell<Option<Key>>,
    patience: Cell<Patience>,
    rx_waiter: Waiter,
    /// Of `poll_ready`, `poll_flushed` and `poll_acked`: one pushing task.
    tx_waiter: Waiter,
    connect_waiter: Waiter,
    close_waiter: Waiter,
}

fn new(
    inner: &Rc<Inner>,
    id: ConnId,
    ends: (SocketAddr, SocketAddr),
    life: Life,
    linger: Option<Duration>,
    buffers: Buffers,
) -> Rc<Stream> {
    let stream = Rc::new(Stream {
        inner: Rc::clone(inner),
        id,
        local: ends.0,
        peer: ends.1,
        life: Cell::new(life),
        buffers: Cell::new(buffers),
        linger: Cell::new(linger),
        failed: Cell::new(None),
        timer: Cell::new(None),
        patience: Cell::default(),
        rx_waiter: Waiter::new(),
        tx_waiter: Waiter::new(),
        connect_waiter: Waiter::new(),
        close_waiter: Waiter::new(),
    });
    inner.add_stream(&stream);
    stream
}

/// A connection that a listener has accepted. It may be over already: its first pop tells.
pub(crate) fn accepted(
    inner: &Rc<Inner>,
    id: ConnId,
    linger: Option<Duration>,
    buffers: Buffers,
) -> Option<Rc<dyn StreamSocket>> {
    let ends = inner.stack(|stack, _| stack.tcp_addresses(id))?;
    Some(Rc::new(Handle(new(inner, id, ends, Life::Open, linger, buffers))))
}

/// Begin to connect.
pub(crate) fn connect(
    inner: &Rc<Inner>,
    to: &Endpoint,
    options: &SocketOptions,
) -> Result<Rc<dyn StreamSocket>> {
    inner.check_open("connect")?;
    let peer = options::ip(to, "connect")?;
    let (id, ends, buffers, life) = inner
        .stack(|stack, now| {
            let (tcp, buffers) = options::stream(options, stack.tcp_config());
            let id = stack.tcp_connect(peer, options.bind_to, tcp, now)?;
            let ends = stack.tcp_addresses(id).ok_or(ConnError::Closed)?;
            // A SYN that waits for data to carry: the stream is open, or there would never be any.
            let life = if stack.tcp_is_deferred(id) { Life::Open } else { Life::Connecting };
            Ok((id, ends, buffers, life))
        })
        .map_err(|e| match (e, options.bind_to) {
            (ConnError::NoSuchAddress | ConnError::AddressInUse, Some(from)) => {
                error::of_conn("bind", from, e)
            }
            _ => error::of_conn("connect", peer, e),
        })?;
    let stream = new(inner, id, ends, life, options.linger, buffers);
    if let Some(limit) = options.connect_timeout.filter(|_| life == Life::Connecting) {
        stream.timer.set(Some(inner.after(limit, Timer::Connect(id))));
    }
    Ok(Rc::new(Handle(stream)))
}

/// Events.
impl Stream {
    /// Something happened to the connection.
    #[inline]
    pub(crate) fn on_event(self: &Rc<Self>, what: Readiness) {
        match self.life.get() {
            Life::Closing => return self.closing_turn(),
            Life::Connecting if what.connected() || what.closed() => {
                self.stop_timer();
                if what.connected() {
                    self.life.set(Life::Open);
                }
                self.connect_waiter.wake();
            }
            _ => {}
        }
        if what.readable() {
            self.rx_waiter.wake();
        }
        if what.writable() || what.acked() {
            self.tx_waiter.wake();
        }
    }

    pub(crate) fn connect_timed_out(self: &Rc<Self>) {
        self.timer.set(None);
        if self.life.get() == Life::Connecting {
            self.finish(Some(ConnError::TimedOut), true);
        }
    }

    /// The device is gone.
    pub(crate) fn device_lost(&self) {
        if self.life.get() == Life::Closing {
            self.life.set(Life::Closed);
        }
        self.timer.set(None);
        self.inner.remove_stream(self.id);
        self.wake_all();
    }

    fn wake_all(&self) {
        for waiter in [&self.rx_waiter, &self.tx_waiter, &self.connect_waiter, &self.close_waiter] {
            waiter.wake();
        }
    }

    fn stop_timer(&self) {
        if let Some(key) = self.timer.take() {
            self.inner.cancel_timer(key);
        }
    }

    #[cold]
    fn error(&self, op: &'static str, error: ConnError) -> Error {
        error::of_conn(op, self.peer, error)
    }

    /// The error of an operation on a stream that is neither open nor connecting.
    #[cold]
    fn over(&self, op: &'static str) -> Error {
        match self.failed.get() {
            Some(e) => self.error(op, e),
            None => Error::Closed,
        }
    }

    #[inline]
    fn check(&self, op: &'static str) -> Result<()> {
        self.inner.check(op)?;
        match self.life.get() {
            Life::Open | Life::Connecting => Ok(()),
            _ => Err(self.over(op)),
        }
    }
}

/// Connecting.
impl Stream {
    fn poll_connected(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.check("connect")?;
        if self.life.get() == Life::Open {
            return Poll::Ready(Ok(()));
        }
        if let Some(e) = self.inner.stack(|stack, _| stack.tcp_error(self.id)) {
            return Poll::Ready(Err(self.error("connect", e)));
        }
        self.connect_waiter.register(cx.waker());
        Poll::Pending
    }
}

/// Receiving.
impl Stream {
    #[inline]
    fn poll_pop(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Sga>>> {
        self.check("recv")?;
        let popped = self.inner.stack(|stack, now| match stack.tcp_pop(self.id, now) {
            Ok(None) => Ok((None, stack.tcp_is_at_end(self.id))),
            Ok(some) => Ok((some, false)),
            Err(e) => Err(e),
        });
        match popped {
            Ok((Some(buf), _)) => Poll::Ready(Ok(Some(buf.into()))),
            Ok((None, true)) => Poll::Ready(Ok(None)),
            Ok((None, false)) => {
                self.rx_waiter.register(cx.waker());
                Poll::Pending
            }
            Err(e) => Poll::Ready(Err(self.error("recv", e))),
        }
    }
}

/// Sending.
impl Stream {
    #[inline]
    fn start_push(&self, unit: Sga) -> Result<(), PushError<Sga>> {
        if let Err(e) = self.check("send") {
            return Err(PushError::new(e, unit));
        }
        let refused = self.buffers.get().refused();
        let pushed = self.inner.stack(|stack, now| {
            if unit.is_empty() {
                return stack.tcp_error(self.id).map_or(Ok(()), |e| Err((e, unit)));
            }
            if stack.tcp_send_queue(self.id) >= refused {
                return Err((ConnError::Full, unit));
            }
            stack.tcp_push(self.id, unit, now)
        });
        pushed.map_err(|(e, unit)| PushError::new(self.error("send", e), unit))
    }

    /// Wait until fewer than `below` bytes are pushed and unacknowledged.
    #[inline]
    fn poll_below(&self, below: usize, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.check("send")?;
        let ready = self.inner.stack(|stack, _| {
            if stack.tcp_send_queue(self.id) < below {
                return stack.tcp_error(self.id).map_or(Ok(true), Err);
            }
            stack.tcp_want_room(self.id, below);
            Ok(false)
        });
        self.ready(ready, cx)
    }

    fn poll_acked(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.check("send")?;
        let ready = self.inner.stack(|stack, _| {
            if let Some(e) = stack.tcp_error(self.id) {
                return Err(e);
            }
            let acked = stack.tcp_is_flushed(self.id);
            if !acked {
                stack.tcp_want_acked(self.id);
            }
            Ok(acked)
        });
        self.ready(ready, cx)
    }

    fn ready(&self, ready: Result<bool, ConnError>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match ready {
            Ok(true) => Poll::Ready(Ok(())),
            Ok(false) => {
                self.tx_waiter.register(cx.waker());
                Poll::Pending
            }
            Err(e) => Poll::Ready(Err(self.error("send", e))),
        }
    }

    fn shutdown(&self) -> Result<()> {
        self.check("shutdown")?;
        self.inner.stack(|stack, now| {
            if let Some(e) = stack.tcp_error(self.id) {
                return Err(self.error("shutdown", e));
            }
            stack.tcp_shutdown(self.id, now);
            Ok(())
        })
    }

    fn set_option(&self, option: StreamOption) -> Result<()> {
        self.check("set an option")?;
        let id = self.id;
        self.inner.stack(|stack, now| match option {
            StreamOption::NoDelay(on) => stack.tcp_set_nodelay(id, on, now),
            StreamOption::KeepAlive(idle) => stack.tcp_set_keep_alive(id, idle, now),
            StreamOption::Linger(most) => self.linger.set(most),
            StreamOption::RecvBuffer(bytes) => stack.tcp_set_recv_buffer(id, bytes),
            StreamOption::SendBuffer(bytes) => {
                let buffers = Buffers { send: bytes.clamp(1, 1 << 29), ..self.buffers.get() };
                self.buffers.set(buffers);
                stack.tcp_set_send_buffer(id, buffers.most(), now);
            }
            _ => {}
        });
        Ok(())
    }
}
