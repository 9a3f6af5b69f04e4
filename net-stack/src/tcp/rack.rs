//! [`Rack`]: loss detection by time (RFC 8985), for every peer with SACK, timestamps or not.

use std::time::Duration;

use hemi_queue::time::Instant;

use super::flight::{Flight, Sent};
use crate::wire::{SackBlock, Seq};

/// The variables of RFC 8985, section 5.2.
#[derive(Clone, Debug)]
pub(crate) struct Rack {
    /// RACK.xmit_ts and RACK.end_seq: the most recently sent transmission that was delivered.
    xmit_ts: Instant,
    end_seq: Seq,
    /// RACK.rtt: the round trip of that transmission, in nanoseconds.
    rtt: u64,
    /// RACK.min_RTT, in nanoseconds; `u64::MAX` before there is one.
    min_rtt: u64,
    reordering_seen: bool,
    /// RACK.reo_wnd_mult and RACK.reo_wnd_persist.
    reo_wnd_mult: u8,
    reo_wnd_persist: u8,
    /// RACK.dsack_round: SND.NXT when the window was last widened.
    dsack_round: Option<Seq>,
    any_delivered: bool,
}

impl Default for Rack {
    fn default() -> Self {
        Self {
            xmit_ts: Instant::ZERO,
            end_seq: Seq(0),
            rtt: 0,
            min_rtt: u64::MAX,
            reordering_seen: false,
            reo_wnd_mult: 1,
            reo_wnd_persist: 16,
            dsack_round: None,
            any_delivered: false,
        }
    }
}

/// RFC 8985 section 6.2: RACK_sent_after(t1, seq1, t2, seq2).
#[inline]
fn sent_after(t1: Instant, seq1: Seq, t2: Instant, seq2: Seq) -> bool {
    t1 > t2 || (t1 == t2 && seq1.after(seq2))
}

impl Rack {
    /// Steps 1 to 3 for one newly delivered transmission. `echoed` tells the time that TSecr stands for, as far as it is known:
    /// no retransmission sent after it can have caused this ACK. `fack` is the highest sequence number that was delivered before.
    #[inline]
    pub(crate) fn on_delivered(
        &mut self,
        sent: &Sent,
        now: Instant,
        echoed: impl FnOnce() -> Option<Instant>,
        fack: Option<Seq>,
    ) {
        let rtt = now.nanos_since(sent.at);
        // RFC 8985 section 6.2, step 2: [...] ignore the packet if any of its sequences [...] have been retransmitted
        // before and either of two conditions is true:
        if sent.retransmitted {
            // 1. The Timestamp Echo Reply field (TSecr) of the ACK's timestamp option, if available, indicates the ACK was not
            //    acknowledging the last retransmission of the packet.
            // 2. The packet was last retransmitted less than RACK.min_rtt ago.
            if echoed().is_some_and(|e| e < sent.at) || rtt < self.min_rtt {
                return;
            }
        } else {
            self.min_rtt = self.min_rtt.min(rtt);
            // Step 3: a never-retransmitted segment delivered below the highest delivered one was reordered.
            if fack.is_some_and(|f| sent.end.before(f)) {
                self.reordering_seen = true;
            }
        }
        self.rtt = rtt;
        if !self.any_delivered || sent_after(sent.at, sent.end, self.xmit_ts, self.end_seq) {
            self.any_delivered = true;
            self.xmit_ts = sent.at;
            self.end_seq = sent.end;
        }
    }

    /// The same for transmissions that were sent once and delivered in their order, of which the last was sent at `at`, ends at `end` and
    /// took `rtt`.
    #[inline(always)]
    pub(crate) fn on_delivered_in_order(&mut self, at: Instant, end: Seq, rtt: u64) {
        self.min_rtt = self.min_rtt.min(rtt);
        self.rtt = rtt;
        if !self.any_delivered || sent_after(at, end, self.xmit_ts, self.end_seq) {
            self.any_delivered = true;
            (self.xmit_ts, self.end_seq) = (at, end);
        }
    }

