//! One direction of a stream.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    task::{Context, Poll},
};

use hemi_queue::{Assembler, Error, PopWaiter, Result, Sga, Waiter, time::Instant};

use super::flight::Path;

/// What a unit counts besides its bytes, so that empty ones are bounded too.
const UNIT_COST: usize = 64;

/// From one end's pushes to the other end's pops.
///
/// ```text
///   push ─► in flight ─► arrived ─► pop
///           └── queued: what counts against the limit ──┘
/// ```
pub(super) struct Pipe {
    arrived: RefCell<VecDeque<Sga>>,
    /// Bytes and units pushed and not yet popped.
    queued: Cell<usize>,
    in_flight: Cell<usize>,
    limit: usize,
    /// The sender will send no more (noted at the sender).
    pub(super) finished: Cell<bool>,
    /// The end has arrived at the receiver.
    ended: Cell<bool>,
    /// Both sides are told that the connection was reset.
    reset: Cell<bool>,
    /// The receiver is gone: nothing pushed is read any more.
    deaf: Cell<bool>,
    pub(super) popper: PopWaiter,
    pub(super) pusher: Waiter,
    pub(super) path: Path,
}

impl Pipe {
    pub(super) fn new(limit: usize) -> Rc<Self> {
        Rc::new(Self {
            arrived: RefCell::default(),
            queued: Cell::new(0),
            in_flight: Cell::new(0),
            limit: limit.max(1),
            finished: Cell::new(false),
            ended: Cell::new(false),
            reset: Cell::new(false),
            deaf: Cell::new(false),
            popper: PopWaiter::new(),
            pusher: Waiter::new(),
            path: Rc::new(Cell::new(Instant::ZERO)),
        })
    }

    pub(super) fn is_reset(&self) -> bool {
        self.reset.get()
    }

    /// Whether a push now is one too many: pushes that nobody waited for have filled the pipe twice.
    pub(super) fn is_overfull(&self) -> bool {
        self.queued.get() >= 2 * self.limit
    }

    /// Why nothing can be pushed, if so.
    pub(super) fn refusal(&self) -> Option<Error> {
        if self.reset.get() {
            Some(Error::Reset)
        } else if self.finished.get() || self.deaf.get() {
            Some(Error::BrokenPipe)
        } else {
            None
        }
    }

    pub(super) fn depart(&self, unit: &Sga) {
        self.queued.set(self.queued.get() + unit.len() + UNIT_COST);
        self.in_flight.set(self.in_flight.get() + 1);
    }

    pub(super) fn arrive(&self, unit: Sga) {
        self.in_flight.set(self.in_flight.get() - 1);
        if self.deaf.get() || self.reset.get() {
            return self.pusher_wake();
        }
        let cost = unit.len() + UNIT_COST;
        let rest = if self.arrived.borrow().is_empty() { self.popper.offer_all(unit) } else { Some(unit) };
        match rest {
            Some(rest) => {
                self.leave(cost.saturating_sub(rest.len() + UNIT_COST));
                self.arrived.borrow_mut().push_back(rest);
                self.popper.wake();
            }
            None => self.leave(cost),
        }
        if self.in_flight.get() == 0 {
            self.pusher_wake();
        }
    }

    pub(super) fn end(&self) {
        self.ended.set(true);
        self.popper.wake();
    }

    /// The receiver reads no more.
    pub(super) fn deafen(&self) {
        self.deaf.set(true);
        let unread = std::mem::take(&mut *self.arrived.borrow_mut());
        drop(unread);
        self.pusher_wake();
    }

    pub(super) fn reset(&self) {
        self.reset.set(true);
        self.popper.wake();
        self.pusher_wake();
    }

    fn pusher_wake(&self) {
        self.pusher.wake();
    }

    /// So much is with the receiver's owner.
    fn leave(&self, cost: usize) {
        if cost > 0 {
            self.queued.set(self.queued.get().saturating_sub(cost));
            self.pusher_wake();
        }
    }

    pub(super) fn poll_pop(
        &self,
        assembler: Option<&Rc<dyn Assembler>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Sga>>> {
        let next = self.arrived.borrow_mut().pop_front();
        if let Some(unit) = next {
            self.leave(unit.len() + UNIT_COST);
            return Poll::Ready(Ok(Some(unit)));
        }
        if self.reset.get() {
            return Poll::Ready(Err(Error::Reset));
        }
        if self.ended.get() {
            return Poll::Ready(Ok(None));
        }
        self.popper.register(cx.waker(), assembler);
        Poll::Pending
    }

    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_until(cx, self.queued.get() < self.limit)
    }

    /// Until nothing is in flight: everything lies at the receiver.
    pub(super) fn poll_delivered(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_until(cx, self.in_flight.get() == 0)
    }

    fn poll_until(&self, cx: &mut Context<'_>, reached: bool) -> Poll<Result<()>> {
        if self.reset.get() {
            return Poll::Ready(Err(Error::Reset));
        }
        if self.deaf.get() {
            return Poll::Ready(Err(Error::BrokenPipe));
        }
        if reached {
            return Poll::Ready(Ok(()));
        }
        self.pusher.register(cx.waker());
        Poll::Pending
    }
}
