//! Segments leave: what may be sent now, and how it looks.
//!
//! `transmit` is called whenever something was noted that may need sending; it sends until nothing may be sent, or the transmit
//! queue is full (then it is called again: nothing is lost, because nothing was taken out of the send buffer). Order: the handshake,
//! what was lost, what is new, then an acknowledgement if one is still owed.

use std::time::Duration;

use hemi_queue::{Sga, time::Instant};

use super::{Connection, Cx, Fin, State, offer, search::Attempt};
use crate::{
    ip::{Net, TcpSegment},
    tcp::cc::CongestionControl,
    wire::{Ecn, FastOpen, Flags, Seq, TcpHeader, TcpOptions, Timestamps},
};

/// What a call of `transmit` came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transmit {
    /// Everything that may be sent was.
    Done,
    /// The transmit queue is full: call again.
    Blocked,
}

impl Connection {
    /// Whether `transmit` would have something to look at.
    #[inline(always)]
    pub(crate) fn has_output(&self) -> bool {
        self.syn_due
            || self.keepalive_due
            || self.acks.is_due()
            || self.flight.lost() > 0
            || (!self.nothing_to_send() && self.may_transmit())
    }

    /// Whether an acknowledgement must not wait for the end of the turn.
    #[inline(always)]
    pub(crate) fn must_acknowledge(&self) -> bool {
        self.acks.is_due() && !matches!(self.state, State::Closed | State::SynSent)
    }

    /// Whether something is to be sent now that a segment came the fast way.
    #[inline(always)]
    pub(crate) fn must_follow(&self) -> bool {
        self.acks.is_due() || self.nxt != self.buffer.end()
    }

    #[inline(always)]
    fn may_transmit(&self) -> bool {
        (self.state.is_synchronized() && self.state != State::TimeWait) || self.may_answer_early()
    }

    /// Nothing waits: no byte and no FIN.
    #[inline]
    pub(crate) fn nothing_to_send(&self) -> bool {
        self.fin == Fin::Sent || (self.nxt == self.buffer.end() && self.fin == Fin::No)
    }

    /// Send what may be sent.
    #[inline(never)]
    pub(crate) fn transmit(&mut self, cx: &mut Cx<'_>) -> Transmit {
        if self.syn_due {
            if !cx.net.tx.has_room() {
                return Transmit::Blocked;
            }
            self.send_syn(cx);
        }
        if self.may_transmit() {
            loop {
                if !cx.net.tx.has_room() {
                    return Transmit::Blocked;
                }
                if !self.send_predicted(cx.net, cx.timing, cx.now)
                    && !self.send_lost(cx)
                    && !self.send_new_segment(cx, false)
                {
                    break;
                }
            }
            if self.state.is_synchronized() {
                self.watch_window(cx);
            }
        }
        if self.acks.is_due() || self.keepalive_due {
            if !cx.net.tx.has_room() {
                return Transmit::Blocked;
            }
            if !self.send_predicted_ack(cx.net, cx.now) {
                self.send_bare(cx);
            }
        }
        Transmit::Done
    }

    /// Retransmit the first lost segment, if the window allows.
    fn send_lost(&mut self, cx: &mut Cx<'_>) -> bool {
        let Some(lost) = self.flight.next_lost() else { return false };
        let mss = u32::from(self.mss);
        let (pipe, window) = (self.pipe(), self.recovery.window(&self.cc));
        let len = lost.len().min(mss);
        if pipe > 0 && pipe + len > window {
            return false;
        }
        self.retransmit(lost.start, lost.start + len, cx);
        if self.deadlines.rto == Instant::FAR_FUTURE {
            self.start_rto(cx);
        }
        true
    }

    /// Send `start..end` again, with the FIN if it is in there.
    pub(super) fn retransmit(&mut self, start: Seq, end: Seq, cx: &mut Cx<'_>) {
        cx.net.counters.tcp_retransmits += 1;
        let len = end.since(start);
        let payload = self.buffer.slice(start, len as usize);
        let fin = self.fin == Fin::Sent && end == self.nxt;
        let mut flags = Flags::ACK;
        if fin {
            flags |= Flags::FIN;
        }
        if self.flight.is_pushed(end) && len > u32::from(fin) {
            flags |= Flags::PSH;
        }
        self.flight.retransmitted(start, end, cx.now);
        self.note_retransmission(len);
        if self.path.searching {
            self.forget_mtu_probe(start, end, cx);
        }
        // RFC 3168 section 6.1.5: retransmitted packets are not ECN-capable.
        self.emit(flags, start, payload, Ecn::NotCapable, 0, cx);
        self.last_send = cx.now;
        self.note_limit();
    }

