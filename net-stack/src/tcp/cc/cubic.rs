//! CUBIC (RFC 9438), with HyStart++ in slow start.

use hemi_queue::time::Instant;

use super::{AckEvent, CongestionControl, hystart::HyStart, initial_window};

/// RFC 9438 section 4.6: the multiplicative decrease factor.
const BETA: f64 = 0.7;
/// RFC 9438 section 5: the aggressiveness constant.
const C: f64 = 0.4;

/// The window as a cubic function of the time since the last reduction.
#[derive(Clone, Debug)]
#[repr(C, align(8))] // the window at the same place in every controller: asking for it needs no branch
pub struct Cubic {
    cwnd: u32,
    ssthresh: u32,
    mss: u32,
    hystart: HyStart,
    /// W_max in segments: the window before the last reduction.
    w_max: f64,
    /// Time in seconds at which the curve is back at `w_max`.
    k: f64,
    /// W_est: the window Reno would have, in segments.
    w_est: f64,
    /// When this congestion-avoidance stage began; `None` until its first ACK.
    epoch: Option<Instant>,
    /// Growth smaller than a byte is saved up here.
    credit: f64,
    before: (u32, u32, f64),
}

impl Cubic {
    /// A controller at its initial window.
    pub fn new(mss: u32) -> Self {
        let cwnd = initial_window(mss);
        Self {
            mss,
            cwnd,
            ssthresh: u32::MAX,
            hystart: HyStart::new(),
            w_max: 0.0,
            k: 0.0,
            w_est: 0.0,
            epoch: None,
            credit: 0.0,
            before: (cwnd, u32::MAX, 0.0),
        }
    }

    fn segments(&self, bytes: u32) -> f64 {
        f64::from(bytes) / f64::from(self.mss)
    }

    fn reduce(&mut self, in_flight: u32) {
        self.before = (self.cwnd, self.ssthresh, self.w_max);
        self.hystart.finish();
        let cwnd = self.segments(self.cwnd);
        // RFC 9438 section 4.7, fast convergence: if cwnd < W_max, W_max = cwnd * (1 + beta_cubic) / 2.
        self.w_max = if cwnd < self.w_max { cwnd * (1.0 + BETA) / 2.0 } else { cwnd };
        // RFC 9438 section 4.6: ssthresh = max (flight_size * beta_cubic, 2 segments). The window that was not used must not
        // count, so flight size; but it never counts for more than the window.
        let flight = in_flight.min(self.cwnd);
        self.ssthresh = ((f64::from(flight) * BETA) as u32).max(2 * self.mss);
        self.epoch = None;
        self.credit = 0.0;
    }

    /// RFC 9438 section 4.2: a new stage begins with cwnd_epoch.
    fn begin_epoch(&mut self, now: Instant) {
        let cwnd = self.segments(self.cwnd);
        self.epoch = Some(now);
        self.w_est = cwnd;
        if cwnd < self.w_max {
            // K = cbrt ((W_max - cwnd_epoch) / C)
            self.k = ((self.w_max - cwnd) / C).cbrt();
        } else {
            // Slow start ended without a loss: RFC 9438 section 4.10, W_max = cwnd_epoch and K = 0.
            self.k = 0.0;
            self.w_max = cwnd;
        }
    }

    fn curve(&self, t: f64) -> f64 {
        // RFC 9438 section 4.2, figure 1: W_cubic(t) = C * (t - K)^3 + W_max
        C * (t - self.k).powi(3) + self.w_max
    }

    fn avoid(&mut self, acked: u32, now: Instant, srtt_nanos: u64) {
        if self.epoch.is_none() {
            self.begin_epoch(now);
        }
        let cwnd = self.segments(self.cwnd);
        let acked = self.segments(acked);
        let t = self.epoch.map_or(0.0, |e| now.nanos_since(e) as f64 * 1e-9);
        // RFC 9438 section 4.3: W_est += alpha_cubic * segments_acked / cwnd, with alpha = 3 (1 - beta) / (1 + beta) until
        // W_est reaches the window before the reduction, then 1.
        let alpha =
            if self.w_est >= self.segments(self.before.0) { 1.0 } else { 3.0 * (1.0 - BETA) / (1.0 + BETA) };
        self.w_est += alpha * acked / cwnd;
        let growth = if self.curve(t) < self.w_est {
            // The Reno-friendly region: cwnd follows W_est.
            (self.w_est - cwnd).max(0.0)
        } else {
            // RFC 9438 section 4.2: target = W_cubic(t + RTT), within cwnd and 1.5 * cwnd; per ACK, (target - cwnd) / cwnd.
            let target = self.curve(t + srtt_nanos as f64 * 1e-9).clamp(cwnd, 1.5 * cwnd);
            (target - cwnd) / cwnd * acked
        };
        self.credit += growth * f64::from(self.mss);
        let whole = self.credit.clamp(0.0, f64::from(u32::MAX / 4)) as u32;
        self.credit -= f64::from(whole);
        self.cwnd = self.cwnd.saturating_add(whole).min(1 << 30);
    }
}

impl CongestionControl for Cubic {
    fn cwnd(&self) -> u32 {
        self.cwnd
    }

    fn ssthresh(&self) -> u32 {
        self.ssthresh
    }

    #[inline]
    fn on_ack(&mut self, ack: &AckEvent) {
        if self.cwnd >= self.ssthresh {
            if ack.cwnd_limited {
                self.avoid(ack.acked, ack.now, ack.srtt_nanos);
            } else if let Some(epoch) = &mut self.epoch {
                // RFC 9438 section 5.8: the time during which the application did not fill the window does not count.
                *epoch = ack.now.min(epoch.plus_nanos(ack.srtt_nanos));
            }
            return;
        }
        let (growth, exit) = self.hystart.on_ack(ack.acked, self.mss, ack.rtt_nanos, ack.round_start);
        if ack.cwnd_limited {
            self.cwnd = self.cwnd.saturating_add(growth.min(self.ssthresh - self.cwnd)).min(1 << 30);
        }
        if exit {
            self.ssthresh = self.cwnd;
        }
    }

    fn on_loss(&mut self, _: Instant, in_flight: u32) {
        self.reduce(in_flight);
        self.cwnd = self.ssthresh;
    }

    fn on_timeout(&mut self, _: Instant, in_flight: u32) {
        self.reduce(in_flight);
        // RFC 9438 section 4.8: CUBIC follows Reno to reduce cwnd to one segment.
        self.cwnd = self.mss;
    }

    fn on_spurious(&mut self) {
        // RFC 9438 section 4.9.1: restore cwnd, ssthresh and W_max.
        let (cwnd, ssthresh, w_max) = self.before;
        self.cwnd = self.cwnd.max(cwnd);
        self.ssthresh = self.ssthresh.max(ssthresh);
        self.w_max = w_max;
        self.epoch = None;
    }

    fn on_idle(&mut self, _: Instant) {
        self.cwnd = self.cwnd.min(initial_window(self.mss));
        self.epoch = None;
    }

    fn set_mss(&mut self, mss: u32) {
        self.mss = mss;
        self.cwnd = self.cwnd.max(mss);
    }
}
