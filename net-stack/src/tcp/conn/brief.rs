//! The short way of a connection's first and last segments: no text, nothing lost, nothing but a FIN in flight.
//!
//! As in `fast.rs` nothing here knows a rule of its own: a segment is taken this way only when what the ordinary way would ask has the
//! usual answers. It is for opening and closing what `fast.rs` is for the time between, and its point is to be short: a connection that is
//! opened and closed takes each step once, so what counts is how much code the processor has to fetch for it.

use hemi_queue::time::Instant;

use super::{Connection, Cx, Fin, Segment, State};
use crate::{
    ip::{Control, ControlOptions},
    tcp::{cc::CongestionControl, recovery::Phase},
    wire::{Ecn, Flags, Seq, Timestamps},
};

const NEVER: Instant = Instant::FAR_FUTURE;

/// A segment without text: an acknowledgement, perhaps with a FIN.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Brief {
    pub(crate) seq: Seq,
    pub(crate) ack: Seq,
    pub(crate) window: u16,
    pub(crate) flags: Flags,
    pub(crate) ecn: u8,
    pub(crate) timestamps: Option<Timestamps>,
}

impl Connection {
    /// Whether nothing is out of the ordinary but that the connection may be ending.
    #[inline(never)]
    fn is_orderly(&self) -> bool {
        let deadlines = &self.deadlines;
        self.state.is_synchronized()
            && self.error.is_none()
            // Nothing is believed lost, and nobody waits to hear that it is (RFC 8985, RFC 6675, RFC 6582).
            && self.recovery.phase == Phase::Open
            && self.recovery.duplicate_acks == 0
            && self.probe.is_none()
            && deadlines.reorder == NEVER
            // The peer answers, and there is a measurement that says when it should have.
            && self.retries == 0
            && self.rtt.is_steady()
            && self.flight.is_plain()
            // Nothing was received out of order, and nothing is to be reported.
            && !self.assembler.has_holes()
            && self.sacks.is_empty()
            && self.wl1.at_or_before(self.rcv_nxt)
            && self.wnd != 0
            && deadlines.persist == NEVER
            && deadlines.pace == NEVER
            && !self.ecn.enabled
            && !self.syn_due
            && !self.keepalive_due
            && self.options.user_timeout.get().is_none()
            // The window of the network is as it was: it was not what held us back.
            && self.limited_at.is_none()
            && self.cc.cwnd() < self.cc.ssthresh()
            // A frame from the wire with our own address as its source is forged (see `ip/input.rs`), even if we talk to ourselves.
            && self.path.leads_away()
            // Nobody looks for a larger MTU (RFC 8899): an acknowledgement may be a probe's.
            && !self.path.searching
    }

    /// Take in a segment that acknowledges all that is in flight, or ends what the peer sends, or both, and does nothing else; says whether
    /// it was such a one.
    #[inline(never)]
    pub(crate) fn on_brief(&mut self, seg: &Brief, cx: &mut Cx<'_>) -> bool {
        let fin = seg.flags.has(Flags::FIN);
        let acked = seg.ack.since(self.una);
        let expected = self.is_orderly()
            // RFC 9293 section 3.10.7.4, first: in order, and it fits.
            && seg.seq == self.rcv_nxt
            && (!fin || (self.state.may_receive() && self.fin_at.is_none() && self.window.edge() != self.rcv_nxt))
            // Fifth: it acknowledges all, or nothing; and one that brings nothing may be a duplicate (RFC 5681 section 2).
            && (acked == 0 || acked == self.nxt.since(self.una))
            && (fin || acked > 0)
            && seg.window != 0
            && seg.ecn != Ecn::Congested as u8
            // RFC 7323 section 5.3, R1: SEG.TSval is not older than TS.Recent; section 3.2: there, if agreed on.
            && match (&self.timestamps, seg.timestamps) {
                (Some(state), Some(ts)) => ts.value.wrapping_sub(state.recent) as i32 >= 0,
                (None, None) => true,
                _ => false,
            };
        if !expected {
            return false;
        }
        self.heard = cx.now;
        if let (Some(state), Some(ts)) = (&mut self.timestamps, seg.timestamps)
            && seg.seq == self.last_ack_sent
        {
            // RFC 7323 section 4.3 (2): SEG.SEQ <= Last.ACK.sent.
            (state.recent, state.recent_at) = (ts.value, cx.now);
        }
        (self.wl1, self.wl2) = (seg.seq, seg.ack);
        self.wnd = u32::from(seg.window) << self.snd_shift;
        self.max_wnd = self.max_wnd.max(self.wnd);
        if acked > 0 {
            self.on_all_acked(seg.ack, cx);
        }
        if fin && self.state != State::Closed {
            self.fin_at = Some(seg.seq);
            self.on_fin();
        }
        true
    }

