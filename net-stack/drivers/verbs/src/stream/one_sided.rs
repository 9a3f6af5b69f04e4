//! One-sided operations of a connection, as futures.

use std::{
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use hemi_queue::{Error, Result};
use hemi_rdma::{Connection, Failure, OneSided, Outcome, RegionError};

use super::Stream;

/// Operations that are done and not taken, and those that somebody waits for.
#[derive(Default)]
pub(super) struct Operations {
    done: Vec<(OneSided, Result<Outcome, Failure>)>,
    waiting: Vec<(OneSided, Option<Waker>)>,
}

/// A one-sided operation under way. It goes on when this is dropped; its result is then dropped too.
#[must_use = "its outcome tells whether the bytes are there"]
pub struct OneSidedOp {
    stream: Rc<Stream>,
    name: OneSided,
    taken: bool,
}

impl Stream {
    pub(super) fn begin_one_sided(
        self: &Rc<Self>,
        begin: impl FnOnce(&mut Connection) -> Result<OneSided, RegionError>,
    ) -> Result<OneSidedOp> {
        self.check()?;
        let mut conn = self.conn.borrow_mut();
        if let Some(failure) = conn.send_failure() {
            return Err(failure.error("a one-sided operation", self.peer));
        }
        let name = begin(&mut conn).map_err(|e| Error::Other(Box::new(e)))?;
        self.operations.borrow_mut().waiting.push((name, None));
        self.touched(&conn);
        Ok(OneSidedOp { stream: Rc::clone(self), name, taken: false })
    }

    /// Some are done: wake who waits for them. Results that nobody waits for any more are dropped.
    pub(super) fn one_sided_done(&self, conn: &mut Connection) {
        let mut operations = self.operations.borrow_mut();
        while let Some((name, result)) = conn.next_done() {
            let Some(at) = operations.waiting.iter().position(|(waiting, _)| *waiting == name) else {
                continue;
            };
            let (_, waker) = operations.waiting.remove(at);
            operations.done.push((name, result));
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl Future for OneSidedOp {
    type Output = Result<Outcome>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (stream, name) = (Rc::clone(&self.stream), self.name);
        let mut operations = stream.operations.borrow_mut();
        if let Some(at) = operations.done.iter().position(|(done, _)| *done == name) {
            self.taken = true;
            let (_, result) = operations.done.swap_remove(at);
            return Poll::Ready(
                result.map_err(|failure| failure.error("a one-sided operation", stream.peer)),
            );
        }
        match operations.waiting.iter_mut().find(|(waiting, _)| *waiting == name) {
            Some((_, waker)) => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
            None => Poll::Ready(Err(if self.taken { Error::StaleToken } else { Error::Closed })),
        }
    }
}

impl Drop for OneSidedOp {
    fn drop(&mut self) {
        let mut operations = self.stream.operations.borrow_mut();
        operations.waiting.retain(|(name, _)| *name != self.name);
        operations.done.retain(|(name, _)| *name != self.name);
    }
}

impl std::fmt::Debug for OneSidedOp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("OneSidedOp").field(&self.name).finish()
    }
}
