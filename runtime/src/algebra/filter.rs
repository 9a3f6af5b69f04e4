//! [`filter`]: only what passes a test.

use std::{
    collections::VecDeque,
    fmt,
    task::{Context, Poll, ready},
};

use hemi_queue::{Error, Pop, Push, PushError, Result, Ticket, program::Changes};

use super::{
    Offload, Payload, RunsIn,
    held::Held,
    predicate::{Compiled, Predicate},
};

/// Pushes whose completion nobody asked for (their futures were dropped) are remembered up to this many.
const UNCLAIMED: usize = 1024;

/// What a filter asks of each unit: a closure, or a [`Predicate`] in its compiled form.
pub trait Test<U: ?Sized> {
    /// Whether `unit` passes.
    fn passes(&mut self, unit: &U) -> bool;
}

impl<U: ?Sized, F: FnMut(&U) -> bool> Test<U> for F {
    fn passes(&mut self, unit: &U) -> bool {
        self(unit)
    }
}

impl<U: Payload + ?Sized> Test<U> for Compiled {
    fn passes(&mut self, unit: &U) -> bool {
        self.0.matches(unit)
    }
}

/// A queue of which only the units that pass `test` are popped and pushed.
///
/// A popped unit that fails is consumed and counted ([`rejected`](Filter::rejected)). A push that fails completes
/// as [`Verdict::Filtered`] and gives the unit back. On a queue that pops and pushes different types the test holds for
/// pops; see [`filter_push`].
///
/// ```
/// # use futures::executor::block_on;
/// use hemi::{Pop, Push, algebra::{Verdict, filter}};
/// # block_on(async {
/// let mut even = filter(hemi::queue(8), |n: &u32| n % 2 == 0);
/// assert_eq!(even.push(2u32).await?, Verdict::Pushed(()));
/// assert_eq!(even.push(3u32).await?, Verdict::Filtered(3));
/// assert_eq!(even.pop().await?, Some(2));
/// # Ok::<(), hemi::Error>(()) }).unwrap();
/// ```
pub fn filter<Q: Pop, F>(queue: Q, test: F) -> Filter<Q, F, Q::Unit>
where
    F: FnMut(&Q::Unit) -> bool,
{
    Filter::new(queue, test)
}

/// [`filter`] with a [`Predicate`], which a device that can run it takes over in the pop direction, until the filter is
/// dropped or taken apart; see [`Filter::offload`]. On kernel UDP sockets that is the socket's own filter
/// (`SO_ATTACH_FILTER`): what fails the test is dropped before it is received, and wakes nobody.
///
/// What had arrived before is tested here, so the outcome is the same wherever it runs;
/// [`rejected`](Filter::rejected) counts what was rejected here.
///
/// ```
/// # use futures::executor::block_on;
/// use hemi::{Buf, Pop, Push, algebra::{Predicate, filter_by}};
/// # block_on(async {
/// let mut gets = filter_by(hemi::queue(8), &Predicate::bytes(0, "GET "));
/// let _ = gets.push("GET /").await?;
/// let _ = gets.push("PUT /").await?;
/// assert_eq!(gets.pop().await?, Some(Buf::from("GET /")));
/// # Ok::<(), hemi::Error>(()) }).unwrap();
/// ```
pub fn filter_by<Q: Pop<Unit: Payload>>(mut queue: Q, test: &Predicate) -> Filter<Q, Compiled, Q::Unit> {
    let program = test.compile();
    let pops = queue.install_filter(Some(&program));
    let mut filter = Filter::new(queue, Compiled(program));
    if pops != RunsIn::Software {
        filter.pops = pops;
        filter.queue.until(|queue| {
            queue.install_filter(None);
        });
    }
    filter
}

/// [`filter`] in the push direction, for queues that pop another type than is pushed, or nothing; pops pass as they are
/// when their type differs.
pub fn filter_push<Q: Push, F>(queue: Q, test: F) -> Filter<Q, F, Q::Unit>
where
    F: FnMut(&Q::Unit) -> bool,
{
    Filter::new(queue, test)
}

/// What became of a push through a [`filter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a filtered unit comes back here"]
pub enum Verdict<R, U> {
    /// It passed, and the queue completed the push with this.
    Pushed(R),
    /// It did not pass; here it is.
    Filtered(U),
}

/// See [`filter`].
pub struct Filter<Q, P, U> {
    queue: Held<Q>,
    test: P,
    /// Where pops are tested first.
    pops: RunsIn,
    rejected: u64,
    refused: u64,
    next: u64,
    /// Pushes by our number, oldest first.
    pushes: VecDeque<(u64, Outcome<U>)>,
}

