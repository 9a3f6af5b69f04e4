//! A segment arrives: RFC 9293 section 3.10.7.4, in its order, with RFC 7323 (PAWS) and RFC 5961 (blind attacks).

use std::time::Duration;

use hemi_queue::Buf;

use super::{Connection, Cx, State};
use crate::{
    tcp::ConnError,
    wire::{Ecn, Flags, Seq, TcpHeader, TcpOptions},
};

/// RFC 7323 section 5.5: TS.Recent of a connection idle for more than 24 days is invalid.
const PAWS_IDLE: Duration = Duration::from_secs(24 * 24 * 3600);

/// A received segment.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) header: TcpHeader,
    pub(crate) options: TcpOptions,
    pub(crate) payload: Buf,
    pub(crate) ecn: Ecn,
}

impl Segment {
    /// SEG.LEN: payload, SYN and FIN.
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        let flags = self.header.flags;
        self.payload.len() as u32 + u32::from(flags.has(Flags::SYN)) + u32::from(flags.has(Flags::FIN))
    }

    /// The sequence number behind the segment.
    #[inline]
    pub(crate) fn end(&self) -> Seq {
        self.header.seq + self.len()
    }
}

impl Connection {
    /// Take in a segment for this connection.
    #[inline(never)]
    pub(crate) fn on_segment(&mut self, seg: &mut Segment, cx: &mut Cx<'_>) {
        match self.state {
            State::SynSent => return self.on_segment_in_syn_sent(seg, cx),
            State::Closed | State::Listen | State::TimeWait => return,
            State::SynReceived if self.is_repeated_syn(seg) => {
                self.syn_due = true;
                self.retransmits = self.retransmits.saturating_add(1);
                cx.net.counters.tcp_retransmits += 1;
                return;
            }
            _ => {}
        }
        self.heard = cx.now;
        let flags = seg.header.flags;

        // RFC 7323 section 5.3, R1: PAWS comes before anything else, and never applies to a RST (section 5.2).
        if !flags.has(Flags::RST) && !self.passes_paws(seg, cx) {
            return;
        }
        // First, check sequence number.
        if !self.is_acceptable(seg, cx) {
            return;
        }
        // RFC 7323 section 4.3 (2): If SEG.SEQ <= Last.ACK.sent, TS.Recent is set to SEG.TSval: in order only, so that a late ACK cannot
        // move it and a hole does not hide it. An ACK that RFC 5961 section 5.2 discards (below) does not set it: a blind attacker's would.
        let plausible = !flags.has(Flags::ACK) || self.is_plausible_ack(seg.header.ack);
        if let (Some(ts), Some(state)) = (seg.options.timestamps, &mut self.timestamps)
            && plausible
            && seg.header.seq.at_or_before(self.last_ack_sent)
            // Having passed PAWS it is not older, or what it is compared with is too old to count; a RST has not passed.
            && !flags.has(Flags::RST)
        {
            (state.recent, state.recent_at) = (ts.value, cx.now);
        }
        // Second, check the RST bit.
        if flags.has(Flags::RST) {
            return self.on_reset(seg, cx);
        }
        // Fourth, check the SYN bit.
        if flags.has(Flags::SYN) {
            // RFC 5961 section 4.2: If the SYN bit is set, irrespective of the sequence number, TCP MUST send an ACK (also referred to as
            // challenge ACK) to the remote peer.
            cx.net.counters.drop_tcp_unexpected_syn += 1;
            return self.challenge(cx);
        }
        // Fifth, check the ACK field. "if the ACK bit is off, drop the segment and return"
        if !flags.has(Flags::ACK) {
            cx.net.counters.drop_tcp_no_ack += 1;
            return;
        }
        if self.state == State::SynReceived && !self.complete_handshake(seg, cx) {
            return;
        }
        self.retries_answered();
        if !self.on_ack(seg, cx) {
            return;
        }
        if self.state == State::Closed {
            return; // LAST-ACK: our FIN was acknowledged
        }
        // Sixth, the URG bit: RFC 9293 section 3.8.5 has it (MUST-30); RFC 6093 recommends in-line delivery, which is what ignoring the
        // pointer gives: urgent data is part of the stream.
        // Seventh, process the segment text; eighth, check the FIN bit.
        if !seg.payload.is_empty() || flags.has(Flags::FIN) {
            self.on_text(seg, cx);
        }
    }

    /// RFC 7323 section 5.3.
    #[inline]
    fn passes_paws(&mut self, seg: &Segment, cx: &mut Cx<'_>) -> bool {
        let Some(state) = &self.timestamps else { return true };
        match seg.options.timestamps {
            // Section 3.2: If a non-<RST> segment is received without a TSopt, a TCP SHOULD silently drop the segment. Keep-alives of
            // some peers lack it, and carry nothing.
            None if self.state != State::SynReceived => {
                cx.net.counters.drop_tcp_paws += 1;
                false
            }
            Some(ts)
                if (ts.value.wrapping_sub(state.recent) as i32) < 0
                    && cx.now - state.recent_at < PAWS_IDLE =>
            {
                // R1: send an acknowledgment in reply [...] and drop the segment. A D-SACK tells what it was.
                cx.net.counters.drop_tcp_paws += 1;
                self.report_duplicate(seg);
                self.acknowledge_unacceptable(seg, cx);
                false
            }
            _ => true,
        }
    }