    /// Step 4, the part about D-SACK: the peer had a segment twice, so the reordering window was too narrow.
    pub(crate) fn on_dsack(&mut self, snd_una: Seq, snd_nxt: Seq) {
        if self.dsack_round.is_some_and(|round| snd_una.at_or_after(round)) {
            self.dsack_round = None;
        }
        if self.dsack_round.is_none() {
            self.dsack_round = Some(snd_nxt);
            self.reo_wnd_mult = self.reo_wnd_mult.saturating_add(1);
            self.reo_wnd_persist = 16;
        }
    }

    /// RFC 8985 section 6.2: upon exiting recovery, "RACK.reo_wnd_persist -= 1", and at 0 the multiplier returns to 1.
    pub(crate) fn on_recovery_end(&mut self) {
        self.reo_wnd_persist = self.reo_wnd_persist.saturating_sub(1);
        if self.reo_wnd_persist == 0 {
            self.reo_wnd_mult = 1;
            self.reo_wnd_persist = 16;
        }
    }

    /// Step 4: RACK.reo_wnd. `least`: what it is at least while fewer than three segments are SACKed; on a network whose round trip is a
    /// fraction of a millisecond a quarter of it is less than what the hosts' own delays scatter ACKs by (Linux has two ticks of its clock).
    fn reordering_window(&self, in_recovery: bool, sacked_segments: u32, srtt: u64, least: u64) -> u64 {
        if !self.reordering_seen && (in_recovery || sacked_segments >= 3) {
            return 0;
        }
        // RACK.reo_wnd = MIN(RACK.reo_wnd_mult * RACK.min_RTT / 4, SRTT)
        let min_rtt = if self.min_rtt == u64::MAX { self.rtt } else { self.min_rtt };
        (min_rtt / 4).saturating_mul(u64::from(self.reo_wnd_mult)).min(srtt).max(least)
    }

    /// Step 5: mark what must be lost by now. Returns the bytes newly marked, and when to look again, if something may yet turn
    /// out to be lost.
    pub(crate) fn detect(
        &self,
        flight: &mut Flight,
        now: Instant,
        in_recovery: bool,
        mss: u32,
        srtt: u64,
        least: u64,
    ) -> (u32, Option<Instant>) {
        if !self.any_delivered || flight.is_empty() {
            return (0, None);
        }
        let window = self.reordering_window(in_recovery, flight.sacked() / mss.max(1), srtt, least);
        let mut again = None;
        let marked = flight.mark_lost(|sent| {
            if !sent_after(self.xmit_ts, self.end_seq, sent.at, sent.end) {
                return false;
            }
            let due = sent.at.plus_nanos(self.rtt + window);
            if due <= now {
                return true;
            }
            again = Some(again.map_or(due, |a: Instant| a.max(due)));
            false
        });
        (marked, again)
    }

    /// RFC 8985 section 6.3, upon RTO: the first segment is lost, and whatever is overdue by RACK's own measure.
    pub(crate) fn detect_on_timeout(&self, flight: &mut Flight, now: Instant, srtt: u64) -> u32 {
        let first = flight.iter().find(|s| !s.sacked).map(|s| s.start);
        let window = self.reordering_window(true, 0, srtt, 0);
        flight.mark_lost(|sent| Some(sent.start) == first || sent.at.plus_nanos(self.rtt + window) <= now)
    }

    pub(crate) fn min_rtt(&self) -> Option<Duration> {
        (self.min_rtt != u64::MAX).then(|| Duration::from_nanos(self.min_rtt))
    }

    pub(crate) fn reordering_seen(&self) -> bool {
        self.reordering_seen
    }
}

