//! The way out of a stream.
//!
//! A close still sends what was accepted. Then there is one trap: closing a TCP socket with unread data resets the
//! connection, and the reset overtakes what was just sent (RFC 9293 section 3.6, RFC 2525 section 2.17). So a stream with unread data is
//! shut down first, and released when the peer has acknowledged everything or patience ends. No `SO_LINGER` with a time is
//! ever set on a descriptor, because it makes `close(2)` block.

use std::{
    cell::Cell,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use hemi_queue::{Error, Result, time::Instant};

use super::{Kind, Life, Stream};
use crate::{inner::Engine, stream::Mode, sys, timers::Timer};

/// How long a close without a linger time may wait for a peer that does not read.
const DEFAULT_LINGER: Duration = Duration::from_secs(60);
/// How long the peer may take to acknowledge when only its last acknowledgements are missing and unread data would
/// make the release a reset.
const FIRST_LOOK: Duration = Duration::from_micros(200);
const LAST_LOOK: Duration = Duration::from_millis(50);

#[derive(Default)]
pub(super) struct Patience {
    until: Cell<Option<Instant>>,
    look: Cell<Duration>,
}

impl Stream {
    /// (2) The application is done with it.
    pub(crate) fn close(self: &Rc<Self>) {
        match self.life.get() {
            Life::Connecting => {
                self.stop_timer();
                self.connect_waiter.wake();
                self.tx.fail(libc::ENOTCONN);
                self.rx.waiter.wake();
                self.release();
            }
            Life::Open => {
                self.life.set(Life::Closing);
                self.rx.clear();
                self.rx.waiter.wake();
                self.tx.finish.set(true);
                self.tx.waiter.wake();
                if self.linger.get() == Some(Duration::ZERO) {
                    return self.abort();
                }
                self.stop_recv();
                if self.tx.failed.get() == 0 && !self.tx.blocked.get() {
                    self.flush();
                } else {
                    self.closing_turn();
                }
            }
            _ => {}
        }
    }

    /// Whether a closing stream may end now; else when to look again.
    pub(crate) fn closing_turn(self: &Rc<Self>) {
        if self.life.get() != Life::Closing {
            return;
        }
        let until = self.close.until.get().unwrap_or_else(|| {
            let until = self.inner.now() + self.linger.get().unwrap_or(DEFAULT_LINGER);
            self.close.until.set(Some(until));
            self.close.look.set(FIRST_LOOK);
            until
        });
        if self.tx.failed.get() != 0 {
            return self.release();
        }
        let sent = self.tx.bytes.get() == 0;
        if sent && !self.must_wait_for_acks() {
            return self.release();
        }
        if self.inner.now() >= until {
            return self.give_up();
        }
        self.stop_timer();
        let look = self.close.look.get();
        self.close.look.set((look * 2).min(LAST_LOOK));
        self.timer.set(Some(self.inner.after(look, Timer::Close(Rc::clone(self)))));
    }

    /// Everything is with the kernel; may the descriptor be closed without harm to it?
    fn must_wait_for_acks(&self) -> bool {
        if self.kind == Kind::Unix {
            return false; // closing a Unix stream leaves what was sent with the peer
        }
        (self.linger.get().is_some() || sys::unread(self.fd) > 0) && sys::unacked(self.fd) > 0
    }

    /// (3) Patience is over: the rest is lost, and the peer is told by a reset.
    pub(crate) fn give_up(self: &Rc<Self>) {
        if self.life.get() == Life::Released {
            return;
        }
        self.abort();
    }

    pub(crate) fn abort(self: &Rc<Self>) {
        if matches!(self.life.get(), Life::Released | Life::Releasing) {
            return;
        }
        self.rx.clear();
        if self.kind == Kind::Tcp {
            sys::disconnect(self.fd);
        } else {
            let _ = sys::shutdown(self.fd, libc::SHUT_RDWR);
        }
        self.tx.fail(libc::ECONNABORTED);
        self.rx.waiter.wake();
        self.connect_waiter.wake();
        self.release();
    }

    /// Stop the engine's receiving; what comes until it has stopped is dropped.
    fn stop_recv(self: &Rc<Self>) {
        if let Engine::Uring(uring) = &self.inner.engine
            && self.rx.mode.get() == Mode::Armed
        {
            uring.disarm_recv(&self.inner, self);
        }
    }

    /// Cancel what is in flight, then give the descriptor back.
    pub(crate) fn release(self: &Rc<Self>) {
        if self.life.get() == Life::Released {
            return;
        }
        self.stop_timer();
        let first = self.life.replace(Life::Releasing) != Life::Releasing;
        if self.ops.get() > 0 {
            if let (Engine::Uring(uring), true) = (&self.inner.engine, first) {
                uring.cancel_all(&self.inner, self.fd);
            }
            return;
        }
        self.life.set(Life::Released);
        self.rx.clear();
        self.tx.queue.take();
        if let Engine::Uring(uring) = &self.inner.engine {
            uring.forget(&self.inner, self);
        }
        drop(self.descriptor.take()); // close(2): does not block, no linger time is ever set
        self.close_waiter.wake();
        self.tx.waiter.wake();
        self.inner.remove(self.id.get());
    }

    /// (4) An operation of the engine has completed for the last time.
    pub(crate) fn op_done(self: &Rc<Self>) {
        self.ops.set(self.ops.get() - 1);
        if self.ops.get() == 0 && self.life.get() == Life::Releasing {
            self.release();
        }
    }

    pub(super) fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if self.life.get() != Life::Released {
            self.close_waiter.register(cx.waker());
            return Poll::Pending;
        }
        match self.tx.failed.get() {
            libc::ECONNABORTED | 0 => Poll::Ready(Ok(())),
            errno => Poll::Ready(Err(Error::errno("close", "", errno))),
        }
    }
}
