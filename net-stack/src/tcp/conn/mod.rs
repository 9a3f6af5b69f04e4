//! [`Connection`]: one end of one TCP connection.
//!
//! Read `../state.rs` first (the states), then this file (what a connection holds and the application's calls), then `input.rs`
//! (segments arrive) and `output.rs` (segments leave). Everything else hangs off those two:
//!
//! ```text
//!   segment ─► input ─┬─► syn_sent            (no sequence numbers yet)
//!                     ├─► ack ─► loss         (what we sent: delivered, lost, how much more)
//!                     └─► text                (what they sent: bytes, FIN)
//!   call ────► mod ───┐
//!   time ────► timers ┴─► "there is something to send" ─► output ─► Net
//! ```
//!
//! A connection is passive: every entry point is given a [`Cx`] with the clock, the settings and the way out. Nothing is sent
//! from within `input`: it notes what is owed, and `output::transmit` is the only place that makes segments.

mod ack;
mod brief;
mod calm;
mod challenge;
mod fast;
mod fast_open;
mod fast_out;
mod input;
mod loss;
mod output;
mod search;
mod syn_sent;
#[cfg(test)]
mod tests;
mod text;
mod timers;

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use hemi_queue::{Buf, Sga, time::Instant, wheel::Key};

pub(crate) use brief::Brief;
pub(crate) use fast::Next;
use fast_open::FastOpening;
pub(crate) use fast_open::syn_room_of;
pub(crate) use input::Segment;
pub(crate) use output::Transmit;
pub(crate) use timers::Deadlines;

use super::{
    ConnError, TcpConfig, TcpOptionsConfig,
    ack_policy::AckPolicy,
    assembler::Assembler,
    cc::{Algorithm, Controller},
    config::Timing,
    demux::Tuple,
    flight::Flight,
    rack::Rack,
    recovery::Recovery,
    recv_window::RecvWindow,
    rtt::RttEstimator,
    sack_report::SackReport,
    send_buffer::SendBuffer,
    state::State,
};
use crate::{
    ip::{ControlOptions, Net, Path},
    util::token_bucket::TokenBucket,
    wire::{Seq, TcpHeader, protocol},
};

/// What every entry point is given.
pub(crate) struct Cx<'a> {
    pub(crate) now: Instant,
    pub(crate) net: &'a mut Net,
    pub(crate) config: &'a TcpConfig,
    pub(crate) timing: &'a Timing,
    /// RFC 5961 section 7: challenge ACKs are limited, over all connections.
    pub(crate) challenge: &'a mut TokenBucket,
}

/// Things the application may be waiting for, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Events(pub(crate) u8);

impl Events {
    pub(crate) const CONNECTED: u8 = 1;
    pub(crate) const READABLE: u8 = 2;
    pub(crate) const WRITABLE: u8 = 4;
    pub(crate) const ACKED: u8 = 8;
    pub(crate) const CLOSED: u8 = 16;

    pub(crate) fn add(&mut self, bits: u8) {
        self.0 |= bits;
    }

    pub(crate) fn take(&mut self) -> u8 {
        std::mem::take(&mut self.0)
    }
}

/// How far our FIN is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fin {
    /// The application may push more.
    No,
    /// The application has finished; the FIN follows the last byte.
    Queued,
    /// It was sent; its sequence number is the send buffer's end.
    Sent,
}

/// Timestamps of a connection that has them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimestampState {
    /// Added to our clock in milliseconds.
    offset: u32,
    /// TS.Recent, and when it was set.
    recent: u32,
    recent_at: Instant,
}

/// Explicit congestion notification of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EcnState {
    /// Both ends agreed.
    enabled: bool,
    /// Congestion was experienced: echo it until the peer says CWR (RFC 3168 section 6.1.3).
    echo: bool,
    /// We reduced: say CWR on the next new data.
    say_cwr: bool,
    /// Reduce no more before this is acknowledged.
    reduced_until: Seq,
}

