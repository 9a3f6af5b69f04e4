//! [`RttEstimator`]: the smoothed round-trip time and the retransmission timeout (RFC 6298).

use std::time::Duration;

use super::{TcpConfig, config::Timing};

/// Round-trip measurements of one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct RttEstimator {
    /// Smoothed round-trip time and its variation, in nanoseconds; no measurement yet when `measured` is false.
    srtt: u64,
    rttvar: u64,
    measured: bool,
    /// The SYN was retransmitted: RFC 6298 section 5.7.
    syn_lost: bool,
    /// How often the timeout was doubled since the last acknowledgement of new data.
    backoff: u8,
}

impl RttEstimator {
    /// Take a measurement. Karn's rule is the caller's: no sample from a retransmitted segment, unless by timestamps.
    ///
    /// `flight` is FlightSize in segments: with timestamps, every ACK gives a sample, and the gains shrink with it.
    #[inline(always)]
    pub(crate) fn sample(&mut self, rtt_nanos: u64, samples_per_rtt: u32) {
        let r = rtt_nanos.clamp(1, i64::MAX as u64);
        if !self.measured {
            // RFC 6298 section 2.2: SRTT <- R, RTTVAR <- R/2
            (self.srtt, self.rttvar, self.measured) = (r, r / 2, true);
            return;
        }
        // RFC 6298 section 2.3: RTTVAR <- (1 - beta) * RTTVAR + beta * |SRTT - R'|, SRTT <- (1 - alpha) * SRTT + alpha * R'
        // with alpha = 1/8, beta = 1/4. RFC 7323 appendix G: with N samples per round trip, alpha/N and beta/N.
        let delta = self.srtt.abs_diff(r);
        if samples_per_rtt <= 1 {
            self.rttvar = weigh(self.rttvar, delta, 4);
            self.srtt = weigh(self.srtt, r, 8);
        } else {
            let n = i64::from(samples_per_rtt);
            self.rttvar = weigh(self.rttvar, delta, 4 * n);
            self.srtt = weigh(self.srtt, r, 8 * n);
        }
    }

    /// The smoothed round-trip time, when there was a measurement.
    pub(crate) fn srtt(&self) -> Option<Duration> {
        self.measured.then(|| Duration::from_nanos(self.srtt))
    }

    /// The same in nanoseconds.
    #[inline]
    pub(crate) fn srtt_nanos(&self) -> Option<u64> {
        self.measured.then_some(self.srtt)
    }

    pub(crate) fn rttvar(&self) -> Duration {
        Duration::from_nanos(self.rttvar)
    }

    /// The retransmission timeout, backed off.
    #[inline]
    pub(crate) fn rto(&self, config: &TcpConfig) -> Duration {
        Duration::from_nanos(self.rto_nanos(config))
    }

    /// The same in nanoseconds.
    pub(crate) fn rto_nanos(&self, config: &TcpConfig) -> u64 {
        let base = if self.measured {
            // RFC 6298 section 2.3: RTO <- SRTT + max (G, K*RTTVAR) where K = 4. On a steady path RTTVAR decays to nothing, and any
            // jitter would be a timeout: as Linux has it, the least timeout (up to 200 ms of it) is a margin above SRTT as well.
            let timing = Timing::of(config);
            (self.srtt + (4 * self.rttvar).max(timing.rto_margin)).max(timing.rto_min)
        } else if self.syn_lost {
            // RFC 6298 section 5.7: If the timer expires awaiting the ACK of a SYN segment and the TCP implementation is
            // using an RTO less than 3 seconds, the RTO MUST be re-initialized to 3 seconds when data transmission begins.
            (config.rto_initial.as_nanos() as u64).max(3_000_000_000)
        } else {
            config.rto_initial.as_nanos() as u64
        };
        // RFC 6298 section 5.5: The host MUST set RTO <- RTO * 2 ("back off the timer").
        let backed_off =
            if self.backoff == 0 { base } else { base.saturating_mul(1 << self.backoff.min(20)) };
        backed_off.min(config.rto_max.as_nanos() as u64)
    }

