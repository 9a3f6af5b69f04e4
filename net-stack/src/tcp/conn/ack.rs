//! An acknowledgement arrives: RFC 9293 section 3.10.7.4, fifth, and what it means for the round trip, the window and the network.

use hemi_queue::time::Instant;

use super::{Connection, Cx, Events, Fin, Segment, State, TimestampState};
use crate::{
    tcp::{
        cc::{AckEvent, Algorithm, CongestionControl},
        flight::Delivered,
        rack::is_dsack,
        recovery::Phase,
    },
    wire::{Flags, Seq, Timestamps},
};

const NEVER: Instant = Instant::FAR_FUTURE;

/// What one ACK told, gathered on the way through `on_ack`.
pub(super) struct Told {
    pub(super) ack: Seq,
    /// Bytes by which SND.UNA advanced.
    pub(super) advanced: u32,
    pub(super) delivered: Delivered,
    /// Bytes in the network before.
    pub(super) pipe_before: u32,
    /// The round trip of the latest transmission that it acknowledges, in nanoseconds, unless that was a retransmission.
    pub(super) rtt: Option<u64>,
    /// TSecr.
    pub(super) echo: Option<u32>,
    /// The first SACK block reports a duplicate.
    pub(super) dsack: bool,
    /// Nothing but an acknowledgement number (RFC 5681 section 2, "duplicate acknowledgment").
    pub(super) is_duplicate: bool,
    pub(super) ecn_echo: bool,
}

impl Told {
    /// That `ack` was acknowledged, with `una` before it, and nothing else.
    #[inline]
    pub(super) fn of(ack: Seq, una: Seq, pipe: u32) -> Self {
        Self {
            ack,
            advanced: ack.since(una),
            delivered: Delivered::default(),
            pipe_before: pipe,
            rtt: None,
            echo: None,
            dsack: false,
            is_duplicate: false,
            ecn_echo: false,
        }
    }
}

impl Connection {
    /// RFC 5961 section 5.2: The ACK value is considered acceptable only if it is in the range of ((SND.UNA - MAX.SND.WND) <= SEG.ACK <=
    /// SND.NXT).
    #[inline]
    pub(super) fn is_plausible_ack(&self, ack: Seq) -> bool {
        !(ack.after(self.nxt) || ack.before(self.una - self.max_wnd))
    }

    /// Process the ACK field. Says whether to go on with the segment's text.
    #[inline]
    pub(super) fn on_ack(&mut self, seg: &Segment, cx: &mut Cx<'_>) -> bool {
        let ack = seg.header.ack;
        if !self.is_plausible_ack(ack) {
            // RFC 5961 section 5.2: All incoming segments whose ACK value doesn't satisfy the above condition MUST be discarded and an
            // ACK sent back.
            cx.net.counters.drop_tcp_bad_ack += 1;
            self.challenge(cx);
            return false;
        }
        let blocks = if self.sack_ok { seg.options.sack.as_slice() } else { &[] };
        let old = ack.before(self.una);
        if old && blocks.is_empty() {
            // Overtaken: its text counts, its acknowledgement and window do not.
            return true;
        }
        // The SACK blocks of an overtaken ACK may be news: it can carry blocks that the later one had no room for.
        let ack = ack.max(self.una);
        let window_changed = !old && self.update_window(seg, cx);
        let mut told = Told {
            echo: seg.options.timestamps.map(|t| t.echo).filter(|e| *e != 0),
            dsack: !blocks.is_empty() && !old && is_dsack(blocks, ack),
            is_duplicate: ack == self.una
                && !old
                && !self.flight.is_empty()
                && seg.payload.is_empty()
                && !seg.header.flags.has(Flags::FIN)
                && !window_changed,
            ecn_echo: self.ecn.enabled && !old && seg.header.flags.has(Flags::ECE),
            ..Told::of(ack, self.una, self.flight.pipe())
        };
        if told.advanced == 0 && blocks.is_empty() && !told.is_duplicate && !told.ecn_echo {
            return true; // data or a window update: nothing was acknowledged
        }
        self.deliver(seg, &mut told, cx.now);
        if self.path.searching {
            self.judge_mtu_probe(told.ack, cx);
        }
        if told.advanced > 0 {
            self.on_progress(seg.options.timestamps, &told, cx);
        }
        if self.state == State::Closed {
            return false;
        }
        self.react(&told, cx);
        self.manage_timers(&told, cx);
        true
    }