/// What a handshake agreed on, however it was done: the listener's half-open entry, a cookie, or our own SYN.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Agreed {
    pub(crate) iss: Seq,
    pub(crate) irs: Seq,
    pub(crate) peer_mss: u16,
    /// Their shift, when both offered scaling.
    pub(crate) scale: Option<u8>,
    pub(crate) sack: bool,
    /// Timestamps: our offset and their latest value.
    pub(crate) timestamps: Option<(u32, u32)>,
    pub(crate) ecn: bool,
    /// The peer's window in the segment that completed it, scaled.
    pub(crate) window: u32,
    /// The round trip of our SYN or SYN-ACK, if it was sent once.
    pub(crate) rtt: Option<Duration>,
    pub(crate) syn_lost: bool,
}

/// What of [`TcpOptionsConfig`] matters once the connection is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) nodelay: bool,
    pub(crate) keep_alive: Span,
    /// In milliseconds, 0: the usual one; and how many, 0: the usual number.
    keep_alive_interval: u32,
    keep_alive_probes: u8,
    pub(crate) user_timeout: Span,
    pub(crate) linger: Span,
    pub(crate) max_segment: Option<u16>,
}

impl Settings {
    fn of(options: &TcpOptionsConfig) -> Self {
        let TcpOptionsConfig { nodelay, keep_alive, user_timeout, linger, max_segment, .. } = *options;
        let [user_timeout, linger] = [user_timeout, linger].map(Span::from);
        let (keep_alive_interval, keep_alive_probes) = (0, 0);
        let mut settings = Self {
            nodelay,
            keep_alive: Span::from(None),
            keep_alive_interval,
            keep_alive_probes,
            user_timeout,
            linger,
            max_segment,
        };
        settings.set_keep_alive(keep_alive);
        settings.set_keep_alive_probes(options.keep_alive_interval, options.keep_alive_probes);
        settings
    }

    /// How long the peer may be silent until it is probed: some time, or the timer would always be due.
    pub(crate) fn set_keep_alive(&mut self, idle: Option<Duration>) {
        self.keep_alive = idle.map(|idle| idle.max(Duration::from_millis(1))).into();
    }

    /// How often, and how many times, an idle peer that does not answer is probed.
    pub(crate) fn set_keep_alive_probes(&mut self, interval: Option<Duration>, probes: Option<u8>) {
        let ms = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX).max(1);
        self.keep_alive_interval = interval.map_or(0, ms);
        self.keep_alive_probes = probes.unwrap_or(0);
    }
}

/// A length of time or none, in four bytes: milliseconds, of which the greatest number is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(u32);

impl Span {
    /// The length, if there is one.
    pub(crate) fn get(self) -> Option<Duration> {
        (self.0 != u32::MAX).then(|| Duration::from_millis(self.0.into()))
    }
}

impl From<Option<Duration>> for Span {
    fn from(length: Option<Duration>) -> Self {
        // Rounded up: only zero is zero.
        let ms = |d: Duration| d.as_nanos().div_ceil(1_000_000).min(u128::from(u32::MAX - 1)) as u32;
        Self(length.map_or(u32::MAX, ms))
    }
}

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) tuple: Tuple,
    path: Path,
    pub(crate) state: State,
    pub(crate) options: Settings,

    // What we send: RFC 9293 section 3.3.1, SND.*
    iss: Seq,
    una: Seq,
    nxt: Seq,
    /// SND.WND, scaled; SND.WL1 and WL2; the largest window ever seen.
    wnd: u32,
    wl1: Seq,
    wl2: Seq,
    max_wnd: u32,
    snd_shift: u8,
    /// The MSS that the peer told, and what a segment of ours carries (options on every segment deducted).
    peer_mss: u16,
    mss: u16,
    buffer: SendBuffer,
    send_limit: u32,
    fin: Fin,
    flight: Flight,
    rack: Rack,
    rtt: RttEstimator,
    cc: Controller,
    recovery: Recovery,
    /// A round trip ends when this is acknowledged.
    round_end: Seq,
    /// The congestion window stopped us with this in flight.
    limited_at: Option<Seq>,
    /// When the tail-loss probe went out: TLP.end_seq and TLP.is_retrans.
    probe: Option<(Seq, bool)>,

    // What we receive: RCV.*
    irs: Seq,
    rcv_nxt: Seq,
    window: RecvWindow,
    assembler: Assembler,
    sacks: SackReport,
    acks: AckPolicy,
    /// Where the peer's FIN lies, once it was seen.
    fin_at: Option<Seq>,
    last_ack_sent: Seq,

    // What was agreed on
    timestamps: Option<TimestampState>,
    sack_ok: bool,
    ecn: EcnState,

    // Time
    pub(crate) deadlines: Deadlines,
    /// Consecutive timeouts, window probes or keep-alive probes without an answer.
    retries: u8,
    /// When the peer was last heard of, and when what is outstanding was first sent.
    heard: Instant,
    stalled_since: Instant,
    last_send: Instant,
    retransmits: u32,
    challenges: challenge::Challenges,

    // The application
    syn_due: bool,
    keepalive_due: bool,
    fast_open: FastOpening,
    /// The application has let go: what arrives now has no reader.
    closed: bool,
    /// Tell when less than this is in the send buffer; 0: nobody waits.
    write_below: u32,
    wants_acked: bool,
    pub(crate) error: Option<ConnError>,
    pub(crate) events: Events,
    /// On the layer's list of connections with something to send.
    pub(crate) dirty: bool,
    /// On the layer's list of connections with events.
    pub(crate) signalled: bool,
    /// Nothing is out of the ordinary: see `calm.rs`.
    calm: bool,
    /// When the wheel will next call, so that it is told of earlier deadlines only.
    pub(crate) armed: Instant,
    /// The name of that appointment.
    timer: Key,
}

