//! A queue for unit tests whose every answer the test chooses: what pops, when it ends or fails, how much room there is.

use std::{
    cell::RefCell,
    collections::VecDeque,
    rc::Rc,
    task::{Context, Poll},
};

use hemi_queue::{Error, Pop, Push, PushError, Result, Ticket, Waiter};

/// Both ends of the queue and the test share it.
pub(crate) struct Scripted<U>(Rc<RefCell<State<U>>>);

impl<U> Clone for Scripted<U> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

struct State<U> {
    arriving: VecDeque<Result<Option<U>>>,
    ended: bool,
    taken: VecDeque<U>,
    /// Pushes that are complete, counted from the first.
    completed: u64,
    started: u64,
    limit: usize,
    push_error: Option<fn() -> Error>,
    finished: bool,
    popper: Waiter,
    pusher: Waiter,
}

impl<U> Scripted<U> {
    /// Takes everything that is pushed at once.
    pub(crate) fn new() -> Self {
        Self::bounded(usize::MAX)
    }

    /// Pushes complete when at most `limit` units lie here; refuses with `Busy` at twice that and one more.
    pub(crate) fn bounded(limit: usize) -> Self {
        Self(Rc::new(RefCell::new(State {
            arriving: VecDeque::new(),
            ended: false,
            taken: VecDeque::new(),
            completed: 0,
            started: 0,
            limit,
            push_error: None,
            finished: false,
            popper: Waiter::new(),
            pusher: Waiter::new(),
        })))
    }

    /// A queue that pops these and then ends.
    pub(crate) fn of(units: impl IntoIterator<Item = U>) -> Self {
        let q = Self::new();
        units.into_iter().for_each(|u| q.arrive(u));
        q.end();
        q
    }

    pub(crate) fn arrive(&self, unit: U) {
        self.answer(Ok(Some(unit)));
    }

    pub(crate) fn end(&self) {
        self.answer(Ok(None));
    }

    pub(crate) fn fail(&self, error: Error) {
        self.answer(Err(error));
    }

    fn answer(&self, answer: Result<Option<U>>) {
        let mut state = self.0.borrow_mut();
        state.arriving.push_back(answer);
        state.popper.wake();
    }

    /// Every push and readiness from now on answers this.
    pub(crate) fn fail_pushes(&self, error: fn() -> Error) {
        let mut state = self.0.borrow_mut();
        state.push_error = Some(error);
        state.pusher.wake();
    }

    /// Take the oldest pushed unit away, which makes room.
    pub(crate) fn taken(&self) -> Option<U> {
        let mut state = self.0.borrow_mut();
        let unit = state.taken.pop_front();
        state.settle();
        unit
    }

    pub(crate) fn all_taken(&self) -> Vec<U> {
        std::iter::from_fn(|| self.taken()).collect()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.0.borrow().arriving.len()
    }

    pub(crate) fn finished(&self) -> bool {
        self.0.borrow().finished
    }
}

impl<U> State<U> {
    fn settle(&mut self) {
        let over = self.taken.len().saturating_sub(self.limit) as u64;
        let completed = self.started - over;
        if completed > self.completed {
            self.completed = completed;
        }
        self.pusher.wake();
    }
}

impl<U> Pop for Scripted<U> {
    type Unit = U;

    fn poll_pop(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<U>>> {
        let mut state = self.0.borrow_mut();
        match state.arriving.pop_front() {
            _ if state.ended => Poll::Ready(Ok(None)),
            Some(Ok(None)) => {
                state.ended = true;
                Poll::Ready(Ok(None))
            }
            Some(answer) => Poll::Ready(answer),
            None => {
                state.popper.register(cx.waker());
                Poll::Pending
            }
        }
    }
}

impl<U> Push for Scripted<U> {
    type Unit = U;
    type Receipt = ();

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let state = self.0.borrow();
        if let Some(error) = state.push_error {
            return Poll::Ready(Err(error()));
        }
        if state.taken.len() < state.limit {
            return Poll::Ready(Ok(()));
        }
        state.pusher.register(cx.waker());
        Poll::Pending
    }

    fn start_push(&mut self, unit: U) -> Result<Ticket, PushError<U>> {
        let mut state = self.0.borrow_mut();
        if let Some(error) = state.push_error {
            return Err(PushError::new(error(), unit));
        }
        if state.taken.len() > state.limit.saturating_mul(2) {
            return Err(PushError::new(Error::Busy, unit));
        }
        state.taken.push_back(unit);
        state.started += 1;
        state.settle();
        Ok(Ticket(state.started))
    }

    fn poll_pushed(&mut self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let state = self.0.borrow();
        if ticket.0 <= state.completed {
            return Poll::Ready(Ok(()));
        }
        if let Some(error) = state.push_error {
            return Poll::Ready(Err(error()));
        }
        state.pusher.register(cx.waker());
        Poll::Pending
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.borrow_mut().finished = true;
        Poll::Ready(Ok(()))
    }
}
