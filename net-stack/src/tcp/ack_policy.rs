//! [`AckPolicy`]: when to acknowledge (RFC 9293 section 3.8.6.3, RFC 5681 section 4.2).

use hemi_queue::time::Instant;

use super::config::Timing;

/// How urgently an acknowledgement is owed.
#[derive(Clone, Debug)]
pub(crate) struct AckPolicy {
    /// Send one now.
    now: bool,
    /// Bytes received since the last acknowledgement was sent.
    pending: u32,
    /// The largest segment seen: what "full-sized" means for this peer.
    full_size: u32,
    /// When the delayed acknowledgement is due; never, if none is owed.
    due: Instant,
    quick: u8,
    /// Data arrived since the application last sent some.
    unanswered: bool,
}

impl AckPolicy {
    /// One that acknowledges the first `quick` segments at once: the peer is in slow start and needs that to grow.
    pub(crate) fn new(quick: u8) -> Self {
        Self { now: false, pending: 0, full_size: 0, due: Instant::FAR_FUTURE, quick, unanswered: false }
    }

    /// In-order data arrived: acknowledge when more than one full-sized segment's worth is owed, which is every second
    /// segment at the latest, also when the peer's segments are not all full. Returns when a delayed one is due, if it was not before.
    ///
    /// > RFC 9293 section 3.8.6.3 (SHLD-18, MUST-58, MUST-59): A TCP endpoint SHOULD implement a delayed ACK, but [...] the delay MUST be
    /// > less than 0.5 seconds, and in a stream of full-sized segments there SHOULD be an ACK for at least every second segment.
    #[inline]
    pub(crate) fn on_data(&mut self, len: u32, segment: u32, now: Instant, timing: &Timing) -> Instant {
        self.pending += len;
        self.unanswered = true;
        self.full_size = self.full_size.max(segment);
        if self.quick > 0 || self.pending > self.full_size {
            self.now = true;
        } else if self.due == Instant::FAR_FUTURE {
            self.due = now.plus_nanos(timing.delayed_ack);
            return self.due;
        }
        Instant::FAR_FUTURE
    }

    /// Something arrived that the peer must hear of at once: a hole, a duplicate, a FIN, a probe, an unacceptable segment.
    ///
    /// > RFC 5681 section 4.2: Out-of-order data segments SHOULD be acknowledged immediately [...], and the receiver SHOULD send an
    /// > immediate ACK when it receives a data segment that fills in all or part of a gap in the sequence space.
    #[inline]
    pub(crate) fn at_once(&mut self) {
        self.now = true;
    }

    /// A segment with the current acknowledgement number has been sent. `with_data`: the application answers what it
    /// gets, so acknowledgements ride on its data and need not be quick.
    #[inline]
    pub(crate) fn sent(&mut self, with_data: bool) {
        if with_data && std::mem::take(&mut self.unanswered) {
            self.quick = 0;
        } else if self.pending > 0 {
            self.quick = self.quick.saturating_sub(1);
        }
        self.now = false;
        self.pending = 0;
        self.due = Instant::FAR_FUTURE;
    }

    /// Whether one must be sent now.
    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        self.now
    }

    /// When a delayed one must be sent, or never.
    #[inline]
    pub(crate) fn deadline(&self) -> Instant {
        self.due
    }

    /// The clock has reached `now`.
    pub(crate) fn on_time(&mut self, now: Instant) {
        if self.due <= now {
            self.due = Instant::FAR_FUTURE;
            self.now = true;
        }
    }

    /// The largest segment seen.
    pub(crate) fn full_size(&self) -> u32 {
        self.full_size
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TcpConfig;

    #[test]
    fn quick_at_first_then_every_second_segment_or_delayed() {
        let (config, now) = (TcpConfig::default(), Instant::from_nanos(5));
        let timing = Timing::of(&config);
        let mut p = AckPolicy::new(config.quick_acks);
        for _ in 0..config.quick_acks {
            p.on_data(1000, 1000, now, &timing);
            assert!(p.is_due());
            p.sent(false);
        }
        p.on_data(1000, 1000, now, &timing);
        assert!(!p.is_due());
        assert_eq!(p.deadline(), now + config.delayed_ack);
        p.on_data(1000, 1000, now, &timing);
        assert!(p.is_due());
        p.sent(false);
        assert_eq!((p.is_due(), p.deadline()), (false, Instant::FAR_FUTURE));
        p.on_data(1, 1, now, &timing);
        p.on_time(now + config.delayed_ack);
        assert!(p.is_due());
    }

    #[test]
    fn an_application_that_answers_ends_quick_mode() {
        let (timing, now) = (Timing::of(&TcpConfig::default()), Instant::ZERO);
        let mut p = AckPolicy::new(16);
        p.on_data(64, 64, now, &timing);
        p.sent(true);
        p.on_data(64, 64, now, &timing);
        assert!(!p.is_due());
    }
}
