//! The fast way in of an established connection: header prediction (see [`Predicted`]). `fast_out.rs` is the way out.
//!
//! Nothing here knows a rule of its own. A segment is taken this way only when every check of `input.rs` and `ack.rs` would pass
//! without effect: what of that depends on the connection alone is in `calm.rs`, what depends on the segment in `predicts`, each with
//! the clause that it stands for. What then follows is what the ordinary way does. No rule is relaxed for speed.

use hemi_queue::{Buf, time::Instant};

use super::{Connection, Cx, Events, ack::Told};
use crate::{
    tcp::cc::CongestionControl,
    wire::{Ecn, Flags, Predicted},
};

impl Connection {
    /// Whether a segment is what is expected next, in every respect.
    #[inline(always)]
    pub(crate) fn predicts<const WORDS: usize>(&mut self, seg: &Predicted<WORDS>) -> bool {
        let len = (seg.text.1 - seg.text.0) as u32;
        let acked = seg.ack.since(self.una);
        self.is_calm()
            // RFC 9293 section 3.10.7.4, first: "RCV.NXT =< SEG.SEQ+SEG.LEN-1 < RCV.NXT+RCV.WND": in order, and it fits.
            && seg.seq == self.rcv_nxt
            && len <= self.window.edge().saturating_since(self.rcv_nxt)
            // Fifth: "SND.UNA =< SEG.ACK =< SND.NXT" (anything else wraps to more than is outstanding); and one that
            // brings nothing may be a duplicate (RFC 5681 section 2).
            && acked <= self.nxt.since(self.una)
            && (len | acked) != 0
            // The window does not close, nothing ends, and no congestion was met on the way (RFC 3168 section 6.1.3).
            && seg.window != 0
            && !seg.flags.has(Flags::FIN)
            && seg.ecn != Ecn::Congested as u8
            // RFC 7323 section 5.3, R1: SEG.TSval is not older than TS.Recent; section 3.2: there, if agreed on.
            && match (&self.timestamps, seg.timestamps) {
                (Some(state), Some(ts)) => ts.value.wrapping_sub(state.recent) as i32 >= 0,
                (None, None) => true,
                _ => false,
            }
    }

    /// Take in a segment that [`predicts`](Self::predicts) has approved, with its text in `text`.
    #[inline(always)]
    pub(crate) fn on_predicted<const WORDS: usize>(
        &mut self,
        seg: &Predicted<WORDS>,
        text: Buf,
        cx: &mut Cx<'_>,
    ) {
        self.heard = cx.now;
        if let (Some(state), Some(ts)) = (&mut self.timestamps, seg.timestamps)
            && seg.seq == self.last_ack_sent
        {
            // RFC 7323 section 4.3 (2): SEG.SEQ <= Last.ACK.sent.
            (state.recent, state.recent_at) = (ts.value, cx.now);
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
            if self.assembler.ready() == 0 {
                self.events.add(Events::READABLE);
            }
            cx.net.counters.tcp_compacted += u64::from(self.assembler.insert_next(text, &cx.net.pool));
            self.rcv_nxt += len;
            self.acks.on_data(len, len, cx.now, cx.timing);
        }
    }

    /// The earliest of the deadlines that a segment may have moved on the fast way, in either direction.
    #[inline(always)]
    pub(crate) fn predicted_deadline(&self) -> Instant {
        // A tail-loss probe is never later than the timeout, if there is one.
        self.deadlines.rto.min(self.deadlines.tlp).min(self.acks.deadline())
    }

    #[inline(always)]
    fn on_predicted_ack<const WORDS: usize>(&mut self, seg: &Predicted<WORDS>, cx: &mut Cx<'_>) {
        let (acked, pipe) = (seg.ack.since(self.una), self.flight.bytes());
        let Some(sent_at) = self.flight.acknowledge_plain(seg.ack) else { return };
        let rtt = cx.now.nanos_since(sent_at);
        self.rack.on_delivered_in_order(sent_at, seg.ack, rtt);
        // As `on_progress` has it.
        self.una = seg.ack;
        self.buffer.acknowledge(seg.ack);
        self.stalled_since = cx.now;
        self.sample_rtt(rtt, pipe);
        if (self.buffer.len() < self.write_below as usize) | self.wants_acked {
            self.tell_progress();
        }
        let round_start = seg.ack.after(self.round_end);
        if round_start {
            self.round_end = self.nxt;
        }
        // What `grow_window` asks first: most connections never fill the window that they have.
        if self.limited_at.is_some() || self.cc.cwnd() >= self.cc.ssthresh() || self.ecn.enabled {
            let mut told = Told::of(seg.ack, seg.ack - acked, pipe);
            (told.delivered.bytes, told.rtt) = (acked, Some(rtt));
            self.grow_window(&told, round_start, cx);
        }
        if self.flight.is_empty() {
            // RFC 6298 section 5.2: When all outstanding data has been acknowledged, turn off the retransmission timer.
            (self.deadlines.rto, self.deadlines.tlp) = (Instant::FAR_FUTURE, Instant::FAR_FUTURE);
        } else {
            // RFC 6298 section 5.3: When an ACK is received that acknowledges new data, restart the retransmission timer.
            self.restart_timers(self.rtt.steady_rto(cx.timing), cx.now);
        }
    }
}
