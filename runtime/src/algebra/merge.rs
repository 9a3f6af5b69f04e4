//! [`merge`]: two queues as one.

use std::{
    collections::VecDeque,
    error, fmt,
    task::{Context, Poll, ready},
};

use hemi_queue::{Error, Pop, Push, PushError, Result, Ticket};

use super::PushReserved;

/// Pushes whose completion nobody asked for (their futures were dropped) are remembered up to this many.
const UNCLAIMED: usize = 1024;

/// Two queues as one.
///
/// * A pop takes from either, fairly: when both always have units they alternate. It ends when both have ended. A
///   side that fails counts as ended: its error is popped once, as a [`MergeError`] that names it, and units of the
///   other side go on.
/// * A push, [`Merge::push`], waits until both have room, goes to both, and completes with the slower. If a side fails the error names
///   it and says whether the other took the unit.
///
/// ```
/// # use futures::executor::block_on;
/// use hemi::{Pop, Push, algebra::merge};
/// # block_on(async {
/// let (a, b) = (hemi::queue(8), hemi::queue(8));
/// let mut both = merge(a.clone(), b.clone());
/// both.push(1).await?;
/// a.close();
/// b.close();
/// assert_eq!(both.pop().await?, Some(1));
/// assert_eq!(both.pop().await?, Some(1));
/// assert_eq!(both.pop().await?, None);
/// # Ok::<(), hemi::Error>(()) }).unwrap();
/// ```
pub fn merge<A, B>(a: A, b: B) -> Merge<A, B> {
    Merge { a, b, first: Side::A, ended: [false; 2], pushes: Pushes::default() }
}

/// See [`merge()`].
pub struct Merge<A, B> {
    a: A,
    b: B,
    /// Which side the next pop asks first.
    first: Side,
    ended: [bool; 2],
    pushes: Pushes,
}

/// A side of a merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The first argument of [`merge()`].
    A,
    /// The second.
    B,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// A side of a merge failed. Comes as [`Error::Other`]; [`MergeError::of`] finds it.
#[derive(Debug)]
#[non_exhaustive]
pub struct MergeError {
    /// The side that failed.
    pub side: Side,
    /// For a push: whether the other side took the unit. `false` for a pop, which concerns one side only.
    pub other_took: bool,
    /// What it failed with.
    pub source: Error,
}

impl MergeError {
    /// The merge error in `error`, if it is one.
    pub fn of(error: &Error) -> Option<&Self> {
        match error {
            Error::Other(inner) => inner.downcast_ref(),
            _ => None,
        }
    }

    #[cold]
    fn wrap(side: Side, other_took: bool, source: Error) -> Error {
        Error::Other(Box::new(Self { side, other_took, source }))
    }
}

impl fmt::Display for MergeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let took = if self.other_took { "; the other side took the unit" } else { "" };
        write!(f, "side {:?} of the merge failed: {}{took}", self.side, self.source)
    }
}

impl error::Error for MergeError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(&self.source)
    }
}

impl<A, B> Merge<A, B> {
    /// Both queues. A merge reads nothing ahead.
    pub fn into_parts(self) -> (A, B) {
        (self.a, self.b)
    }

    /// Whether pops of `side` have ended or failed.
    pub fn has_ended(&self, side: Side) -> bool {
        self.ended[side as usize]
    }
}

/// Receipts of pushes that can only have gone through: nothing is lost with them. A filter's verdict is not one.
pub trait Settled {}

impl Settled for () {}
impl Settled for crate::Lsn {}

impl<A: Pop, B: Pop<Unit = A::Unit>> Pop for Merge<A, B> {
    type Unit = A::Unit;

    fn poll_pop(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<A::Unit>>> {
        for side in [self.first, self.first.other()] {
            if self.ended[side as usize] {
                continue;
            }
            let popped = match side {
                Side::A => self.a.poll_pop(cx),
                Side::B => self.b.poll_pop(cx),
            };
            match popped {
                Poll::Ready(Ok(Some(unit))) => {
                    self.first = side.other();
                    return Poll::Ready(Ok(Some(unit)));
                }
                Poll::Ready(Ok(None)) => self.ended[side as usize] = true,
                Poll::Ready(Err(error)) => {
                    self.ended[side as usize] = true;
                    return Poll::Ready(Err(MergeError::wrap(side, false, error)));
                }
                Poll::Pending => {}
            }
        }
        if self.ended == [true; 2] { Poll::Ready(Ok(None)) } else { Poll::Pending }
    }
}

impl<A, B> Merge<A, B>
where
    A: Push<Unit: Clone, Receipt: Settled>,
    B: Push<Unit = A::Unit, Receipt: Settled>,
{
    /// Push one unit to both sides: it goes to neither before both have room, and completes with the slower. Dropping
    /// the future after its first poll does not retract the push.
    pub fn push(&mut self, unit: impl Into<A::Unit>) -> PushReserved<'_, Self> {
        PushReserved::new(self, unit.into())
    }
}

