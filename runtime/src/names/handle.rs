//! [`Handle`]: what every typed queue holds.

use std::{
    fmt,
    ops::Deref,
    rc::Rc,
    task::{Context, Poll},
};

use hemi_queue::{Op, Qd, Result, Sga, transport::Endpoint};
use hemi_verbs::OneSidedOp;

use super::{Entry, Object};
use crate::{context, token::QToken};

/// A typed owner of one open queue: the object itself, and its entry in the table. Dropping it closes the queue.
pub(crate) struct Handle<O: Object> {
    object: Rc<O>,
    entry: Rc<Entry>,
}

impl<O: Object> Handle<O> {
    /// Register `object` with the runtime of this thread.
    pub(crate) fn new(object: O) -> Result<Self> {
        let object = Rc::new(object);
        let core = context::current()?;
        let entry = Entry::open(&core, Rc::clone(&object) as Rc<dyn Object>);
        Ok(Self { object, entry })
    }

    /// The queue's descriptor.
    pub(crate) fn qd(&self) -> Qd {
        self.entry.qd()
    }

    /// `Ready` when a borrowing pop may go to the object: no submitted pop is before it. Call it first in every
    /// `poll_pop`; it keeps the waker for when the submitted ones are done.
    #[inline]
    pub(crate) fn poll_pop_turn(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.entry.poll_pop_turn(cx)
    }

    /// The same for pushes.
    #[inline]
    pub(crate) fn poll_push_turn(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.entry.poll_push_turn(cx)
    }

    /// Whether submitted pushes are waiting: a borrowing `start_push` would overtake them.
    #[inline]
    pub(crate) fn push_is_taken(&self) -> bool {
        self.entry.push_is_taken()
    }

    pub(crate) fn submit_pop(&self) -> Result<QToken> {
        self.entry.submit(Op::Pop)
    }

    pub(crate) fn submit_accept(&self) -> Result<QToken> {
        self.entry.submit(Op::Accept)
    }

    pub(crate) fn submit_connect(&self) -> Result<QToken> {
        self.entry.submit(Op::Connect)
    }

    pub(crate) fn submit_reach(&self, begin: impl FnOnce() -> Result<OneSidedOp>) -> Result<QToken> {
        self.entry.submit_reach(begin)
    }

    pub(crate) fn submit_push(&self, unit: Sga) -> Result<QToken> {
        self.entry.submit_push(unit, None)
    }

    pub(crate) fn submit_push_to(&self, unit: Sga, to: Endpoint) -> Result<QToken> {
        self.entry.submit_push(unit, Some(to))
    }
}

impl<O: Object> Deref for Handle<O> {
    type Target = O;
    #[inline]
    fn deref(&self) -> &O {
        &self.object
    }
}

impl<O: Object> Drop for Handle<O> {
    fn drop(&mut self) {
        self.entry.close();
    }
}

impl<O: Object> fmt::Debug for Handle<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entry.fmt(f)
    }
}