    /// Send one segment of new data (several, when the device cuts them), or the FIN. `probe`: for a tail-loss probe, which the
    /// congestion window does not hold back.
    #[inline]
    pub(super) fn send_new_segment(&mut self, cx: &mut Cx<'_>, probe: bool) -> bool {
        if self.nothing_to_send() || !self.may_transmit() {
            return false;
        }
        self.restart_after_idle(cx);
        let mss = u32::from(self.mss);
        let unsent = self.buffer.end().since(self.nxt);
        let fin_only = unsent == 0;
        let usable = (self.una + self.wnd).saturating_since(self.nxt);
        if usable == 0
            || (self.deadlines.pace > cx.now && self.deadlines.pace != Instant::FAR_FUTURE && !probe)
        {
            return false;
        }
        let pipe = self.pipe();
        let room = self.recovery.window(&self.cc).saturating_sub(pipe);
        let fits = unsent.min(usable);
        // A FIN alone is not data: no window of the network's holds it back.
        if room < fits.min(mss) && !probe && pipe > 0 {
            // RFC 5681 section 3.1: a TCP MUST NOT send data with a sequence number higher than the sum of the highest acknowledged
            // sequence number and the minimum of cwnd and rwnd.
            self.limited_at = Some(self.nxt);
            return false;
        }
        if self.path.searching && !probe {
            match self.send_mtu_probe(fits, room, cx) {
                Attempt::Sent => return true,
                Attempt::Hold => return false,
                Attempt::None => {}
            }
        }
        let most = if probe { mss } else { self.burst(room, mss, cx.net) };
        let mut len = fits.min(most);
        if len > mss && len < unsent {
            len -= len % mss;
        }
        if !fin_only && len < mss && !self.may_send_small(len, unsent) {
            return false;
        }
        let last = len == unsent;
        // Before the handshake is complete only the SYN-ACK is sent again: a FIN would lead to a state where it is not.
        let fin = last && self.fin == Fin::Queued && usable > len && self.state != State::SynReceived;
        if fin_only && !fin {
            return false;
        }
        self.send_data(len, last, fin, cx);
        true
    }

    /// How many bytes one call may send: a segment, or what the device cuts.
    #[inline]
    pub(super) fn burst(&self, room: u32, mss: u32, net: &Net) -> u32 {
        // A segment that carries SACK blocks has less room for text: it is never cut by the device.
        let blocks = if self.sack_ok && !self.sacks.is_empty() { 36 } else { 0 };
        if net.caps.tso == 0 || blocks > 0 {
            return mss.saturating_sub(blocks).max(8);
        }
        let cut = net.caps.tso.min(65_000 - 120).min(room.max(mss));
        (cut / mss * mss).max(mss)
    }

    /// Whether a segment smaller than the MSS may leave.
    ///
    /// > RFC 9293 section 3.8.6.2.1 (MUST-38), the sender's SWS avoidance: send data if
    /// > (1) a maximum-sized segment can be sent,
    /// > (2) the data is pushed and all queued data can be sent now, and (3.7.4, Nagle) SND.NXT = SND.UNA,
    /// > (3) or if at least a fraction Fs (1/2) of the maximum window can be sent.
    /// > (4) or if the override timeout occurs.
    fn may_send_small(&self, len: u32, unsent: u32) -> bool {
        // Nagle is off by `nodelay` (MUST-17); a FIN behind the data means that no more will come to fill the segment.
        let alone = self.options.nodelay || self.flight.is_empty() || self.fin == Fin::Queued;
        (len == unsent && alone) || (len >= self.max_wnd / 2 && len > 0)
    }