/// [`start_push`](Push::start_push) hands over at once, room or not; [`Merge::push`] and [`poll_ready`](Push::poll_ready)
/// wait for room on both.
impl<A, B> Push for Merge<A, B>
where
    A: Push<Unit: Clone, Receipt: Settled>,
    B: Push<Unit = A::Unit, Receipt: Settled>,
{
    type Unit = A::Unit;
    type Receipt = ();

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        // Both are asked, so that both know who waits.
        let a = self.a.poll_ready(cx).map_err(|e| MergeError::wrap(Side::A, false, e))?;
        let b = self.b.poll_ready(cx).map_err(|e| MergeError::wrap(Side::B, false, e))?;
        if a.is_ready() && b.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn start_push(&mut self, unit: A::Unit) -> Result<Ticket, PushError<A::Unit>> {
        let a = match self.a.start_push(unit.clone()) {
            Ok(ticket) => ticket,
            Err(refused) => {
                return Err(PushError::new(MergeError::wrap(Side::A, false, refused.error), unit));
            }
        };
        match self.b.start_push(unit) {
            Ok(b) => Ok(self.pushes.add(a, b)),
            Err(refused) => Err(PushError::new(MergeError::wrap(Side::B, true, refused.error), refused.unit)),
        }
    }

    fn poll_pushed(&mut self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Some(entry) = self.pushes.get(ticket) else { return Poll::Ready(Err(Error::StaleToken)) };
        let a = entry.a.poll(|t| self.a.poll_pushed(t, cx).map_ok(drop));
        let b = entry.b.poll(|t| self.b.poll_pushed(t, cx).map_ok(drop));
        ready!(a);
        ready!(b);
        let [a, b] = self.pushes.remove(ticket);
        Poll::Ready(match (a, b) {
            (Ok(()), Ok(())) => Ok(()),
            (Err(error), b) => Err(MergeError::wrap(Side::A, b.is_ok(), error)),
            (Ok(()), Err(error)) => Err(MergeError::wrap(Side::B, true, error)),
        })
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let a = self.a.poll_finish(cx).map_err(|e| MergeError::wrap(Side::A, false, e))?;
        let b = self.b.poll_finish(cx).map_err(|e| MergeError::wrap(Side::B, false, e))?;
        if a.is_ready() && b.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

impl<A, B> fmt::Debug for Merge<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Merge").field("ended", &self.ended).finish_non_exhaustive()
    }
}

/// Pushes that are not complete on both sides, oldest first.
#[derive(Default)]
struct Pushes {
    next: u64,
    entries: VecDeque<Entry>,
}

struct Entry {
    ticket: u64,
    a: Half,
    b: Half,
}

/// A push on one side.
enum Half {
    Waiting(Ticket),
    Done(Result<()>),
}

impl Half {
    fn poll(&mut self, ask: impl FnOnce(Ticket) -> Poll<Result<()>>) -> Poll<()> {
        if let Self::Waiting(ticket) = *self {
            *self = Self::Done(ready!(ask(ticket)));
        }
        Poll::Ready(())
    }

    fn into_result(self) -> Result<()> {
        match self {
            Self::Done(result) => result,
            Self::Waiting(_) => Err(Error::StaleToken),
        }
    }
}

impl Pushes {
    fn add(&mut self, a: Ticket, b: Ticket) -> Ticket {
        if self.entries.len() == UNCLAIMED {
            self.entries.pop_front();
        }
        let ticket = self.next;
        self.next += 1;
        self.entries.push_back(Entry { ticket, a: Half::Waiting(a), b: Half::Waiting(b) });
        Ticket(ticket)
    }

    fn get(&mut self, ticket: Ticket) -> Option<&mut Entry> {
        let at = self.entries.binary_search_by_key(&ticket.0, |e| e.ticket).ok()?;
        self.entries.get_mut(at)
    }

    fn remove(&mut self, ticket: Ticket) -> [Result<()>; 2] {
        let at = self.entries.binary_search_by_key(&ticket.0, |e| e.ticket).ok();
        match at.and_then(|at| self.entries.remove(at)) {
            Some(entry) => [entry.a.into_result(), entry.b.into_result()],
            None => [Err(Error::StaleToken), Err(Error::StaleToken)],
        }
    }
}

#[cfg(test)]
mod tests;
