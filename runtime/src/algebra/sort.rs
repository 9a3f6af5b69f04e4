//! [`sort`]: the least of the units that are already there.

use std::{
    cmp::Ordering,
    collections::BinaryHeap,
    fmt,
    task::{Context, Poll},
};

use hemi_queue::{Error, Pop, Push, PushError, Result, Ticket};

/// A queue whose pop returns the unit with the least key among up to `window` units that are already there.
///
/// Equal keys keep their order. A pop never waits to fill the window: with one unit there, it returns that one. (See
/// [`sort_within`](super::sort_within()) for a window that waits a while.) When the inner queue fails, the units
/// that had been read are popped first, then the error. Pushes pass as they are.
///
/// ```
/// # use futures::executor::block_on;
/// use hemi::{Pop, Push, algebra::sort};
/// # block_on(async {
/// let mut q = sort(hemi::queue(8), 3, |n: &u32| *n);
/// for n in [5u32, 3, 4, 1] {
///     q.push(n).await?;
/// }
/// // 1 was not among the first three.
/// assert_eq!(q.pop().await?, Some(3));
/// assert_eq!(q.pop().await?, Some(1));
/// let (_inner, held) = q.into_parts();
/// assert_eq!(held, [5, 4]);
/// # Ok::<(), hemi::Error>(()) }).unwrap();
/// ```
pub fn sort<Q, K, F>(queue: Q, window: usize, key: F) -> Sort<Q, F, K, Q::Unit>
where
    Q: Pop,
    K: Ord,
    F: FnMut(&Q::Unit) -> K,
{
    Sort { queue, key, window: Window::new(window) }
}

/// See [`sort()`].
pub struct Sort<Q, F, K, U> {
    queue: Q,
    key: F,
    window: Window<K, U>,
}

impl<Q, F, K: Ord, U> Sort<Q, F, K, U> {
    /// The inner queue and the units that were read ahead, in the order they arrived.
    pub fn into_parts(self) -> (Q, Vec<U>) {
        (self.queue, self.window.into_arrived())
    }

    /// How many units are read ahead.
    pub fn held(&self) -> usize {
        self.window.len()
    }
}

impl<Q, K, F> Pop for Sort<Q, F, K, Q::Unit>
where
    Q: Pop,
    K: Ord,
    F: FnMut(&Q::Unit) -> K,
{
    type Unit = Q::Unit;

    fn poll_pop(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Q::Unit>>> {
        self.window.fill(&mut self.queue, &mut self.key, cx);
        match self.window.pop_least() {
            Some(unit) => Poll::Ready(Ok(Some(unit))),
            None => self.window.poll_end(),
        }
    }
}

impl<Q: Push, F, K, U> Push for Sort<Q, F, K, U> {
    type Unit = Q::Unit;
    type Receipt = Q::Receipt;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.queue.poll_ready(cx)
    }
    fn start_push(&mut self, unit: Q::Unit) -> Result<Ticket, PushError<Q::Unit>> {
        self.queue.start_push(unit)
    }
    fn poll_pushed(&mut self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<Result<Q::Receipt>> {
        self.queue.poll_pushed(ticket, cx)
    }
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.queue.poll_finish(cx)
    }
}

impl<Q, F, K: Ord, U> fmt::Debug for Sort<Q, F, K, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sort").field("held", &self.held()).finish_non_exhaustive()
    }
}

/// Units read ahead, by key.
pub(super) struct Window<K, U> {
    size: usize,
    heap: BinaryHeap<Held<K, U>>,
    arrived: u64,
    end: End,
}

enum End {
    Open,
    Ended,
    Failed(Error),
}

struct Held<K, U> {
    key: K,
    arrival: u64,
    unit: U,
}

/// Turned round: the heap gives its greatest first, and we want the least key that arrived first.
impl<K: Ord, U> Ord for Held<K, U> {
    fn cmp(&self, other: &Self) -> Ordering {
        (&other.key, other.arrival).cmp(&(&self.key, self.arrival))
    }
}

impl<K: Ord, U> PartialOrd for Held<K, U> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K: Ord, U> PartialEq for Held<K, U> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<K: Ord, U> Eq for Held<K, U> {}

impl<K: Ord, U> Window<K, U> {
    pub(super) fn new(size: usize) -> Self {
        Self { size: size.max(1), heap: BinaryHeap::new(), arrived: 0, end: End::Open }
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether waiting can bring nothing: it is full, or the queue has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.heap.len() >= self.size || !matches!(self.end, End::Open)
    }

    /// Read what is there, up to the window.
    pub(super) fn fill<Q: Pop<Unit = U>>(
        &mut self,
        queue: &mut Q,
        mut key: impl FnMut(&U) -> K,
        cx: &mut Context<'_>,
    ) {
        while !self.is_closed() {
            match queue.poll_pop(cx) {
                Poll::Ready(Ok(Some(unit))) => {
                    self.heap.push(Held { key: key(&unit), arrival: self.arrived, unit });
                    self.arrived += 1;
                }
                Poll::Ready(Ok(None)) => self.end = End::Ended,
                Poll::Ready(Err(error)) => self.end = End::Failed(error),
                Poll::Pending => return,
            }
        }
    }

    pub(super) fn pop_least(&mut self) -> Option<U> {
        self.heap.pop().map(|held| held.unit)
    }

    /// The arrival number of the unit that [`pop_least`](Self::pop_least) would give.
    pub(super) fn least_arrival(&self) -> Option<u64> {
        self.heap.peek().map(|held| held.arrival)
    }

    /// How many units have arrived in all.
    pub(super) fn arrived(&self) -> u64 {
        self.arrived
    }

    /// What an empty window answers.
    pub(super) fn poll_end(&mut self) -> Poll<Result<Option<U>>> {
        match std::mem::replace(&mut self.end, End::Ended) {
            End::Open => {
                self.end = End::Open;
                Poll::Pending
            }
            End::Ended => Poll::Ready(Ok(None)),
            End::Failed(error) => Poll::Ready(Err(error)),
        }
    }

    pub(super) fn into_arrived(self) -> Vec<U> {
        let mut held = self.heap.into_vec();
        held.sort_unstable_by_key(|h| h.arrival);
        held.into_iter().map(|h| h.unit).collect()
    }
}

#[cfg(test)]
mod tests;
