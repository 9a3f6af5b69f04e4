//! The fast way in of an established connection: header prediction (see [`Predicted`]). `fast_out.rs` is the way out.
//!
//! Nothing here knows a rule of its own. A segment is taken this way only when every check of `input.rs` and `ack.rs` would pass
//! without effect: what of that depends on the connection alone is in `calm.rs`, what depends on the segment in `predicts`, each with
//! the clause that it stands for. What then follows is what the ordinary way does. No rule is relaxed for speed.

use hemi_queue::{Buf, time::Instant};

use super::{Connection, Events, ack::Told};
use crate::{
    ip::Net,
    tcp::{cc::CongestionControl, config::Timing},
    wire::{Ecn, Flags, Predicted, Seq},
};

/// What a connection looks at of a segment that came the fast way: one without FIN and without a mark of congestion.
#[derive(Clone, Copy)]
pub(crate) struct Next {
    pub(crate) seq: Seq,
    pub(crate) ack: Seq,
    /// Unscaled.
    pub(crate) window: u16,
    /// TSval.
    pub(crate) stamp: Option<u32>,
    /// Bytes of text.
    pub(crate) len: u32,
}

impl Next {
    /// What was predicted more widely, if it is one.
    #[inline]
    pub(crate) fn of<const WORDS: usize>(seg: &Predicted<WORDS>) -> Option<Self> {
        // Nothing ends, and no congestion was met on the way (RFC 3168 section 6.1.3).
        let plain = !seg.flags.has(Flags::FIN) && seg.ecn != Ecn::Congested as u8;
        plain.then_some(Self {
            seq: seg.seq,
            ack: seg.ack,
            window: seg.window,
            stamp: seg.timestamps.map(|ts| ts.value),
            len: (seg.text.1 - seg.text.0) as u32,
        })
    }
}

impl Connection {
    /// Whether a segment is what is expected next, in every respect.
    #[inline(always)]
    pub(crate) fn predicts(&mut self, next: &Next) -> bool {
        let acked = next.ack.since(self.una);
        self.is_calm()
            // RFC 9293 section 3.10.7.4, first: "RCV.NXT =< SEG.SEQ+SEG.LEN-1 < RCV.NXT+RCV.WND": in order, and it fits.
            && next.seq == self.rcv_nxt
            && self.window.holds(self.rcv_nxt, next.len)
            // Fifth: "SND.UNA =< SEG.ACK =< SND.NXT" (anything else wraps to more than is outstanding); and one that
            // brings nothing may be a duplicate (RFC 5681 section 2).
            && acked <= self.nxt.since(self.una)
            && (next.len | acked) != 0
            // The window does not close.
            && next.window != 0
            // RFC 7323 section 5.3, R1: SEG.TSval is not older than TS.Recent; section 3.2: there, if agreed on.
            && match (&self.timestamps, next.stamp) {
                (Some(state), Some(stamp)) => stamp.wrapping_sub(state.recent) as i32 >= 0,
                (None, None) => true,
                _ => false,
            }
    }

    /// Take in a segment that [`predicts`](Self::predicts) has approved, with its text in `text`. Returns the deadline that this has moved, if it
    /// may be the first of all now.
    #[inline(always)]
    pub(crate) fn on_predicted(
        &mut self,
        next: &Next,
        text: Buf,
        net: &mut Net,
        timing: &Timing,
        now: Instant,
    ) -> Instant {
        let mut deadline = Instant::FAR_FUTURE;
        self.heard = now;
        if let (Some(state), Some(stamp)) = (&mut self.timestamps, next.stamp)
            && next.seq == self.last_ack_sent
        {
            // RFC 7323 section 4.3 (2): SEG.SEQ <= Last.ACK.sent.
            (state.recent, state.recent_at) = (stamp, now);
        }
        (self.wl1, self.wl2) = (next.seq, next.ack);
        let window = u32::from(next.window) << self.snd_shift;
        if window != self.wnd {
            self.wnd = window;
            self.max_wnd = self.max_wnd.max(window);
        }
        if next.ack != self.una {
            deadline = self.on_predicted_ack(next.ack, timing, now);
        }
        let len = next.len;
        if len > 0 {
            if self.assembler.ready() == 0 {
                self.events.add(Events::READABLE);
            }
            if self.assembler.insert_next(text, &net.pool) {
                net.counters.tcp_compacted += 1;
            }
            self.rcv_nxt += len;
            deadline = deadline.min(self.acks.on_data(len, len, now, timing));
        }
        deadline
    }

    /// What is acknowledged is new. Returns the first of the deadlines that this sets.
    #[inline(always)]
    fn on_predicted_ack(&mut self, ack: Seq, timing: &Timing, now: Instant) -> Instant {
        const NEVER: Instant = Instant::FAR_FUTURE;
        let (acked, pipe) = (ack.since(self.una), self.flight.bytes());
        let Some(sent_at) = self.flight.acknowledge_plain(ack) else { return NEVER };
        let rtt = now.nanos_since(sent_at);
        self.rack.on_delivered_in_order(sent_at, ack, rtt);
        // As `on_progress` has it.
        self.una = ack;
        self.buffer.acknowledge(ack);
        self.stalled_since = now;
        self.sample_rtt(rtt, pipe);
        if (self.write_below != 0) | self.wants_acked {
            self.tell_progress();
        }
        let round_start = ack.after(self.round_end);
        if round_start {
            self.round_end = self.nxt;
        }
        // What `grow_window` asks first: most connections never fill the window that they have.
        if self.limited_at.is_some() || self.cc.cwnd() >= self.cc.ssthresh() || self.ecn.enabled {
            let mut told = Told::of(ack, ack - acked, pipe);
            (told.delivered.bytes, told.rtt) = (acked, Some(rtt));
            self.grow_window(&told, round_start, now);
        }
        if self.flight.is_empty() {
            // RFC 6298 section 5.2: When all outstanding data has been acknowledged, turn off the retransmission timer.
            (self.deadlines.rto, self.deadlines.tlp) = (NEVER, NEVER);
            NEVER
        } else {
            // RFC 6298 section 5.3: When an ACK is received that acknowledges new data, restart the retransmission timer.
            self.restart_timers(self.rtt.steady_rto(timing), now)
        }
    }
}