    /// RFC 9293 section 3.10.7.4: "If SND.WL1 < SEG.SEQ or (SND.WL1 = SEG.SEQ and SND.WL2 =< SEG.ACK), set SND.WND <- SEG.WND".
    #[inline]
    fn update_window(&mut self, seg: &Segment, cx: &Cx<'_>) -> bool {
        let (seq, ack) = (seg.header.seq, seg.header.ack);
        if !(self.wl1.before(seq) || (self.wl1 == seq && self.wl2.at_or_before(ack))) {
            return false;
        }
        (self.wl1, self.wl2) = (seq, ack);
        let window = u32::from(seg.header.window) << self.snd_shift;
        if window == self.wnd {
            return false;
        }
        let was_closed = self.wnd == 0;
        self.wnd = window;
        self.max_wnd = self.max_wnd.max(window);
        if was_closed {
            // Open again: what was probed with counts as never sent, and the timers are the ordinary ones.
            self.deadlines.persist = NEVER;
            self.rtt.forget_backoff();
            if !self.flight.is_empty() && ack == self.una {
                self.flight.mark_lost(|_| true);
                self.start_rto(cx);
            }
        }
        true
    }

    /// Go through what this ACK delivers: the scoreboard, RACK's steps 1 to 3, the round trip.
    #[inline]
    fn deliver(&mut self, seg: &Segment, told: &mut Told, now: Instant) {
        let fack = self.flight.fack();
        let echoed = Self::echoed_at(self.timestamps, self.last_send, seg.options.timestamps);
        let (rack, rtt) = (&mut self.rack, &mut told.rtt);
        let mut each = |sent: &crate::tcp::flight::Sent| {
            rack.on_delivered(sent, now, || echoed, fack);
            if !sent.retransmitted {
                *rtt = Some(now.nanos_since(sent.at));
            }
        };
        let mut delivered = self.flight.acknowledge(told.ack, &mut each);
        if self.sack_ok {
            for block in seg.options.sack.as_slice() {
                // RFC 2018 section 4: blocks are of data above the cumulative acknowledgement; RFC 2883's duplicates, and what
                // was never sent, are not for the scoreboard.
                if block.start.before(told.ack) || block.end.after(self.nxt) || !block.start.before(block.end)
                {
                    continue;
                }
                let more = self.flight.sack(*block, &mut each);
                delivered.bytes += more.bytes;
                delivered.sacked += more.sacked;
            }
        }
        told.delivered = delivered;
    }

    /// The time that TSecr stands for, at the latest.
    pub(super) fn echoed_at(
        state: Option<TimestampState>,
        last_send: Instant,
        timestamps: Option<Timestamps>,
    ) -> Option<Instant> {
        let (state, echo) = (state?, timestamps?.echo);
        if echo == 0 {
            return None;
        }
        let last = last_send.as_nanos() / 1_000_000;
        let ago = (last as u32).wrapping_add(state.offset).wrapping_sub(echo) as i32;
        let tick = last.checked_add_signed(-i64::from(ago))?;
        Some(Instant::from_nanos(tick.saturating_mul(1_000_000) + 999_999))
    }

    /// New data, or our FIN, was acknowledged.
    #[inline]
    pub(super) fn on_progress(&mut self, timestamps: Option<Timestamps>, told: &Told, cx: &mut Cx<'_>) {
        self.una = told.ack;
        self.buffer.acknowledge(told.ack);
        self.retries = 0;
        self.rtt.forget_backoff();
        self.stalled_since = cx.now;
        match told.rtt {
            Some(rtt) => self.sample_rtt(rtt, told.pipe_before),
            // RFC 7323 section 4.1: with timestamps a retransmitted segment is measured too: the echo tells which one it was. RTTM
            // rule: only an ACK that acknowledges new data gives a sample.
            None => {
                if let (Some(_), Some(ts)) = (self.timestamps, timestamps) {
                    let ms = self.timestamp_now(cx.now).wrapping_sub(ts.echo);
                    if ts.echo != 0 && ms < 1 << 20 {
                        self.rtt.sample(u64::from(ms) * 1_000_000, 1);
                    }
                }
            }
        }
        self.tell_progress();
        if self.fin == Fin::Sent && self.una == self.nxt {
            self.on_fin_acked(cx);
        }
    }

    /// One measurement of the round trip, with `pipe` bytes in the network before it: of so many per round trip.
    #[inline(always)]
    pub(super) fn sample_rtt(&mut self, rtt: u64, pipe: u32) {
        let every_second = 2 * u32::from(self.mss);
        let few = pipe < 2 * every_second;
        self.rtt.sample(rtt, if few { 1 } else { pipe / every_second });
    }

    /// The send buffer is shorter than it was: somebody may wait for that.
    pub(super) fn tell_progress(&mut self) {
        if self.buffer.len() < self.write_below as usize {
            self.write_below = 0;
            self.events.add(Events::WRITABLE);
        }
        if self.wants_acked && self.buffer.is_empty() {
            self.wants_acked = false;
            self.events.add(Events::ACKED);
        }
    }

