//! The token table: one slot per operation that was submitted and not yet claimed.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    fmt,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use hemi_queue::{Completion, Error, Result, Token, Waiter};

use crate::names::Entry;

/// Slots by token.
#[derive(Default)]
pub(crate) struct Tokens {
    inner: RefCell<Inner>,
}

#[derive(Default)]
struct Inner {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

struct Slot {
    generation: u32,
    state: State,
    owner: Option<Owner>,
}

/// The queue a slot works for, and the slot's place in that queue's list.
struct Owner {
    entry: Rc<Entry>,
    place: usize,
}

enum State {
    Free,
    Pending(Wait),
    Done(Result<Completion>, Wait),
}

/// The one waiter of an operation.
enum Wait {
    Nobody,
    Task(Waker),
    Set(Rc<SetShared>),
}

/// What a token set shares with the slots of its members.
#[derive(Default)]
pub(crate) struct SetShared {
    /// Members that are done, in the order they completed. May hold tokens that were removed since.
    pub(crate) done: RefCell<VecDeque<Token>>,
    pub(crate) waiter: Waiter,
    /// The set was dropped: its members have no waiter.
    pub(crate) gone: Cell<bool>,
}

impl Wait {
    fn is_live(&self) -> bool {
        match self {
            Self::Nobody => false,
            Self::Task(_) => true,
            Self::Set(set) => !set.gone.get(),
        }
    }

    fn tell(&self, token: Token) {
        match self {
            Self::Nobody => {}
            Self::Task(waker) => waker.wake_by_ref(),
            Self::Set(set) => {
                set.done.borrow_mut().push_back(token);
                set.waiter.wake();
            }
        }
    }
}

#[cold]
fn in_a_set() -> Error {
    Error::wrong_kind(
        "wait",
        "the token is a member of a TokenSet, which is its one waiter; ask the set, or remove it first",
    )
}

impl Inner {
    #[inline]
    fn get(&mut self, token: Token) -> Result<&mut Slot> {
        match self.slots.get_mut(token.slot() as usize) {
            Some(slot) if slot.generation == token.generation() => Ok(slot),
            _ => Err(Error::StaleToken),
        }
    }

    fn release(&mut self, token: Token) -> Option<Owner> {
        let slot = self.slots.get_mut(token.slot() as usize)?;
        slot.generation = slot.generation.wrapping_add(1);
        slot.state = State::Free;
        self.free.push(token.slot());
        slot.owner.take()
    }
}

impl Tokens {
    /// A slot for a new operation of `entry`, which lists it at `place`.
    pub(crate) fn open(&self, entry: &Rc<Entry>, place: usize) -> Token {
        let mut inner = self.inner.borrow_mut();
        let owner = Some(Owner { entry: Rc::clone(entry), place });
        let state = State::Pending(Wait::Nobody);
        if let Some(at) = inner.free.pop() {
            let slot = &mut inner.slots[at as usize];
            slot.state = state;
            slot.owner = owner;
            return Token::new(at, slot.generation);
        }
        inner.slots.push(Slot { generation: 0, state, owner });
        Token::new((inner.slots.len() - 1) as u32, 0)
    }

    /// The operation is complete: keep the result and tell the waiter. A stale token is ignored.
    pub(crate) fn complete(&self, token: Token, result: Result<Completion>) {
        let mut inner = self.inner.borrow_mut();
        let Ok(slot) = inner.get(token) else { return };
        if let State::Pending(wait) = &mut slot.state {
            let wait = std::mem::replace(wait, Wait::Nobody);
            // Nothing below can run user code while the table is borrowed: hemi's wakers only set a bit, and a foreign
            // waker that called back would find the borrow; so tell after the borrow has ended.
            slot.state = State::Done(result, Wait::Nobody);
            drop(inner);
            wait.tell(token);
            if let Wait::Set(_) = &wait {
                let mut inner = self.inner.borrow_mut();
                if let Ok(Slot { state: State::Done(_, kept), .. }) = inner.get(token) {
                    *kept = wait;
                }
            }
        }
    }

    /// The operation will not be done. A live waiter gets `error`; without one the slot is free at once.
    pub(crate) fn end(&self, token: Token, error: Error) {
        let mut inner = self.inner.borrow_mut();
        let Ok(slot) = inner.get(token) else { return };
        match &slot.state {
            State::Pending(wait) if wait.is_live() => {
                drop(inner);
                self.complete(token, Err(error));
            }
            // A done operation that a live waiter is about to fetch stays.
            State::Done(_, wait) if wait.is_live() => {}
            _ => {
                let state = std::mem::replace(&mut slot.state, State::Free);
                let owner = inner.release(token);
                drop(inner);
                let_go(owner.as_ref());
                if let State::Done(Ok(Completion::Accepted(Some(qd))), _) = state {
                    close_unclaimed(owner.as_ref(), qd);
                }
            }
        }
    }

    /// Whether the operation is not complete. An error when the token names nothing.
    pub(crate) fn is_pending(&self, token: Token) -> Result<bool> {
        Ok(matches!(self.inner.borrow_mut().get(token)?.state, State::Pending(_)))
    }

