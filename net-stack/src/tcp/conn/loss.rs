//! What was lost, and what that does: RACK-TLP (RFC 8985), recovery (RFC 6675, 6937), NewReno without SACK (RFC 6582), timeouts,
//! spurious ones (RFC 3522, 4015), path-MTU trouble (RFC 1191, 5927, 8899).

use hemi_queue::time::Instant;

use super::{Connection, Cx, Fin, State, ack::Told};
use crate::{
    ip::{IcmpError, PathMtus},
    tcp::{ConnError, cc::CongestionControl, recovery::Phase},
    wire::Seq,
};

const NEVER: Instant = Instant::FAR_FUTURE;
/// RFC 5681 section 3.2: "3 duplicate ACKs".
const DUP_THRESH: u32 = 3;

impl Connection {
    /// Loss recovery hears of an ACK.
    #[inline]
    pub(super) fn recover(&mut self, told: &Told, cx: &mut Cx<'_>) {
        if self.recovery.phase == Phase::Open
            && !told.is_duplicate
            && self.flight.sacked() == 0
            && self.recovery.duplicate_acks == 0
        {
            return; // nothing is missing
        }
        if self.wnd == 0 {
            return; // answers to window probes say nothing about the network
        }
        if self.recovery.phase != Phase::Open && told.ack.at_or_after(self.recovery.point) {
            self.finish_recovery();
        }
        if told.advanced > 0 && self.recovery.phase != Phase::Open && self.was_spurious(told) {
            self.undo(cx.now);
        }
        let lost_before = self.flight.lost();
        if self.sack_ok {
            self.detect_losses(cx);
        } else {
            self.count_duplicate(told, cx);
        }
        if self.recovery.phase == Phase::Recovery {
            let delivered = told.delivered.bytes
                + if told.is_duplicate && !self.sack_ok { u32::from(self.mss) } else { 0 };
            let safe = told.advanced > 0 && self.flight.lost() <= lost_before;
            self.recovery.on_ack(delivered, self.pipe(), self.cc.ssthresh(), u32::from(self.mss), safe);
            if !self.sack_ok && told.advanced > 0 {
                // RFC 6582 section 3.2: the retransmission that a partial ACK asks for is sent at once.
                self.recovery.allow_one(self.pipe(), u32::from(self.mss));
            }
        }
    }

    /// Bytes in the network: RFC 6675's pipe, in which without SACK every duplicate ACK stands for a segment that has left.
    #[inline]
    pub(super) fn pipe(&self) -> u32 {
        self.flight.pipe().saturating_sub(self.recovery.duplicate_bytes)
    }

    /// RACK step 5, and the start of recovery if it finds something.
    pub(super) fn detect_losses(&mut self, cx: &mut Cx<'_>) {
        let in_recovery = self.recovery.phase != Phase::Open;
        let srtt = self.rtt.srtt_nanos().unwrap_or_default();
        // 2 ms with the default; nothing to speak of where `rto_min` says that the network is a datacentre's.
        let least = cx.config.rto_min.as_nanos() as u64 / 500;
        let (lost, again) =
            self.rack.detect(&mut self.flight, cx.now, in_recovery, u32::from(self.mss), srtt, least);
        self.deadlines.reorder = again.unwrap_or(NEVER);
        let lost = if lost > 0 && self.path.searching { self.excuse_mtu_probe(lost, cx) } else { lost };
        if lost > 0 && self.recovery.phase == Phase::Open {
            self.enter_recovery(cx);
        }
    }

    fn enter_recovery(&mut self, cx: &mut Cx<'_>) {
        cx.net.counters.tcp_recoveries += 1;
        let flight = self.flight.bytes();
        self.cc.on_loss(cx.now, flight);
        self.recovery.enter(self.nxt, flight, self.pipe(), u32::from(self.mss));
        self.recovery.first_retransmit = self.timestamps.map(|_| self.timestamp_now(cx.now));
        self.deadlines.tlp = NEVER;
        self.ecn.reduced_until = self.nxt;
        self.ecn.say_cwr = self.ecn.enabled;
        tracing::debug!(target: "hemi::tcp", una = %self.una, point = %self.recovery.point, "loss recovery");
    }

    fn finish_recovery(&mut self) {
        if self.recovery.phase == Phase::Recovery {
            self.rack.on_recovery_end();
        }
        self.recovery.leave();
    }