    #[inline]
    fn send_data(&mut self, len: u32, last: bool, fin: bool, cx: &mut Cx<'_>) {
        let start = self.nxt;
        let payload = self.buffer.slice(start, len as usize);
        // RFC 9293 section 3.9.1.2 (MUST-60, 61): PSH on the last segment of what was pushed. The end of a burst that the device cuts
        // has it too, as a hint to a receiver that puts segments together that nothing more comes at once.
        let cut = if len > u32::from(self.mss) { self.mss } else { 0 };
        let push = len > 0 && (last || cut > 0);
        let mut flags = Flags::ACK;
        if push {
            flags |= Flags::PSH;
        }
        if fin {
            flags |= Flags::FIN;
        }
        if self.ecn.say_cwr && len > 0 {
            self.ecn.say_cwr = false;
            flags |= Flags::CWR;
        }
        let ecn = if self.ecn.enabled && len > 0 { Ecn::Capable0 } else { Ecn::NotCapable };
        self.emit(flags, start, payload, ecn, cut, cx);
        self.note_sent(len, start + len + u32::from(fin), push, cx);
        if fin {
            self.on_fin_sent();
        }
        self.pace(len, cx);
    }

    /// `len` bytes of new data have left, and with a FIN one sequence number more: SND.NXT is `end`.
    #[inline(always)]
    pub(super) fn note_sent(&mut self, len: u32, end: Seq, pushed: bool, cx: &Cx<'_>) {
        if self.flight.is_empty() {
            self.stalled_since = cx.now;
        }
        self.flight.push(self.nxt, end, cx.now, pushed);
        self.nxt = end;
        self.recovery.on_sent(len);
        self.last_send = cx.now;
        self.note_limit();
        if self.deadlines.rto == Instant::FAR_FUTURE {
            self.start_rto(cx);
        }
        self.schedule_probe(cx);
    }

    /// Remember when the congestion window is what limits us: it is full, or (in slow start, RFC 7661 section 4.2) half full.
    #[inline(never)]
    pub(super) fn note_limit(&mut self) {
        let (pipe, cwnd) = (self.pipe(), self.cc.cwnd());
        let full = pipe + u32::from(self.mss) > cwnd;
        if full || (cwnd < self.cc.ssthresh() && pipe.saturating_mul(2) > cwnd) {
            self.limited_at = Some(self.nxt);
        }
    }

    /// Our FIN left: transitions 7 and 11 of `state.rs`.
    pub(super) fn on_fin_sent(&mut self) {
        self.fin = Fin::Sent;
        match self.state {
            State::Established | State::SynReceived => self.set_state(State::FinWait1),
            State::CloseWait => self.set_state(State::LastAck),
            _ => {}
        }
    }

    /// RFC 5681 section 4.1: after an idle period longer than the RTO, cwnd is reduced to the restart window.
    #[inline]
    pub(super) fn restart_after_idle(&mut self, cx: &Cx<'_>) {
        if self.flight.is_empty() && cx.now.nanos_since(self.last_send) > self.rtt.rto_nanos(cx.config) {
            self.disturb();
            self.cc.on_idle(cx.now);
            self.last_send = cx.now;
        }
    }

    /// Spread the window over a round trip: the next segment leaves when this one's share of it is over.
    #[inline]
    fn pace(&mut self, len: u32, cx: &Cx<'_>) {
        if !cx.config.pacing {
            return;
        }
        let Some(srtt) = self.rtt.srtt() else { return };
        let cwnd = u64::from(self.recovery.window(&self.cc).max(1));
        // As Linux has it: twice the rate in slow start, 1.2 times after it, so that pacing never is what limits.
        let gain = if self.cc.cwnd() < self.cc.ssthresh() { 20 } else { 12 };
        let nanos = srtt.as_nanos() as u64 * u64::from(len) / cwnd * 10 / gain;
        // A timer shorter than this costs more than the burst that it avoids.
        if nanos > 10_000 {
            self.deadlines.pace = cx.now + Duration::from_nanos(nanos);
        }
    }

    /// Data waits and nothing is in flight that would bring an answer: the window is closed, or too small. Start to probe.
    fn watch_window(&mut self, cx: &mut Cx<'_>) {
        let waiting = !self.nothing_to_send();
        if !waiting || !self.flight.is_empty() || self.deadlines.pace != Instant::FAR_FUTURE {
            if !waiting || !self.flight.is_empty() && self.wnd > 0 {
                self.deadlines.persist = Instant::FAR_FUTURE;
            }
            return;
        }
        if self.deadlines.persist == Instant::FAR_FUTURE {
            self.disturb();
            self.stalled_since = cx.now;
            // RFC 9293 section 3.8.6.1 (SHLD-29): The transmitting host SHOULD send the first zero-window probe when a zero window has
            // existed for the retransmission timeout period, and SHOULD increase exponentially the interval (SHLD-30).
            self.deadlines.persist = cx.now + self.rtt.rto(cx.config);
        }
    }

