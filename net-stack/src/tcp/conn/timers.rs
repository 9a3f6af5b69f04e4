//! What a connection has appointments for, and what it does when they come.

use std::time::Duration;

use hemi_queue::time::Instant;

use super::{Connection, Cx, State};
use crate::{
    ip::Net,
    tcp::{ConnError, recovery::Phase},
    timer::Timer,
    wire::Seq,
};

const NEVER: Instant = Instant::FAR_FUTURE;
/// In nanoseconds.
const MILLISECOND: u64 = 1_000_000;

/// The deadlines of a connection; [`Instant::FAR_FUTURE`] when one is not set.
///
/// They are plain numbers: moving one costs a store. The wheel is told of the earliest only, and only when it moves
/// *earlier* than what the wheel knows; a call that comes in vain finds nothing due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadlines {
    /// Retransmission (RFC 6298), or the next SYN.
    pub(super) rto: Instant,
    /// Tail-loss probe (RFC 8985 section 7), never later than `rto`.
    pub(super) tlp: Instant,
    /// RACK's reordering timer.
    pub(super) reorder: Instant,
    /// The next zero-window probe.
    pub(super) persist: Instant,
    /// The next keep-alive probe, unless the peer is heard of.
    pub(super) keep_alive: Instant,
    /// FIN-WAIT-2 of a closed connection.
    pub(super) fin_wait: Instant,
    /// A close that may not take longer.
    pub(super) linger: Instant,
    /// Pacing: nothing new before this.
    pub(super) pace: Instant,
}

impl Deadlines {
    pub(super) const fn new() -> Self {
        Self {
            rto: NEVER,
            tlp: NEVER,
            reorder: NEVER,
            persist: NEVER,
            keep_alive: NEVER,
            fin_wait: NEVER,
            linger: NEVER,
            pace: NEVER,
        }
    }

    /// The earliest.
    #[inline]
    pub(super) fn next(&self, delayed_ack: Instant) -> Instant {
        let a = self.rto.min(self.tlp).min(self.reorder.min(self.persist));
        let b = self.keep_alive.min(self.fin_wait).min(self.linger.min(self.pace));
        a.min(b).min(delayed_ack)
    }
}

impl Connection {
    /// The earliest deadline.
    #[inline]
    pub(crate) fn deadline(&self) -> Instant {
        self.deadlines.next(self.acks.deadline())
    }

    /// Tell the wheel of a deadline that is earlier than what it knows. The connection is in `slot`.
    #[inline(always)]
    pub(crate) fn arm(&mut self, deadline: Instant, slot: u32, generation: u32, net: &mut Net) {
        if deadline < self.armed {
            self.armed = deadline;
            self.tell_wheel(slot, generation, net);
        }
    }

    #[inline(never)]
    fn tell_wheel(&mut self, slot: u32, generation: u32, net: &mut Net) {
        if !net.timers.rearm(self.timer, self.armed) {
            self.timer = net.timers.insert(self.armed, Timer::Connection(slot, generation));
        }
    }

    /// Nothing will be due any more. An appointment left standing would cost memory until its time came: a second and more, in which a
    /// busy host makes and forgets a million connections.
    pub(crate) fn disarm(&mut self, net: &mut Net) {
        net.timers.cancel(self.timer);
        self.armed = Instant::FAR_FUTURE;
    }

    /// The clock has reached `cx.now`: do what is due. Says whether there is something to send.
    pub(crate) fn on_time(&mut self, cx: &mut Cx<'_>) -> bool {
        let now = cx.now;
        self.acks.on_time(now);
        if take_due(&mut self.deadlines.linger, now) {
            self.abort(cx);
            return false;
        }
        if take_due(&mut self.deadlines.fin_wait, now) {
            // The peer has not finished in time, and nobody waits for it.
            self.end(None);
            return false;
        }
        take_due(&mut self.deadlines.pace, now);
        if take_due(&mut self.deadlines.reorder, now) {
            self.detect_losses(cx);
        }
        if take_due(&mut self.deadlines.tlp, now) {
            self.on_probe_timeout(cx);
        }
        if take_due(&mut self.deadlines.persist, now) {
            self.on_persist(cx);
        }
        if take_due(&mut self.deadlines.rto, now) {
            self.on_retransmission_timeout(cx);
        }
        if take_due(&mut self.deadlines.keep_alive, now) {
            self.on_keep_alive(cx);
        }
        self.has_output()
    }

