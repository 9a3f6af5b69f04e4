//! A connection between SYN and ACK (SYN-RECEIVED of a passive open), in as little memory as it takes.

use std::time::Duration;

use hemi_queue::{Sga, time::Instant, wheel::Key};

use crate::{
    ip::{Control, ControlOptions, Path, TcpSegment},
    tcp::{
        conn::{Agreed, Cx, Segment, default_mss, offer},
        demux::Tuple,
    },
    wire::{Ecn, FastOpen, Flags, Seq, TcpHeader, TcpOptions, Timestamps, protocol},
};

/// What we tell of ourselves in a SYN-ACK.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Offer {
    /// The window field.
    pub(crate) window: u16,
    /// Our shift.
    pub(crate) shift: u8,
    /// The largest segment that the listener wants.
    pub(crate) most: Option<u16>,
}

/// What a SYN asked for and what we answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HalfOpen {
    pub(crate) tuple: Tuple,
    pub(crate) listener: (u32, u32),
    pub(crate) iss: Seq,
    irs: Seq,
    peer_mss: u16,
    scale: Option<u8>,
    sack: bool,
    ecn: bool,
    pub(crate) timestamps: Option<(u32, u32)>,
    offer: Offer,
    sent_at: Instant,
    pub(crate) retries: u8,
    /// When the SYN-ACK is sent again.
    pub(crate) timer: Key,
}

/// What is to be done with a segment for a half-open connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It was dropped or answered.
    Done,
    /// It completes the handshake.
    Complete,
    /// It ends it.
    Remove,
}

impl HalfOpen {
    /// From a SYN to a listener.
    pub(crate) fn new(
        tuple: Tuple,
        listener: (u32, u32),
        iss: Seq,
        timestamp_offset: u32,
        offer: Offer,
        seg: &Segment,
        cx: &Cx<'_>,
    ) -> Self {
        let (config, offered, flags) = (cx.config, &seg.options, seg.header.flags);
        Self {
            tuple,
            listener,
            iss,
            irs: seg.header.seq,
            peer_mss: offered.mss.unwrap_or(default_mss(&tuple)).max(config.mss_floor),
            scale: offered.window_scale.filter(|_| config.window_scaling),
            sack: config.sack && offered.sack_permitted,
            // RFC 3168 section 6.1.1: an ECN-setup SYN has both bits.
            ecn: flags.has(Flags::ECE | Flags::CWR),
            timestamps: offered
                .timestamps
                .filter(|_| config.timestamps)
                .map(|ts| (timestamp_offset, ts.value)),
            offer,
            sent_at: cx.now,
            retries: 0,
            timer: Key::NONE,
        }
    }

    /// From a valid cookie: `seg` is the ACK.
    pub(crate) fn from_cookie(
        tuple: Tuple,
        listener: (u32, u32),
        facts: super::cookies::Facts,
        timestamp_offset: u32,
        seg: &Segment,
        now: Instant,
    ) -> Self {
        Self {
            tuple,
            listener,
            iss: seg.header.ack - 1,
            irs: seg.header.seq - 1,
            peer_mss: facts.mss,
            scale: facts.scale,
            sack: facts.sack,
            ecn: false,
            timestamps: seg.options.timestamps.map(|ts| (timestamp_offset, ts.value)),
            offer: Offer::default(), // nothing more is sent from here
            sent_at: now,
            retries: 1, // the time of the SYN-ACK is not known: no round-trip sample
            timer: Key::NONE,
        }
    }

    /// What the connection starts from.
    pub(crate) fn agreed(&self, seg: &Segment, now: Instant, from_cookie: bool) -> Agreed {
        Agreed {
            iss: self.iss,
            irs: self.irs,
            peer_mss: self.peer_mss,
            scale: self.scale,
            sack: self.sack,
            timestamps: self.timestamps,
            ecn: self.ecn,
            window: u32::from(seg.header.window) << self.scale.unwrap_or(0).min(14),
            rtt: (self.retries == 0).then(|| now - self.sent_at),
            syn_lost: self.retries > 0 && !from_cookie,
        }
    }

    /// When the SYN-ACK is sent again.
    pub(crate) fn deadline(&self, cx: &Cx<'_>) -> Instant {
        let rto = cx.config.rto_initial.saturating_mul(1 << self.retries.min(20)).min(cx.config.rto_max);
        cx.now + rto
    }

