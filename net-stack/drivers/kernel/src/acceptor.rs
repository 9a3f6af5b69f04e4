//! Listening sockets.
//!
//! The engine accepts ahead of the application, up to [`AHEAD`] connections; further ones wait in the kernel's backlog.
//! A passing failure (out of descriptors or memory, a connection that was gone before it was accepted) is counted and
//! retried with back-off: the clients wait in the backlog meanwhile and are served when it is over.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    os::fd::{AsRawFd, FromRawFd, RawFd},
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use hemi_queue::{
    Error, Result, Waiter,
    transport::{Acceptor, Endpoint, SocketOptions, StreamSocket},
};
use socket2::Socket as Descriptor;

use crate::{
    addr,
    inner::{Engine, Inner, Socket},
    options,
    stream::{self, Kind},
    sys::{self, Errno},
    timers::Timer,
};

/// Connections accepted and not yet popped.
const AHEAD: usize = 64;
const FIRST_RETRY: Duration = Duration::from_millis(1);
const LAST_RETRY: Duration = Duration::from_millis(128);

pub(crate) struct Listening {
    inner: Rc<Inner>,
    pub(crate) id: Cell<usize>,
    descriptor: RefCell<Option<Descriptor>>,
    pub(crate) fd: RawFd,
    kind: Kind,
    options: SocketOptions,
    ready: RefCell<VecDeque<Descriptor>>,
    waiter: Waiter,
    /// An errno that does not pass.
    failed: Cell<Errno>,
    transient: Cell<u64>,
    retry: Cell<Duration>,
    /// Waiting for the back-off to end.
    backing_off: Cell<bool>,
    /// The engine was told to accept.
    pub(crate) armed: Cell<bool>,
    /// The engine's accept in flight.
    pub(crate) operation: Cell<usize>,
    /// Operations in flight.
    pub(crate) ops: Cell<u32>,
    closed: Cell<bool>,
}

pub(crate) fn listen(inner: &Rc<Inner>, at: &Endpoint, options: &SocketOptions) -> Result<Rc<dyn Acceptor>> {
    inner.check_open()?;
    let descriptor = options::listen(at, options)?;
    if inner.engine.nonblocking_accept() {
        descriptor.set_nonblocking(true).map_err(|e| Error::io("set O_NONBLOCK", at, e))?;
    }
    let listening = Rc::new(Listening {
        inner: Rc::clone(inner),
        id: Cell::new(0),
        fd: descriptor.as_raw_fd(),
        descriptor: RefCell::new(Some(descriptor)),
        kind: if matches!(at, Endpoint::Unix(_)) { Kind::Unix } else { Kind::Tcp },
        options: options.clone(),
        ready: RefCell::default(),
        waiter: Waiter::new(),
        failed: Cell::new(0),
        transient: Cell::new(0),
        retry: Cell::new(FIRST_RETRY),
        backing_off: Cell::new(false),
        armed: Cell::new(false),
        operation: Cell::new(0),
        ops: Cell::new(0),
        closed: Cell::new(false),
    });
    listening.id.set(inner.add(|_| Socket::Listening(Rc::clone(&listening))));
    listening.arm();
    Ok(Rc::new(Handle(listening)))
}

impl Listening {
    /// Whether the engine should go on accepting.
    pub(crate) fn wants(&self) -> bool {
        !self.closed.get()
            && !self.backing_off.get()
            && self.failed.get() == 0
            && self.ready.borrow().len() < AHEAD
    }

    fn arm(self: &Rc<Self>) {
        if !self.wants() {
            return;
        }
        match &self.inner.engine {
            Engine::Uring(uring) => uring.arm_accept(&self.inner, self),
            Engine::Ready(ready) => ready.arm_accept(self),
        }
    }

    /// The engine accepted a connection. False: enough for now.
    pub(crate) fn accepted(&self, fd: RawFd) -> bool {
        // SAFETY: a descriptor that the kernel has just made for us, owned by nobody else.
        let descriptor = unsafe { Descriptor::from_raw_fd(fd) };
        self.retry.set(FIRST_RETRY);
        if self.closed.get() {
            return false; // dropped: reset, as the contract of `close` says
        }
        self.ready.borrow_mut().push_back(descriptor);
        self.waiter.wake();
        self.wants()
    }

