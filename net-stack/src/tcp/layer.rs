//! [`Tcp`]: all connections of a stack. Segments in, and what follows from them.

use std::net::IpAddr;

use hemi_queue::time::Instant;

use super::{
    TcpConfig,
    config::Timing,
    conn::{Connection, Cx, Segment},
    demux::{Demux, Target, Tuple},
    isn::Secrets,
    listen::{HalfOpen, Listeners, Opening, cookies, half_open},
    predicted::LastFlows,
    recv_window::RecvWindow,
    reset,
    signals::{Signal, Signals},
    state::State,
    time_wait::{self, TimeWaits},
};
use crate::{
    ip::{Net, Packet, Quoted},
    timer::Timer,
    util::{fifo::Fifo, slab::Slab, token_bucket::TokenBucket},
    wire::{Flags, Seq, Sum, TcpHeader, TcpOptions, protocol},
};

/// The name of a connection of one stack. A connection that is gone leaves its name naming nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl ConnId {
    /// The connection's slot: a small number, its own while it lives, for tables beside the stack's.
    pub fn slot(self) -> usize {
        self.slot as usize
    }
}

/// The name of a listener of one stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl ListenerId {
    /// The listener's slot: a small number, its own while it lives.
    pub fn slot(self) -> usize {
        self.slot as usize
    }
}

/// Something that the application may be waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TcpEvent {
    /// A listener has a connection to accept.
    Acceptable(ListenerId),
    /// Bits of `Events` for a connection.
    Connection(ConnId, u8),
}

/// All of TCP in one stack.
pub(crate) struct Tcp {
    pub(crate) config: TcpConfig,
    pub(super) timing: Timing,
    pub(crate) secrets: Secrets,
    pub(super) demux: Demux,
    pub(super) conns: Slab<Box<Connection>>,
    /// The memory of connections that are over, for the next ones.
    #[allow(clippy::vec_box)] // the boxes are what is kept
    pub(super) spare: Vec<Box<Connection>>,
    half_open: Slab<HalfOpen>,
    /// Where the last one that gave way was.
    half_open_hand: u32,
    pub(super) time_wait: TimeWaits,
    pub(super) listeners: Listeners,
    /// Connections with something to send, in the order in which they got it.
    pub(super) dirty: Fifo<u32>,
    pub(super) events: Signals,
    pub(super) challenge: TokenBucket,
    /// Cookies were sent lately: ACKs of unknown connections may be their answers.
    cookies_until: Instant,
    time_wait_armed: bool,
    pub(super) last: LastFlows,
    /// Whom a connection was last opened to from an address that was chosen for it, and the address.
    pub(super) last_opened: Option<(IpAddr, IpAddr)>,
}

impl Tcp {
    /// Memory of so many connections that are over is kept.
    const SPARE: usize = 64;

    pub(crate) fn new(config: TcpConfig, net: &mut Net) -> Self {
        let per_second = config.challenge_acks_per_second.max(1);
        Self {
            secrets: Secrets::new(&mut net.rng),
            demux: Demux::new(&mut net.rng),
            conns: Slab::default(),
            spare: Vec::new(),
            half_open: Slab::default(),
            half_open_hand: 0,
            time_wait: TimeWaits::default(),
            listeners: Listeners::default(),
            dirty: Fifo::default(),
            events: Signals::default(),
            challenge: TokenBucket::new(per_second, std::time::Duration::from_secs(1) / per_second),
            cookies_until: Instant::ZERO,
            time_wait_armed: false,
            last: LastFlows::NONE,
            last_opened: None,
            timing: Timing::of(&config),
            config,
        }
    }

    /// A packet with a TCP segment arrived.
    #[inline]
    pub(crate) fn on_packet(&mut self, packet: Packet, net: &mut Net, now: Instant) {
        net.counters.tcp_segments_received += 1;
        // RFC 1122 section 4.2.3.10: A TCP implementation MUST silently discard an incoming SYN segment that is addressed to a
        // broadcast or multicast address.
        if !packet.unicast {
            net.counters.drop_tcp_bad_address += 1;
            return;
        }
        let Some((tuple, mut seg)) = parse(packet, net) else { return };
        let hash = self.demux.hash(&tuple);
        match self.find(hash, &tuple) {
            Some(target) => self.dispatch(target, hash, &tuple, &mut seg, net, now),
            None => self.on_unknown(hash, &tuple, &seg, Seq(0), net, now),
        }
    }

