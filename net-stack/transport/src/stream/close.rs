//! The way out of a stream.
//!
//! A close still delivers what was accepted. The trap is RFC 1122 section 4.2.2.13: a connection that was closed with data unread, or
//! that gets data afterwards, is to be reset, and the reset overtakes what was just sent. So the stack is told to close only
//! when our FIN is acknowledged. Until then the stream is half-closed and what arrives is discarded, which keeps the window open
//! for a peer that must send before it reads; if anything was discarded the peer learns of it by a reset at the end.

use std::{
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use hemi_net::{ConnError, tcp::State};
use hemi_queue::Result;

use super::{Life, Stream};
use crate::inner::Timer;

/// How long a close without a linger time waits for a peer that takes nothing more.
const DEFAULT_LINGER: Duration = Duration::from_secs(60);

/// What a stream that closes remembers.
#[derive(Clone, Copy, Default)]
pub(super) struct Patience {
    /// Bytes that were unacknowledged when the timer was armed.
    left: usize,
    /// The peer sent something that nobody will read.
    discarded: bool,
}

impl Stream {
    /// (2) The application is done with it.
    pub(crate) fn close(self: &Rc<Self>) {
        match self.life.get() {
            Life::Connecting => {
                self.stop_timer();
                let failed = self.inner.stack(|stack, _| stack.tcp_error(self.id));
                self.finish(failed, true);
            }
            Life::Open => {
                if self.linger.get() == Some(Duration::ZERO) {
                    return self.abort();
                }
                self.life.set(Life::Closing);
                self.inner.stack(|stack, now| stack.tcp_shutdown(self.id, now));
                self.rx_waiter.wake();
                self.tx_waiter.wake();
                self.closing_turn();
                if self.life.get() == Life::Closing {
                    self.be_patient();
                }
            }
            Life::Closing | Life::Closed => {}
        }
    }

    fn be_patient(&self) {
        let left = self.inner.stack(|stack, _| stack.tcp_send_queue(self.id));
        self.patience.set(Patience { left, ..self.patience.get() });
        let most = self.linger.get().unwrap_or(DEFAULT_LINGER);
        self.timer.set(Some(self.inner.after(most, Timer::Close(self.id))));
    }

    /// (3) Whether the close is finished: the peer has acknowledged everything, or the connection is over.
    pub(super) fn closing_turn(self: &Rc<Self>) {
        let mut patience = self.patience.get();
        let (state, failed) = self.inner.stack(|stack, now| {
            while let Ok(Some(_)) = stack.tcp_pop(self.id, now) {
                patience.discarded = true;
            }
            (stack.tcp_state(self.id), stack.tcp_error(self.id))
        });
        self.patience.set(patience);
        match state {
            State::FinWait2 => self.finish(None, patience.discarded),
            State::TimeWait | State::Closed => self.finish(failed, false),
            _ => {}
        }
    }

    /// (3) Patience is over. Without a linger time, a peer that still takes something is waited for.
    pub(crate) fn close_timed_out(self: &Rc<Self>) {
        self.timer.set(None);
        if self.life.get() != Life::Closing {
            return;
        }
        let left = self.inner.stack(|stack, _| stack.tcp_send_queue(self.id));
        if self.linger.get().is_none() && left < self.patience.get().left {
            return self.be_patient();
        }
        tracing::debug!(target: "hemi::net", peer = %self.peer, left, "a close was given up");
        self.finish(Some(ConnError::TimedOut), true);
    }

    /// End at once.
    pub(crate) fn abort(self: &Rc<Self>) {
        if self.life.get() != Life::Closed {
            self.finish(None, true);
        }
    }

    /// Let go of the connection, with a reset if `reset`; the stack ends it from here.
    pub(super) fn finish(&self, failed: Option<ConnError>, reset: bool) {
        self.stop_timer();
        self.life.set(Life::Closed);
        self.failed.set(failed.filter(|e| *e != ConnError::Aborted));
        self.inner.stack(|stack, now| {
            if reset {
                stack.tcp_abort(self.id, now);
            }
            stack.tcp_release(self.id, now);
        });
        self.inner.mark_unflushed();
        self.wake_all();
        self.inner.remove_stream(self.id);
    }

    pub(super) fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.inner.check("close")?;
        if self.life.get() != Life::Closed {
            self.close_waiter.register(cx.waker());
            return Poll::Pending;
        }
        Poll::Ready(match self.failed.get() {
            Some(e) => Err(self.error("close", e)),
            None => Ok(()),
        })
    }
}
