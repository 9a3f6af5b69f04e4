//! [`sort_within`]: a sort that waits a while for better order.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use hemi_queue::{Pop, Push, PushError, Result, Ticket, time::Instant};

use super::sort::Window;
use crate::time::{Sleep, now, sleep_until};

/// A [`sort`](super::sort()) that may hold a unit up to `hold` to put later arrivals before it.
///
/// A pop returns the least key when the window is full, when the inner queue has ended, or when some unit
/// has been held for `hold`: then units leave in key order until that one has. So no unit is late by more than `hold` (and
/// one turn), and units that arrive within `hold` of each other leave in order. The clock is the turn's, virtual in
/// a simulation; needs a running runtime.
///
/// ```
/// # use std::time::Duration;
/// use hemi::{Pop, Push, algebra::sort_within};
/// # let runtime = hemi::Runtime::builder().simulated(1).build()?;
/// # runtime.block_on(async {
/// let mut q = sort_within(hemi::queue(8), 16, Duration::from_millis(5), |n: &u32| *n);
/// q.push(2u32).await?;
/// q.push(1u32).await?;
/// let begin = hemi::time::now();
/// assert_eq!(q.pop().await?, Some(1));
/// assert_eq!(q.pop().await?, Some(2));
/// assert!(hemi::time::now() - begin >= Duration::from_millis(5));
/// # Ok::<(), hemi::Error>(())
/// # })?;
/// # Ok::<(), hemi::Error>(())
/// ```
pub fn sort_within<Q, K, F>(queue: Q, window: usize, hold: Duration, key: F) -> SortWithin<Q, F, K, Q::Unit>
where
    Q: Pop,
    K: Ord,
    F: FnMut(&Q::Unit) -> K,
{
    SortWithin {
        queue,
        key,
        window: Window::new(window),
        hold,
        arrivals: VecDeque::new(),
        expired_before: 0,
        timer: None,
    }
}

/// See [`sort_within()`].
pub struct SortWithin<Q, F, K, U> {
    queue: Q,
    key: F,
    window: Window<K, U>,
    hold: Duration,
    /// When each held unit arrived, by arrival number; those that have left are dropped from the front.
    arrivals: VecDeque<(u64, Instant, bool)>,
    /// Units with arrival numbers below this have been held long enough.
    expired_before: u64,
    timer: Option<(Instant, Sleep)>,
}

impl<Q, F, K: Ord, U> SortWithin<Q, F, K, U> {
    /// The inner queue and the units that were read ahead, in the order they arrived.
    pub fn into_parts(self) -> (Q, Vec<U>) {
        (self.queue, self.window.into_arrived())
    }

    /// How many units are read ahead.
    pub fn held(&self) -> usize {
        self.window.len()
    }

    /// The oldest unit that is still held.
    fn oldest(&mut self) -> Option<(u64, Instant)> {
        while self.arrivals.front().is_some_and(|(_, _, left)| *left) {
            self.arrivals.pop_front();
        }
        self.arrivals.front().map(|(arrival, at, _)| (*arrival, *at))
    }

    fn release(&mut self) -> Option<U> {
        let arrival = self.window.least_arrival()?;
        if let Ok(at) = self.arrivals.binary_search_by_key(&arrival, |(a, ..)| *a) {
            self.arrivals[at].2 = true;
        }
        self.window.pop_least()
    }
}

impl<Q, K, F> Pop for SortWithin<Q, F, K, Q::Unit>
where
    Q: Pop,
    K: Ord,
    F: FnMut(&Q::Unit) -> K,
{
    type Unit = Q::Unit;

    fn poll_pop(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Q::Unit>>> {
        let now = now();
        let seen = self.window.arrived();
        self.window.fill(&mut self.queue, &mut self.key, cx);
        self.arrivals.extend((seen..self.window.arrived()).map(|arrival| (arrival, now, false)));
        loop {
            if self.window.is_closed() {
                return match self.release() {
                    Some(unit) => Poll::Ready(Ok(Some(unit))),
                    None => self.window.poll_end(),
                };
            }
            let Some((arrival, since)) = self.oldest() else { return self.window.poll_end() };
            if arrival < self.expired_before || since + self.hold <= now {
                self.expired_before = self.expired_before.max(arrival + 1);
                return Poll::Ready(Ok(self.release()));
            }
            let deadline = since + self.hold;
            let (_, sleep) = match &mut self.timer {
                Some(timer) if timer.0 == deadline => timer,
                timer => timer.insert((deadline, sleep_until(deadline))),
            };
            if Pin::new(sleep).poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.timer = None;
            self.expired_before = arrival + 1;
        }
    }
}

impl<Q: Push, F, K, U> Push for SortWithin<Q, F, K, U> {
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

impl<Q, F, K: Ord, U> fmt::Debug for SortWithin<Q, F, K, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SortWithin").field("held", &self.held()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Runtime, time::sleep};

    const MS: Duration = Duration::from_millis(1);

    proptest! {
        /// Whatever arrives when: nothing is lost, nothing is held longer than `hold`, and units that were in the window
        /// together leave in order.
        #[test]
        fn holds_no_unit_too_long(
            gaps in prop::collection::vec((0u32..8, 0u8..5), 1..40), hold in 1u32..10, window in 1usize..10,
        ) {
            let runtime = Runtime::builder().simulated(7).build().unwrap();
            let total = gaps.len();
            let q = crate::queue_unbounded();
            let feed = q.clone();
            let popped = runtime.block_on(async move {
                crate::spawn(async move {
                    for (n, (gap, key)) in gaps.into_iter().enumerate() {
                        sleep(MS * gap).await;
                        let _ = feed.try_push((key, n, now()));
                    }
                    feed.close();
                });
                let mut sorted = sort_within(q, window, MS * hold, |unit: &(u8, usize, Instant)| unit.0);
                let mut popped = Vec::new();
                while let Some(unit) = sorted.pop().await.unwrap() {
                    popped.push((unit, now()));
                }
                popped
            });
            prop_assert_eq!(popped.len(), total);
            for ((_, n, arrived), left) in &popped {
                prop_assert!(*left - *arrived <= MS * hold, "unit {} was held {:?}", n, *left - *arrived);
            }
            // Stable for equal keys.
            for key in 0..5 {
                let order: Vec<usize> = popped.iter().filter(|p| p.0.0 == key).map(|p| p.0.1).collect();
                prop_assert!(order.is_sorted(), "{:?}", order);
            }
        }
    }

    #[test]
    fn waits_for_what_may_come_first() {
        let runtime = Runtime::builder().simulated(1).build().unwrap();
        runtime.block_on(async {
            let q = crate::queue(8);
            let feed = q.clone();
            crate::spawn(async move {
                for (after, n) in [(0, 3), (2, 1), (2, 2)] {
                    sleep(MS * after).await;
                    feed.push(n).await.unwrap();
                }
            });
            let mut sorted = sort_within(q, 8, MS * 5, |n: &u32| *n);
            let begin = now();
            for expect in [1, 2, 3] {
                assert_eq!(sorted.pop().await.unwrap(), Some(expect));
                assert_eq!(now() - begin, MS * 5);
            }
            let (_, held) = sorted.into_parts();
            assert!(held.is_empty());
        });
    }
}
