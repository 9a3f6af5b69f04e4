//! A token bucket: how often something may be answered.

use std::time::Duration;

use hemi_queue::time::Instant;

/// `burst` at once, then one per `interval`.
#[derive(Clone, Debug)]
pub(crate) struct TokenBucket {
    interval: Duration,
    burst: u32,
    tokens: u32,
    last: Instant,
}

impl TokenBucket {
    pub(crate) fn new(burst: u32, interval: Duration) -> Self {
        Self { interval, burst, tokens: burst, last: Instant::ZERO }
    }

    /// Be one of `n` that grant as much together as one has granted alone.
    pub(crate) fn share(&mut self, n: u32) {
        let n = n.max(1);
        self.burst = (self.burst / n).max(1);
        self.interval *= n;
        self.tokens = self.tokens.min(self.burst);
    }

    /// Take a token, if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let interval = self.interval.as_nanos().max(1) as u64;
        let earned = (now - self.last).as_nanos() as u64 / interval;
        if earned >= u64::from(self.burst - self.tokens) {
            self.tokens = self.burst;
            self.last = now;
        } else {
            self.tokens += earned as u32;
            self.last += Duration::from_nanos(earned * interval);
        }
        let granted = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_then_rate() {
        let mut bucket = TokenBucket::new(3, Duration::from_millis(10));
        let t = |ms| Instant::ZERO + Duration::from_millis(ms);
        assert_eq!((0..5).filter(|_| bucket.take(t(1))).count(), 3);
        assert!(!bucket.take(t(9)) && bucket.take(t(11)) && !bucket.take(t(12)) && bucket.take(t(21)));
        assert_eq!((0..9).filter(|_| bucket.take(t(1000))).count(), 3);
    }
}
