//! A segment arrives in SYN-SENT: RFC 9293 section 3.10.7.3.

use super::{Agreed, Connection, Cx, Events, Segment, State, default_mss};
use crate::{tcp::ConnError, wire::Flags};

impl Connection {
    pub(super) fn on_segment_in_syn_sent(&mut self, seg: &mut Segment, cx: &mut Cx<'_>) {
        let (flags, ack) = (seg.header.flags, seg.header.ack);
        let has_ack = flags.has(Flags::ACK);
        // First, check the ACK bit. "If SEG.ACK =< ISS or SEG.ACK > SND.NXT, send a reset (unless the RST bit is set)
        // <SEQ=SEG.ACK><CTL=RST> and discard the segment."
        if has_ack && (ack.at_or_before(self.iss) || ack.after(self.nxt)) {
            cx.net.counters.drop_tcp_bad_ack += 1;
            if !flags.has(Flags::RST) {
                self.send_reset_at(ack, cx);
            }
            return;
        }
        // Second, check the RST bit. "If the ACK was acceptable, then signal to the user 'error: connection reset' [...] Otherwise
        // (no ACK), drop the segment and return."
        if flags.has(Flags::RST) {
            if has_ack {
                cx.net.counters.tcp_resets_received += 1;
                cx.net.counters.tcp_connections_failed += 1;
                self.end(Some(ConnError::Refused));
            } else {
                cx.net.counters.drop_tcp_bad_reset += 1;
            }
            return;
        }
        // Fourth, check the SYN bit.
        if !flags.has(Flags::SYN) {
            cx.net.counters.drop_tcp_no_connection += 1;
            return;
        }
        self.heard = cx.now;
        self.agree(seg, has_ack, cx);
        if has_ack {
            // "If SND.UNA > ISS (our SYN has been ACKed), change the connection state to ESTABLISHED, form an ACK segment
            // <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK> and send it."
            self.una = self.iss + 1;
            self.deadlines.rto = hemi_queue::time::Instant::FAR_FUTURE;
            self.syn_due = false;
            let lost = std::mem::take(&mut self.retries) > 0;
            self.wl1 = seg.header.seq;
            self.wl2 = ack;
            self.acks.at_once();
            self.established(cx);
            self.on_fast_open_answer(seg, lost, cx);
            // "If there are other controls or text in the segment, then continue processing at the sixth step": they lie behind the SYN.
            if !seg.payload.is_empty() || flags.has(Flags::FIN) {
                seg.header.seq += 1;
                self.on_text(seg, cx);
            }
        } else {
            // "Otherwise, enter SYN-RECEIVED, form a SYN,ACK segment <SEQ=ISS><ACK=RCV.NXT><CTL=SYN,ACK> and send it."
            self.set_state(State::SynReceived);
            self.una = self.iss;
            self.syn_due = true;
        }
        // Text in a SYN without an ACK may be kept until ESTABLISHED; we let the peer send it again.
    }

    /// Take what the peer's SYN offers of what ours offered.
    fn agree(&mut self, seg: &Segment, has_ack: bool, cx: &mut Cx<'_>) {
        let (config, offered) = (cx.config, &seg.options);
        let flags = seg.header.flags;
        let wants_ecn = config.ecn || self.algorithm() == crate::tcp::cc::Algorithm::Dctcp;
        // RFC 3168 section 6.1.1: an ECN-setup SYN-ACK has ECE and not CWR; an ECN-setup SYN has both.
        // A SYN that has crossed ours is granted what it asks for, as by a listener: our SYN-ACK says so.
        let ecn = (wants_ecn || !has_ack) && flags.has(Flags::ECE) && flags.has(Flags::CWR) != has_ack;
        let offset = self.timestamps.map(|t| t.offset);
        let timestamps = match (offset, offered.timestamps) {
            (Some(offset), Some(ts)) => Some((offset, ts.value)),
            _ => None,
        };
        // Karn: a SYN that was sent twice gives no round trip, unless by its timestamp.
        let rtt = (has_ack && self.rtt.backoff() == 0).then(|| cx.now - self.last_send);
        let agreed = Agreed {
            iss: self.iss,
            irs: seg.header.seq,
            // RFC 9293 section 3.7.1 (MUST-15): without an MSS option, 536 or 1220.
            peer_mss: offered.mss.unwrap_or(default_mss(&self.tuple)).max(config.mss_floor),
            scale: offered.window_scale.filter(|_| config.window_scaling),
            sack: config.sack && offered.sack_permitted,
            timestamps,
            ecn,
            // RFC 7323 section 2.2: the window in a SYN is never scaled.
            window: u32::from(seg.header.window),
            rtt,
            syn_lost: self.rtt.backoff() > 0,
        };
        self.timestamps =
            timestamps.map(|(offset, recent)| super::TimestampState { offset, recent, recent_at: cx.now });
        self.rtt.forget_backoff();
        self.begin(&agreed, self.cc.algorithm(), cx);
    }

    /// Both ends know each other.
    pub(super) fn established(&mut self, cx: &mut Cx<'_>) {
        self.set_state(State::Established);
        self.rtt.forget_backoff();
        self.stalled_since = cx.now;
        self.events.add(Events::CONNECTED | Events::WRITABLE);
    }
}