impl Connection {
    /// A connection between nobody and nobody, to be made one by [`connect`](Self::connect) or [`accept`](Self::accept), which set every
    /// field in place: a connection's memory is used for one after the other.
    #[cold]
    #[inline(never)]
    pub(crate) fn blank() -> Box<Self> {
        let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Box::new(Self {
            tuple: Tuple { local: nowhere, remote: nowhere, local_port: 0, remote_port: 0 },
            path: Path::new(nowhere, nowhere, protocol::TCP, 0),
            state: State::Closed,
            options: Settings::of(&TcpOptionsConfig::default()),
            iss: Seq(0),
            una: Seq(0),
            nxt: Seq(0),
            wnd: 0,
            wl1: Seq(0),
            wl2: Seq(0),
            max_wnd: 0,
            snd_shift: 0,
            peer_mss: 0,
            mss: 0,
            buffer: SendBuffer::new(Seq(0)),
            send_limit: 0,
            fin: Fin::No,
            flight: Flight::default(),
            rack: Rack::default(),
            rtt: RttEstimator::default(),
            cc: Controller::new(Algorithm::Cubic, 0),
            recovery: Recovery::default(),
            round_end: Seq(0),
            limited_at: None,
            probe: None,
            irs: Seq(0),
            rcv_nxt: Seq(0),
            window: RecvWindow::new(0, 0),
            assembler: Assembler::default(),
            sacks: SackReport::default(),
            acks: AckPolicy::new(0),
            fin_at: None,
            last_ack_sent: Seq(0),
            timestamps: None,
            sack_ok: false,
            ecn: EcnState::default(),
            deadlines: Deadlines::new(),
            retries: 0,
            heard: Instant::ZERO,
            stalled_since: Instant::ZERO,
            last_send: Instant::ZERO,
            retransmits: 0,
            challenges: challenge::Challenges::default(),
            syn_due: false,
            keepalive_due: false,
            fast_open: FastOpening::default(),
            closed: false,
            write_below: 0,
            wants_acked: false,
            error: None,
            events: Events::default(),
            dirty: false,
            signalled: false,
            calm: false,
            armed: Instant::FAR_FUTURE,
            timer: Key::NONE,
        })
    }

    /// Open actively: the SYN leaves at the next `transmit`.
    pub(crate) fn connect(
        &mut self,
        tuple: &Tuple,
        iss: Seq,
        timestamp_offset: u32,
        options: &TcpOptionsConfig,
        cx: &mut Cx<'_>,
    ) {
        let agreed = Agreed {
            iss,
            irs: Seq(0),
            peer_mss: default_mss(tuple),
            scale: None,
            sack: false,
            timestamps: cx.config.timestamps.then_some((timestamp_offset, 0)),
            ecn: false,
            window: 0,
            rtt: None,
            syn_lost: false,
        };
        self.reset(tuple, &agreed, options, cx);
        let algorithm = options.congestion.unwrap_or(cx.config.congestion);
        self.cc = Controller::new(algorithm, u32::from(agreed.peer_mss));
        self.state = State::SynSent;
        self.una = iss;
        self.syn_due = true;
        if options.fast_open {
            self.want_fast_open(options.fast_open_cookieless, cx);
        }
        cx.net.counters.tcp_active_opens += 1;
    }