    /// Whether there was a measurement, and nothing was lost since the last one.
    #[inline]
    pub(crate) fn is_steady(&self) -> bool {
        self.measured && self.backoff == 0
    }

    /// [`rto_nanos`](Self::rto_nanos) while [`is_steady`](Self::is_steady).
    #[inline(always)]
    pub(crate) fn steady_rto(&self, timing: &Timing) -> u64 {
        (self.srtt + (4 * self.rttvar).max(timing.rto_margin)).max(timing.rto_min).min(timing.rto_max)
    }

    /// [`srtt_nanos`](Self::srtt_nanos) while [`is_steady`](Self::is_steady).
    #[inline(always)]
    pub(crate) fn steady_srtt(&self) -> u64 {
        self.srtt
    }

    /// The timeout that a SYN waits: the initial one, backed off.
    pub(crate) fn syn_rto(&self, config: &TcpConfig) -> Duration {
        config.rto_initial.saturating_mul(1 << self.backoff.min(20)).min(config.rto_max)
    }

    /// The timer expired.
    pub(crate) fn back_off(&mut self) {
        self.backoff = self.backoff.saturating_add(1);
    }

    /// New data was acknowledged: RFC 6298 section 5.3, restart with the current RTO.
    pub(crate) fn forget_backoff(&mut self) {
        self.backoff = 0;
    }

    pub(crate) fn backoff(&self) -> u8 {
        self.backoff
    }

    /// The handshake needed a retransmission and gave no measurement.
    pub(crate) fn syn_was_lost(&mut self) {
        self.syn_lost = true;
    }
}

/// `old` moved towards `new` by one part in `weight`.
#[inline(always)]
fn weigh(old: u64, new: u64, weight: i64) -> u64 {
    old.wrapping_add_signed((new as i64 - old as i64) / weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn nanos(rtt: Duration) -> u64 {
        rtt.as_nanos() as u64
    }

    #[test]
    fn first_and_next_measurements() {
        let config = TcpConfig { rto_min: MS, ..TcpConfig::default() };
        let mut rtt = RttEstimator::default();
        assert_eq!((rtt.rto(&config), rtt.srtt()), (Duration::from_secs(1), None));
        rtt.sample(nanos(100 * MS), 1);
        assert_eq!((rtt.srtt(), rtt.rttvar(), rtt.rto(&config)), (Some(100 * MS), 50 * MS, 300 * MS));
        rtt.sample(nanos(180 * MS), 1);
        assert_eq!(rtt.srtt(), Some(110 * MS));
        assert_eq!(rtt.rttvar(), Duration::from_micros(57_500));
        assert_eq!(rtt.rto(&config), 340 * MS);
    }

    #[test]
    fn bounds_and_backoff() {
        let config = TcpConfig::default();
        let mut rtt = RttEstimator::default();
        rtt.sample(nanos(MS), 1);
        assert_eq!(rtt.rto(&config), Duration::from_secs(1)); // RFC 6298 (2.4): rounded up to 1 second
        for expected in [2, 4, 8, 16, 32, 60, 60] {
            rtt.back_off();
            assert_eq!(rtt.rto(&config), Duration::from_secs(expected));
        }
        rtt.forget_backoff();
        assert_eq!(rtt.rto(&config), Duration::from_secs(1));
    }

    #[test]
    fn a_lost_syn_makes_the_first_timeout_three_seconds() {
        let mut rtt = RttEstimator::default();
        rtt.syn_was_lost();
        assert_eq!(rtt.rto(&TcpConfig::default()), Duration::from_secs(3));
        rtt.sample(nanos(MS), 1);
        assert_eq!(rtt.rto(&TcpConfig::default()), Duration::from_secs(1));
    }
}
