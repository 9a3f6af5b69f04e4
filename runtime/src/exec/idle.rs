//! What a core does when nothing is ready: spin, park, or learn which.

use std::time::Duration;

use hemi_queue::time::Instant;

/// What a core does when no task is ready and no device has anything.
///
/// A park costs the next event a wake-up (tens of microseconds), a spin costs the core. The default learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
pub enum Idle {
    /// Never sleep: the lowest latency, one core used whole.
    Busy,
    /// Spin as long as that has paid lately, at most [`Builder::spin`](crate::Builder::spin), then sleep. An idle server uses
    /// no core: every long sleep halves the next spin. Never spins where there is only one core to run on.
    #[default]
    Adaptive,
    /// Sleep at once: the fewest cycles.
    Park,
}

/// How long to spin before the next park.
///
/// The ski-rental problem: skis are rented (a spin) until they could have been bought (a park). A spin that met its event
/// late, and a park so short that a longer spin would have met its event, double the limit; a park that a spin could
/// not have replaced halves it. Below [`LEAST`] there is no spin at all.
#[derive(Debug)]
pub(crate) struct Spin {
    policy: Idle,
    most: Duration,
    limit: Duration,
    idle_since: Option<Instant>,
    /// The last verdict was one about yielding.
    yielded: bool,
}

/// Shorter spins are not worth their first look at the clock.
const LEAST: Duration = Duration::from_micros(2);
/// Where a limit of zero begins to grow again.
const FIRST: Duration = Duration::from_micros(20);

/// What to do in this idle turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Look again at once.
    Spin,
    /// Sleep.
    Park,
}

impl Spin {
    /// `most` bounds the spin; `alone` says that there is one core only, so that spinning keeps the others off it.
    pub(crate) fn new(policy: Idle, most: Duration, alone: bool) -> Self {
        let most = if alone { Duration::ZERO } else { most };
        Self { policy, most, limit: most.min(FIRST), idle_since: None, yielded: false }
    }

    /// The turn did something.
    #[inline]
    pub(crate) fn busy(&mut self, now: Instant) {
        if let Some(since) = self.idle_since.take() {
            self.met(now.saturating_since(since));
        }
    }

    /// A spin ended with an event after `spun`.
    #[cold]
    fn met(&mut self, spun: Duration) {
        if spun > self.limit / 2 {
            self.limit = (self.limit * 2).min(self.most);
        }
    }

    /// The turn did nothing. `yields`: what is waited for may want this core; nothing is learned from such a sleep.
    pub(crate) fn idle(&mut self, now: Instant, yields: bool) -> Verdict {
        self.yielded = yields;
        match self.policy {
            Idle::Busy => Verdict::Spin,
            Idle::Park => Verdict::Park,
            Idle::Adaptive if yields => Verdict::Park,
            Idle::Adaptive if self.limit < LEAST => Verdict::Park,
            Idle::Adaptive => {
                let since = *self.idle_since.get_or_insert(now);
                if now.saturating_since(since) < self.limit { Verdict::Spin } else { Verdict::Park }
            }
        }
    }

    /// A park ended after `slept`.
    pub(crate) fn parked(&mut self, slept: Duration) {
        self.idle_since = None;
        if std::mem::take(&mut self.yielded) {
            return;
        }
        let would_have = self.limit.max(FIRST) * 2;
        self.limit = if slept <= would_have.min(self.most) {
            would_have.min(self.most)
        } else if slept > self.most {
            self.limit / 2
        } else {
            self.limit
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(us: u64) -> Duration {
        Duration::from_micros(us)
    }

    #[test]
    fn what_may_want_the_core_gets_it_and_teaches_nothing() {
        let (start, most) = (Instant::ZERO, us(1000));
        let mut spin = Spin::new(Idle::Adaptive, most, false);
        assert_eq!(spin.idle(start, false), Verdict::Spin);
        assert_eq!(spin.idle(start, true), Verdict::Park);
        let before = spin.limit;
        for slept in [us(1), us(50), us(5000)] {
            assert_eq!(spin.idle(start, true), Verdict::Park);
            spin.parked(slept);
            assert_eq!(spin.limit, before);
        }
        // The next wait is one of the ordinary kind again.
        assert_eq!(spin.idle(start, false), Verdict::Spin);
        assert_eq!(spin.idle(start + before, false), Verdict::Park);
        spin.parked(us(5000));
        assert_eq!(spin.limit, before / 2);
        // Who wants to spin in any case does.
        assert_eq!(Spin::new(Idle::Busy, most, false).idle(start, true), Verdict::Spin);
    }
}