    /// A segment for it arrived: RFC 9293 section 3.10.7.4 for SYN-RECEIVED.
    pub(crate) fn on_segment(&mut self, seg: &Segment, cx: &mut Cx<'_>) -> Verdict {
        let (flags, seq) = (seg.header.flags, seg.header.seq);
        let next = self.irs + 1;
        if flags.has(Flags::SYN) && !flags.any(Flags::ACK | Flags::RST) && seq == self.irs {
            // The client did not get our answer. RFC 7323 section 4.3 (2): SEG.SEQ <= Last.ACK.sent sets TS.Recent.
            if let (Some((_, recent)), Some(ts)) = (&mut self.timestamps, seg.options.timestamps)
                && ts.value.wrapping_sub(*recent) as i32 > 0
            {
                *recent = ts.value;
            }
            self.send_syn_ack(cx);
            return Verdict::Done;
        }
        if !flags.has(Flags::RST)
            && let (Some((_, recent)), Some(ts)) = (self.timestamps, seg.options.timestamps)
            && (ts.value.wrapping_sub(recent) as i32) < 0
        {
            cx.net.counters.drop_tcp_paws += 1;
            self.challenge(cx);
            return Verdict::Done;
        }
        let acceptable = seq.within(next, u32::from(self.offer.window).max(1))
            || (seg.len() > 0 && next.within(seq, seg.len()));
        if !acceptable {
            cx.net.counters.drop_tcp_out_of_window += 1;
            if !flags.has(Flags::RST) {
                self.challenge(cx);
            }
            return Verdict::Done;
        }
        if flags.has(Flags::RST) {
            // RFC 5961 section 3.2, as for any other state.
            if seq == next {
                cx.net.counters.tcp_resets_received += 1;
                return Verdict::Remove;
            }
            cx.net.counters.drop_tcp_bad_reset += 1;
            self.challenge(cx);
            return Verdict::Done;
        }
        if flags.has(Flags::SYN) {
            cx.net.counters.drop_tcp_unexpected_syn += 1;
            self.challenge(cx);
            return Verdict::Done;
        }
        if !flags.has(Flags::ACK) {
            cx.net.counters.drop_tcp_no_ack += 1;
            return Verdict::Done;
        }
        if seg.header.ack != self.iss + 1 {
            // "If the segment acknowledgment is not acceptable, form a reset segment <SEQ=SEG.ACK><CTL=RST> and send it."
            cx.net.counters.drop_tcp_bad_ack += 1;
            self.emit(Flags::RST, seg.header.ack, cx);
            return Verdict::Done;
        }
        Verdict::Complete
    }

    /// Send our SYN-ACK (again).
    pub(crate) fn send_syn_ack(&self, cx: &mut Cx<'_>) {
        self.emit(Flags::SYN | Flags::ACK, self.iss, cx);
    }

    /// The same, with a Fast Open cookie for the client. Only the first one has it: a client that asks again asks without.
    pub(crate) fn send_syn_ack_with(&self, cookie: Option<FastOpen>, cx: &mut Cx<'_>) {
        if cookie.is_none() {
            return self.send_syn_ack(cx);
        }
        let mut flags = Flags::SYN | Flags::ACK;
        let options = self.options_of(&mut flags, cx);
        let (ports, ack) = ((self.tuple.local_port, self.tuple.remote_port), self.irs + 1);
        let control = Control { ports, seq: self.iss, ack, flags, window: self.offer.window, options };
        if cx.net.tx.has_room() {
            send_anyhow(&self.tuple, &control, cookie, cx);
        } else {
            cx.net.counters.drop_tx_queue_full += 1;
        }
    }

    fn challenge(&self, cx: &mut Cx<'_>) {
        if cx.challenge.take(cx.now) {
            cx.net.counters.tcp_challenge_acks += 1;
            self.emit(Flags::ACK, self.iss + 1, cx);
        } else {
            cx.net.counters.drop_tx_rate_limited += 1;
        }
    }

    fn emit(&self, mut flags: Flags, seq: Seq, cx: &mut Cx<'_>) {
        let options = self.options_of(&mut flags, cx);
        send(&self.tuple, flags, seq, self.irs + 1, self.offer.window, options, cx);
    }

    fn options_of(&self, flags: &mut Flags, cx: &Cx<'_>) -> ControlOptions {
        let mut options = ControlOptions::default();
        if flags.has(Flags::SYN) {
            options = offer(cx.config, &self.tuple, cx.net.caps.mtu, self.offer.shift, self.offer.most);
            options.window_scale = options.window_scale.filter(|_| self.scale.is_some());
            options.sack_permitted = self.sack;
            if self.ecn {
                *flags |= Flags::ECE;
            }
        }
        if let Some((offset, recent)) = self.timestamps.filter(|_| !flags.has(Flags::RST)) {
            let ms = (cx.now.as_nanos() / Duration::from_millis(1).as_nanos() as u64) as u32;
            options.timestamps = Some(Timestamps { value: ms.wrapping_add(offset), echo: recent });
        }
        options
    }
}

/// Send a segment that belongs to no connection yet.
pub(in crate::tcp) fn send(
    tuple: &Tuple,
    flags: Flags,
    seq: Seq,
    ack: Seq,
    window: u16,
    options: ControlOptions,
    cx: &mut Cx<'_>,
) {
    if !cx.net.tx.has_room() {
        cx.net.counters.drop_tx_queue_full += 1;
        return;
    }
    let ack = if flags.has(Flags::ACK) { ack } else { Seq(0) };
    let window = if flags.has(Flags::RST) { 0 } else { window };
    let ports = (tuple.local_port, tuple.remote_port);
    let control = Control { ports, seq, ack, flags, window, options };
    if !cx.net.send_control_between(tuple, &control, cx.now) {
        send_anyhow(tuple, &control, None, cx);
    }
}

/// The same when the way there is not known, or not to be used any more; or with an option that is rare.
#[cold]
fn send_anyhow(tuple: &Tuple, control: &Control, fast_open: Option<FastOpen>, cx: &mut Cx<'_>) {
    let Control { seq, ack, flags, window, options, .. } = *control;
    let header = TcpHeader {
        src_port: tuple.local_port,
        dst_port: tuple.remote_port,
        seq,
        ack,
        flags,
        window,
        urgent: 0,
        header_len: 0,
    };
    let mut path = Path::new(tuple.local, tuple.remote, protocol::TCP, cx.net.caps.mtu);
    let options = TcpOptions { fast_open, ..options.into() };
    let segment = TcpSegment { header, options, payload: Sga::new(), ecn: Ecn::NotCapable, segment_size: 0 };
    let _ = cx.net.send_tcp(cx.now, &mut path, false, segment);
}
