//! [`LogObject`]: one handle's view of a log: the shared log, and a place to read from.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::{Context, Poll},
};

use hemi_queue::{Completion, PushError, Result, Sga, Ticket, Waiter, transport::Endpoint};
use hemi_storage::{CursorId, Lsn, Record};

use super::shared::Shared;
use crate::names::{Kind, Object};

pub(crate) struct LogObject {
    pub(super) shared: Rc<Shared>,
    /// Made at the first pop: a log that is only pushed to keeps nothing for readers.
    cursor: RefCell<Option<(CursorId, Rc<Waiter>)>>,
    /// Where that begins.
    from: Lsn,
    closed: Cell<bool>,
}

impl LogObject {
    pub(super) fn new(shared: Rc<Shared>, from: Lsn) -> Self {
        shared.handle_opened();
        Self { shared, cursor: RefCell::default(), from, closed: Cell::new(false) }
    }

    pub(super) fn poll_record(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Record>>> {
        if self.closed.get() {
            return Poll::Ready(Ok(None));
        }
        let (id, waiter) = self.reader();
        self.shared.poll_pop(id, &waiter, cx)
    }

    fn reader(&self) -> (CursorId, Rc<Waiter>) {
        self.cursor.borrow_mut().get_or_insert_with(|| self.shared.cursor(self.from)).clone()
    }

    pub(super) fn seek(&self, to: Lsn) {
        let (id, _) = self.reader();
        self.shared.seek(id, to);
    }

    pub(super) fn seek_time(&self, time: u64) {
        let (id, _) = self.reader();
        self.shared.seek_time(id, time);
    }

    /// The LSN that the next pop looks at.
    pub(super) fn position(&self) -> Lsn {
        match &*self.cursor.borrow() {
            Some((id, _)) => self.shared.position(*id),
            None => self.from.max(self.shared.with(hemi_storage::Log::head)),
        }
    }

    pub(super) fn put(&self, unit: Sga, durable: bool) -> Result<Ticket, PushError<Sga>> {
        let mut unit = Some(unit);
        match self.shared.push(&mut unit, durable) {
            Ok(lsn) => Ok(Ticket(lsn.0)),
            Err(error) => Err(PushError::new(error, unit.unwrap_or_default())),
        }
    }
}

impl Object for LogObject {
    fn kind(&self) -> Kind {
        Kind::Log
    }

    fn poll_pop(&self, cx: &mut Context<'_>) -> Poll<Result<Completion>> {
        self.poll_record(cx).map_ok(|record| Completion::Popped(record.map(Sga::from)))
    }

    fn start_push(&self, unit: Sga, _: Option<&Endpoint>) -> Result<Ticket, PushError<Sga>> {
        self.put(unit, true)
    }

    fn poll_pushed(&self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<Result<Completion>> {
        self.shared.poll_durable(Lsn(ticket.0), cx).map_ok(|_| Completion::Pushed)
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.shared.poll_room(cx)
    }

    fn close(&self) {
        if !self.closed.replace(true) {
            if let Some((id, waiter)) = self.cursor.take() {
                self.shared.drop_cursor(id);
                waiter.wake();
            }
            self.shared.handle_closed();
        }
    }
}
