//! The pump: how submitted operations of one queue make progress.
//!
//! Each queue that has been given a submitted operation has one task that polls its object on their behalf, and
//! completes their token slots, in submission order per direction. It lives until the queue is closed and costs nothing
//! while no operation is outstanding. An operation that can finish at once never meets the task.

use std::{
    collections::VecDeque,
    future::{Future as _, poll_fn},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use hemi_queue::{Completion, Op, Result, Sga, Ticket, Token, transport::Endpoint};
use hemi_rdma::Outcome;
use hemi_verbs::OneSidedOp;

use super::Entry;
use crate::context::Core;

/// Submitted operations that are not complete.
#[derive(Default)]
pub(crate) struct Pump {
    pub(super) connects: VecDeque<Token>,
    /// Pops and accepts.
    pub(super) pops: VecDeque<(Op, Token)>,
    /// In submission order; the first `begun` are handed over.
    pub(super) pushes: VecDeque<Job>,
    pub(super) begun: usize,
    /// One-sided operations: begun when they are submitted, and done in that order.
    pub(super) reaches: VecDeque<(Token, OneSidedOp)>,
}

/// A submitted push.
pub(crate) struct Job {
    pub(super) token: Token,
    pub(super) state: PushState,
}

pub(crate) enum PushState {
    /// Not begun: may be cancelled.
    Unsent(Sga, Option<Endpoint>),
    /// Handed over.
    Sent(Ticket),
}

impl Job {
    pub(super) fn into_unit(self) -> Option<Sga> {
        match self.state {
            PushState::Unsent(unit, _) => Some(unit),
            PushState::Sent(_) => None,
        }
    }
}

/// The pump's task.
pub(super) async fn run(entry: Rc<Entry>) {
    poll_fn(|cx| {
        entry.pump_task.register(cx.waker());
        if entry.is_closed() {
            return Poll::Ready(());
        }
        let Ok(core) = entry.core() else { return Poll::Ready(()) };
        let _ = advance(&entry, &core, cx);
        Poll::Pending
    })
    .await;
}

/// Complete what can be completed. `Ready` when nothing is outstanding.
pub(super) fn advance(entry: &Rc<Entry>, core: &Rc<Core>, cx: &mut Context<'_>) -> Poll<()> {
    // All directions, always: each has a waker of its own to leave.
    let connected = advance_connects(entry, core, cx);
    let pushed = advance_pushes(entry, core, cx);
    let popped = advance_pops(entry, core, cx);
    let reached = advance_reaches(entry, core, cx);
    if connected.is_ready() && pushed.is_ready() && popped.is_ready() && reached.is_ready() {
        Poll::Ready(())
    } else {
        Poll::Pending
    }
}

fn advance_connects(entry: &Rc<Entry>, core: &Core, cx: &mut Context<'_>) -> Poll<()> {
    loop {
        let Some(token) = entry.pump.borrow().connects.front().copied() else { return Poll::Ready(()) };
        let outcome = std::task::ready!(entry.object().poll_connected(cx));
        entry.pump.borrow_mut().connects.pop_front();
        core.names.tokens.complete(token, outcome.map(|()| Completion::Connected));
    }
}

fn advance_pops(entry: &Rc<Entry>, core: &Rc<Core>, cx: &mut Context<'_>) -> Poll<()> {
    loop {
        let Some((op, token)) = entry.pump.borrow().pops.front().copied() else { return Poll::Ready(()) };
        let outcome = std::task::ready!(poll_one(entry, core, op, cx));
        entry.pump.borrow_mut().pops.pop_front();
        entry.pop_done();
        core.names.tokens.complete(token, outcome);
    }
}

fn poll_one(entry: &Entry, core: &Rc<Core>, op: Op, cx: &mut Context<'_>) -> Poll<Result<Completion>> {
    let object = entry.object();
    if op != Op::Accept {
        return object.poll_pop(cx);
    }
    let accepted = std::task::ready!(object.poll_accept(cx))?;
    let qd = accepted.map(|object| Entry::open(core, object).qd());
    Poll::Ready(Ok(Completion::Accepted(qd)))
}

fn advance_pushes(entry: &Rc<Entry>, core: &Core, cx: &mut Context<'_>) -> Poll<()> {
    let object = entry.object();
    // Begin all that there is room for: several may be in flight (a log flushes them together).
    while let Some((token, unit, to)) = take_unsent(entry) {
        let refused = match object.poll_ready(cx) {
            Poll::Ready(Ok(())) => match object.start_push(unit, to.as_ref()) {
                Ok(ticket) => {
                    sent(entry, ticket);
                    continue;
                }
                Err(refused) => refused.error,
            },
            Poll::Ready(Err(error)) => error,
            Poll::Pending => {
                put_back(entry, unit, to);
                break;
            }
        };
        forget(entry, token);
        core.names.tokens.complete(token, Err(refused));
    }
    // Complete them in order.
    loop {
        let (token, ticket) = match entry.pump.borrow().pushes.front() {
            None => return Poll::Ready(()),
            Some(Job { token, state: PushState::Sent(ticket) }) => (*token, *ticket),
            Some(_) => return Poll::Pending, // waits for room; the waker is with the object
        };
        let outcome = std::task::ready!(object.poll_pushed(ticket, cx));
        forget(entry, token);
        core.names.tokens.complete(token, outcome);
    }
}

fn advance_reaches(entry: &Rc<Entry>, core: &Core, cx: &mut Context<'_>) -> Poll<()> {
    loop {
        let Some((token, mut reach)) = entry.pump.borrow_mut().reaches.pop_front() else {
            return Poll::Ready(());
        };
        let Poll::Ready(outcome) = Pin::new(&mut reach).poll(cx) else {
            entry.pump.borrow_mut().reaches.push_front((token, reach));
            return Poll::Pending;
        };
        let completion = outcome.map(|outcome| match outcome {
            Outcome::Read(bytes) => Completion::Read(bytes),
            Outcome::Written => Completion::Written,
            Outcome::Word(word) => Completion::Word(word),
        });
        core.names.tokens.complete(token, completion);
    }
}

/// The first push that has not begun, its unit taken out to be handed over or put back.
fn take_unsent(entry: &Entry) -> Option<(Token, Sga, Option<Endpoint>)> {
    let mut pump = entry.pump.borrow_mut();
    let at = pump.begun;
    let job = pump.pushes.get_mut(at)?;
    match &mut job.state {
        PushState::Unsent(unit, to) => Some((job.token, std::mem::take(unit), to.take())),
        PushState::Sent(_) => None,
    }
}

fn put_back(entry: &Entry, unit: Sga, to: Option<Endpoint>) {
    let mut pump = entry.pump.borrow_mut();
    let at = pump.begun;
    if let Some(job) = pump.pushes.get_mut(at) {
        job.state = PushState::Unsent(unit, to);
    }
}

fn sent(entry: &Entry, ticket: Ticket) {
    let mut pump = entry.pump.borrow_mut();
    let at = pump.begun;
    if let Some(job) = pump.pushes.get_mut(at) {
        job.state = PushState::Sent(ticket);
        pump.begun += 1;
    }
}

/// A push is done with, one way or the other.
fn forget(entry: &Entry, token: Token) {
    let mut pump = entry.pump.borrow_mut();
    let Some(at) = pump.pushes.iter().position(|j| j.token == token) else { return };
    if at < pump.begun {
        pump.begun -= 1;
    }
    pump.pushes.remove(at);
    drop(pump);
    entry.push_done();
}