    /// A window probe: the first octet that the window does not allow, again and again, or as much as it does allow (the override
    /// of silly-window avoidance).
    pub(super) fn send_window_probe(&mut self, cx: &mut Cx<'_>) {
        cx.net.counters.tcp_window_probes += 1;
        let usable = self.wnd.min(self.buffer.end().since(self.una));
        if usable > 0 {
            let len = usable.min(u32::from(self.mss));
            self.send_data(len, len == self.buffer.end().since(self.nxt), false, cx);
            return;
        }
        // It is not counted as in flight: an answer that does not take it leaves everything as it is, one that does is accepted
        // because SND.NXT is past it.
        let payload = self.buffer.slice(self.una, 1);
        if payload.is_empty() {
            // Only a FIN waits: an old sequence number asks for an ACK as well.
            self.keepalive_due = true;
            return;
        }
        self.nxt = self.nxt.max(self.una + 1);
        self.flight.clear();
        self.flight.push(self.una, self.nxt, cx.now, false);
        self.flight.retransmitted(self.una, self.nxt, cx.now);
        self.emit(Flags::ACK, self.una, payload, Ecn::NotCapable, 0, cx);
        self.last_send = cx.now;
    }

    /// A segment without text: an acknowledgement, or a keep-alive probe.
    ///
    /// > RFC 9293 section 3.8.4: a keep-alive segment [...] SEG.SEQ = SND.NXT-1.
    fn send_bare(&mut self, cx: &mut Cx<'_>) {
        let seq = if std::mem::take(&mut self.keepalive_due) {
            cx.net.counters.tcp_keepalives += 1;
            self.old_seq()
        } else {
            self.nxt
        };
        self.emit(Flags::ACK, seq, Sga::new(), Ecn::NotCapable, 0, cx);
    }

    /// Our SYN, or the SYN-ACK of a simultaneous open.
    #[inline(never)]
    pub(super) fn send_syn(&mut self, cx: &mut Cx<'_>) {
        self.send_syn_with(None, cx);
    }

    /// The same, with a Fast Open option in a SYN-ACK.
    pub(super) fn send_syn_with(&mut self, fast_open: Option<FastOpen>, cx: &mut Cx<'_>) {
        self.syn_due = false;
        let mut flags = Flags::SYN;
        let mut options =
            offer(cx.config, &self.tuple, cx.net.caps.mtu, self.window.shift, self.options.max_segment);
        if self.state == State::SynReceived {
            flags |= Flags::ACK;
            // Offer again, in our half, only what the peer offered too.
            options.sack_permitted = self.sack_ok;
            options.window_scale =
                options.window_scale.filter(|_| self.snd_shift > 0 || self.window.shift > 0);
            if self.ecn.enabled {
                flags |= Flags::ECE;
            }
            // It acknowledges the text of the SYN, if that was taken.
            self.acks.sent(false);
            self.last_ack_sent = self.rcv_nxt;
        } else if (cx.config.ecn || self.algorithm() == crate::tcp::Algorithm::Dctcp) && self.retries < 2 {
            // RFC 3168 section 6.1.1: an ECN-setup SYN; 6.1.1.1: without it after it was lost, in case something on the way
            // drops it.
            flags |= Flags::ECE | Flags::CWR;
        }
        if self.deadlines.rto == Instant::FAR_FUTURE {
            self.deadlines.rto = cx.now + self.rtt.syn_rto(cx.config);
            self.stalled_since = cx.now;
        }
        self.last_send = cx.now;
        let user_timeout = self.options.user_timeout.get();
        let express = user_timeout.is_none() && fast_open.is_none() && !self.opens_fast();
        if express && self.path.is_ready(cx.net, cx.now) {
            return self.send_syn_express(flags, options, cx);
        }
        let user_timeout = user_timeout.map(|limit| limit.as_secs().min(0x7fff * 60) as u32);
        let mut options = TcpOptions { user_timeout, fast_open, ..options.into() };
        let len = self.offer_in_syn(&mut options, cx);
        let text = if len > 0 { self.buffer.slice(self.iss + 1, len as usize) } else { Sga::new() };
        self.emit_with(flags, self.iss, text, options, Ecn::NotCapable, 0, cx);
        self.note_syn_data(len, cx.now);
    }