    /// RFC 9293 section 3.10.7.4, first check: the four cases of the acceptability test.
    #[inline]
    fn is_acceptable(&mut self, seg: &Segment, cx: &mut Cx<'_>) -> bool {
        let (seq, len) = (seg.header.seq, seg.len());
        // The fast way: exactly what is expected, and it fits.
        let window = self.window.edge().saturating_since(self.rcv_nxt);
        if seq == self.rcv_nxt && len <= window {
            return true;
        }
        let acceptable = match (len, window) {
            (0, 0) => seq == self.rcv_nxt,
            // A peer that has filled the window sends its ACKs from the window's very end, and may have to while what it filled it with is
            // lost: they are taken, as everybody takes them. SYN and RST are not.
            (0, w) => {
                seq.within(self.rcv_nxt, w)
                    || (seq == self.window.edge() && !seg.header.flags.any(Flags::RST | Flags::SYN))
            }
            // "If the RCV.WND is zero, no segments will be acceptable, but special allowance should be made to accept valid ACKs,
            // URGs, and RSTs": its text is cut away later.
            (_, 0) => seq == self.rcv_nxt,
            (l, w) => seq.within(self.rcv_nxt, w) || (seq + (l - 1)).within(self.rcv_nxt, w),
        };
        if acceptable {
            return true;
        }
        cx.net.counters.drop_tcp_out_of_window += 1;
        // "If an incoming segment is not acceptable, an acknowledgment should be sent in reply (unless the RST bit is set)"
        if !seg.header.flags.has(Flags::RST) {
            self.report_duplicate(seg);
            // A retransmitted SYN-ACK or FIN, a keep-alive, a window probe, or an attack.
            self.acknowledge_unacceptable(seg, cx);
            // The peer may be alive though what it says is old.
            if seg.header.flags.has(Flags::ACK) && seg.header.ack == self.una {
                self.retries_answered();
            }
        }
        false
    }

    /// Data that we have already is told by D-SACK.
    fn report_duplicate(&mut self, seg: &Segment) {
        let (start, end) = (seg.header.seq, seg.header.seq + seg.payload.len() as u32);
        if self.sack_ok && !seg.payload.is_empty() && end.at_or_before(self.rcv_nxt) {
            self.sacks.duplicate(start, end);
        }
    }

    /// RFC 5961 section 3.2.
    fn on_reset(&mut self, seg: &Segment, cx: &mut Cx<'_>) {
        if seg.header.seq != self.rcv_nxt {
            // 3) If the RST bit is set and the sequence number does not exactly match the next expected sequence value, yet is within
            // the current receive window, TCP MUST send an acknowledgment (challenge ACK).
            cx.net.counters.drop_tcp_bad_reset += 1;
            return self.challenge(cx);
        }
        // 2) [...] exactly matches the next expected sequence number (RCV.NXT), then TCP MUST reset the connection.
        cx.net.counters.tcp_resets_received += 1;
        let error = match self.state {
            State::SynReceived => Some(self.reset_in_handshake()),
            // Both had finished: nothing is lost.
            State::Closing | State::LastAck if self.buffer.is_empty() => None,
            _ => Some(ConnError::Reset),
        };
        self.end(error);
    }

    /// SYN-RECEIVED after a simultaneous open: the ACK of our SYN. Says whether to go on with the segment.
    fn complete_handshake(&mut self, seg: &Segment, cx: &mut Cx<'_>) -> bool {
        let ack = seg.header.ack;
        // "If SND.UNA < SEG.ACK =< SND.NXT, then enter ESTABLISHED state"
        if !(ack.after(self.una) && ack.at_or_before(self.nxt)) {
            // "If the segment acknowledgment is not acceptable, form a reset segment <SEQ=SEG.ACK><CTL=RST>"
            cx.net.counters.drop_tcp_bad_ack += 1;
            self.send_reset_at(ack, cx);
            return false;
        }
        self.una = self.iss + 1;
        self.deadlines.rto = hemi_queue::time::Instant::FAR_FUTURE;
        self.syn_due = false;
        let lost = std::mem::take(&mut self.retries);
        self.wnd = u32::from(seg.header.window) << self.snd_shift;
        self.max_wnd = self.wnd;
        (self.wl1, self.wl2) = (seg.header.seq, ack);
        self.established(cx);
        self.finish_fast_open(seg, lost, cx);
        true
    }

    /// The peer has answered something: probes are not in vain.
    #[inline]
    fn retries_answered(&mut self) {
        // Retransmissions are answered by the acknowledgement of new data only (`ack.rs`).
        if self.flight.is_empty() || self.wnd == 0 {
            self.retries = 0;
        }
    }
}