    /// Accepting failed.
    pub(crate) fn accept_failed(self: &Rc<Self>, errno: Errno) {
        if self.closed.get() {
            return;
        }
        match errno {
            // accept(2): errors of the new connection, to be treated like "again". Nothing is wrong here.
            libc::ECONNABORTED
            | libc::EPROTO
            | libc::ENETDOWN
            | libc::EHOSTDOWN
            | libc::EHOSTUNREACH
            | libc::ENETUNREACH
            | libc::ENOPROTOOPT
            | libc::ENONET => {
                self.transient.set(self.transient.get() + 1);
                self.arm();
            }
            libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM => {
                self.transient.set(self.transient.get() + 1);
                let delay = self.retry.get();
                if delay == FIRST_RETRY {
                    let e = std::io::Error::from_raw_os_error(errno);
                    tracing::warn!(error = %e, "accept failed; clients wait in the backlog until it passes");
                }
                self.retry.set((delay * 2).min(LAST_RETRY));
                self.backing_off.set(true);
                self.inner.after(delay, Timer::Accept(Rc::clone(self)));
            }
            libc::EINTR | libc::ECANCELED | libc::EAGAIN => self.arm(),
            _ => {
                self.failed.set(errno);
                self.waiter.wake();
            }
        }
    }

    /// There may be more: look in the next turn.
    pub(crate) fn again(self: &Rc<Self>) {
        self.backing_off.set(true);
        self.inner.after(Duration::ZERO, Timer::Accept(Rc::clone(self)));
    }

    /// The back-off is over.
    pub(crate) fn retry(self: &Rc<Self>) {
        self.backing_off.set(false);
        self.arm();
    }

    pub(crate) fn close(self: &Rc<Self>) {
        if self.closed.replace(true) {
            return;
        }
        let never_popped = self.ready.take();
        for descriptor in never_popped {
            // "Connections not yet accepted are reset."
            let _ = descriptor.set_linger(Some(Duration::ZERO));
        }
        // The accept in flight holds the socket open until it is cancelled: stop listening now.
        let _ = sys::shutdown(self.fd, libc::SHUT_RDWR);
        self.waiter.wake();
        self.release();
    }

    /// Give the descriptor back, once nothing is in flight on it.
    pub(crate) fn release(self: &Rc<Self>) {
        if !self.closed.get() {
            return;
        }
        if self.ops.get() > 0 {
            if let Engine::Uring(uring) = &self.inner.engine {
                uring.cancel_all(&self.inner, self.fd);
            }
            return;
        }
        if self.descriptor.take().is_some() {
            self.inner.remove(self.id.get());
        }
    }

    /// An operation of the engine ended.
    pub(crate) fn op_done(self: &Rc<Self>) {
        self.ops.set(self.ops.get() - 1);
        if self.closed.get() && self.ops.get() == 0 {
            self.release();
        }
    }

    fn poll_accept(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<Result<Option<Rc<dyn StreamSocket>>>> {
        let next = self.ready.borrow_mut().pop_front();
        if let Some(descriptor) = next {
            if !self.armed.get() {
                self.arm();
            }
            return Poll::Ready(Ok(Some(stream::accepted(
                &self.inner,
                descriptor,
                self.kind,
                &self.options,
            ))));
        }
        if self.closed.get() {
            return Poll::Ready(Ok(None));
        }
        if self.failed.get() != 0 {
            return Poll::Ready(Err(Error::errno("accept", "", self.failed.get())));
        }
        self.waiter.register(cx.waker());
        if !self.armed.get() {
            self.arm();
        }
        Poll::Pending
    }
}

/// What the application holds; dropping it closes.
struct Handle(Rc<Listening>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Acceptor for Handle {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Rc<dyn StreamSocket>>>> {
        self.0.poll_accept(cx)
    }

    fn local_addr(&self) -> Result<Endpoint> {
        let descriptor = self.0.descriptor.borrow();
        let descriptor = descriptor.as_ref().ok_or(Error::Closed)?;
        let at = descriptor.local_addr().map_err(|e| Error::io("getsockname", "", e))?;
        Ok(addr::from_sock(&at))
    }

    fn transient_failures(&self) -> u64 {
        self.0.transient.get()
    }

    fn close(&self) {
        self.0.close();
    }
}