    /// All that was in flight is acknowledged: what `on_ack` comes to then.
    fn on_all_acked(&mut self, ack: Seq, cx: &mut Cx<'_>) {
        let pipe = self.flight.bytes();
        if let Some(sent_at) = self.flight.acknowledge_plain(ack) {
            let rtt = cx.now.nanos_since(sent_at);
            self.rack.on_delivered_in_order(sent_at, ack, rtt);
            self.sample_rtt(rtt, pipe);
        }
        self.una = ack;
        self.buffer.acknowledge(ack);
        self.stalled_since = cx.now;
        self.tell_progress();
        if ack.after(self.round_end) {
            self.round_end = self.nxt;
        }
        // RFC 6298 section 5.2: When all outstanding data has been acknowledged, turn off the retransmission timer.
        (self.deadlines.rto, self.deadlines.tlp) = (NEVER, NEVER);
        if self.fin == Fin::Sent {
            self.on_fin_acked(cx);
        }
    }

    /// The ACK that completes a handshake, to a connection that was just made of it: what `on_segment` comes to.
    #[inline]
    pub(crate) fn expects_handshake_ack(&mut self, seg: &Segment) -> bool {
        let expected = seg.header.seq == self.rcv_nxt
            && seg.header.ack == self.una
            && !seg.header.flags.any(Flags::RST | Flags::ECE)
            && seg.options.sack.is_empty()
            && self.timestamps.is_some() == seg.options.timestamps.is_some();
        if expected {
            if let (Some(state), Some(ts)) = (&mut self.timestamps, seg.options.timestamps) {
                state.recent = ts.value;
            }
            (self.wl1, self.wl2) = (seg.header.seq, seg.header.ack);
        }
        expected
    }

    /// Send the SYN of an active open, or a FIN, if that is all there is to send and nothing is in its way; says whether it was.
    #[inline(never)]
    pub(crate) fn transmit_brief(&mut self, cx: &mut Cx<'_>) -> bool {
        if !cx.net.tx.has_room() || !self.path.is_ready(cx.net, cx.now) {
            return false;
        }
        if self.state == State::SynSent {
            let first = self.syn_due;
            if first {
                self.send_syn(cx);
            }
            return first;
        }
        if self.fin != Fin::Queued || self.nxt != self.buffer.end() || !self.is_orderly() {
            return false;
        }
        if (self.una + self.wnd).saturating_since(self.nxt) == 0 {
            return false;
        }
        let rto = self.rtt.steady_rto(cx.timing);
        if cx.now.nanos_since(self.last_send) > rto {
            self.restart_after_idle(cx);
        }
        self.send_bare_express(Flags::FIN | Flags::ACK, cx);
        // As `note_sent` has it: a FIN is a sequence number and no data.
        if self.flight.is_empty() {
            self.stalled_since = cx.now;
        }
        self.flight.push(self.nxt, self.nxt + 1, cx.now, false);
        self.nxt += 1;
        self.last_send = cx.now;
        if 2 * (self.flight.bytes() + u32::from(self.mss)) > self.cc.cwnd() {
            self.note_limit(); // otherwise it has nothing to note
        }
        if self.deadlines.rto == NEVER {
            self.deadlines.rto = cx.now.plus_nanos(rto);
        }
        self.schedule_probe(cx);
        self.on_fin_sent();
        true
    }

    /// Acknowledge what was just taken in, if the connection is orderly, and there is nothing else to send; says whether it was.
    #[inline]
    pub(crate) fn acknowledge_orderly(&mut self, cx: &mut Cx<'_>) -> bool {
        self.is_orderly() && self.acknowledge_brief(cx)
    }

    /// The same of one that is known to be.
    #[inline(never)]
    pub(crate) fn acknowledge_brief(&mut self, cx: &mut Cx<'_>) -> bool {
        let alone = self.nothing_to_send() && cx.net.tx.has_room() && self.path.is_ready(cx.net, cx.now);
        if alone {
            self.send_bare_express(Flags::ACK, cx);
        }
        alone
    }

    /// A SYN when nothing is in its way. As `emit_with` has it.
    pub(super) fn send_syn_express(&mut self, flags: Flags, options: ControlOptions, cx: &mut Cx<'_>) {
        self.disturb();
        let with_ack = flags.has(Flags::ACK);
        let value = self.timestamp_now(cx.now);
        let control = Control {
            ports: (self.tuple.local_port, self.tuple.remote_port),
            seq: self.iss,
            ack: if with_ack { self.rcv_nxt } else { Seq(0) },
            flags,
            window: self.window.in_syn(),
            options: ControlOptions {
                // RFC 7323 section 3.2: TSecr is zero when ACK is not set.
                timestamps: self
                    .timestamps
                    .map(|state| Timestamps { value, echo: if with_ack { state.recent } else { 0 } }),
                ..options
            },
        };
        cx.net.send_control(&self.path, &control);
    }

    /// A segment without text at SND.NXT, of a connection that is orderly. As `emit_with` has it.
    #[inline(never)]
    fn send_bare_express(&mut self, flags: Flags, cx: &mut Cx<'_>) {
        self.disturb();
        self.last_ack_sent = self.rcv_nxt;
        let value = self.timestamp_now(cx.now);
        let control = Control {
            ports: (self.tuple.local_port, self.tuple.remote_port),
            seq: self.nxt,
            ack: self.rcv_nxt,
            flags,
            window: self.next_window(),
            options: ControlOptions {
                timestamps: self.timestamps.map(|state| Timestamps { value, echo: state.recent }),
                ..ControlOptions::default()
            },
        };
        cx.net.send_control(&self.path, &control);
        self.acks.sent(false);
    }
}
