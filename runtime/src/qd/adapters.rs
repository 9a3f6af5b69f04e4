//! `merge`, `filter`, `sort`, `map`, `qconnect` on bare descriptors: each gives a new descriptor (or a task) over the
//! algebra's adapter. The queues below stay open and usable; closing the new descriptor closes nothing else.

use std::{
    cell::RefCell,
    rc::Rc,
    task::{Context, Poll, ready},
};

use hemi_queue::{Completion, Pop, Push, PushError, Qd, Result, Sga, Ticket, transport::Endpoint};

use super::QdQueue;
use crate::{
    JoinHandle,
    algebra::{self, Moved, Predicate, Rewrite, Verdict},
    context,
    names::{Entry, Kind, Object},
    spawn,
};

/// What a push through an adapter came to, as a completion.
trait Receipt {
    fn completion(self) -> Completion;
}

impl Receipt for () {
    fn completion(self) -> Completion {
        Completion::Pushed
    }
}

impl Receipt for Option<Sga> {
    fn completion(self) -> Completion {
        self.map_or(Completion::Pushed, Completion::Filtered)
    }
}

impl Receipt for Verdict<Option<Sga>, Sga> {
    fn completion(self) -> Completion {
        match self {
            Self::Pushed(below) => below.completion(),
            Self::Filtered(unit) => Completion::Filtered(unit),
        }
    }
}

/// An adapter behind a descriptor.
struct Adapted<P>(RefCell<P>);

impl<P> Object for Adapted<P>
where
    P: Pop<Unit = Sga> + Push<Unit = Sga, Receipt: Receipt> + 'static,
{
    fn kind(&self) -> Kind {
        Kind::Adapter
    }

    fn poll_pop(&self, cx: &mut Context<'_>) -> Poll<Result<Completion>> {
        self.0.borrow_mut().poll_pop(cx).map_ok(Completion::Popped)
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.borrow_mut().poll_ready(cx)
    }

    fn start_push(&self, unit: Sga, _to: Option<&Endpoint>) -> Result<Ticket, PushError<Sga>> {
        self.0.borrow_mut().start_push(unit)
    }

    fn poll_pushed(&self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<Result<Completion>> {
        Poll::Ready(Ok(ready!(self.0.borrow_mut().poll_pushed(ticket, cx))?.completion()))
    }

    fn close(&self) {}
}

fn open<P>(adapter: P) -> Result<Qd>
where
    P: Pop<Unit = Sga> + Push<Unit = Sga, Receipt: Receipt> + 'static,
{
    let core = context::current()?;
    Ok(Entry::open(&core, Rc::new(Adapted(RefCell::new(adapter)))).qd())
}

/// A side of a merge: what its own filter gives back is not the merge's to return, for the other side took it.
struct Side(QdQueue);

impl Pop for Side {
    type Unit = Sga;
    fn poll_pop(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Sga>>> {
        self.0.poll_pop(cx)
    }
}

impl Push for Side {
    type Unit = Sga;
    type Receipt = ();
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.poll_ready(cx)
    }
    fn start_push(&mut self, unit: Sga) -> Result<Ticket, PushError<Sga>> {
        self.0.start_push(unit)
    }
    fn poll_pushed(&mut self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.poll_pushed(ticket, cx).map_ok(drop)
    }
}

/// One queue of two: a pop takes from either, fairly; a push goes to both. See [`algebra::merge()`].
///
/// # Errors
/// [`Error::BadQd`](crate::Error::BadQd), as for all of these calls.
pub fn merge(a: Qd, b: Qd) -> Result<Qd> {
    open(algebra::merge(Side(QdQueue::new(a)?), Side(QdQueue::new(b)?)))
}

/// The units of `queue` that pass `test`; a push that fails completes as
/// [`Filtered`](crate::Completion::Filtered). See [`algebra::filter()`].
pub fn filter(queue: Qd, mut test: impl FnMut(&Sga) -> bool + 'static) -> Result<Qd> {
    open(algebra::filter(QdQueue::new(queue)?, move |unit: &Sga| test(unit)))
}

/// As [`filter`], by a [`Predicate`] that a device may take over.
pub fn filter_by(queue: Qd, test: &Predicate) -> Result<Qd> {
    open(algebra::filter_by(QdQueue::new(queue)?, test))
}

/// A pop gives the least `key` among up to `window` units that are there. See [`algebra::sort()`].
pub fn sort<K: Ord + 'static>(
    queue: Qd,
    window: usize,
    mut key: impl FnMut(&Sga) -> K + 'static,
) -> Result<Qd> {
    open(algebra::sort(QdQueue::new(queue)?, window, move |unit: &Sga| key(unit)))
}

/// The units of `queue`, each transformed. Pushes pass as they are. See [`algebra::map()`].
pub fn map(queue: Qd, mut f: impl FnMut(Sga) -> Sga + 'static) -> Result<Qd> {
    open(algebra::map(QdQueue::new(queue)?, move |unit: Sga| f(unit)))
}

/// As [`map`], by a [`Rewrite`] that a device may take over.
pub fn map_by(queue: Qd, rewrite: Rewrite) -> Result<Qd> {
    open(algebra::map_by(QdQueue::new(queue)?, rewrite))
}

/// Move every unit popped from `from` into `to`, with back-pressure, until `from` ends, in a task of its own: its result
/// says how many units and bytes moved and why it ended. Dropping the handle leaves it running; aborting it loses
/// nothing. See [`algebra::qconnect()`].
#[track_caller]
pub fn qconnect(from: Qd, to: Qd) -> Result<JoinHandle<Moved<Sga>>> {
    let (from, to) = (QdQueue::new(from)?, QdQueue::new(to)?);
    Ok(spawn(async move { algebra::qconnect(from, to).await }))
}