    /// The queue that a live token belongs to.
    pub(crate) fn entry(&self, token: Token) -> Result<Rc<Entry>> {
        let mut inner = self.inner.borrow_mut();
        inner.get(token)?.owner.as_ref().map(|o| Rc::clone(&o.entry)).ok_or(Error::StaleToken)
    }

    /// Take the result if the operation is complete.
    #[inline]
    pub(crate) fn try_claim(&self, token: Token) -> Result<Option<Result<Completion>>> {
        let mut inner = self.inner.borrow_mut();
        let slot = inner.get(token)?;
        if matches!(slot.state, State::Pending(_)) {
            return Ok(None);
        }
        let state = std::mem::replace(&mut slot.state, State::Free);
        let owner = inner.release(token);
        drop(inner);
        let_go(owner.as_ref());
        match state {
            State::Done(result, _) => Ok(Some(result)),
            State::Free | State::Pending(_) => Err(Error::StaleToken),
        }
    }

    /// Take the result, or leave the context's waker as the one waiter.
    #[inline]
    pub(crate) fn poll(&self, token: Token, cx: &mut Context<'_>) -> Poll<Result<Completion>> {
        {
            let mut inner = self.inner.borrow_mut();
            match &mut inner.get(token)?.state {
                State::Pending(Wait::Set(set)) if !set.gone.get() => return Poll::Ready(Err(in_a_set())),
                State::Done(_, Wait::Set(set)) if !set.gone.get() => return Poll::Ready(Err(in_a_set())),
                State::Pending(Wait::Task(old)) if old.will_wake(cx.waker()) => return Poll::Pending,
                State::Pending(wait) => {
                    let old = std::mem::replace(wait, Wait::Task(cx.waker().clone()));
                    drop(inner);
                    drop(old);
                    return Poll::Pending;
                }
                _ => {}
            }
        }
        match self.try_claim(token)? {
            Some(result) => Poll::Ready(result),
            None => Poll::Pending,
        }
    }

    /// `Ready` when the operation is complete, its result left where it is.
    pub(crate) fn poll_done(&self, token: Token, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let mut inner = self.inner.borrow_mut();
        let State::Pending(wait) = &mut inner.get(token)?.state else { return Poll::Ready(Ok(())) };
        if matches!(wait, Wait::Set(set) if !set.gone.get()) {
            return Poll::Ready(Err(in_a_set()));
        }
        let old = std::mem::replace(wait, Wait::Task(cx.waker().clone()));
        drop(inner);
        drop(old);
        Poll::Pending
    }

    /// Nobody waits for this operation any more (a deadline passed).
    pub(crate) fn forget_waiter(&self, token: Token) {
        if let Ok(Slot { state: State::Pending(wait), .. }) = self.inner.borrow_mut().get(token) {
            *wait = Wait::Nobody;
        }
    }

    /// Make `set` the one waiter of `token`.
    pub(crate) fn join_set(&self, token: Token, set: &Rc<SetShared>) -> Result<()> {
        let mut inner = self.inner.borrow_mut();
        let (wait, done) = match &mut inner.get(token)?.state {
            State::Free => return Err(Error::StaleToken),
            State::Pending(wait) => (wait, false),
            State::Done(_, wait) => (wait, true),
        };
        if matches!(wait, Wait::Set(old) if !old.gone.get()) {
            return Err(in_a_set());
        }
        *wait = Wait::Set(Rc::clone(set));
        drop(inner);
        if done {
            set.done.borrow_mut().push_back(token);
            set.waiter.wake();
        }
        Ok(())
    }

    /// Undo [`join_set`](Self::join_set). Whether it was a member.
    pub(crate) fn leave_set(&self, token: Token, set: &Rc<SetShared>) -> bool {
        let mut inner = self.inner.borrow_mut();
        let Ok(slot) = inner.get(token) else { return false };
        let (State::Pending(wait) | State::Done(_, wait)) = &mut slot.state else { return false };
        let member = matches!(wait, Wait::Set(s) if Rc::ptr_eq(s, set));
        if member {
            *wait = Wait::Nobody;
        }
        member
    }

    /// Take the result of a done member of `set`; `None` when it is one no more.
    #[inline]
    pub(crate) fn claim_member(&self, token: Token, set: &Rc<SetShared>) -> Option<Result<Completion>> {
        {
            let mut inner = self.inner.borrow_mut();
            match &inner.get(token).ok()?.state {
                State::Done(_, Wait::Set(s)) if Rc::ptr_eq(s, set) => {}
                _ => return None,
            }
        }
        self.try_claim(token).ok().flatten()
    }

    /// Slots in use.
    pub(crate) fn len(&self) -> usize {
        let inner = self.inner.borrow();
        inner.slots.len() - inner.free.len()
    }
}

fn let_go(owner: Option<&Owner>) {
    if let Some(owner) = owner {
        owner.entry.token_freed(owner.place);
    }
}

/// A connection that was accepted for nobody must not stay open for ever.
#[cold]
fn close_unclaimed(owner: Option<&Owner>, qd: hemi_queue::Qd) {
    let Some(core) = owner.and_then(|o| o.entry.core().ok()) else { return };
    if let Ok(entry) = core.names.qds.get(qd) {
        entry.close();
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("in_use", &self.len()).finish()
    }
}