    /// Reset the peer, in sequence.
    pub(super) fn send_reset(&mut self, cx: &mut Cx<'_>) {
        cx.net.counters.tcp_resets_sent += 1;
        self.emit(Flags::RST | Flags::ACK, self.nxt, Sga::new(), Ecn::NotCapable, 0, cx);
    }

    /// Answer an acknowledgement of something that we never sent: <SEQ=SEG.ACK><CTL=RST>.
    pub(super) fn send_reset_at(&mut self, seq: Seq, cx: &mut Cx<'_>) {
        cx.net.counters.tcp_resets_sent += 1;
        self.emit(Flags::RST, seq, Sga::new(), Ecn::NotCapable, 0, cx);
    }

    /// Put the SACK blocks in that are to be told; says whether they were. A segment that is sent again is as long as it was, and may have no
    /// room for any (RFC 9293 section 3.7.1 has options count against the segment's size): then an ACK of its own is still owed.
    #[inline]
    fn add_sack_blocks(&mut self, options: &mut TcpOptions, len: usize) -> bool {
        if !self.sack_ok || self.sacks.is_empty() {
            return true;
        }
        let timestamps = if self.timestamps.is_some() { 12 } else { 0 };
        let used = self.path.ip_len() + TcpHeader::LEN + timestamps + len;
        let most = usize::from(self.path.mtu).saturating_sub(used + 4) / 8;
        if most > 0 {
            options.sack = self.sacks.take();
            options.sack.truncate(most);
        }
        most > 0
    }

    #[inline]
    pub(super) fn emit(&mut self, flags: Flags, seq: Seq, payload: Sga, ecn: Ecn, cut: u16, cx: &mut Cx<'_>) {
        self.emit_with(flags, seq, payload, TcpOptions::default(), ecn, cut, cx);
    }

    /// The window to tell now.
    #[inline(always)]
    pub(super) fn next_window(&mut self) -> u16 {
        // What the peer sends in one segment, or what it says that it could, in the absence of large ones.
        let mss = self.acks.full_size().min(u32::from(self.path.mtu)).max(u32::from(self.mss));
        self.window.advertise(self.rcv_nxt, self.assembler.ready() as u32, mss)
    }

    /// Make the segment: acknowledgement, window and options are those of this moment.
    #[inline]
    #[allow(clippy::too_many_arguments)] // the fields of a segment
    fn emit_with(
        &mut self,
        mut flags: Flags,
        seq: Seq,
        payload: Sga,
        mut options: TcpOptions,
        ecn: Ecn,
        cut: u16,
        cx: &mut Cx<'_>,
    ) {
        self.disturb();
        let with_ack = flags.has(Flags::ACK);
        let window = if flags.has(Flags::SYN) {
            self.window.in_syn()
        } else if with_ack {
            self.next_window()
        } else {
            0
        };
        if let Some(state) = &self.timestamps
            && (!flags.has(Flags::RST) || with_ack)
        {
            // RFC 7323 section 3.2: TSecr is zero when ACK is not set.
            let echo = if with_ack { state.recent } else { 0 };
            options.timestamps = Some(Timestamps { value: self.timestamp_now(cx.now), echo });
        }
        if with_ack && !flags.any(Flags::SYN | Flags::RST) {
            let complete = self.add_sack_blocks(&mut options, payload.len());
            if self.ecn.echo {
                flags |= Flags::ECE;
            }
            if complete {
                self.acks.sent(!payload.is_empty());
            }
            self.last_ack_sent = self.rcv_nxt;
        }
        let header = TcpHeader {
            src_port: self.tuple.local_port,
            dst_port: self.tuple.remote_port,
            seq,
            ack: if with_ack { self.rcv_nxt } else { Seq(0) },
            flags,
            window,
            urgent: 0,
            header_len: 0,
        };
        // RFC 4861 section 7.3.1: that the peer acknowledges what we send proves that the neighbour forwards it.
        let confirmed = cx.now.nanos_since(self.heard) < 30_000_000_000 && self.state.is_synchronized();
        let segment = TcpSegment { header, options, payload, ecn, segment_size: cut };
        let mtu = self.path.mtu;
        // A missing route is not a reason to fail: routes come back, and the timers go on.
        let _ = cx.net.send_tcp(cx.now, &mut self.path, confirmed, segment);
        if self.path.mtu != mtu {
            self.set_mss(cx);
            self.cc.set_mss(u32::from(self.mss));
        }
    }
}