    /// Begin as one whose handshake is complete.
    pub(crate) fn accept(
        &mut self,
        tuple: &Tuple,
        agreed: &Agreed,
        options: &TcpOptionsConfig,
        cx: &mut Cx<'_>,
    ) {
        self.reset(tuple, agreed, options, cx);
        self.begin(agreed, options.congestion.unwrap_or(cx.config.congestion), cx);
        self.state = State::Established;
        cx.net.counters.tcp_passive_opens += 1;
    }

    /// Let go of all memory but its own: the connection is over, and forgotten.
    pub(crate) fn let_go(&mut self) {
        if !(self.buffer.is_bare() && self.flight.is_bare() && self.assembler.is_bare()) {
            self.clear_queues();
        }
    }

    #[cold]
    #[inline(never)]
    fn clear_queues(&mut self) {
        self.buffer.clear();
        self.flight.clear();
        self.assembler.clear();
    }

    /// Forget everything of the connection that this was, which has let go; the congestion controller is the caller's.
    #[inline(never)]
    fn reset(&mut self, tuple: &Tuple, agreed: &Agreed, options: &TcpOptionsConfig, cx: &mut Cx<'_>) {
        let config = cx.config;
        let first = agreed.iss + 1;
        // Every field has its name here, so that none can be forgotten.
        let Self {
            tuple: own_tuple,
            path,
            state,
            options: settings,
            iss,
            una,
            nxt,
            wnd,
            wl1,
            wl2,
            max_wnd,
            snd_shift,
            peer_mss,
            mss,
            buffer,
            send_limit,
            fin,
            flight,
            rack,
            rtt,
            cc: _,
            recovery,
            round_end,
            limited_at,
            probe,
            irs,
            rcv_nxt,
            window,
            assembler,
            sacks,
            acks,
            fin_at,
            last_ack_sent,
            timestamps,
            sack_ok,
            ecn,
            deadlines,
            retries,
            heard,
            stalled_since,
            last_send,
            retransmits,
            challenges,
            syn_due,
            keepalive_due,
            fast_open,
            closed,
            write_below,
            wants_acked,
            error,
            events,
            dirty,
            signalled,
            calm,
            armed,
            timer,
        } = self;
        debug_assert!(flight.is_bare() && assembler.is_bare(), "it has not let go");
        *own_tuple = *tuple;
        *path = Path::find(tuple.local, tuple.remote, protocol::TCP, cx.net, cx.now);
        *state = State::Closed;
        *settings = Settings::of(options);
        (*iss, *una, *nxt, *round_end) = (agreed.iss, first, first, first);
        (*wnd, *max_wnd, *snd_shift) = (0, 0, 0);
        (*wl1, *wl2) = (Seq(0), Seq(0));
        (*peer_mss, *mss) = (agreed.peer_mss, agreed.peer_mss);
        buffer.begin_at(first);
        *send_limit = options.send_buffer.unwrap_or(config.send_buffer).clamp(1, 1 << 30) as u32;
        *fin = Fin::No;
        *rack = Rack::default();
        *rtt = RttEstimator::default();
        *recovery = Recovery::starting_at(agreed.iss);
        (*limited_at, *probe) = (None, None);
        (*irs, *rcv_nxt, *last_ack_sent) = (agreed.irs, agreed.irs + 1, agreed.irs + 1);
        *window = RecvWindow::initial(config, options);
        *sacks = SackReport::default();
        *acks = AckPolicy::new(config.quick_acks);
        *fin_at = None;
        *timestamps =
            agreed.timestamps.map(|(offset, recent)| TimestampState { offset, recent, recent_at: cx.now });
        *sack_ok = agreed.sack;
        *ecn = EcnState { reduced_until: agreed.iss, ..EcnState::default() };
        *deadlines = Deadlines::new();
        (*retries, *retransmits) = (0, 0);
        (*heard, *stalled_since, *last_send) = (cx.now, cx.now, cx.now);
        *challenges = challenge::Challenges::default();
        (*syn_due, *keepalive_due, *closed, *wants_acked) = (false, false, false, false);
        *fast_open = FastOpening::default();
        *write_below = 0;
        *error = None;
        *events = Events::default();
        (*dirty, *signalled, *calm) = (false, false, false);
        (*armed, *timer) = (Instant::FAR_FUTURE, Key::NONE);
    }

