//! Waiting for the peer's acknowledgement of everything that was pushed.
//!
//! The kernel tells how much is outstanding (`SIOCOUTQ`) but not when that changes, so it is asked again, soon
//! at first and then more seldom. On a Unix stream the answer is stronger: the peer has read it.

use std::{
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use hemi_queue::Result;

use super::Stream;
use crate::{sys, timers::Timer};

const FIRST_LOOK: Duration = Duration::from_micros(50);
const LAST_LOOK: Duration = Duration::from_millis(10);

impl Stream {
    pub(super) fn poll_acked(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if let Some(e) = self.tx_error() {
            return Poll::Ready(Err(e));
        }
        if self.tx.bytes.get() == 0 && sys::unacked(self.fd) == 0 {
            self.ack_look.set(Duration::ZERO);
            return Poll::Ready(Ok(()));
        }
        self.tx.waiter.register(cx.waker());
        if !self.ack_timer.replace(true) {
            let look = (self.ack_look.get() * 2).clamp(FIRST_LOOK, LAST_LOOK);
            self.ack_look.set(look);
            self.inner.after(look, Timer::Acked(Rc::clone(self)));
        }
        Poll::Pending
    }

    /// Time to look again: the waiting task does.
    pub(crate) fn ack_turn(&self) {
        self.ack_timer.set(false);
        self.tx.waiter.wake();
    }
}