    /// A segment for something that is known.
    #[inline(never)]
    pub(super) fn dispatch(
        &mut self,
        target: Target,
        hash: u32,
        tuple: &Tuple,
        seg: &mut Segment,
        net: &mut Net,
        now: Instant,
    ) {
        match target {
            Target::Connection(slot) => self.with_conn(slot, net, now, |conn, cx| {
                conn.on_segment(seg, cx);
                // What must be acknowledged at once is, before the next frame of the burst is looked at.
                if conn.must_acknowledge() && !conn.acknowledge_orderly(cx) {
                    conn.transmit(cx);
                }
            }),
            Target::HalfOpen(slot) => self.on_half_open(slot, hash, seg, net, now),
            Target::TimeWait(slot) => self.on_time_wait(slot, hash, tuple, seg, net, now),
        }
    }

    #[inline(never)]
    pub(super) fn find(&self, hash: u32, tuple: &Tuple) -> Option<Target> {
        self.demux.find(hash, |target| match target {
            Target::Connection(slot) => self.conns.get(slot).is_some_and(|c| c.tuple == *tuple),
            Target::HalfOpen(slot) => self.half_open.get(slot).is_some_and(|h| h.tuple == *tuple),
            Target::TimeWait(slot) => self.time_wait.is(slot, tuple),
        })
    }