    /// Our FIN was acknowledged: transition 10 of `state.rs`.
    pub(super) fn on_fin_acked(&mut self, cx: &mut Cx<'_>) {
        self.events.add(Events::ACKED);
        match self.state {
            State::FinWait1 => {
                self.set_state(State::FinWait2);
                if self.closed {
                    // Nobody reads any more: the peer has so long to finish.
                    self.deadlines.fin_wait = cx.now + cx.config.fin_wait;
                }
            }
            State::Closing => self.enter_time_wait(),
            State::LastAck => self.end(None),
            _ => {}
        }
    }

    /// Congestion control and loss recovery hear of the ACK.
    #[inline]
    fn react(&mut self, told: &Told, cx: &mut Cx<'_>) {
        let round_start = self.begin_round(told);
        if told.dsack {
            cx.net.counters.tcp_dsacks_received += 1;
            self.rack.on_dsack(self.una, self.nxt);
            self.on_unneeded_retransmission(cx.now);
        }
        self.end_probe(told, cx.now);
        // The ACK that ends recovery leaves the window at the threshold.
        let recovering = self.recovery.phase == Phase::Recovery;
        self.recover(told, cx);
        if told.ecn_echo {
            self.on_ecn_echo(told, cx);
        }
        let dctcp = told.ecn_echo && self.algorithm() == Algorithm::Dctcp;
        // RFC 5681 section 3.1: the window grows by what "cumulatively acknowledges new data"; section 3.2 (1), for segments that
        // limited transmit lets out: "the TCP sender MUST NOT change cwnd". What is SACKed while a hole is open makes room as it is.
        if told.advanced > 0
            && told.delivered.bytes > 0
            && !recovering
            && self.recovery.phase != Phase::Recovery
            && (dctcp || !told.ecn_echo || round_start)
        {
            self.grow_window(told, round_start, cx.now);
        }
    }

    /// Whether a round trip ends here and another begins.
    #[inline]
    pub(super) fn begin_round(&mut self, told: &Told) -> bool {
        let round_start = told.advanced > 0 && told.ack.after(self.round_end);
        if round_start {
            self.round_end = self.nxt;
        }
        round_start
    }

    /// The congestion controller hears of data that was delivered.
    #[inline]
    pub(super) fn grow_window(&mut self, told: &Told, round_start: bool, now: Instant) {
        let limited = self.limited_at.is_some_and(|at| self.una.at_or_before(at + u32::from(self.mss)));
        let limited = limited || self.recovery.phase == Phase::Loss;
        // Slow start with a window that nobody uses: it may not grow (RFC 7661), and the round trips of so little say nothing
        // of a queue that fills (RFC 9406). DCTCP counts marks all the same.
        if !limited && self.cc.cwnd() < self.cc.ssthresh() && self.algorithm() != Algorithm::Dctcp {
            return;
        }
        self.cc.on_ack(&AckEvent {
            now,
            acked: told.delivered.bytes,
            in_flight: told.pipe_before,
            rtt_nanos: told.rtt,
            srtt_nanos: self.rtt.srtt_nanos().unwrap_or_default(),
            cwnd_limited: limited,
            round_start,
            ecn_echo: told.ecn_echo,
        });
    }

    /// RFC 3168 section 6.1.2: react at most once per window of data.
    fn on_ecn_echo(&mut self, told: &Told, cx: &mut Cx<'_>) {
        if self.una.before(self.ecn.reduced_until) || self.recovery.phase != Phase::Open {
            return;
        }
        cx.net.counters.tcp_ecn_reductions += 1;
        self.cc.on_ecn(cx.now, told.pipe_before);
        self.ecn.reduced_until = self.nxt;
        // RFC 3168 section 6.1.2: the sending TCP sets the CWR flag in the TCP header of the first new data packet sent.
        self.ecn.say_cwr = true;
    }

    #[inline]
    pub(super) fn manage_timers(&mut self, told: &Told, cx: &mut Cx<'_>) {
        if self.flight.is_empty() {
            // RFC 6298 section 5.2: When all outstanding data has been acknowledged, turn off the retransmission timer.
            self.deadlines.rto = NEVER;
            self.deadlines.tlp = NEVER;
            self.deadlines.reorder = NEVER;
            return;
        }
        if told.advanced > 0 {
            // RFC 6298 section 5.3: When an ACK is received that acknowledges new data, restart the retransmission timer.
            self.start_rto(cx);
            self.schedule_probe(cx);
        } else if told.delivered.sacked > 0 {
            self.deadlines.tlp = NEVER;
        }
    }
}