    /// The handshake is complete: start from what was agreed on.
    #[inline(never)]
    fn begin(&mut self, agreed: &Agreed, algorithm: Algorithm, cx: &mut Cx<'_>) {
        self.irs = agreed.irs;
        self.rcv_nxt = agreed.irs + 1;
        self.last_ack_sent = self.rcv_nxt;
        self.window.start(self.rcv_nxt, cx.now);
        match agreed.scale {
            // RFC 7323 section 2.3: If the shift.cnt field received in an SYN segment is larger than 14, TCP SHOULD log the error but
            // MUST use 14.
            Some(shift) => self.snd_shift = shift.min(14),
            None => self.window.no_scaling(),
        }
        self.peer_mss = agreed.peer_mss;
        self.sack_ok = agreed.sack;
        self.ecn.enabled = agreed.ecn;
        self.wnd = agreed.window;
        self.max_wnd = agreed.window;
        self.wl1 = agreed.irs;
        self.wl2 = agreed.iss + 1;
        if let Some(rtt) = agreed.rtt {
            self.rtt.sample(rtt.as_nanos() as u64, 1);
        } else if agreed.syn_lost {
            self.rtt.syn_was_lost();
        }
        self.set_mss(cx);
        self.cc = Controller::new(algorithm, u32::from(self.mss));
        if agreed.syn_lost {
            // RFC 5681 section 3.1: if the SYN or SYN/ACK is lost, the initial window MUST be a segment. (RFC 6928 section 2
            // keeps this as SHOULD.)
            use super::cc::CongestionControl as _;
            self.cc.on_timeout(cx.now, 0);
        }
        self.arm_keep_alive(cx.now);
    }

    /// Recompute what a segment carries.
    ///
    /// > RFC 9293 section 3.7.1: Eff.snd.MSS = min(SendMSS+20, MMS_S) - TCPhdrsize - IPoptionsize
    fn set_mss(&mut self, cx: &Cx<'_>) {
        let path = self.path.mtu.saturating_sub((self.path.ip_len() + TcpHeader::LEN) as u16);
        let options = if self.timestamps.is_some() { 12 } else { 0 };
        let most = self.options.max_segment.unwrap_or(u16::MAX);
        let mss = self.peer_mss.min(path).min(most).max(cx.config.mss_floor).saturating_sub(options);
        self.mss = mss.max(8);
    }

    // ---- the application's calls

    /// Bytes that the send buffer may take before it is over its limit.
    pub(crate) fn send_room(&self) -> usize {
        (self.send_limit as usize).saturating_sub(self.buffer.len())
    }

    /// Whether one more unit may be taken though the buffer is full: a push is accepted whole and waited for afterwards, so the
    /// buffer may hold up to twice its limit (DESIGN section 4).
    pub(crate) fn may_overfill(&self, len: usize) -> bool {
        self.buffer.len() < 2 * self.send_limit as usize && self.buffer.len() + len < 1 << 30
    }

    /// Whether everything pushed has been acknowledged.
    pub(crate) fn is_flushed(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Whether a unit of `len` bytes leaves the send buffer under its limit.
    #[inline(always)]
    pub(crate) fn has_room_for(&self, len: usize) -> bool {
        self.buffer.len() + len < self.send_limit as usize && len < super::calls::MAX_UNIT
    }

    /// Take a unit to be sent for which there [is room](Self::has_room_for).
    #[inline(always)]
    pub(crate) fn push_within(&mut self, bytes: Buf) {
        self.buffer.append_one(bytes);
    }

    /// Take a unit to be sent. The caller has asked [`may_push`](Self::may_push).
    #[inline(always)]
    pub(crate) fn push(&mut self, unit: Sga) {
        self.buffer.append(unit);
        if self.buffer.len() >= self.send_limit as usize {
            self.write_below = self.send_limit;
        }
    }

    /// Why nothing may be pushed, if so.
    #[inline]
    pub(crate) fn may_push(&self) -> Result<(), ConnError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        match self.state {
            _ if self.closed || self.fin != Fin::No => Err(ConnError::Closed),
            State::SynSent | State::SynReceived | State::Established | State::CloseWait => Ok(()),
            _ => Err(ConnError::Closed),
        }
    }

