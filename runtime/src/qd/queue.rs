//! [`QdQueue`]: a bare descriptor as a queue of the algebra.

use std::{
    fmt,
    rc::Rc,
    task::{Context, Poll, ready},
};

use hemi_queue::{Completion, Error, Pop, Push, PushError, Qd, Result, Sga, Ticket};

use super::data::entry;
use crate::names::Entry;

/// A descriptor with [`Pop`] and [`Push`], so that adapters and `await` work on it. Borrows the queue: dropping this
/// closes nothing.
pub struct QdQueue {
    entry: Rc<Entry>,
}

impl QdQueue {
    /// The open queue that `qd` names.
    pub fn new(qd: Qd) -> Result<Self> {
        Ok(Self { entry: entry(qd)? })
    }

    /// Its descriptor.
    pub fn qd(&self) -> Qd {
        self.entry.qd()
    }
}

impl Pop for QdQueue {
    type Unit = Sga;

    fn poll_pop(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Sga>>> {
        if self.entry.is_closed() {
            return Poll::Ready(Ok(None));
        }
        ready!(self.entry.poll_pop_turn(cx));
        Poll::Ready(match ready!(self.entry.object().poll_pop(cx))? {
            Completion::Popped(unit) => Ok(unit),
            Completion::PoppedFrom(unit, _) => Ok(Some(unit)),
            _ => Err(Error::wrong_kind("pop", "this queue holds no units")),
        })
    }
}

impl Push for QdQueue {
    type Unit = Sga;
    /// The unit, when a filter on the queue gave it back.
    type Receipt = Option<Sga>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if self.entry.is_closed() {
            return Poll::Ready(Err(Error::BadQd));
        }
        ready!(self.entry.poll_push_turn(cx));
        self.entry.object().poll_ready(cx)
    }

    fn start_push(&mut self, unit: Sga) -> Result<Ticket, PushError<Sga>> {
        if self.entry.is_closed() {
            return Err(PushError::new(Error::BadQd, unit));
        }
        if self.entry.push_is_taken() {
            return Err(PushError::new(Error::Busy, unit));
        }
        self.entry.object().start_push(unit, None)
    }

    fn poll_pushed(&mut self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<Result<Option<Sga>>> {
        Poll::Ready(match ready!(self.entry.object().poll_pushed(ticket, cx))? {
            Completion::Filtered(unit) => Ok(Some(unit)),
            _ => Ok(None),
        })
    }
}

impl fmt::Debug for QdQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("QdQueue").field(&self.entry).finish()
    }
}
