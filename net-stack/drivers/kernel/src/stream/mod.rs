//! Streams: TCP connections and Unix streams.
//!
//! ```text
//!            connect                    accept
//!               │                          │
//!               ▼        connected (1)     ▼
//!          CONNECTING ────────────────► OPEN
//!               │                          │ close (2)
//!               │ close, failed,           ▼
//!               │ timed out             CLOSING   sends what was accepted, at most `linger` long
//!               │                          │ sent, failed, gave up (3)
//!               ▼                          ▼
//!            RELEASING ◄───────────────────┘      operations are cancelled
//!               │ last operation completed (4)
//!               ▼
//!            RELEASED                             descriptor closed, waiters of the close woken
//! ```
//! (1) [`Stream::connect_done`] (2) [`Stream::close`] (3) [`Stream::closing_turn`], [`Stream::give_up`] (4) [`Stream::op_done`].
//!
//! `rx.rs` and `tx.rs` are the two halves, `close.rs` is the way out, `handle.rs` what the application holds.

mod acked;
mod close;
mod handle;
mod rx;
mod tx;

use std::{
    cell::{Cell, RefCell},
    os::fd::{AsRawFd, RawFd},
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use hemi_queue::{
    Assembler, Buf, Error, PushError, Result, Sga, Waiter,
    transport::{Endpoint, SocketOptions, StreamSocket},
    wheel::Key,
};
use socket2::Socket as Descriptor;

pub(crate) use rx::Mode;
pub(crate) use tx::advance;

use crate::{
    fill::Filled,
    hot::{Member, Tried},
    inner::{Engine, Inner, Socket},
    options,
    sys::{self, Errno},
    timers::Timer,
};
use handle::Handle;
use rx::Rx;
use tx::{Flushed, Tx};

/// Arrivals closer than this make a stream busy.
const BUSY: Duration = Duration::from_micros(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tcp,
    Unix,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Connecting,
    Open,
    Closing,
    Releasing,
    Released,
}

pub(crate) struct Stream {
    pub(crate) inner: Rc<Inner>,
    pub(crate) id: Cell<usize>,
    descriptor: RefCell<Option<Descriptor>>,
    pub(crate) fd: RawFd,
    kind: Kind,
    pub(crate) life: Cell<Life>,
    pub(crate) rx: Rx,
    pub(crate) tx: Tx,
    /// Operations of the engine in flight.
    pub(crate) ops: Cell<u32>,
    /// In the ring's file table.
    pub(crate) slot: crate::uring::Slot,
    /// In the engine's epoll.
    pub(crate) registered: Cell<bool>,
    linger: Cell<Option<Duration>>,
    connect_failed: Cell<Errno>,
    /// Fast Open: the SYN waits for data to carry.
    deferred: Cell<bool>,
    connect_waiter: Waiter,
    close_waiter: Waiter,
    timer: Cell<Option<Key>>,
    close: close::Patience,
    /// A look at what is acknowledged is due, and how long it was put off.
    ack_timer: Cell<bool>,
    ack_look: Cell<Duration>,
}

fn new(
    inner: &Rc<Inner>,
    descriptor: Descriptor,
    kind: Kind,
    life: Life,
    options: &SocketOptions,
) -> Rc<Stream> {
    let stream = Rc::new(Stream {
        inner: Rc::clone(inner),
        id: Cell::new(0),
        fd: descriptor.as_raw_fd(),
        descriptor: RefCell::new(Some(descriptor)),
        kind,
        life: Cell::new(life),
        rx: Rx::new(options.recv_limit.max(1)),
        tx: Tx::new(options.send_limit),
        ops: Cell::new(0),
        slot: crate::uring::Slot::default(),
        registered: Cell::new(false),
        linger: Cell::new(options.linger),
        connect_failed: Cell::new(0),
        deferred: Cell::new(false),
        connect_waiter: Waiter::new(),
        close_waiter: Waiter::new(),
        timer: Cell::new(None),
        close: close::Patience::default(),
        ack_timer: Cell::new(false),
        ack_look: Cell::new(Duration::ZERO),
    });
    stream.id.set(inner.add(|_| Socket::Stream(Rc::clone(&stream))));
    stream
}

/// A stream that a listener accepted.
pub(crate) fn accepted(
    inner: &Rc<Inner>,
    descriptor: Descriptor,
    kind: Kind,
    options: &SocketOptions,
) -> Rc<dyn StreamSocket> {
    Rc::new(Handle(new(inner, descriptor, kind, Life::Open, options)))
}

/// Begin an active open.
pub(crate) fn connect(
    inner: &Rc<Inner>,
    to: &Endpoint,
    options: &SocketOptions,
) -> Result<Rc<dyn StreamSocket>> {
    inner.check_open()?;
    let (descriptor, addr) = options::connecting(to, options)?;
    let failed = |e| Error::io("connect", to, e);
    descriptor.set_nonblocking(true).map_err(failed)?;
    let pending = match descriptor.connect(&addr) {
        Ok(()) => false,
        Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => true,
        Err(e) => return Err(failed(e)),
    };
    descriptor.set_nonblocking(false).map_err(failed)?;
    let kind = if matches!(to, Endpoint::Unix(_)) { Kind::Unix } else { Kind::Tcp };
    let life = if pending { Life::Connecting } else { Life::Open };
    let stream = new(inner, descriptor, kind, life, options);
    stream.deferred.set(!pending && options.fast_open > 0 && kind == Kind::Tcp);
    if pending {
        if let Some(limit) = options.connect_timeout {
            stream.timer.set(Some(inner.after(limit, Timer::Connect(Rc::clone(&stream)))));
        }
        match &inner.engine {
            Engine::Uring(uring) => uring.arm_connect(inner, &stream),
            Engine::Ready(ready) => ready.arm(&stream),
        }
    }
    Ok(Rc::new(Handle(stream)))
}

/// Connecting.
impl Stream {
    /// The engine says that the descriptor became writable: established, or failed.
    pub(crate) fn connect_done(self: &Rc<Self>) {
        if self.life.get() != Life::Connecting {
            return;
        }
        self.stop_timer();
        match sys::take_error(self.fd) {
            Ok(()) => {
                self.life.set(Life::Open);
                self.connect_waiter.wake();
                if self.tx.bytes.get() > 0 || self.tx.finish.get() {
                    self.mark_dirty();
                }
                if self.rx.waiter.is_waiting() {
                    self.want_recv();
                }
            }
            Err(errno) => self.connect_failed(errno),
        }
    }

    pub(crate) fn connect_timed_out(self: &Rc<Self>) {
        self.timer.set(None);
        if self.life.get() == Life::Connecting {
            self.connect_failed(libc::ETIMEDOUT);
        }
    }

    fn connect_failed(self: &Rc<Self>, errno: Errno) {
        self.connect_failed.set(errno);
        self.rx.failed.set(errno);
        self.tx.fail(errno);
        self.connect_waiter.wake();
        self.rx.waiter.wake();
        self.release();
    }

    fn poll_connected(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if self.connect_failed.get() != 0 {
            return Poll::Ready(Err(Error::errno("connect", "", self.connect_failed.get())));
        }
        match self.life.get() {
            Life::Connecting => {
                self.connect_waiter.register(cx.waker());
                Poll::Pending
            }
            Life::Open => Poll::Ready(Ok(())),
            _ => Poll::Ready(Err(Error::Closed)),
        }
    }

    pub(crate) fn stop_timer(&self) {
        if let Some(key) = self.timer.take() {
            self.inner.cancel_timer(key);
        }
    }
}

/// Receiving.
impl Stream {
    #[inline]
    fn poll_pop(
        self: &Rc<Self>,
        assembler: Option<&Rc<dyn Assembler>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Sga>>> {
        if let Some(buf) = self.rx.take() {
            if self.rx.paused.get() && self.rx.has_room() {
                self.rx.paused.set(false);
                self.want_recv();
            }
            return Poll::Ready(Ok(Some(buf.into())));
        }
        if !matches!(self.life.get(), Life::Open | Life::Connecting) && self.connect_failed.get() == 0 {
            return Poll::Ready(Err(Error::Closed));
        }
        if self.rx.failed.get() != 0 {
            return Poll::Ready(Err(Error::errno("recv", "", self.rx.failed.get())));
        }
        if self.rx.ended.get() {
            return Poll::Ready(Ok(None));
        }
        self.rx.waiter.register(cx.waker(), assembler);
        if self.deferred.take() && self.tx.bytes.get() == 0 {
            // Who waits for the peer to speak first has nothing for the SYN to carry. What comes of it is told by receiving.
            let _ = sys::send(self.fd, &[]);
        }
        self.want_recv();
        Poll::Pending
    }

    /// A task waits for data: somebody must look for it.
    #[inline]
    pub(crate) fn want_recv(self: &Rc<Self>) {
        if self.rx.mode.get() == Mode::Idle && self.life.get() == Life::Open {
            self.look();
        }
    }

    /// Somebody must look for data: we, if this is one of few busy streams, else the engine.
    fn look(self: &Rc<Self>) {
        let direct = match &self.inner.engine {
            Engine::Uring(_) => self.rx.near.get() && self.inner.hot.len() < self.inner.tuning.hot,
            // Only a try that finds nothing makes an edge worth waiting for.
            Engine::Ready(_) => {
                let told = self.registered.get() && self.rx.drained.get() && !self.rx.hung_up.get();
                self.rx.near.get() || !told
            }
        };
        if direct { self.heat() } else { self.arm_recv() }
    }

    fn heat(self: &Rc<Self>) {
        self.rx.mode.set(Mode::Hot);
        self.rx.untried.set(true);
        self.inner.hot.add(Member::Stream(Rc::clone(self)));
    }

    /// The hot set's try: one non-blocking receive.
    #[inline]
    pub(crate) fn try_recv(self: &Rc<Self>) -> Tried {
        if self.life.get() != Life::Open || self.rx.is_over() {
            self.rx.mode.set(Mode::Idle);
            return Tried::Left;
        }
        self.rx.untried.set(false);
        match self.inner.fill.receive(&self.inner.pool, |room| sys::recv(self.fd, room)) {
            Filled::Data { buf, all } => {
                self.rx.mode.set(Mode::Idle);
                self.rx.misses.set(0);
                self.rx.drained.set(all);
                self.arrived();
                self.rx.deliver(&self.inner.pool, buf);
                if self.rx.waiter.is_waiting() {
                    self.want_recv(); // half a unit
                }
                Tried::Left
            }
            Filled::Failed(libc::EAGAIN | libc::EINTR) => {
                let misses = self.rx.misses.get() + 1;
                self.rx.misses.set(misses);
                Tried::Miss(misses)
            }
            Filled::NoMemory => {
                self.inner.starving.set(true);
                Tried::Starved
            }
            Filled::End => {
                self.rx.mode.set(Mode::Idle);
                self.peer_finished();
                Tried::Left
            }
            Filled::Failed(errno) => {
                self.rx.mode.set(Mode::Idle);
                self.recv_failed(errno);
                Tried::Left
            }
        }
    }

    /// Ask the engine to tell us of data.
    pub(crate) fn arm_recv(self: &Rc<Self>) {
        self.rx.misses.set(0);
        if self.life.get() != Life::Open || self.rx.is_over() {
            self.rx.mode.set(Mode::Idle);
            return;
        }
        match &self.inner.engine {
            Engine::Uring(uring) => uring.arm_recv(&self.inner, self),
            Engine::Ready(ready) => {
                self.rx.mode.set(Mode::Armed);
                ready.arm(self);
            }
        }
    }

    /// Note an arrival. True: it follows closely on the last one.
    #[inline]
    fn arrived(&self) -> bool {
        self.rx.near.set(self.inner.hot.is_near(&self.rx.seen, self.inner.tuning));
        let now = self.inner.now();
        now.saturating_since(self.rx.last.replace(now)) < BUSY
    }

    /// Data from the engine. False: it should stop, because the limit is reached or because trying is better.
    #[inline]
    pub(crate) fn received(&self, buf: Buf) -> bool {
        if self.life.get() != Life::Open {
            return false; // dropped: nobody will pop it
        }
        let busy = self.arrived();
        let more = self.rx.deliver(&self.inner.pool, buf);
        let hot = busy && self.rx.near.get() && self.inner.hot.len() < self.inner.tuning.hot;
        more && !hot
    }

    pub(crate) fn peer_finished(&self) {
        self.rx.ended.set(true);
        self.rx.waiter.wake();
    }

    pub(crate) fn recv_failed(&self, errno: Errno) {
        self.rx.failed.set(errno);
        self.rx.waiter.wake();
        if errno == libc::ECONNRESET {
            self.tx.fail(errno);
        }
    }

    /// The engine says that there is something to read, or the end.
    pub(crate) fn readable(self: &Rc<Self>) {
        self.rx.drained.set(false);
        match self.rx.mode.get() {
            Mode::Armed => self.heat(),
            Mode::Hot => self.rx.untried.set(true),
            Mode::Idle | Mode::Disarming => {}
        }
    }
}

/// Sending.
impl Stream {
    fn tx_error(&self) -> Option<Error> {
        if self.tx.failed.get() != 0 {
            return Some(Error::errno("send", "", self.tx.failed.get()));
        }
        match self.life.get() {
            Life::Open | Life::Connecting => None,
            _ => Some(Error::Closed),
        }
    }

    fn start_push(self: &Rc<Self>, unit: Sga) -> Result<(), PushError<Sga>> {
        if let Some(e) = self.tx_error() {
            return Err(PushError::new(e, unit));
        }
        if self.tx.finish.get() {
            return Err(PushError::new(Error::Closed, unit));
        }
        if self.tx.bytes.get() >= self.tx.limit.saturating_mul(2) {
            return Err(PushError::new(Error::Busy, unit));
        }
        self.tx.put(unit);
        self.mark_dirty();
        Ok(())
    }

    #[inline]
    fn mark_dirty(self: &Rc<Self>) {
        if !self.tx.dirty.get() && !self.tx.blocked.get() && self.life.get() != Life::Connecting {
            self.tx.dirty.set(true);
            self.inner.mark_dirty(self);
        }
    }

    /// Wait until fewer than `below` bytes are with us.
    fn poll_below(&self, below: usize, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if let Some(e) = self.tx_error() {
            return Poll::Ready(Err(e));
        }
        if self.tx.bytes.get() < below {
            return Poll::Ready(Ok(()));
        }
        self.tx.waiter.register(cx.waker());
        Poll::Pending
    }

    /// Send what is queued; what the kernel does not take goes to the engine.
    pub(crate) fn flush(self: &Rc<Self>) {
        self.tx.dirty.set(false);
        if self.tx.blocked.get() || matches!(self.life.get(), Life::Releasing | Life::Released) {
            return;
        }
        match self.tx.send_now(self.fd) {
            Flushed::All => self.drained(),
            Flushed::Blocked => {
                self.tx.blocked.set(true);
                match &self.inner.engine {
                    Engine::Uring(uring) => uring.send(&self.inner, self),
                    Engine::Ready(ready) => ready.arm(self),
                }
            }
            Flushed::Failed(errno) => self.send_failed(errno),
        }
        self.tx_progress();
    }

    /// Send what is queued as one operation of the ring, submitted with those of other streams.
    pub(crate) fn flush_by_ring(self: &Rc<Self>, uring: &crate::uring::Uring) {
        if self.tx.queue.borrow().is_empty() || self.life.get() != Life::Open {
            return self.flush();
        }
        self.tx.dirty.set(false);
        self.tx.blocked.set(true);
        uring.send(&self.inner, self);
    }

    /// The engine has sent, or says that there is room.
    pub(crate) fn writable(self: &Rc<Self>) {
        if self.tx.blocked.replace(false) {
            self.flush();
        }
    }

    /// Everything accepted is with the kernel.
    fn drained(&self) {
        if self.tx.finish.get() && !self.tx.finished.replace(true) {
            let _ = sys::shutdown(self.fd, libc::SHUT_WR); // ENOTCONN: the peer is gone, the next receive tells
        }
    }

    fn tx_progress(self: &Rc<Self>) {
        if self.tx.bytes.get() < self.tx.limit {
            self.tx.waiter.wake();
        }
        if self.life.get() == Life::Closing {
            self.closing_turn();
        }
    }

    /// The engine's send ended with an error.
    pub(crate) fn engine_send_failed(self: &Rc<Self>, errno: Errno) {
        self.tx.blocked.set(false);
        self.send_failed(errno);
        self.tx_progress();
    }

    pub(crate) fn send_failed(self: &Rc<Self>, errno: Errno) {
        self.tx.fail(errno);
        // The kernel reports a reset once: to the sender. The receiver must not take what follows for an orderly end.
        if errno == libc::ECONNRESET && !self.rx.is_over() {
            self.rx.failed.set(errno);
            self.rx.waiter.wake();
        }
    }
}
