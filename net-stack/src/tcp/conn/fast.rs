//! The fast way of an established connection: header prediction (see [`Predicted`]), in both directions.
//!
//! Nothing here knows a rule of its own. A segment is taken this way only when every check of `input.rs` and `ack.rs` would pass
//! without effect, and `predicts` is that list, with the clause that each line stands for; what then follows is done by the same
//! functions as on the ordinary way. Likewise a segment is sent this way only when nothing but its sequence number, text and
//! window differs from the last one. Everything else takes the ordinary way: no rule is relaxed for speed.

use hemi_queue::{Buf, time::Instant};

use super::{Connection, Cx, Events, Fin, State, ack::Told};
use crate::{
    ip::{Express, Net},
    tcp::{cc::CongestionControl, recovery::Phase},
    wire::{Flags, Predicted},
};

impl Connection {
    /// Whether a segment is what is expected next, in every respect. Changes nothing.
    #[inline]
    pub(crate) fn predicts(&self, seg: &Predicted) -> bool {
        let len = (seg.text.1 - seg.text.0) as u32;
        let acked = seg.ack.since(self.una);
        let window = u32::from(seg.window) << self.snd_shift;
        // RFC 9293 section 3.10.7.4, first: "RCV.NXT =< SEG.SEQ+SEG.LEN-1 < RCV.NXT+RCV.WND": in order, and it fits.
        self.state == State::Established
            && seg.seq == self.rcv_nxt
            && len <= self.window.edge().saturating_since(self.rcv_nxt)
            // Fifth: "SND.UNA =< SEG.ACK =< SND.NXT" (anything else wraps to more than is outstanding); and one that
            // brings nothing may be a duplicate (RFC 5681 section 2).
            && acked <= self.nxt.since(self.una)
            && (len | acked) != 0
            // "If SND.WL1 < SEG.SEQ or (SND.WL1 = SEG.SEQ and SND.WL2 =< SEG.ACK), set SND.WND": it does, and the window neither
            // closes nor opens.
            && self.wl1.at_or_before(seg.seq)
            && window != 0
            && self.wnd != 0
            // Nothing is believed lost, and nobody waits to hear that it is (RFC 8985, RFC 6675, RFC 6582).
            && self.recovery.phase == Phase::Open
            && (self.flight.sacked() | self.flight.lost() | self.recovery.duplicate_acks) == 0
            && self.probe.is_none()
            // Seventh: the text continues what is there, and somebody will read it.
            && !self.assembler.has_holes()
            && !self.closed
            && self.fin_at.is_none()
            // RFC 3168 section 6.1.3: no congestion to echo.
            && !(self.ecn.enabled && (seg.ecn == 3 || self.ecn.echo))
            // RFC 7323 section 5.3, R1: SEG.TSval is not older than TS.Recent; section 3.2: there, if agreed on.
            && match (&self.timestamps, seg.timestamps) {
                (Some(state), Some(ts)) => ts.value.wrapping_sub(state.recent) as i32 >= 0,
                (None, None) => true,
                _ => false,
            }
    }

    /// Take in a segment that [`predicts`](Self::predicts) has approved, with its text in `text`.
    #[inline]
    pub(crate) fn on_predicted(&mut self, seg: &Predicted, text: Buf, cx: &mut Cx<'_>) {
        self.heard = cx.now;
        if let (Some(state), Some(ts)) = (&mut self.timestamps, seg.timestamps)
            && seg.seq == self.last_ack_sent
        {
            // RFC 7323 section 4.3 (2): SEG.SEQ <= Last.ACK.sent.
            (state.recent, state.recent_at) = (ts.value, cx.now);
        }
        if self.flight.is_empty() {
            self.retries = 0;
        }
        (self.wl1, self.wl2) = (seg.seq, seg.ack);
        let window = u32::from(seg.window) << self.snd_shift;
        self.wnd = window;
        self.max_wnd = self.max_wnd.max(window);
        if seg.ack != self.una {
            self.on_predicted_ack(seg, cx);
        }
        let len = text.len() as u32;
        if len > 0 {
            let was_empty = self.assembler.ready() == 0;
            cx.net.counters.tcp_compacted += u64::from(self.assembler.insert_next(text, &cx.net.pool));
            self.rcv_nxt += len;
            if was_empty {
                self.events.add(Events::READABLE);
            }
            self.acks.on_data(len, len, cx.now, cx.config);
        }
    }