    /// A peer without SACK: RFC 5681 section 3.2 and RFC 6582.
    fn count_duplicate(&mut self, told: &Told, cx: &mut Cx<'_>) {
        let mss = u32::from(self.mss);
        if told.advanced > 0 {
            // What the cumulative ACK covers were the segments that the duplicates stood for, but for the one retransmitted.
            self.recovery.duplicate_acks = 0;
            let covered = told.advanced.saturating_sub(mss);
            self.recovery.duplicate_bytes = self.recovery.duplicate_bytes.saturating_sub(covered);
            if self.recovery.phase == Phase::Open {
                self.recovery.duplicate_bytes = 0; // nothing was lost: a network that doubles ACKs earns the sender no room
            }
            if self.recovery.phase == Phase::Recovery {
                // RFC 6582 section 3.2: Partial acknowledgments: If this ACK does not acknowledge all of the data up to and including
                // recover, [...] retransmit the first unacknowledged segment.
                self.flight.mark_first_lost(mss);
            }
            return;
        }
        if !told.is_duplicate {
            return;
        }
        self.recovery.duplicate_acks += 1;
        let limit = self.flight.pipe().saturating_sub(mss);
        self.recovery.duplicate_bytes = (self.recovery.duplicate_bytes + mss).min(limit);
        // RFC 6582 section 3.2, step 1: if the Cumulative Acknowledgment field covers more than recover.
        let fresh = self.una.after(self.recovery.point);
        if self.recovery.duplicate_acks == DUP_THRESH && self.recovery.phase == Phase::Open && fresh {
            self.flight.mark_first_lost(mss);
            self.enter_recovery(cx);
        }
    }

    /// The tail-loss probe timer: RFC 8985 section 7.3. "A sender MUST transmit a new data segment, if available and the receive
    /// window allows; otherwise the highest-sequence segment sent so far."
    pub(super) fn on_probe_timeout(&mut self, cx: &mut Cx<'_>) {
        if self.flight.is_empty()
            || self.probe.is_some()
            || self.recovery.phase != Phase::Open
            // Before the handshake is complete the SYN-ACK asks for an answer.
            || self.state == State::SynReceived
        {
            return;
        }
        cx.net.counters.tcp_tail_loss_probes += 1;
        let end = self.nxt;
        if self.send_new_segment(cx, true) {
            self.probe = Some((self.nxt, false));
        } else if let Some(last) = self.flight.last().copied() {
            let len = last.len().min(u32::from(self.mss));
            self.retransmit(last.end - len, last.end, cx);
            self.probe = Some((end, true));
        }
        // RFC 8985 section 7.3: "the sender MUST re-arm the RTO timer".
        self.start_rto(cx);
    }

    /// RFC 8985 section 7.4.2: detecting losses using the ACK of the loss probe.
    #[inline]
    pub(super) fn end_probe(&mut self, told: &Told, now: Instant) {
        let Some((end, is_retransmission)) = self.probe else { return };
        if told.ack.before(end) {
            return;
        }
        self.probe = None;
        if !is_retransmission || told.dsack {
            return; // nothing was lost: new data, or the original had arrived
        }
        if told.ack.after(end) || told.advanced > 0 {
            // The probe repaired a loss that nothing else has noticed: the window is reduced all the same.
            if self.recovery.phase == Phase::Open && told.rtt.is_none() {
                self.cc.on_loss(now, self.flight.bytes().max(told.advanced));
            }
        }
    }

    /// The retransmission timer expired: RFC 6298 section 5.4 to 5.6, RFC 5681 section 3.1, RFC 8985 section 6.3.
    pub(super) fn retransmit_after_timeout(&mut self, cx: &mut Cx<'_>) {
        let mss = u32::from(self.mss);
        if self.wnd == 0 {
            // The window closed with data in flight: one segment is a probe, and says nothing about congestion.
            self.flight.mark_first_lost(1.max(mss));
            self.recovery.enter_loss(self.nxt);
            return;
        }
        // RFC 5681 section 3.1: ssthresh is halved at the first timeout of a segment only; later ones find the flight the same.
        if self.recovery.phase != Phase::Loss || self.una.after(self.recovery.point) || self.retries <= 1 {
            self.cc.on_timeout(cx.now, self.flight.bytes());
        } else {
            let ssthresh = self.cc.ssthresh();
            self.cc.on_timeout(cx.now, ssthresh.saturating_mul(2).min(self.flight.bytes()));
        }
        self.recovery.enter_loss(self.nxt);
        self.recovery.first_retransmit =
            self.recovery.first_retransmit.or(self.timestamps.map(|_| self.timestamp_now(cx.now)));
        self.probe = None;
        if self.path.searching {
            self.mtu_probe_timed_out(cx);
        }
        (self.deadlines.tlp, self.deadlines.reorder) = (NEVER, NEVER);
        if self.sack_ok {
            // RFC 2018 section 8: after a retransmit timeout the data sender SHOULD turn off all of the SACKed bits: the receiver may
            // have reneged, if what it should have first is SACKed.
            if self.flight.first().is_some_and(|f| f.sacked) {
                self.flight.forget_sacks();
            }
            let srtt = self.rtt.srtt_nanos().unwrap_or_default();
            self.rack.detect_on_timeout(&mut self.flight, cx.now, srtt);
            if self.retries > 1 {
                self.flight.mark_lost(|_| true);
            }
        } else {
            self.flight.mark_lost(|_| true);
        }
    }

