//! `queue`: a queue in memory behind a bare descriptor.

use std::{
    cell::RefCell,
    task::{Context, Poll, ready},
};

use hemi_queue::{Completion, Pop, Push, PushError, Qd, Result, Sga, Ticket, transport::Endpoint};

use crate::{
    context,
    names::{Entry, Kind, Object},
    queues::memory::Queue,
};

/// Open a queue in memory that holds `capacity` units.
pub fn queue(capacity: usize) -> Result<Qd> {
    let core = context::current()?;
    Ok(Entry::open(&core, std::rc::Rc::new(MemoryObject::new(crate::queue(capacity)))).qd())
}

/// A [`Queue`] of units as an object: one handle for each direction, for each handle keeps a place in one line.
struct MemoryObject {
    popping: RefCell<Queue<Sga>>,
    pushing: RefCell<Queue<Sga>>,
}

impl MemoryObject {
    fn new(queue: Queue<Sga>) -> Self {
        Self { popping: RefCell::new(queue.clone()), pushing: RefCell::new(queue) }
    }
}

impl Object for MemoryObject {
    fn kind(&self) -> Kind {
        Kind::Memory
    }

    fn poll_pop(&self, cx: &mut Context<'_>) -> Poll<Result<Completion>> {
        let unit = ready!(self.popping.borrow_mut().poll_pop(cx))?;
        Poll::Ready(Ok(Completion::Popped(unit)))
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.pushing.borrow_mut().poll_ready(cx)
    }

    fn start_push(&self, unit: Sga, _to: Option<&Endpoint>) -> Result<Ticket, PushError<Sga>> {
        self.pushing.borrow_mut().start_push(unit)
    }

    fn poll_pushed(&self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<Result<Completion>> {
        ready!(self.pushing.borrow_mut().poll_pushed(ticket, cx))?;
        Poll::Ready(Ok(Completion::Pushed))
    }

    fn close(&self) {
        self.pushing.borrow().close();
    }
}