    /// The earliest of the deadlines that a predicted segment may have moved.
    #[inline]
    pub(crate) fn predicted_deadline(&self) -> Instant {
        self.deadlines.rto.min(self.deadlines.tlp).min(self.acks.deadline())
    }

    #[inline(always)]
    fn on_predicted_ack(&mut self, seg: &Predicted, cx: &mut Cx<'_>) {
        let mut told = Told::of(seg.ack, self.una, self.flight.pipe());
        let (now, last_send, state) = (cx.now, self.last_send, self.timestamps);
        let rack = &mut self.rack;
        told.delivered = self.flight.acknowledge(seg.ack, |sent| {
            rack.on_delivered(sent, now, || Self::echoed_at(state, last_send, seg.timestamps), None);
            if !sent.retransmitted {
                told.rtt = Some(now.nanos_since(sent.at));
            }
        });
        self.on_progress(seg.timestamps, &told, cx);
        let round_start = self.begin_round(&told);
        self.grow_window(&told, round_start, cx);
        self.manage_timers(&told, cx);
    }

    /// Send the next segment of new data if it is one like any other; says whether it did.
    #[inline(always)]
    pub(super) fn send_predicted(&mut self, cx: &mut Cx<'_>) -> bool {
        let unsent = self.buffer.end().since(self.nxt);
        if unsent == 0
            || !self.state.may_send()
            || self.fin != Fin::No
            || self.recovery.phase != Phase::Open
            || (self.flight.sacked() | self.flight.lost() | self.recovery.duplicate_acks) != 0
            || !self.sacks.is_empty()
            || self.ecn.enabled
            || cx.config.pacing
            || !self.path.is_ready(cx.net, cx.now)
        {
            return false;
        }
        let (mss, pipe) = (u32::from(self.mss), self.flight.bytes());
        let room = self.cc.cwnd().saturating_sub(pipe);
        let len = unsent.min(if cx.net.caps.tso == 0 { mss } else { self.burst(room, mss, cx) });
        // The peer's window (RFC 9293 section 3.8.6), the network's (RFC 5681 section 3.1), Nagle's rule (RFC 9293 section 3.7.4),
        // and no restart after idleness (RFC 5681 section 4.1).
        if (self.una + self.wnd).saturating_since(self.nxt) < len
            || room < len
            || (len < mss && pipe > 0 && !self.options.nodelay)
            || (pipe == 0 && cx.now.nanos_since(self.last_send) > self.rtt.rto_nanos(cx.config))
        {
            return false;
        }
        let push = len == unsent || len > mss; // as `send_data` has it
        let segment = self.express(if push { Flags::ACK | Flags::PSH } else { Flags::ACK }, cx);
        let small = if len as usize <= Net::COPIED { self.buffer.view(self.nxt, len as usize) } else { None };
        if let Some(text) = small {
            cx.net.send_express_copy(&self.path, &segment, text);
        } else {
            let text = self.buffer.slice(self.nxt, len as usize);
            cx.net.send_express(&self.path, &segment, text, if len > mss { self.mss } else { 0 });
        }
        self.acks.sent(true);
        self.note_sent(len, self.nxt + len, push, cx);
        true
    }

    /// The header of a segment at SND.NXT.
    #[inline(always)]
    fn express(&mut self, flags: Flags, cx: &Cx<'_>) -> Express {
        self.last_ack_sent = self.rcv_nxt;
        Express {
            ports: (self.tuple.local_port, self.tuple.remote_port),
            seq: self.nxt,
            ack: self.rcv_nxt,
            flags,
            window: self.next_window(),
            timestamps: self.timestamps.map(|state| (self.timestamp_now(cx.now), state.recent)),
        }
    }

    /// Send an acknowledgement if it is one like any other; says whether it did.
    #[inline]
    pub(super) fn send_predicted_ack(&mut self, cx: &mut Cx<'_>) -> bool {
        if !self.sacks.is_empty()
            || self.ecn.echo
            || self.keepalive_due
            || !self.path.is_ready(cx.net, cx.now)
        {
            return false;
        }
        let segment = self.express(Flags::ACK, cx);
        cx.net.send_express_copy(&self.path, &segment, &[]);
        self.acks.sent(false);
        true
    }
}