    /// Pushed and not acknowledged.
    #[inline]
    pub(crate) fn send_queue(&self) -> usize {
        self.buffer.len()
    }

    /// Tell when less than `below` is in the send buffer.
    pub(crate) fn want_room(&mut self, below: usize) {
        self.write_below = below.clamp(1, 1 << 30) as u32;
    }

    /// Change the send buffer's limit.
    pub(crate) fn set_send_limit(&mut self, bytes: usize) {
        self.send_limit = bytes.clamp(1, 1 << 30) as u32;
        if self.buffer.len() < bytes && self.write_below > 0 {
            self.write_below = 0;
            self.events.add(Events::WRITABLE);
        }
    }

    /// Change what the receive window may grow to.
    pub(crate) fn set_recv_max(&mut self, bytes: usize) {
        self.window.set_max(bytes);
    }

    /// Tell when the send buffer is empty again.
    pub(crate) fn want_acked(&mut self) {
        self.wants_acked = true;
    }

    /// The next bytes in order; [`popped`](Self::popped) is to follow.
    #[inline(always)]
    pub(crate) fn pop(&mut self) -> Option<Buf> {
        self.assembler.pop()
    }

    /// The application has taken `len` bytes. Says whether the peer must hear of the room.
    #[inline(always)]
    pub(crate) fn popped(&mut self, len: u32, now: Instant) -> bool {
        self.window.taken(len, now, self.rtt.srtt_nanos());
        self.window.is_half_used(self.rcv_nxt) && self.wants_update()
    }

    #[inline(never)]
    fn wants_update(&mut self) -> bool {
        let mss = self.acks.full_size().max(u32::from(self.mss));
        let wants = self.state.may_receive()
            && self.window.wants_update(self.rcv_nxt, self.assembler.ready() as u32, mss);
        if wants {
            self.acks.at_once();
        }
        wants
    }

    /// Whether no more will ever be received: the peer has finished and everything was popped.
    #[inline]
    pub(crate) fn is_at_end(&self) -> bool {
        self.assembler.ready() == 0
            && (self.fin_at.is_some_and(|f| self.rcv_nxt.after(f))
                || matches!(self.state, State::Closed | State::TimeWait))
    }

    /// Half-close: a FIN follows what was pushed.
    pub(crate) fn shutdown(&mut self) {
        self.open_now();
        if self.fin == Fin::No {
            self.fin = Fin::Queued;
        }
    }

    /// Both directions: the application will neither push nor pop. Says whether the connection must be reset instead.
    ///
    /// > RFC 1122 section 4.2.2.13: If such a host issues a CLOSE call while received data is still pending in TCP, or if new data is
    /// > received after CLOSE is called, its TCP SHOULD send a RST to show that data was lost.
    pub(crate) fn close(&mut self, cx: &mut Cx<'_>) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        let unread = self.assembler.ready() > 0 || self.assembler.has_holes();
        match (self.state, self.options.linger.get()) {
            (State::Closed | State::TimeWait, _) => {}
            (State::SynSent, _) => self.end(None),
            (_, Some(Duration::ZERO)) => self.abort(cx),
            _ if unread => self.abort(cx),
            (_, linger) => {
                self.shutdown();
                if let Some(linger) = linger {
                    self.deadlines.linger = cx.now + linger;
                }
                if self.state == State::FinWait2 {
                    self.deadlines.fin_wait = cx.now + cx.config.fin_wait;
                }
            }
        }
    }

    /// End at once, with a reset if the peer knows of us (RFC 9293 section 3.10.5).
    #[cold]
    #[inline(never)]
    pub(crate) fn abort(&mut self, cx: &mut Cx<'_>) {
        if !matches!(self.state, State::Closed | State::SynSent | State::TimeWait) {
            self.send_reset(cx);
        }
        self.end(Some(ConnError::Aborted));
    }

    /// The connection is over; with an error, unless both sides finished.
    #[inline(never)]
    fn end(&mut self, error: Option<ConnError>) {
        tracing::debug!(target: "hemi::tcp", from = %self.state, ?error, "closed");
        self.state = State::Closed;
        self.error = self.error.or(error);
        if self.closed {
            self.let_go();
        } else {
            self.buffer.clear();
            self.flight.clear();
        }
        self.deadlines = Deadlines::new();
        // What was owed, a SYN even, must not leave any more.
        (self.syn_due, self.keepalive_due) = (false, false);
        self.acks = AckPolicy::new(0);
        self.events.add(Events::CLOSED | Events::READABLE | Events::WRITABLE | Events::ACKED);
    }

