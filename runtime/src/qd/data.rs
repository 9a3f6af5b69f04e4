//! `push`, `pop`, `close`: the data path on a bare descriptor.

use std::rc::Rc;

use hemi_queue::{Op, Qd, Result, Sga, transport::Endpoint};

use crate::{context, names::Entry, token::QToken};

pub(super) fn entry(qd: Qd) -> Result<Rc<Entry>> {
    context::with(|core| core.names.qds.get(qd))?
}

/// Submit a push of one unit. Its result is [`Completion::Pushed`](crate::Completion::Pushed), or
/// [`Filtered`](crate::Completion::Filtered) with the unit when a filter on the queue refused it.
///
/// # Errors
/// [`Error::BadQd`](crate::Error::BadQd); [`Error::Busy`](crate::Error::Busy) with too many unclaimed operations on the queue.
pub fn push(qd: Qd, unit: impl Into<Sga>) -> Result<QToken> {
    entry(qd)?.submit_push(unit.into(), None)
}

/// Submit a push of one datagram to `to`.
pub fn push_to(qd: Qd, unit: impl Into<Sga>, to: impl Into<Endpoint>) -> Result<QToken> {
    entry(qd)?.submit_push(unit.into(), Some(to.into()))
}

/// Submit a pop. Its result is [`Completion::Popped`](crate::Completion::Popped) with a unit or, at the queue's end, `None`; of a datagram
/// socket [`Completion::PoppedFrom`](crate::Completion::PoppedFrom).
pub fn pop(qd: Qd) -> Result<QToken> {
    entry(qd)?.submit(Op::Pop)
}

/// Close a queue: the descriptor names nothing any more, what was pushed still goes out, tasks that wait for its
/// operations get [`Error::Closed`](crate::Error::Closed), unclaimed results are dropped.
pub fn close(qd: Qd) -> Result<()> {
    entry(qd)?.close();
    Ok(())
}
