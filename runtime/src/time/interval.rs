//! [`interval`]: a tick every so often.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use hemi_queue::time::Instant;

use super::{Sleep, now, sleep_until};

/// A tick every `period`, the first one at once. A period of zero is taken as one nanosecond.
///
/// ```
/// use std::time::Duration;
/// use hemi::time::{interval, now};
///
/// # hemi::Runtime::builder().simulated(1).build()?.block_on(async {
/// let begin = now();
/// let mut ticks = interval(Duration::from_millis(10));
/// for _ in 0..4 {
///     ticks.tick().await;
/// }
/// assert_eq!(now() - begin, Duration::from_millis(30));
/// # });
/// # Ok::<(), hemi::Error>(())
/// ```
///
/// # Panics
/// When no runtime runs on this thread.
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    interval_at(now(), period)
}

/// A tick every `period`, the first one at `start`.
///
/// # Panics
/// When no runtime runs on this thread.
#[track_caller]
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    let period = period.max(Duration::from_nanos(1));
    Interval { next: start, period, missed: MissedTick::default(), sleep: sleep_until(start) }
}

/// What an interval does about ticks that nobody waited for in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
pub enum MissedTick {
    /// Make up for them: tick at once as often as was missed, then be in step again.
    #[default]
    Burst,
    /// Leave them out and go on in step: the next tick is at the next multiple of the period from the start.
    Skip,
    /// Leave them out and begin anew: the next tick is one period after this one.
    Delay,
}

/// The ticks of [`interval`].
#[derive(Debug)]
pub struct Interval {
    /// When the tick that is waited for is scheduled.
    next: Instant,
    period: Duration,
    missed: MissedTick,
    sleep: Sleep,
}

impl Interval {
    /// The same interval with another policy for missed ticks. Default: [`MissedTick::Burst`].
    pub fn missed_tick(mut self, policy: MissedTick) -> Self {
        self.missed = policy;
        self
    }

    /// Wait for the next tick and return when it was scheduled. Cancel-safe: a tick is taken only when it is returned.
    pub async fn tick(&mut self) -> Instant {
        poll_fn(|cx| self.poll_tick(cx)).await
    }

    /// As [`tick`](Self::tick), for hand-written futures.
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        ready!(Pin::new(&mut self.sleep).poll(cx));
        let scheduled = self.next;
        self.next = self.after(scheduled, self.sleep.clock());
        self.sleep.reset(self.next);
        Poll::Ready(scheduled)
    }

    /// Wait a whole period from now before the next tick.
    pub fn reset(&mut self) {
        self.next = self.sleep.clock() + self.period;
        self.sleep.reset(self.next);
    }

    /// The time between ticks.
    pub fn period(&self) -> Duration {
        self.period
    }

    fn after(&self, scheduled: Instant, now: Instant) -> Instant {
        let next = scheduled + self.period;
        if next > now {
            return next;
        }
        match self.missed {
            MissedTick::Burst => next,
            MissedTick::Delay => now + self.period,
            MissedTick::Skip => {
                let period = u64::try_from(self.period.as_nanos()).unwrap_or(u64::MAX);
                let late = now.as_nanos() - scheduled.as_nanos();
                now + Duration::from_nanos(period - late % period)
            }
        }
    }
}
