//! The fast way out of an established connection: a segment that differs from the last one in its sequence number, text and window only.
//!
//! The counterpart of `fast.rs`: what `output.rs` would ask is answered by `calm.rs`, or asked here with its clause.

use hemi_queue::time::Instant;

use super::Connection;
use crate::{
    ip::{Express, Net},
    tcp::{cc::CongestionControl, config::Timing},
    wire::Flags,
};

/// In nanoseconds.
const MILLISECOND: u64 = 1_000_000;

impl Connection {
    /// Send the next segment of new data if it is one like any other; says whether it did.
    #[inline(always)]
    pub(super) fn send_predicted(&mut self, net: &mut Net, timing: &Timing, now: Instant) -> bool {
        let unsent = self.buffer.end().since(self.nxt);
        if unsent == 0
            // These are never asked for calm, which takes a look at everything while there is none.
            || self.ecn.enabled
            || timing.pacing
            || !self.is_calm()
            || !self.path.is_current(net, now)
        {
            return false;
        }
        let (mss, pipe) = (u32::from(self.mss), self.flight.bytes());
        let cwnd = self.cc.cwnd();
        // The peer's window (RFC 9293 section 3.8.6), and the network's (RFC 5681 section 3.1).
        let room = cwnd.min(self.wnd).saturating_sub(pipe);
        let len = unsent.min(if net.caps.tso == 0 { mss } else { self.burst(room, mss, net) });
        // Nagle's rule (RFC 9293 section 3.7.4).
        if room < len || (len < mss && pipe > 0 && !self.options.nodelay) {
            return false;
        }
        let alone = self.deadlines.rto == Instant::FAR_FUTURE;
        let rto = if alone { self.rtt.steady_rto(timing) } else { 0 };
        // No restart after idleness (RFC 5681 section 4.1). The timer runs while anything is in flight.
        if alone && now.nanos_since(self.last_send) > rto {
            return false;
        }
        let push = len == unsent || len > mss; // as `send_data` has it
        let segment = self.express(if push { Flags::ACK | Flags::PSH } else { Flags::ACK }, now);
        let small = if len as usize <= Net::COPIED { self.buffer.view(self.nxt, len as usize) } else { None };
        if let Some(text) = small {
            net.send_express_copy(&self.path, &segment, text);
        } else {
            let text = self.buffer.slice(self.nxt, len as usize);
            net.send_express(&self.path, &segment, text, if len > mss { self.mss } else { 0 });
        }
        self.acks.sent(true);
        // As `note_sent` has it.
        if pipe == 0 {
            self.stalled_since = now;
        }
        self.flight.push(self.nxt, self.nxt + len, now, push);
        self.nxt += len;
        self.last_send = now;
        if 2 * (pipe + len + mss) > cwnd {
            self.note_limit(); // otherwise it has nothing to note
        }
        if alone {
            self.deadlines.rto = now.plus_nanos(rto);
        }
        self.deadlines.tlp = self.probe_deadline(now);
        true
    }

    /// [`start_rto`](Self::start_rto) and [`schedule_probe`](Self::schedule_probe) of a connection that is calm and has something in flight.
    /// Returns the earlier.
    #[inline(always)]
    pub(super) fn restart_timers(&mut self, rto: u64, now: Instant) -> Instant {
        self.deadlines.rto = now.plus_nanos(rto);
        self.deadlines.tlp = self.probe_deadline(now);
        self.predicted_deadline()
    }

    /// The earlier of the deadlines that sending on the fast way moves: it leaves no acknowledgement owed.
    #[inline(always)]
    pub(crate) fn predicted_deadline(&self) -> Instant {
        // A probe is never later than the timeout, if there is one.
        self.deadlines.rto.min(self.deadlines.tlp)
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
    pub(crate) fn transmit_predicted(&mut self, net: &mut Net, timing: &Timing, now: Instant) -> bool {
        net.tx.has_room() && self.send_predicted(net, timing, now) && self.nxt == self.buffer.end()
    }

    /// The header of a segment at SND.NXT.
    #[inline(always)]
    fn express(&mut self, flags: Flags, now: Instant) -> Express {
        self.last_ack_sent = self.rcv_nxt;
        Express {
            ports: (u32::from(self.tuple.local_port) << 16 | u32::from(self.tuple.remote_port)).to_be(),
            seq: self.nxt,
            ack: self.rcv_nxt,
            flags,
            window: self.next_window(),
            timestamps: self.timestamps.map(|state| (self.timestamp_now(now), state.recent)),
        }
    }

    /// Acknowledge what was just received on the fast way, if there is room and nothing else to send; says whether it was.
    #[inline(always)]
    pub(crate) fn acknowledge_predicted(&mut self, net: &mut Net, now: Instant) -> bool {
        self.nxt == self.buffer.end() && net.tx.has_room() && self.send_predicted_ack(net, now)
    }

    /// Send an acknowledgement if it is one like any other; says whether it did.
    #[inline]
    pub(crate) fn send_predicted_ack(&mut self, net: &mut Net, now: Instant) -> bool {
        if !self.sacks.is_empty() || self.ecn.echo || self.keepalive_due || !self.path.is_ready(net, now) {
            return false;
        }
        let segment = self.express(Flags::ACK, now);
        net.send_express_copy(&self.path, &segment, &[]);
        self.acks.sent(false);
        true
    }
}
