//! Listening sockets.

use std::{
    cell::Cell,
    net::SocketAddr,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use hemi_net::ListenerId;
use hemi_queue::{
    Result, Waiter,
    transport::{Acceptor, Endpoint, SocketOptions, StreamSocket},
};

use crate::{
    error,
    inner::Inner,
    options,
    stream::{self, Buffers},
};

/// A listener of the stack.
pub(crate) struct Listening {
    inner: Rc<Inner>,
    pub(crate) id: ListenerId,
    at: SocketAddr,
    linger: Option<Duration>,
    buffers: Buffers,
    closed: Cell<bool>,
    waiter: Waiter,
}

pub(crate) fn listen(inner: &Rc<Inner>, at: &Endpoint, options: &SocketOptions) -> Result<Rc<dyn Acceptor>> {
    inner.check_open("listen")?;
    let wanted = options::ip(at, "listen")?;
    let (tcp, buffers) = inner.stack(|stack, _| options::stream(options, stack.tcp_config()));
    let backlog = options.backlog.clamp(1, 1 << 16) as usize;
    let only_v6 = options.only_v6.unwrap_or(false);
    let (id, at) = inner
        .stack(|stack, _| stack.tcp_listen_as(wanted, backlog, only_v6, tcp, options.reuse_port))
        .map_err(|e| error::of_conn("listen", wanted, e))?;
    let listening = Rc::new(Listening {
        inner: Rc::clone(inner),
        id,
        at,
        linger: options.linger,
        buffers,
        closed: Cell::new(false),
        waiter: Waiter::new(),
    });
    inner.add_listener(&listening);
    Ok(Rc::new(Handle(listening)))
}

impl Listening {
    /// There are connections to accept.
    pub(crate) fn on_event(&self) {
        self.waiter.wake();
    }

    pub(crate) fn close(&self) {
        if self.closed.replace(true) {
            return;
        }
        self.inner.stack(|stack, now| stack.tcp_close_listener(self.id, now));
        self.inner.mark_unflushed();
        self.waiter.wake();
        self.inner.remove_listener(self.id);
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
        this.inner.check("accept")?;
        if let Some(id) = this.inner.stack(|stack, _| stack.tcp_accept(this.id)) {
            return Poll::Ready(Ok(stream::accepted(&this.inner, id, this.linger, this.buffers)));
        }
        this.waiter.register(cx.waker());
        Poll::Pending
    }

    fn local_addr(&self) -> Result<Endpoint> {
        Ok(self.0.at.into())
    }

    /// None: an accept here takes nothing that could be short for a moment.
    fn transient_failures(&self) -> u64 {
        0
    }

    fn close(&self) {
        self.0.close();
    }
}
