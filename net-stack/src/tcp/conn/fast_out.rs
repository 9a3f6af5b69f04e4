//! The fast way out of an established connection: a segment that differs from the last one in its sequence number, text and window only.
//!
//! The counterpart of `fast.rs`: what `output.rs` would ask is answered by `calm.rs`, or asked here with its clause.

use hemi_queue::time::Instant;

use super::{Connection, Cx};
use crate::{
    ip::{Express, Net},
    tcp::cc::CongestionControl,
    wire::Flags,
};

/// In nanoseconds.
const MILLISECOND: u64 = 1_000_000;

impl Connection {
    /// Send the next segment of new data if it is one like any other; says whether it did.
    #[inline(always)]
    pub(super) fn send_predicted(&mut self, cx: &mut Cx<'_>) -> bool {
        let unsent = self.buffer.end().since(self.nxt);
        if unsent == 0
            // These are never asked for calm, which takes a look at everything while there is none.
            || self.ecn.enabled
            || cx.config.pacing
            || !self.is_calm()
            || !self.path.is_ready(cx.net, cx.now)
        {
            return false;
        }
        let (mss, pipe) = (u32::from(self.mss), self.flight.bytes());
        let cwnd = self.cc.cwnd();
        // The peer's window (RFC 9293 section 3.8.6), and the network's (RFC 5681 section 3.1).
        let room = cwnd.min(self.wnd).saturating_sub(pipe);
        let len = unsent.min(if cx.net.caps.tso == 0 { mss } else { self.burst(room, mss, cx) });
        let rto = self.rtt.steady_rto(cx.timing);
        // Nagle's rule (RFC 9293 section 3.7.4), and no restart after idleness (RFC 5681 section 4.1).
        if room < len
            || (len < mss && pipe > 0 && !self.options.nodelay)
            || (pipe == 0 && cx.now.nanos_since(self.last_send) > rto)
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
        // As `note_sent` has it.
        if pipe == 0 {
            self.stalled_since = cx.now;
        }
        self.flight.push(self.nxt, self.nxt + len, cx.now, push);
        self.nxt += len;
        self.last_send = cx.now;
        if 2 * (pipe + len + mss) > cwnd {
            self.note_limit(); // otherwise it has nothing to note
        }
        if self.deadlines.rto == Instant::FAR_FUTURE {
            self.restart_timers(rto, cx.now);
        } else {
            self.deadlines.tlp = self.probe_deadline(cx.now);
        }
        true
    }

    /// [`start_rto`](Self::start_rto) and [`schedule_probe`](Self::schedule_probe) of a connection that is calm and has something in flight.
    #[inline(always)]
    pub(super) fn restart_timers(&mut self, rto: u64, now: Instant) {
        self.deadlines.rto = now.plus_nanos(rto);
        self.deadlines.tlp = self.probe_deadline(now);
    }

    #[inline(always)]
    fn probe_deadline(&self, now: Instant) -> Instant {
        if !self.sack_ok {
            return Instant::FAR_FUTURE;
        }
        // RFC 8985 section 7.2, as in `schedule_probe`.
        let alone = self.flight.bytes() <= u32::from(self.mss);
        let pto = 2 * self.rtt.steady_srtt() + if alone { 200 * MILLISECOND } else { 2 * MILLISECOND };
        now.plus_nanos(pto).min(self.deadlines.rto)
    }

    /// Send all that may be, if it is nothing but one segment like any other; says whether it was.
    #[inline(always)]
    pub(crate) fn transmit_predicted(&mut self, cx: &mut Cx<'_>) -> bool {
        cx.net.tx.has_room() && self.send_predicted(cx) && self.nxt == self.buffer.end()
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

    /// Acknowledge what was just received on the fast way, if there is room and nothing else to send; says whether it was.
    #[inline(always)]
    pub(crate) fn acknowledge_predicted(&mut self, cx: &mut Cx<'_>) -> bool {
        self.nxt == self.buffer.end() && cx.net.tx.has_room() && self.send_predicted_ack(cx)
    }

    /// Send an acknowledgement if it is one like any other; says whether it did.
    #[inline]
    pub(crate) fn send_predicted_ack(&mut self, cx: &mut Cx<'_>) -> bool {
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