/// Whether the first SACK block of an ACK reports a duplicate.
///
/// > RFC 2883 section 4: if the first block is below the cumulative ACK, or is contained in the second block, it is a D-SACK.
pub(crate) fn is_dsack(blocks: &[SackBlock], ack: Seq) -> bool {
    match blocks {
        [first, ..] if first.start.before(ack) => true,
        [first, second, ..] => first.start.at_or_after(second.start) && first.end.at_or_before(second.end),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const MS_NANOS: u64 = 1_000_000;

    fn at(ms: u32) -> Instant {
        Instant::ZERO + ms * MS
    }

    fn block(start: u32, end: u32) -> SackBlock {
        SackBlock { start: Seq(start), end: Seq(end) }
    }

    /// Five segments of 100 bytes, one per millisecond from 0 on.
    fn flight() -> Flight {
        let mut f = Flight::default();
        for i in 0..5 {
            f.push(Seq(i * 100), Seq(i * 100 + 100), at(i), false);
        }
        f
    }

    #[test]
    fn a_segment_sent_long_before_a_delivered_one_is_lost() {
        let (mut rack, mut f) = (Rack::default(), flight());
        let mut seen = Vec::new();
        f.sack(block(100, 200), |s| seen.push(*s));
        for s in &seen {
            rack.on_delivered(s, at(41), || None, None);
        }
        // Sent 1 ms before; the reordering window is a quarter of 40 ms.
        assert_eq!(rack.detect(&mut f, at(41), false, 100, 40 * MS_NANOS, 0), (0, Some(at(50))));
        assert_eq!(rack.detect(&mut f, at(50), false, 100, 40 * MS_NANOS, 0), (100, None));
        assert_eq!(f.next_lost().map(|s| s.start), Some(Seq(0)));
    }

    #[test]
    fn three_sacked_segments_end_the_wait_unless_reordering_was_seen() {
        let (mut rack, mut f) = (Rack::default(), flight());
        let mut seen = Vec::new();
        f.sack(block(100, 400), |s| seen.push(*s));
        for s in &seen {
            rack.on_delivered(s, at(43), || None, None);
        }
        let reordered = Rack { reordering_seen: true, ..rack.clone() };
        assert_eq!(reordered.detect(&mut f, at(43), false, 100, 40 * MS_NANOS, 0), (0, Some(at(50))));
        assert_eq!(rack.detect(&mut f, at(43), false, 100, 40 * MS_NANOS, 0).0, 100);
        rack.on_recovery_end();
        assert_eq!(rack.reo_wnd_persist, 15);
    }

    #[test]
    fn on_a_short_path_the_window_has_a_floor_until_three_are_sacked() {
        let (mut rack, mut f) = (Rack::default(), flight());
        let mut seen = Vec::new();
        f.sack(block(400, 500), |s| seen.push(*s));
        // Sent at 4 ms, delivered 0.1 ms later: a quarter of that is no time at all.
        let now = at(4) + MS / 10;
        rack.on_delivered(&seen[0], now, || None, None);
        let srtt = MS_NANOS / 10;
        assert_eq!(rack.detect(&mut f, now, false, 100, srtt, 10 * MS_NANOS).0, 0);
        assert_eq!(rack.detect(&mut f, now, false, 100, srtt, 0).0, 400);
    }

    #[test]
    fn a_retransmission_acknowledged_too_soon_is_ignored() {
        let mut rack = Rack { min_rtt: 40 * MS_NANOS, ..Rack::default() };
        let sent = Sent {
            start: Seq(0),
            end: Seq(100),
            at: at(100),
            sacked: false,
            lost: false,
            retransmitted: true,
            pushed: false,
        };
        rack.on_delivered(&sent, at(110), || None, None);
        assert!(!rack.any_delivered);
        rack.on_delivered(&sent, at(150), || Some(at(99)), None);
        assert!(!rack.any_delivered);
        rack.on_delivered(&sent, at(150), || Some(at(100)), None);
        assert!(rack.any_delivered);
    }

    #[test]
    fn dsacks_widen_the_window_once_per_round() {
        let mut rack = Rack::default();
        rack.on_dsack(Seq(0), Seq(1000));
        rack.on_dsack(Seq(500), Seq(1500));
        assert_eq!(rack.reo_wnd_mult, 2);
        rack.on_dsack(Seq(1000), Seq(2000));
        assert_eq!(rack.reo_wnd_mult, 3);
    }

    #[test]
    fn dsack_forms() {
        assert!(is_dsack(&[block(10, 20)], Seq(30)));
        assert!(is_dsack(&[block(50, 60), block(40, 80)], Seq(30)));
        assert!(!is_dsack(&[block(50, 60)], Seq(30)));
        assert!(!is_dsack(&[block(50, 60), block(80, 90)], Seq(30)));
    }
}