    /// (Re)start the retransmission timer.
    ///
    /// > RFC 6298 section 5.1: Every time a packet containing data is sent (including a retransmission), if the timer is not
    /// > running, start it running so that it will expire after RTO seconds.
    #[inline(always)]
    pub(super) fn start_rto(&mut self, cx: &Cx<'_>) {
        self.deadlines.rto = cx.now.plus_nanos(self.rtt.rto_nanos(cx.config));
        if let Some(limit) = self.options.user_timeout.get() {
            self.deadlines.rto =
                self.deadlines.rto.min((self.stalled_since + limit).max(cx.now + Duration::from_millis(1)));
        }
    }

    /// Schedule a tail-loss probe: RFC 8985 section 7.2.
    #[inline(always)]
    pub(super) fn schedule_probe(&mut self, cx: &Cx<'_>) {
        self.deadlines.tlp = NEVER;
        // "the sender is not in loss recovery, SACK is negotiated, there is no SACKed sequence in the SACK scoreboard"
        if !self.sack_ok
            || self.probe.is_some()
            || self.recovery.phase != Phase::Open
            || self.flight.sacked() > 0
            || self.flight.is_empty()
            || self.wnd == 0
        {
            return;
        }
        let pto = match self.rtt.srtt_nanos() {
            Some(srtt) => {
                // PTO = 2 * SRTT, and "If FlightSize is one segment, then [...] PTO += TLP.max_ack_delay"
                let alone = self.flight.bytes() <= u32::from(self.mss);
                2 * srtt + if alone { 200 * MILLISECOND } else { 2 * MILLISECOND }
            }
            None => 1000 * MILLISECOND,
        };
        // "If (Now() + PTO > TCP_RTO_expiration()): PTO = TCP_RTO_expiration() - Now()": the probe goes out in the timeout's place, and
        // the timeout starts again (`on_time` asks for the probe first).
        self.deadlines.tlp = cx.now.plus_nanos(pto).min(self.deadlines.rto);
    }

    /// A retransmission timeout, or its equivalent in the handshake.
    fn on_retransmission_timeout(&mut self, cx: &mut Cx<'_>) {
        if matches!(self.state, State::SynSent | State::SynReceived) {
            // Nobody waits for one that its SYN has opened, as for any half-open one.
            let most = if self.is_fast_open_pending() { 5 } else { cx.config.syn_retries };
            if self.retries >= most || self.user_timeout_over(cx) {
                self.suspect_fast_open(cx);
                return self.fail(ConnError::TimedOut, cx);
            }
            self.retries = self.retries.saturating_add(1);
            self.rtt.back_off();
            self.rtt.syn_was_lost();
            self.syn_due = true;
            self.deadlines.rto = cx.now + self.rtt.syn_rto(cx.config);
            return;
        }
        if self.flight.is_empty() {
            return;
        }
        self.retries = self.retries.saturating_add(1);
        // RFC 9293 section 3.8.3 (MUST-20, MUST-21): R2; a user timeout takes its place (RFC 5482).
        let over = match self.options.user_timeout.get() {
            Some(_) => self.user_timeout_over(cx),
            // An orphan has nobody who waits for it.
            None => self.retries > if self.closed { cx.config.retries.min(8) } else { cx.config.retries },
        };
        if over {
            return self.fail(ConnError::TimedOut, cx);
        }
        cx.net.counters.tcp_timeouts += 1;
        self.retransmit_after_timeout(cx);
        self.rtt.back_off();
        self.start_rto(cx);
        // RFC 9293 section 3.8.3 (SHLD-9): at R1 the network layer is told to look for another way.
        if self.retries >= 3 {
            cx.net.epoch = cx.net.epoch.wrapping_add(1);
        }
        self.suspect_black_hole(cx);
        if self.retries == 2 {
            self.suspect_fast_open(cx);
        }
    }

