//! RFC 5681: slow start, congestion avoidance, and halving.

use hemi_queue::time::Instant;

use super::{AckEvent, CongestionControl, initial_window};

/// The standard controller.
#[derive(Clone, Debug)]
#[repr(C, align(8))] // the window at the same place in every controller: asking for it needs no branch
pub struct NewReno {
    cwnd: u32,
    ssthresh: u32,
    mss: u32,
    /// Bytes acknowledged in congestion avoidance and not yet worth a segment (RFC 3465).
    acked: u32,
    /// Window and threshold before the last reduction.
    before: (u32, u32),
}

impl NewReno {
    /// A controller at its initial window.
    pub fn new(mss: u32) -> Self {
        let cwnd = initial_window(mss);
        // RFC 5681 section 3.1: The initial value of ssthresh SHOULD be set arbitrarily high.
        Self { mss, cwnd, ssthresh: u32::MAX, acked: 0, before: (cwnd, u32::MAX) }
    }

    /// Go on in congestion avoidance from a window that was set from outside (DCTCP).
    pub(super) fn resume_from(&mut self, cwnd: u32) {
        self.before = (self.cwnd, self.ssthresh);
        (self.cwnd, self.ssthresh, self.acked) = (cwnd, cwnd, 0);
    }

    /// RFC 5681 section 3.1, equation (4): ssthresh = max (FlightSize / 2, 2*SMSS).
    fn halve(&mut self, in_flight: u32) {
        self.before = (self.cwnd, self.ssthresh);
        self.ssthresh = (in_flight / 2).max(2 * self.mss);
        self.acked = 0;
    }
}

impl CongestionControl for NewReno {
    fn cwnd(&self) -> u32 {
        self.cwnd
    }

    fn ssthresh(&self) -> u32 {
        self.ssthresh
    }

    fn on_ack(&mut self, ack: &AckEvent) {
        if !ack.cwnd_limited {
            return;
        }
        let mut acked = ack.acked;
        if self.cwnd < self.ssthresh {
            // RFC 5681 section 3.1, equation (2): cwnd += min (N, SMSS), with RFC 3465's L = 2 segments so that delayed
            // acknowledgements do not slow the start.
            let grow = acked.min(2 * self.mss).min(self.ssthresh - self.cwnd);
            self.cwnd += grow;
            acked -= grow;
            if self.cwnd < self.ssthresh {
                return;
            }
        }
        // RFC 5681 section 3.1: cwnd grows by one full-sized segment per round trip, counted in bytes acknowledged.
        self.acked += acked;
        if self.acked >= self.cwnd {
            self.acked -= self.cwnd;
            self.cwnd = self.cwnd.saturating_add(self.mss);
        }
    }

    fn on_loss(&mut self, _: Instant, in_flight: u32) {
        self.halve(in_flight);
        self.cwnd = self.ssthresh;
    }

    fn on_timeout(&mut self, _: Instant, in_flight: u32) {
        self.halve(in_flight);
        // RFC 5681 section 3.1: upon a timeout cwnd MUST be set to no more than the loss window, LW, which equals 1
        // full-sized segment.
        self.cwnd = self.mss;
    }

    fn on_spurious(&mut self) {
        self.cwnd = self.cwnd.max(self.before.0);
        self.ssthresh = self.ssthresh.max(self.before.1);
    }

    fn on_idle(&mut self, _: Instant) {
        // RFC 5681 section 4.1: RW = min(IW,cwnd).
        self.cwnd = self.cwnd.min(initial_window(self.mss));
    }

    fn set_mss(&mut self, mss: u32) {
        self.mss = mss;
        self.cwnd = self.cwnd.max(mss);
    }
}