    #[inline(never)]
    fn set_state(&mut self, state: State) {
        tracing::trace!(target: "hemi::tcp", from = %self.state, to = %state, "state");
        self.state = state;
    }

    /// The application has let go.
    pub(crate) fn is_orphan(&self) -> bool {
        self.closed
    }

    // ---- what others may know

    pub(crate) fn algorithm(&self) -> Algorithm {
        self.cc.algorithm()
    }

    /// Our timestamp clock: milliseconds (RFC 7323 section 4.1: between 1 ms and 1 s per tick).
    #[inline]
    fn timestamp_now(&self, now: Instant) -> u32 {
        let ms = (now.as_nanos() / 1_000_000) as u32;
        self.timestamps.map_or(ms, |t| ms.wrapping_add(t.offset))
    }

    /// What TIME-WAIT must remember.
    pub(crate) fn remains(&self) -> super::time_wait::Remains {
        super::time_wait::Remains {
            nxt: self.nxt,
            rcv_nxt: self.rcv_nxt,
            timestamps: self.timestamps.map(|t| (t.offset, t.recent)),
            window: (self.window.limit() >> self.window.shift).min(0xffff) as u16,
        }
    }

    /// A line of `ss`.
    pub(crate) fn snapshot(&self, config: &TcpConfig) -> super::snapshot::Snapshot {
        use super::cc::CongestionControl as _;
        super::snapshot::Snapshot {
            local: (self.tuple.local, self.tuple.local_port).into(),
            remote: (self.tuple.remote, self.tuple.remote_port).into(),
            state: self.state,
            congestion: self.algorithm(),
            mss: self.mss,
            cwnd: self.recovery.window(&self.cc),
            ssthresh: self.cc.ssthresh(),
            srtt: self.rtt.srtt(),
            rttvar: self.rtt.rttvar(),
            min_rtt: self.rack.min_rtt(),
            send_queue: self.buffer.len(),
            unacknowledged: self.flight.bytes(),
            in_flight: self.flight.pipe(),
            send_window: self.wnd,
            recv_queue: self.assembler.ready(),
            out_of_order: self.assembler.out_of_order(),
            recv_window: self.window.edge().saturating_since(self.rcv_nxt),
            recv_limit: self.window.limit(),
            pinned: self.assembler.pinned(),
            retransmits: self.retransmits,
            backoff: self.rtt.backoff(),
            rto: self.rtt.rto(config),
            phase: self.recovery.phase,
            sacked: self.flight.sacked(),
            lost: self.flight.lost(),
            window_scaling: self.window.shift > 0 || self.snd_shift > 0,
            reordering: self.rack.reordering_seen(),
            sack: self.sack_ok,
            timestamps: self.timestamps.is_some(),
            ecn: self.ecn.enabled,
            syn_data: self.had_syn_data(),
            deadline: self.deadlines.next(self.acks.deadline()),
        }
    }
}

/// The MSS of a peer that does not tell: RFC 9293, MUST-15: 536 (IPv4) or 1220 (IPv6).
pub(crate) fn default_mss(tuple: &Tuple) -> u16 {
    if tuple.remote.is_ipv4() { 536 } else { 1220 }
}

/// The MSS that we tell: what the interface takes. RFC 6691: without deducting options.
pub(crate) fn mss_to_tell(tuple: &Tuple, mtu: u16) -> u16 {
    mtu.saturating_sub(if tuple.remote.is_ipv4() { 40 } else { 60 })
}

/// The options that we offer in a SYN. `most`: [`TcpOptionsConfig::max_segment`].
#[inline]
pub(crate) fn offer(
    config: &TcpConfig,
    tuple: &Tuple,
    mtu: u16,
    shift: u8,
    most: Option<u16>,
) -> ControlOptions {
    ControlOptions {
        mss: Some(mss_to_tell(tuple, mtu).min(most.unwrap_or(u16::MAX))),
        window_scale: config.window_scaling.then_some(shift),
        sack_permitted: config.sack,
        timestamps: None,
    }
}