    fn user_timeout_over(&self, cx: &Cx<'_>) -> bool {
        self.options.user_timeout.get().is_some_and(|limit| cx.now - self.stalled_since >= limit)
    }

    /// The peer's window is closed, or too small to be worth it, and data waits.
    ///
    /// > RFC 9293 section 3.8.6.1 (MUST-35, MUST-36): The sending TCP peer must regularly transmit at least one octet of new data (if
    /// > available), or retransmit to the receiving TCP peer even if the send window is zero, in order to "probe" the window.
    fn on_persist(&mut self, cx: &mut Cx<'_>) {
        if self.nothing_to_send() {
            return;
        }
        // MUST-37: as long as the receiving TCP peer continues to send acknowledgments in response to the probe segments, the sending
        // TCP peer MUST allow the connection to stay open. `retries` counts probes without any answer.
        self.retries = self.retries.saturating_add(1);
        let limit = if self.closed { cx.config.retries.min(8) } else { cx.config.retries };
        if self.retries > limit || self.user_timeout_over(cx) {
            return self.fail(ConnError::TimedOut, cx);
        }
        self.send_window_probe(cx);
        self.rtt.back_off();
        self.deadlines.persist = cx.now + self.rtt.rto(cx.config);
    }

    /// Keep-alive (RFC 9293 section 3.8.4, MUST-24 to MUST-29).
    fn on_keep_alive(&mut self, cx: &mut Cx<'_>) {
        let Some(idle) = self.options.keep_alive.get() else { return };
        if self.retries == 0 && cx.now - self.heard < idle {
            self.deadlines.keep_alive = self.heard + idle;
            return;
        }
        if !self.flight.is_empty() || !self.state.is_synchronized() {
            // What is outstanding probes the peer better.
            self.deadlines.keep_alive = cx.now + idle;
            return;
        }
        let (interval, probes) = (self.options.keep_alive_interval, self.options.keep_alive_probes);
        if self.retries >= if probes > 0 { probes } else { cx.config.keep_alive_probes } {
            // Its own segments may get through though ours do not come back: as everyone does, with a last word.
            self.send_reset(cx);
            return self.fail(ConnError::TimedOut, cx);
        }
        self.retries = self.retries.saturating_add(1);
        self.keepalive_due = true;
        let usual = cx.config.keep_alive_interval.min(idle.max(Duration::from_secs(1)));
        let own = Duration::from_millis(interval.into());
        self.deadlines.keep_alive = cx.now + if interval > 0 { own } else { usual };
    }

    /// (Re)start the keep-alive timer, if there is one.
    pub(crate) fn arm_keep_alive(&mut self, now: Instant) {
        self.deadlines.keep_alive = self.options.keep_alive.get().map_or(NEVER, |idle| now + idle);
    }

    /// Give up.
    ///
    /// > RFC 9293 section 3.10.8: if the user timeout expires, flush all queues, signal the user "error: connection aborted due to user
    /// > timeout" [...], delete the TCB, enter the CLOSED state, and return.
    ///
    /// Nothing is sent: a peer that does not answer would not hear it, and one that comes back is reset by what it sends then.
    pub(super) fn fail(&mut self, error: ConnError, cx: &mut Cx<'_>) {
        cx.net.counters.tcp_connections_failed += 1;
        self.end(Some(error));
    }

    /// The sequence number that a keep-alive probe repeats: one that the peer has acknowledged.
    pub(super) fn old_seq(&self) -> Seq {
        self.una - 1
    }
}

fn take_due(at: &mut Instant, now: Instant) -> bool {
    let due = *at <= now;
    if due {
        *at = NEVER;
    }
    due
}
