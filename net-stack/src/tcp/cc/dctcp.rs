//! DCTCP (RFC 8257): react to the extent of congestion, not to its presence.

use hemi_queue::time::Instant;

use super::{AckEvent, CongestionControl, NewReno};

/// RFC 8257 section 4.2: the estimation gain g, 1/16.
const GAIN_SHIFT: u32 = 4;
/// Fixed point: 1.0.
const ONE: u32 = 1 << 10;

/// NewReno whose reduction on ECN is scaled by the fraction of marked bytes.
#[derive(Clone, Debug)]
#[repr(C, align(8))] // the window at the same place in every controller: asking for it needs no branch
pub struct Dctcp {
    reno: NewReno,
    mss: u32,
    /// DCTCP.Alpha in units of 1/1024.
    alpha: u32,
    acked: u32,
    marked: u32,
    /// A reduced window, in bytes, overrides Reno's until it grows past it.
    scaled: Option<u32>,
}

impl Dctcp {
    /// A controller at its initial window.
    pub fn new(mss: u32) -> Self {
        // RFC 8257 section 3.3: DCTCP.Alpha is initialised to 1, to react strongly at first.
        Self { reno: NewReno::new(mss), mss, alpha: ONE, acked: 0, marked: 0, scaled: None }
    }

    /// The congestion estimate, 0 to 1024.
    pub fn alpha(&self) -> u32 {
        self.alpha
    }
}

impl CongestionControl for Dctcp {
    fn cwnd(&self) -> u32 {
        self.scaled.unwrap_or_else(|| self.reno.cwnd())
    }

    fn ssthresh(&self) -> u32 {
        self.scaled.unwrap_or_else(|| self.reno.ssthresh())
    }

    fn on_ack(&mut self, ack: &AckEvent) {
        self.acked = self.acked.saturating_add(ack.acked);
        if ack.ecn_echo {
            self.marked = self.marked.saturating_add(ack.acked);
        }
        if ack.round_start && self.acked > 0 {
            // RFC 8257 section 3.3, step 5 to 7: M = marked / acked; Alpha = Alpha * (1 - g) + g * M.
            let m = (u64::from(self.marked) * u64::from(ONE) / u64::from(self.acked)) as u32;
            self.alpha = (self.alpha - (self.alpha >> GAIN_SHIFT) + (m >> GAIN_SHIFT)).min(ONE);
            (self.acked, self.marked) = (0, 0);
        }
        if let Some(cwnd) = self.scaled.take() {
            self.reno.resume_from(cwnd);
        }
        self.reno.on_ack(ack);
    }

    fn on_loss(&mut self, now: Instant, in_flight: u32) {
        // RFC 8257 section 3.5: a loss is handled as by a conventional TCP.
        self.scaled = None;
        self.reno.on_loss(now, in_flight);
    }

    fn on_timeout(&mut self, now: Instant, in_flight: u32) {
        self.scaled = None;
        self.reno.on_timeout(now, in_flight);
    }

    fn on_ecn(&mut self, _: Instant, _: u32) {
        // RFC 8257 section 3.3, step 9: cwnd = cwnd * (1 - DCTCP.Alpha / 2).
        let cwnd = u64::from(self.cwnd());
        let reduced = cwnd - cwnd * u64::from(self.alpha) / u64::from(2 * ONE);
        self.scaled = Some((reduced as u32).max(2 * self.mss));
    }

    fn on_spurious(&mut self) {
        self.scaled = None;
        self.reno.on_spurious();
    }

    fn on_idle(&mut self, now: Instant) {
        self.reno.on_idle(now);
    }

    fn set_mss(&mut self, mss: u32) {
        self.mss = mss;
        self.reno.set_mss(mss);
    }
}