enum Outcome<U> {
    /// The inner queue has it, under its own ticket.
    Passed(Ticket),
    Rejected(U),
}

impl<Q, P, U> Filter<Q, P, U> {
    fn new(queue: Q, test: P) -> Self {
        let pops = RunsIn::Software;
        Self {
            queue: Held::new(queue),
            test,
            pops,
            rejected: 0,
            refused: 0,
            next: 0,
            pushes: VecDeque::new(),
        }
    }

    /// Units that were popped from the inner queue, failed the test and were dropped.
    pub fn rejected(&self) -> u64 {
        self.rejected
    }

    /// Pushes that failed the test.
    pub fn filtered(&self) -> u64 {
        self.refused
    }

    /// Where each direction runs. A device takes a [`Predicate`] over for pops; a push gives back what fails, so it is tested
    /// here.
    pub fn offload(&self) -> Offload {
        Offload { pop: self.pops, ..Offload::SOFTWARE }
    }

    /// The inner queue.
    pub fn get_ref(&self) -> &Q {
        self.queue.get()
    }

    /// The inner queue; units popped or pushed here are not tested, but by a device that has taken the test over.
    pub fn get_mut(&mut self) -> &mut Q {
        self.queue.get_mut()
    }

    /// The inner queue and the test. A filter reads nothing ahead.
    pub fn into_parts(mut self) -> (Q, P) {
        (self.queue.take(), self.test)
    }
}

impl<Q: Pop, P: Test<Q::Unit>> Pop for Filter<Q, P, Q::Unit> {
    type Unit = Q::Unit;

    fn poll_pop(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Q::Unit>>> {
        // A flood of units that fail must not keep the core to itself.
        for _ in 0..super::BURST {
            match ready!(self.queue.get_mut().poll_pop(cx))? {
                // What a device has rewritten for a map around this filter has passed there, and is not what was tested any more.
                Some(unit) if !self.queue.get().is_rewritten() && !self.test.passes(&unit) => {
                    self.rejected += 1;
                }
                other => return Poll::Ready(Ok(other)),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Behind the predicate, so only where that runs in the device.
    fn install_rewrite(&mut self, changes: Option<&Changes>) -> RunsIn {
        match self.pops {
            RunsIn::Software => RunsIn::Software,
            _ => self.queue.get_mut().install_rewrite(changes),
        }
    }

    #[inline]
    fn is_rewritten(&self) -> bool {
        self.queue.get().is_rewritten()
    }
}

impl<Q: Push, P: Test<Q::Unit>> Push for Filter<Q, P, Q::Unit> {
    type Unit = Q::Unit;
    type Receipt = Verdict<Q::Receipt, Q::Unit>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.queue.get_mut().poll_ready(cx)
    }

    fn start_push(&mut self, unit: Q::Unit) -> Result<Ticket, PushError<Q::Unit>> {
        let outcome = if self.test.passes(&unit) {
            Outcome::Passed(self.queue.get_mut().start_push(unit)?)
        } else {
            self.refused += 1;
            Outcome::Rejected(unit)
        };
        if self.pushes.len() == UNCLAIMED {
            self.pushes.pop_front();
        }
        let number = self.next;
        self.next += 1;
        self.pushes.push_back((number, outcome));
        Ok(Ticket(number))
    }

    fn poll_pushed(&mut self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<Result<Self::Receipt>> {
        let Ok(at) = self.pushes.binary_search_by_key(&ticket.0, |(number, _)| *number) else {
            return Poll::Ready(Err(Error::StaleToken));
        };
        let mut receipt = None;
        if let Outcome::Passed(inner) = &self.pushes[at].1 {
            receipt = Some(ready!(self.queue.get_mut().poll_pushed(*inner, cx)));
        }
        Poll::Ready(match (self.pushes.remove(at), receipt) {
            (_, Some(receipt)) => receipt.map(Verdict::Pushed),
            (Some((_, Outcome::Rejected(unit))), None) => Ok(Verdict::Filtered(unit)),
            _ => Err(Error::StaleToken),
        })
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.queue.get_mut().poll_finish(cx)
    }
}

impl<Q, P, U> fmt::Debug for Filter<Q, P, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filter")
            .field("rejected", &self.rejected)
            .field("filtered", &self.refused)
            .finish_non_exhaustive()
    }
}