    /// Eifel detection (RFC 3522): the first ACK after a retransmission echoes a timestamp from before it: the original had arrived.
    fn was_spurious(&self, told: &Told) -> bool {
        let (Some(first), Some(_)) = (self.recovery.first_retransmit, self.timestamps) else { return false };
        told.rtt.is_none() && told.echo.is_some_and(|echo| (echo.wrapping_sub(first) as i32) < 0)
    }

    /// A D-SACK says that a retransmission was not needed; when none was, neither was the reduction (RFC 3708).
    pub(super) fn on_unneeded_retransmission(&mut self, now: Instant) {
        if self.recovery.phase == Phase::Open || self.recovery.unproven == 0 {
            return;
        }
        self.recovery.unproven -= 1;
        if self.recovery.unproven == 0 {
            self.undo(now);
        }
    }

    /// RFC 4015: take the reduction back.
    fn undo(&mut self, _: Instant) {
        self.cc.on_spurious();
        self.recovery.leave();
    }

    /// `start..end` was sent again.
    pub(super) fn note_retransmission(&mut self, bytes: u32) {
        self.retransmits = self.retransmits.saturating_add(1);
        self.recovery.unproven += 1;
        self.recovery.on_sent(bytes);
    }

    /// An ICMP error about a segment of ours arrived.
    ///
    /// > RFC 5927 section 4.1: TCP SHOULD check that the TCP sequence number contained in the payload of the ICMP error message is
    /// > within the range SND.UNA =< SEG.SEQ < SND.NXT.
    pub(crate) fn on_icmp(&mut self, seq: Seq, error: IcmpError, cx: &mut Cx<'_>) {
        if !(self.una.at_or_before(seq) && seq.before(self.nxt)) {
            cx.net.counters.drop_icmp_unverified += 1;
            return;
        }
        cx.net.counters.icmp_errors_received += 1;
        if self.state == State::SynSent && !matches!(error, IcmpError::TooBig(_)) {
            // RFC 7413 section 4.1.3.1 counts ICMP error messages among the negative responses to remember.
            self.fast_open_failed(cx);
        }
        match error {
            IcmpError::TooBig(mtu) => self.on_too_big(seq, mtu, cx),
            // RFC 5927 section 5.2: a TCP in any of the synchronized states treats hard errors as soft ones; a connection that is
            // only being opened is aborted, so that the caller can try another address.
            IcmpError::Refused if self.state == State::SynSent => self.fail(ConnError::Refused, cx),
            IcmpError::Refused | IcmpError::Unreachable => {
                if self.state == State::SynSent && self.retries >= 1 {
                    self.fail(ConnError::Unreachable, cx);
                }
            }
        }
    }

    /// The way to the peer can't be found at all.
    pub(crate) fn on_unreachable(&mut self, cx: &mut Cx<'_>) {
        if matches!(self.state, State::SynSent | State::SynReceived) {
            self.fail(ConnError::Unreachable, cx);
        }
    }

    fn on_too_big(&mut self, seq: Seq, mtu: u16, cx: &mut Cx<'_>) {
        // RFC 1191 section 3, RFC 5927 section 7.2: an MTU that is not smaller is no news; one that is absurd is not believed.
        let mtu = mtu.max(PathMtus::floor(self.tuple.remote));
        if mtu >= self.path.mtu {
            if self.path.searching && self.on_probe_too_big(seq, mtu, cx) {
                return;
            }
            cx.net.counters.drop_icmp_unverified += 1;
            return;
        }
        cx.net.pmtu.learn(self.tuple.remote, mtu, cx.now);
        self.shrink_to(mtu, cx);
    }

    fn shrink_to(&mut self, mtu: u16, cx: &mut Cx<'_>) {
        cx.net.counters.tcp_mtu_reductions += 1;
        let before = u32::from(self.mss);
        self.path.mtu = mtu;
        self.set_mss(cx);
        self.cc.set_mss(u32::from(self.mss));
        // RFC 1191 section 6.5: what was dropped is sent again at once, and the window is not reduced for it.
        let mss = u32::from(self.mss);
        if self.state == State::SynSent && !self.flight.is_empty() {
            // A SYN that was too large with its data: RFC 7413 section 4.2.1, it goes without.
            self.retries = self.retries.max(1);
            self.syn_due = true;
        } else if mss < before {
            self.flight.mark_lost(|sent| sent.len() > mss);
        }
    }

    /// RFC 8899 section 4.3, black hole detection: full-sized segments time out again and again while nothing says why. RFC 2923
    /// section 2.1: routers that drop without a word.
    pub(super) fn suspect_black_hole(&mut self, cx: &mut Cx<'_>) {
        let base = if self.tuple.remote.is_ipv4() { 1024 } else { 1280 };
        let full = self.flight.first().is_some_and(|f| f.len() >= u32::from(self.mss));
        if self.retries >= 4 && full && self.path.mtu > base && self.fin != Fin::Sent {
            cx.net.pmtu.fall_into_black_hole(self.tuple.remote, base, self.path.mtu, cx.now);
            self.shrink_to(base, cx);
            self.path.searching = true;
        }
    }
}