    /// Let a connection work, and see to what came of it: output, events, timers, its end.
    #[inline]
    pub(super) fn with_conn<R>(
        &mut self,
        slot: u32,
        net: &mut Net,
        now: Instant,
        work: impl FnOnce(&mut Connection, &mut Cx<'_>) -> R,
    ) -> R
    where
        R: Default,
    {
        let Some(conn) = self.conns.get_mut(slot) else { return R::default() };
        let mut cx =
            Cx { now, net, config: &self.config, timing: &self.timing, challenge: &mut self.challenge };
        conn.disturb();
        let result = work(conn, &mut cx);
        self.settle(slot, net, now);
        result
    }

    /// After work on a connection.
    #[inline(never)]
    pub(super) fn settle(&mut self, slot: u32, net: &mut Net, now: Instant) {
        let generation = self.conns.generation(slot);
        let Some(conn) = self.conns.get_mut(slot) else { return };
        conn.disturb();
        if conn.events.0 != 0 && !conn.is_orphan() && !conn.signalled {
            conn.signalled = true;
            self.events.push_back(Signal::Connection(ConnId { slot, generation }));
        }
        if !conn.dirty && conn.has_output() {
            conn.dirty = true;
            self.dirty.push_back(slot);
        }
        conn.arm(conn.deadline(), slot, generation, net);
        if matches!(conn.state, State::Closed | State::TimeWait) {
            self.retire(slot, net, now);
        }
    }

    /// A connection is over for the network: TIME-WAIT or nothing takes its place, and its slot lives on while the
    /// application holds it.
    #[inline(never)]
    fn retire(&mut self, slot: u32, net: &mut Net, now: Instant) {
        let Some(conn) = self.conns.get_mut(slot) else { return };
        conn.disarm(net);
        self.last = LastFlows::NONE;
        if conn.is_fast_open_pending() {
            let tuple = conn.tuple;
            self.forget_fast_open(slot, &tuple, now);
        }
        let Some(conn) = self.conns.get_mut(slot) else { return };
        let (hash, orphan) = (self.demux.hash(&conn.tuple), conn.is_orphan());
        let name = Target::Connection(slot);
        if conn.state == State::TimeWait {
            // The ACK of the peer's FIN must leave before the connection does.
            if conn.has_output() {
                let mut cx = Cx {
                    now,
                    net,
                    config: &self.config,
                    timing: &self.timing,
                    challenge: &mut self.challenge,
                };
                conn.transmit(&mut cx);
            }
            // Once only: what the application still holds may come here again.
            if self.demux.replace(hash, name, Target::TimeWait(self.time_wait.next())) {
                self.time_wait.insert(&conn.tuple, &conn.remains(), now + self.config.time_wait);
                if self.time_wait.entries() > self.config.time_wait_limit
                    && let Some(due) = self.time_wait.pop_due(now, true)
                {
                    self.on_time_wait_due(due);
                }
            }
            self.arm_time_wait(net);
        } else {
            self.demux.remove(hash, name);
        }
        if orphan {
            self.forget_connection(slot);
        }
    }

    /// Nobody knows the connection in `slot` any more, or will.
    pub(super) fn forget_connection(&mut self, slot: u32) {
        let Some(mut conn) = self.conns.remove(slot) else { return };
        conn.let_go();
        if self.spare.len() < Self::SPARE {
            self.spare.push(conn);
        }
    }

    /// Memory for a connection.
    pub(super) fn spare_connection(&mut self) -> Box<Connection> {
        self.spare.pop().unwrap_or_else(Connection::blank)
    }

    /// A segment for nothing that is known: a SYN for a listener, the answer to a cookie, or a stray.
    #[inline(never)]
    pub(super) fn on_unknown(
        &mut self,
        hash: u32,
        tuple: &Tuple,
        seg: &Segment,
        isn_after: Seq,
        net: &mut Net,
        now: Instant,
    ) {
        let flags = seg.header.flags;
        let listener = self.listeners.find(tuple.local, tuple.local_port);
        let mut cx =
            Cx { now, net, config: &self.config, timing: &self.timing, challenge: &mut self.challenge };
        let Some(listener) = listener else {
            cx.net.counters.drop_tcp_no_connection += 1;
            return reset::answer(tuple, seg, &mut cx);
        };
        // RFC 9293 section 3.10.7.2: first, check for a RST: "should be ignored".
        if flags.has(Flags::RST) {
            cx.net.counters.drop_tcp_bad_reset += 1;
            return;
        }
        // Second, check for an ACK: "Any acknowledgment is bad if it arrives on a connection still in the LISTEN state", unless it
        // answers a cookie.
        if flags.has(Flags::ACK) {
            if !flags.has(Flags::SYN) && now < self.cookies_until {
                if let Some(facts) = cookies::check(self.secrets.cookie, tuple, seg, now) {
                    return self.open_by_cookie(hash, tuple, listener, facts, seg, net, now);
                }
                cx.net.counters.drop_tcp_bad_cookie += 1;
            } else {
                cx.net.counters.drop_tcp_no_connection += 1;
            }
            return reset::answer(tuple, seg, &mut cx);
        }
        // Third, check for a SYN. One with a FIN as well makes no sense.
        if !flags.has(Flags::SYN) || flags.has(Flags::FIN) {
            cx.net.counters.drop_tcp_no_connection += 1;
            return;
        }
        let (mut iss, offset) = self.secrets.opening(tuple, now);
        let Some(options) = self.listeners.slab.get(listener).map(|l| &l.options) else { return };
        let window = RecvWindow::initial(&self.config, options);
        let window =
            half_open::Offer { window: window.in_syn(), shift: window.shift, most: options.max_segment };
        if isn_after != Seq(0) && iss.before(isn_after) {
            iss = isn_after;
        }
        let mut cookie = None;
        if seg.options.fast_open.is_some() || !seg.payload.is_empty() {
            let opening = (listener, (iss, offset), window);
            match self.open_by_syn(hash, tuple, opening, seg, net, now) {
                Opening::Done => return,
                Opening::Ordinary(answer) => cookie = answer,
            }
        }
        if self.half_open.len() >= self.config.half_open_limit && !self.reclaim_half_open(net) {
            let mut cx =
                Cx { now, net, config: &self.config, timing: &self.timing, challenge: &mut self.challenge };
            if !self.config.syn_cookies {
                cx.net.counters.drop_tcp_listen_overflow += 1;
                return;
            }
            cookies::send(self.secrets.cookie, tuple, offset, window, seg, &mut cx);
            self.cookies_until = now + std::time::Duration::from_secs(128);
            return;
        }
        let cx =
            &mut Cx { now, net, config: &self.config, timing: &self.timing, challenge: &mut self.challenge };
        let name = (listener, self.listeners.slab.generation(listener));
        let mut entry = HalfOpen::new(*tuple, name, iss, offset, window, seg, cx);
        cx.net.counters.tcp_fast_open_cookies_sent += u64::from(cookie.is_some());
        entry.send_syn_ack_with(cookie, cx);
        let (slot, generation) = self.half_open.next();
        entry.timer = cx.net.timers.insert(entry.deadline(cx), Timer::HalfOpen(slot, generation));
        self.half_open.insert(entry);
        self.demux.insert(hash, Target::HalfOpen(slot));
    }

    /// Make room for a half-open connection: one whose SYN-ACK had to be sent again is a flood's, or its client has gone, and gives way. So
    /// the table is as good as empty soon after a flood. A few places are looked at for each SYN, not all.
    #[cold]
    fn reclaim_half_open(&mut self, net: &mut Net) -> bool {
        const LOOKS: u32 = 8;
        let places = self.config.half_open_limit.max(1) as u32;
        for _ in 0..LOOKS.min(places) {
            self.half_open_hand = (self.half_open_hand + 1) % places;
            let slot = self.half_open_hand;
            if let Some(entry) = self.half_open.get(slot).filter(|entry| entry.retries >= 1) {
                let hash = self.demux.hash(&entry.tuple);
                self.forget_half_open(slot, hash, net);
                return true;
            }
        }
        false
    }

    fn on_half_open(&mut self, slot: u32, hash: u32, seg: &mut Segment, net: &mut Net, now: Instant) {
        let Some(entry) = self.half_open.get_mut(slot) else { return };
        let mut cx =
            Cx { now, net, config: &self.config, timing: &self.timing, challenge: &mut self.challenge };
        match entry.on_segment(seg, &mut cx) {
            half_open::Verdict::Done => {}
            half_open::Verdict::Remove => self.forget_half_open(slot, hash, net),
            half_open::Verdict::Complete => match Self::accept_room(&self.listeners, entry) {
                Some(true) => {
                    let entry = *entry;
                    net.timers.cancel(entry.timer);
                    self.half_open.remove(slot);
                    self.open(hash, &entry, Some(Target::HalfOpen(slot)), seg, net, now);
                }
                Some(false) => net.counters.drop_tcp_accept_overflow += 1,
                // The listener is gone.
                None => {
                    let tuple = entry.tuple;
                    reset::answer(&tuple, seg, &mut cx);
                    self.forget_half_open(slot, hash, net);
                }
            },
        }
    }

    fn forget_half_open(&mut self, slot: u32, hash: u32, net: &mut Net) {
        self.demux.remove(hash, Target::HalfOpen(slot));
        if let Some(entry) = self.half_open.remove(slot) {
            net.timers.cancel(entry.timer);
        }
    }

    fn accept_room(listeners: &Listeners, entry: &HalfOpen) -> Option<bool> {
        let listener = listeners.slab.named(entry.listener.0, entry.listener.1)?;
        Some(listener.ready.len() < listener.backlog)
    }

    #[allow(clippy::too_many_arguments)] // an internal step of one segment's way
    #[cold]
    fn open_by_cookie(
        &mut self,
        hash: u32,
        tuple: &Tuple,
        listener: u32,
        facts: cookies::Facts,
        seg: &Segment,
        net: &mut Net,
        now: Instant,
    ) {
        let (_, offset) = self.secrets.opening(tuple, now);
        let name = (listener, self.listeners.slab.generation(listener));
        let entry = HalfOpen::from_cookie(*tuple, name, facts, offset, seg, now);
        if Self::accept_room(&self.listeners, &entry) == Some(true) {
            net.counters.tcp_cookies_accepted += 1;
            let mut seg = seg.clone();
            self.open(hash, &entry, None, &mut seg, net, now);
        } else {
            net.counters.drop_tcp_accept_overflow += 1;
        }
    }

    /// The handshake is complete: make the connection, and let it have the segment that completed it. `half`: what its tuple stood for
    /// until now; nothing, if it was a cookie that was answered.
    #[inline(never)]
    fn open(
        &mut self,
        hash: u32,
        entry: &HalfOpen,
        half: Option<Target>,
        seg: &mut Segment,
        net: &mut Net,
        now: Instant,
    ) {
        let mut conn = self.spare_connection();
        let (slot, generation) = entry.listener;
        let Some(listener) = self.listeners.slab.named_mut(slot, generation) else { return };
        let agreed = entry.agreed(seg, now, half.is_none());
        let mut cx =
            Cx { now, net, config: &self.config, timing: &self.timing, challenge: &mut self.challenge };
        conn.accept(&entry.tuple, &agreed, &listener.options, &mut cx);
        // Most often it is a bare ACK, of which there is nothing more to learn.
        let bare = seg.len() == 0 && conn.expects_handshake_ack(seg);
        let (conn_slot, conn_generation) = self.conns.insert(conn);
        listener.ready.push_back(ConnId { slot: conn_slot, generation: conn_generation });
        if !listener.signalled {
            listener.signalled = true;
            self.events.push_back(Signal::Listener(ListenerId { slot, generation }));
        }
        let name = Target::Connection(conn_slot);
        if !half.is_some_and(|half| self.demux.replace(hash, half, name)) {
            self.demux.insert(hash, name);
        }
        if bare {
            self.settle(conn_slot, net, now);
        } else {
            self.with_conn(conn_slot, net, now, |conn, cx| conn.on_segment(seg, cx));
        }
    }

    fn on_time_wait(
        &mut self,
        slot: u32,
        hash: u32,
        tuple: &Tuple,
        seg: &Segment,
        net: &mut Net,
        now: Instant,
    ) {
        let can_open = self.listeners.find(tuple.local, tuple.local_port).is_some();
        let mut cx =
            Cx { now, net, config: &self.config, timing: &self.timing, challenge: &mut self.challenge };
        match self.time_wait.on_segment(slot, seg, &mut cx) {
            time_wait::Verdict::Reopen(after) if can_open => {
                self.demux.remove(hash, Target::TimeWait(slot));
                self.time_wait.remove(slot);
                self.on_unknown(hash, tuple, seg, after, net, now);
            }
            time_wait::Verdict::Reopen(_) => reset::answer(tuple, seg, &mut cx),
            time_wait::Verdict::Done => {}
        }
    }

    /// What became of the oldest TIME-WAIT entry.
    fn on_time_wait_due(&mut self, due: time_wait::Due) {
        match due {
            time_wait::Due::Over(tuple, slot) => {
                let hash = self.demux.hash(&tuple);
                self.demux.remove(hash, Target::TimeWait(slot));
            }
            time_wait::Due::Later(tuple, from, to) => {
                let hash = self.demux.hash(&tuple);
                self.demux.replace(hash, Target::TimeWait(from), Target::TimeWait(to));
            }
        }
    }

    fn arm_time_wait(&mut self, net: &mut Net) {
        if !self.time_wait_armed
            && let Some(at) = self.time_wait.deadline()
        {
            self.time_wait_armed = true;
            net.timers.insert(at, Timer::TimeWait);
        }
    }

    // ---- time

    /// A connection's appointment has come.
    pub(crate) fn on_conn_timer(&mut self, slot: u32, generation: u32, net: &mut Net, now: Instant) {
        let Some(conn) = self.conns.named_mut(slot, generation) else { return };
        if conn.armed > now {
            return; // an earlier appointment has taken its place
        }
        conn.armed = Instant::FAR_FUTURE;
        self.with_conn(slot, net, now, |conn, cx| {
            conn.on_time(cx);
        });
    }

    /// A SYN-ACK was not answered.
    pub(crate) fn on_half_open_timer(&mut self, slot: u32, generation: u32, net: &mut Net, now: Instant) {
        let Some(entry) = self.half_open.named_mut(slot, generation) else { return };
        entry.retries += 1;
        // RFC 9293 (MUST-23) is about SYNs of ours that a user waits for; a client that does not answer five SYN-ACKs (a
        // minute) has gone.
        if entry.retries > 5 {
            let hash = self.demux.hash(&entry.tuple);
            return self.forget_half_open(slot, hash, net);
        }
        let mut cx =
            Cx { now, net, config: &self.config, timing: &self.timing, challenge: &mut self.challenge };
        entry.send_syn_ack(&mut cx);
        cx.net.counters.tcp_retransmits += 1;
        let deadline = entry.deadline(&cx);
        entry.timer = net.timers.insert(deadline, Timer::HalfOpen(slot, generation));
    }

    /// TIME-WAIT entries may be due.
    pub(crate) fn on_time_wait_timer(&mut self, net: &mut Net, now: Instant) {
        self.time_wait_armed = false;
        while let Some(due) = self.time_wait.pop_due(now, false) {
            self.on_time_wait_due(due);
        }
        self.arm_time_wait(net);
    }

    // ---- out

    /// Whether no connection has anything to send now.
    #[inline]
    pub(crate) fn dirty_is_empty(&self) -> bool {
        self.dirty.is_empty()
    }

    /// Let dirty connections send until none is left or the transmit queue is full.
    #[inline(always)]
    pub(crate) fn transmit(&mut self, net: &mut Net, now: Instant) {
        while let Some(slot) = self.dirty.pop_front() {
            let Some((generation, conn)) = self.conns.entry_mut(slot) else { continue };
            // The way of nearly every request and response.
            if conn.transmit_predicted(net, &self.timing, now) {
                conn.dirty = false;
                conn.arm(conn.predicted_deadline(), slot, generation, net);
                continue;
            }
            let mut cx =
                Cx { now, net, config: &self.config, timing: &self.timing, challenge: &mut self.challenge };
            // And that of a SYN, or a FIN.
            if conn.transmit_brief(&mut cx) {
                conn.dirty = false;
                conn.arm(conn.deadline(), slot, generation, net);
                continue;
            }
            let blocked = conn.transmit(&mut cx) == super::conn::Transmit::Blocked;
            // Output the window does not allow now is not dirt: what opens the window is an event of its own.
            conn.dirty = blocked;
            conn.arm(conn.deadline(), slot, generation, net);
            if matches!(conn.state, State::Closed | State::TimeWait) {
                self.retire(slot, net, now);
            }
            if blocked {
                self.dirty.push_front(slot);
                return;
            }
        }
    }

    /// An ICMP error quotes a segment of ours.
    pub(crate) fn on_icmp(&mut self, quoted: &Quoted, net: &mut Net, now: Instant) {
        let tuple = Tuple {
            local: quoted.local.0,
            local_port: quoted.local.1,
            remote: quoted.remote.0,
            remote_port: quoted.remote.1,
        };
        match self.find(self.demux.hash(&tuple), &tuple) {
            Some(Target::Connection(slot)) => {
                self.with_conn(slot, net, now, |conn, cx| conn.on_icmp(quoted.seq, quoted.error, cx));
            }
            _ => net.counters.drop_icmp_unverified += 1,
        }
    }

    /// A frame for a connection could not be sent, because its next hop does not answer.
    pub(crate) fn on_unreachable(&mut self, tuple: &Tuple, net: &mut Net, now: Instant) {
        if let Some(Target::Connection(slot)) = self.find(self.demux.hash(tuple), tuple) {
            self.with_conn(slot, net, now, Connection::on_unreachable);
        }
    }

    /// The next event, if there is one.
    #[inline(always)]
    pub(crate) fn poll_event(&mut self) -> Option<TcpEvent> {
        if self.events.is_empty() { None } else { self.next_event() }
    }

    #[inline(never)]
    fn next_event(&mut self) -> Option<TcpEvent> {
        while let Some(signal) = self.events.pop_front() {
            match signal {
                Signal::Connection(id) => {
                    if let Some(conn) = self.conns.named_mut(id.slot, id.generation) {
                        conn.signalled = false;
                        let bits = conn.events.take();
                        if bits != 0 {
                            return Some(TcpEvent::Connection(id, bits));
                        }
                    }
                }
                Signal::Listener(id) => {
                    if let Some(l) = self.listeners.slab.named_mut(id.slot, id.generation) {
                        l.signalled = false;
                        return Some(TcpEvent::Acceptable(id));
                    }
                }
            }
        }
        None
    }
}

/// From packet to segment: checksum, header, options.
#[inline]
fn parse(packet: Packet, net: &mut Net) -> Option<(Tuple, Segment)> {
    let Packet { src, dst, ecn, verified, mut bytes, whole, .. } = packet;
    drop(whole);
    let Ok((header, raw)) = TcpHeader::parse(&bytes) else {
        net.counters.drop_tcp_malformed += 1;
        return None;
    };
    // RFC 9293 section 3.1 (MUST-3): The receiver MUST check the checksum.
    if !verified && !Sum::pseudo(src, dst, protocol::TCP, bytes.len() as u32).bytes(&bytes).is_intact() {
        net.counters.drop_tcp_bad_checksum += 1;
        return None;
    }
    let options = TcpOptions::parse(raw);
    bytes.advance(usize::from(header.header_len));
    let tuple = Tuple { local: dst, remote: src, local_port: header.dst_port, remote_port: header.src_port };
    Some((tuple, Segment { header, options, payload: bytes, ecn }))
}
