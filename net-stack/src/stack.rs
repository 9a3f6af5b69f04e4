//! [`Stack`]: frames and calls in, frames and completions out.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use hemi_queue::{Buf, Pool, Sga, time::Instant};

use crate::{
    config::StackConfig,
    cores::{ClaimError, Cores, Fact, Parcel, Place, Protocol, Told, What},
    counters::Counters,
    device::Caps,
    frame::{RxFrame, TxFrame, TxQueue},
    ip::{Net, Upper},
    tcp::{
        ConnError, ConnId, Connection, Events, FastOpenPeers, Keys, ListenerId, Snapshot, State, Tcp,
        TcpConfig, TcpEvent, TcpOptionsConfig,
    },
    timer::Timer,
    udp::{Datagram, Udp, UdpError, UdpId},
    wire::{EtherType, EthernetHeader, Ipv4Header, Ipv6Header, protocol},
};

/// What has happened to a connection, as flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readiness(u8);

impl Readiness {
    /// The active open succeeded.
    pub fn connected(self) -> bool {
        self.0 & Events::CONNECTED != 0
    }
    /// There is something to pop, or the end, or an error.
    pub fn readable(self) -> bool {
        self.0 & Events::READABLE != 0
    }
    /// The send buffer is under its limit again, or the connection is over.
    pub fn writable(self) -> bool {
        self.0 & Events::WRITABLE != 0
    }
    /// Everything pushed is acknowledged ([`Stack::tcp_want_acked`]), our FIN is, or the connection is over.
    pub fn acked(self) -> bool {
        self.0 & Events::ACKED != 0
    }
    /// Nothing more will happen on the network.
    pub fn closed(self) -> bool {
        self.0 & Events::CLOSED != 0
    }
}

/// A completion: who should look again, and at what. Edges, not levels: an event is told once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A listener has connections to accept.
    Acceptable(ListenerId),
    /// Something changed on a connection.
    Tcp(ConnId, Readiness),
    /// A UDP socket has datagrams or an error.
    Udp(UdpId),
}

/// A user-level network stack for one interface, as a pure state machine.
///
/// # How it is driven
/// Once per turn, with the turn's clock:
/// 1. [`receive`](Self::receive) for each frame of the device's burst;
/// 2. [`advance`](Self::advance), which lets timers fire and lets whoever has something to send fill the transmit queue;
/// 3. [`tx_queue`](Self::tx_queue) to the device, which takes what it has room for;
/// 4. [`poll_event`](Self::poll_event) until `None`, waking those who wait.
///
/// Before sleeping, [`deadline`](Self::deadline) says when to come back at the latest. Calls of the application (`tcp_*`, `udp_*`) may
/// come at any time in between; what they cause to be sent leaves with the next `advance`.
///
/// It reads no clock and no random source: the same calls with the same seed give the same frames. Nothing panics,
/// whatever the frames hold.
///
/// ```
/// use hemi_net::{Caps, Stack, StackConfig, wire::MacAddr};
/// use hemi_queue::{Pool, time::Instant};
///
/// let config = StackConfig::with_addresses(["10.0.0.1/24".parse()?]);
/// let caps = Caps::ethernet(MacAddr([2, 0, 0, 0, 0, 1]));
/// let mut stack = Stack::new(config, caps, Pool::new()?, 42);
///
/// let to = "10.0.0.2:80".parse()?;
/// let conn = stack.tcp_connect(to, None, Default::default(), Instant::ZERO)?;
/// stack.advance(Instant::ZERO);
/// // First an announcement of our address and the question who has 10.0.0.2; the SYN waits for the answer.
/// assert_eq!(stack.tx_queue().len(), 2);
/// assert!(stack.deadline().is_some());
/// # let _ = conn;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Stack {
    net: Net,
    tcp: Tcp,
    udp: Udp,
    /// The addresses are in use, and everybody was told of them who is to be.
    announced: bool,
    announce: bool,
    /// Ask for duplicates before that.
    detect: bool,
    /// Another core asks and tells.
    silent: bool,
}

impl Stack {
    /// A stack over an interface that is as `caps` say, with memory from `pool`; everything random in it comes from `seed`.
    pub fn new(config: StackConfig, caps: Caps, pool: Pool, seed: u64) -> Self {
        let mut net = Net::new(caps, config.tx_queue.max(8), pool, seed);
        net.ttl = config.ttl.max(1);
        net.reassembly.refuse = !config.reassemble;
        net.redirects.ignored = !config.redirects;
        config.addresses.into_iter().for_each(|cidr| net.addresses.add(cidr));
        config.routes.into_iter().for_each(|route| net.routes.add(route));
        net.fast_open = FastOpenPeers::new(config.tcp.fast_open_peers);
        let tcp = Tcp::new(config.tcp, &mut net);
        let detect = config.detect_duplicates;
        let announced = !config.announce && !detect;
        Self { net, tcp, udp: Udp::default(), announced, announce: config.announce, detect, silent: false }
    }

    // ---- the turn

    /// Take in a received frame.
    #[inline]
    pub fn receive(&mut self, frame: RxFrame, now: Instant) {
        if let Some(frame) = self.tcp.on_predicted(frame, &mut self.net, now) {
            self.receive_any(frame, now);
        }
    }

    /// A frame that is not the next segment of an established connection, or not quite.
    fn receive_any(&mut self, frame: RxFrame, now: Instant) {
        // With several cores it may be for a socket of another one.
        let frame = if self.net.cores.is_some() || self.net.looping {
            frame
        } else {
            match self.udp.on_predicted(frame, &mut self.net) {
                None => return,
                Some(frame) => frame,
            }
        };
        match self.net.receive(frame, now) {
            None => {}
            Some(upper) if self.net.cores.is_some() => self.sort(upper, 0, now),
            Some(upper) => self.deliver(upper, now),
        }
    }

    fn deliver(&mut self, upper: Upper, now: Instant) {
        match upper {
            Upper::Tcp(packet) => self.tcp.on_packet(packet, &mut self.net, now),
            Upper::Udp(packet) => self.udp.on_packet(packet, &mut self.net, now),
            Upper::Error(quoted) if quoted.protocol == protocol::TCP => {
                self.tcp.on_icmp(&quoted, &mut self.net, now);
            }
            Upper::Error(quoted) => self.udp.on_icmp(&quoted, &mut self.net, now),
            Upper::Fragment(..) => {}
        }
    }

    /// Let timers fire that are due at `now`, and let connections send.
    #[inline]
    pub fn advance(&mut self, now: Instant) {
        if !self.announced {
            self.begin(now);
        }
        while let Some(timer) = self.net.timers.pop(now) {
            self.on_timer(timer, now);
        }
        self.tcp.transmit(&mut self.net, now);
        if !self.net.looped.is_empty() {
            self.receive_looped(now);
        }
    }

    /// The first turn, and those until our addresses are ours.
    #[cold]
    fn begin(&mut self, now: Instant) {
        if std::mem::take(&mut self.detect) {
            self.net.detect_duplicates(self.silent, now);
        }
        if self.net.detection.is_none() {
            self.announced = true;
            if self.announce && !self.silent {
                self.net.announce();
            }
        }
    }

    /// Whether [`conflict`](Self::conflict) may yet have something to tell.
    #[inline]
    pub(crate) fn is_settled(&self) -> bool {
        self.announced
    }

    /// Another station that has an address of ours, found by duplicate address detection ([`StackConfig::detect_duplicates`]): then none is used.
    pub fn conflict(&self) -> Option<crate::neighbor::Conflict> {
        self.net.detection.as_ref()?.conflict()
    }

    /// Packets to ourselves arrive in the same turn, up to a bound.
    #[cold]
    fn receive_looped(&mut self, now: Instant) {
        for _ in 0..64 {
            let Some(frame) = self.net.looped.pop_front() else { return };
            self.net.looping = true;
            self.receive(frame, now);
            self.net.looping = false;
            if self.net.looped.is_empty() {
                self.tcp.transmit(&mut self.net, now);
            }
        }
    }

    #[cold]
    fn on_timer(&mut self, timer: Timer, now: Instant) {
        let net = &mut self.net;
        match timer {
            Timer::Connection(slot, generation) => self.tcp.on_conn_timer(slot, generation, net, now),
            Timer::HalfOpen(slot, generation) => self.tcp.on_half_open_timer(slot, generation, net, now),
            Timer::TimeWait => self.tcp.on_time_wait_timer(net, now),
            Timer::Detection => {
                net.detection_timer(now);
                self.begin(now);
            }
            Timer::Reassembly => net.reassembly_timer(now),
            Timer::Neighbor(ip) => {
                for frame in net.neighbor_timer(ip, now) {
                    match transport_of(&frame) {
                        Some((protocol::TCP, tuple)) => self.tcp.on_unreachable(&tuple, net, now),
                        Some((protocol::UDP, tuple)) => self.udp.on_unreachable(&tuple),
                        _ => {}
                    }
                }
            }
        }
    }

    /// When [`advance`](Self::advance) must be called at the latest; `None` when nothing will happen by itself.
    pub fn deadline(&self) -> Option<Instant> {
        if !self.net.looped.is_empty() || (!self.announced && self.net.detection.is_none()) {
            return Some(Instant::ZERO);
        }
        self.net.timers.next_deadline()
    }

    /// Whether connections wait for room in the transmit queue.
    pub fn wants_tx(&self) -> bool {
        !self.tcp.dirty_is_empty()
    }

    /// Whether nothing is due and nothing waits to be sent: [`advance`](Self::advance) would do nothing.
    #[inline]
    pub(crate) fn is_quiet(&self, now: Instant) -> bool {
        self.net.tx.is_empty()
            && self.tcp.dirty_is_empty()
            && self.net.looped.is_empty()
            && self.announced
            && self.net.timers.next_deadline().is_none_or(|at| at > now)
    }

    /// The frames that wait for the device.
    #[inline]
    pub fn tx_queue(&mut self) -> &mut TxQueue {
        &mut self.net.tx
    }

    /// The next completion.
    #[inline(always)]
    pub fn poll_event(&mut self) -> Option<Event> {
        if let Some(event) = self.tcp.poll_event() {
            return Some(match event {
                TcpEvent::Acceptable(id) => Event::Acceptable(id),
                TcpEvent::Connection(id, bits) => Event::Tcp(id, Readiness(bits)),
            });
        }
        self.udp.poll_event().map(Event::Udp)
    }

    // ---- TCP

    /// Listen at `at` (unspecified: on all addresses; port 0: a free one). Returns the listener and where it is.
    pub fn tcp_listen(
        &mut self,
        at: SocketAddr,
        backlog: usize,
        only_v6: bool,
        options: TcpOptionsConfig,
    ) -> Result<(ListenerId, SocketAddr), ConnError> {
        self.tcp_listen_as(at, backlog, only_v6, options, true)
    }

    /// The same; with several cores `shared` says whether others may listen there as well. They then are one listener: port 0 is the same
    /// port on all, and each connection comes to one of them.
    pub fn tcp_listen_as(
        &mut self,
        at: SocketAddr,
        backlog: usize,
        only_v6: bool,
        options: TcpOptionsConfig,
        shared: bool,
    ) -> Result<(ListenerId, SocketAddr), ConnError> {
        let at = self.claim(Protocol::Tcp, at, only_v6, shared).map_err(|e| match e {
            ClaimError::InUse => ConnError::AddressInUse,
            ClaimError::NoPorts => ConnError::NoPorts,
        })?;
        let listener = self.tcp.listen(at, backlog, only_v6, options, &mut self.net);
        if listener.is_err() {
            self.release(Protocol::Tcp, at);
        }
        listener
    }

    /// The next established connection of a listener, if one waits.
    pub fn tcp_accept(&mut self, listener: ListenerId) -> Option<ConnId> {
        self.tcp.accept(listener)
    }

    /// Connections that a listener takes from now on have these options.
    pub fn tcp_set_listener_options(&mut self, listener: ListenerId, options: TcpOptionsConfig) {
        self.tcp.set_listener_options(listener, options);
    }

    /// How many established connections of a listener wait to be accepted.
    pub fn tcp_pending(&self, listener: ListenerId) -> usize {
        self.tcp.pending(listener)
    }

    /// Stop listening; connections not yet accepted are reset.
    pub fn tcp_close_listener(&mut self, listener: ListenerId, now: Instant) {
        if let Some(at) = self.tcp.listener_at(listener) {
            self.release(Protocol::Tcp, at);
        }
        self.tcp.close_listener(listener, &mut self.net, now);
    }

    /// Open a connection; [`Readiness::connected`] or [`Readiness::closed`] tells the outcome.
    #[allow(clippy::needless_pass_by_value)] // callers make them for the call
    pub fn tcp_connect(
        &mut self,
        remote: SocketAddr,
        local: Option<SocketAddr>,
        options: TcpOptionsConfig,
        now: Instant,
    ) -> Result<ConnId, ConnError> {
        self.tcp.connect(remote, local, &options, &mut self.net, now)
    }

    /// Whether a connection's SYN waits for data to carry ([`TcpOptionsConfig::fast_open`]).
    pub fn tcp_is_deferred(&self, conn: ConnId) -> bool {
        self.tcp.conn(conn).is_some_and(Connection::is_deferred)
    }

    /// Send the SYN that waits for data to carry, with what there is.
    pub fn tcp_open_now(&mut self, conn: ConnId, now: Instant) {
        self.tcp.open_now(conn, &mut self.net, now);
    }

    /// How many bytes the SYN of a connection could carry that waits for data ([`tcp_is_deferred`](Self::tcp_is_deferred)).
    pub fn tcp_deferred_room(&mut self, conn: ConnId, now: Instant) -> usize {
        self.tcp.deferred_room(conn, &mut self.net, now)
    }

    /// How many bytes the SYN of a connection with these options could carry; none when it would ask for a cookie, or do without Fast Open.
    #[allow(clippy::needless_pass_by_value)] // callers make them for the call
    pub fn tcp_syn_room(
        &mut self,
        remote: SocketAddr,
        local: Option<SocketAddr>,
        options: TcpOptionsConfig,
        now: Instant,
    ) -> Option<usize> {
        self.tcp.syn_room(remote, local, &options, &mut self.net, now)
    }

    /// Hand over a unit to be sent in order, whole, whatever its size; the buffers are shared, not copied. Refused with
    /// [`ConnError::Full`] at twice the send buffer's limit; under the limit again is [`Readiness::writable`].
    #[inline]
    pub fn tcp_push(&mut self, conn: ConnId, unit: Sga, _: Instant) -> Result<(), (ConnError, Sga)> {
        self.tcp.push(conn, unit)
    }

    /// The next received bytes, in the frame they came in; `Ok(None)` when there are none now or any more
    /// ([`tcp_is_at_end`](Self::tcp_is_at_end)). What had arrived before an error is delivered first.
    #[inline(always)]
    pub fn tcp_pop(&mut self, conn: ConnId, now: Instant) -> Result<Option<Buf>, ConnError> {
        self.tcp.pop(conn, now)
    }

    /// Whether the peer has finished and everything was popped (true also of a name that names nothing).
    pub fn tcp_is_at_end(&self, conn: ConnId) -> bool {
        self.tcp.conn(conn).is_none_or(Connection::is_at_end)
    }

    /// Bytes of send buffer that are free.
    pub fn tcp_send_room(&self, conn: ConnId) -> usize {
        self.tcp.conn(conn).map_or(0, Connection::send_room)
    }

    /// Bytes pushed and not acknowledged.
    #[inline]
    pub fn tcp_send_queue(&self, conn: ConnId) -> usize {
        self.tcp.conn(conn).map_or(0, Connection::send_queue)
    }

    /// Tell by [`Readiness::writable`] when fewer than `below` bytes are pushed and not acknowledged. Without this it is told
    /// when they are fewer than the send buffer's limit, after they were not.
    pub fn tcp_want_room(&mut self, conn: ConnId, below: usize) {
        self.tcp.want_room(conn, below);
    }

    /// Whether everything pushed is acknowledged.
    pub fn tcp_is_flushed(&self, conn: ConnId) -> bool {
        self.tcp.conn(conn).is_none_or(Connection::is_flushed)
    }

    /// Tell by [`Readiness::acked`] when everything pushed so far is acknowledged.
    pub fn tcp_want_acked(&mut self, conn: ConnId) {
        self.tcp.want_acked(conn);
    }

    /// The state, [`State::Closed`] of a name that names nothing.
    pub fn tcp_state(&self, conn: ConnId) -> State {
        self.tcp.conn(conn).map_or(State::Closed, |c| c.state)
    }

    /// Why a connection ended, if with an error.
    pub fn tcp_error(&self, conn: ConnId) -> Option<ConnError> {
        self.tcp.conn(conn).and_then(|c| c.error)
    }

    /// Our end and the other.
    pub fn tcp_addresses(&self, conn: ConnId) -> Option<(SocketAddr, SocketAddr)> {
        self.tcp.addresses(conn)
    }

    /// Half-close: after everything pushed, the peer learns that no more comes.
    pub fn tcp_shutdown(&mut self, conn: ConnId, now: Instant) {
        self.tcp.shutdown(conn, &mut self.net, now);
    }

    /// Close both directions: what was pushed goes out (within `linger`); with data unread, or arriving later, the peer is reset.
    pub fn tcp_close(&mut self, conn: ConnId, now: Instant) {
        self.tcp.close(conn, &mut self.net, now);
    }

    /// End at once with a reset.
    pub fn tcp_abort(&mut self, conn: ConnId, now: Instant) {
        self.tcp.abort(conn, &mut self.net, now);
    }

    /// Forget the name (and close, if that was not done). The connection ends as `tcp_close` says, by itself.
    pub fn tcp_release(&mut self, conn: ConnId, now: Instant) {
        self.tcp.release(conn, &mut self.net, now);
    }

    /// Nagle off (true) or on.
    pub fn tcp_set_nodelay(&mut self, conn: ConnId, nodelay: bool, now: Instant) {
        self.tcp.set_nodelay(conn, nodelay, &mut self.net, now);
    }

    /// Probe an idle peer after `idle`.
    pub fn tcp_set_keep_alive(&mut self, conn: ConnId, idle: Option<Duration>, now: Instant) {
        self.tcp.set_keep_alive(conn, idle, &mut self.net, now);
    }

    /// See [`TcpOptionsConfig::keep_alive_interval`] and [`TcpOptionsConfig::keep_alive_probes`].
    pub fn tcp_set_keep_alive_probes(
        &mut self,
        conn: ConnId,
        interval: Option<Duration>,
        probes: Option<u8>,
        now: Instant,
    ) {
        self.tcp.set_keep_alive_probes(conn, interval, probes, &mut self.net, now);
    }

    /// See [`TcpOptionsConfig::linger`].
    pub fn tcp_set_linger(&mut self, conn: ConnId, linger: Option<Duration>) {
        self.tcp.set_linger(conn, linger);
    }

    /// See [`TcpOptionsConfig::user_timeout`]; it counts from the next time that data is outstanding.
    pub fn tcp_set_user_timeout(&mut self, conn: ConnId, limit: Option<Duration>) {
        self.tcp.set_user_timeout(conn, limit);
    }

    /// See [`TcpOptionsConfig::send_buffer`].
    pub fn tcp_set_send_buffer(&mut self, conn: ConnId, bytes: usize, now: Instant) {
        self.tcp.set_send_buffer(conn, bytes, &mut self.net, now);
    }

    /// See [`TcpOptionsConfig::recv_buffer`]; at most what the window scale that was agreed on can tell.
    pub fn tcp_set_recv_buffer(&mut self, conn: ConnId, bytes: usize) {
        self.tcp.set_recv_buffer(conn, bytes);
    }

    // ---- UDP

    /// Open a UDP socket. `limit`: bytes of memory that waiting datagrams may pin.
    pub fn udp_bind(
        &mut self,
        at: SocketAddr,
        limit: usize,
        broadcast: bool,
    ) -> Result<(UdpId, SocketAddr), UdpError> {
        self.udp_bind_as(at, limit, broadcast, true)
    }

    /// The same; with several cores `shared` says whether others may bind the address as well. Each datagram then comes to one of them, by its flow. A
    /// port that was chosen (0) is this core's alone.
    pub fn udp_bind_as(
        &mut self,
        at: SocketAddr,
        limit: usize,
        broadcast: bool,
        shared: bool,
    ) -> Result<(UdpId, SocketAddr), UdpError> {
        let ports = self.tcp.config.ephemeral_ports;
        let shared = shared && at.port() != 0;
        let at = self.claim(Protocol::Udp, at, false, shared).map_err(|e| match e {
            ClaimError::InUse => UdpError::AddressInUse,
            ClaimError::NoPorts => UdpError::NoPorts,
        })?;
        let socket = self.udp.bind(at, limit, broadcast, ports, &mut self.net);
        if socket.is_err() {
            self.release(Protocol::Udp, at);
        }
        socket
    }

    /// Send to and receive from `peer` only.
    pub fn udp_connect(&mut self, socket: UdpId, peer: SocketAddr) -> Result<(), UdpError> {
        self.udp.connect(socket, peer)
    }

    /// The connected peer.
    pub fn udp_peer(&self, socket: UdpId) -> Option<SocketAddr> {
        self.udp.peer(socket)
    }

    /// The addresses of ours at which every datagram, from its peer if it has one, reaches this socket and no other.
    pub fn udp_destinations(&self, socket: UdpId) -> Vec<SocketAddr> {
        self.udp.destinations(socket, &self.net)
    }

    /// Send one datagram, fragmented if it is larger than the path carries.
    pub fn udp_send(
        &mut self,
        socket: UdpId,
        payload: Sga,
        to: Option<SocketAddr>,
        now: Instant,
    ) -> Result<(), (UdpError, Sga)> {
        self.udp.send(socket, payload, to, &mut self.net, now)
    }

    /// The next datagram; an ICMP error for a connected socket is an `Err`, once.
    pub fn udp_recv(&mut self, socket: UdpId) -> Result<Option<Datagram>, UdpError> {
        self.udp.recv(socket)
    }

    /// Close a socket; what was sent still goes out.
    pub fn udp_close(&mut self, socket: UdpId) {
        if let Some(at) = self.udp.local(socket) {
            self.release(Protocol::Udp, at);
        }
        self.udp.close(socket);
    }

    // ---- other cores

    /// Share the addresses with other stacks.
    pub(crate) fn join(&mut self, cores: Cores) {
        // One of them is enough to tell everybody.
        self.silent |= cores.index() > 0;
        self.announced |= self.silent && !self.detect;
        self.net.ident = self.net.ident / cores.count() as u32 * cores.count() as u32 + cores.index() as u32;
        // What we let ourselves be made to say is limited for all cores together (RFC 4443 section 2.4 (f)).
        for limit in [&mut self.net.icmp_limit, &mut self.net.reset_limit] {
            limit.share(cores.count() as u32);
        }
        self.net.pmtu.news = Some(std::collections::VecDeque::new());
        self.tcp.secrets.fast_open = Keys::of(cores.secret);
        self.net.cores = Some(Box::new(cores));
    }

    /// A packet that another core has handed over.
    pub(crate) fn receive_parcel(&mut self, parcel: Parcel, now: Instant) {
        self.net.counters.cores_taken_over += 1;
        let visited = parcel.visited;
        if let Some(upper) = self.open_parcel(parcel, now) {
            self.sort(upper, visited, now);
        }
    }

    /// A packet that was for a core which has just ended: it ends here.
    pub(crate) fn keep_parcel(&mut self, parcel: Parcel, now: Instant) {
        if let Some(upper) = self.open_parcel(parcel, now) {
            self.deliver(upper, now);
        }
    }

    fn open_parcel(&mut self, parcel: Parcel, now: Instant) -> Option<Upper> {
        Some(match parcel.what {
            What::Tcp(packet) => Upper::Tcp(packet),
            What::Udp(packet) => Upper::Udp(packet),
            What::Error(quoted) => Upper::Error(quoted),
            What::Fragment(fragment) => self.net.receive_fragment(fragment, now)?,
        })
    }

    /// Take in what is ours, and keep what is another core's for it.
    fn sort(&mut self, upper: Upper, visited: u64, now: Instant) {
        let Some((core, visited)) = self.elsewhere(&upper, visited) else { return self.deliver(upper, now) };
        let what = match upper {
            Upper::Tcp(packet) => What::Tcp(packet),
            Upper::Udp(packet) => What::Udp(packet),
            Upper::Error(quoted) => What::Error(quoted),
            Upper::Fragment(_, fragment) => What::Fragment(fragment),
        };
        if let Some(cores) = &mut self.net.cores {
            self.net.counters.cores_handed_over += 1;
            cores.parcels.push_back((core, Parcel { what, visited }));
        }
    }

    fn elsewhere(&self, upper: &Upper, visited: u64) -> Option<(usize, u64)> {
        let cores = self.net.cores.as_ref()?;
        let place = match upper {
            Upper::Fragment(core, _) => return Some((*core, 0)),
            Upper::Udp(packet) => {
                let (remote, local) = packet.ends()?;
                cores.place_datagram(remote, local)
            }
            Upper::Tcp(packet) => {
                let (remote, local) = packet.ends()?;
                cores.place_segment(remote, local, visited, || self.tcp.knows(remote, local))
            }
            Upper::Error(quoted) => {
                let (remote, local) = (SocketAddr::from(quoted.remote), SocketAddr::from(quoted.local));
                if quoted.protocol == protocol::TCP {
                    cores.place_segment(remote, local, visited, || self.tcp.knows(remote, local))
                } else {
                    cores.place_datagram(remote, local)
                }
            }
        };
        match place {
            Place::Here => None,
            Place::There(core, visited) => Some((core, visited)),
        }
    }

    /// The next packet for another core, and which.
    pub(crate) fn poll_parcel(&mut self) -> Option<(usize, Parcel)> {
        self.net.cores.as_mut()?.parcels.pop_front()
    }

    /// The next thing that all others should know.
    pub(crate) fn poll_fact(&mut self) -> Option<Fact> {
        let cores = self.net.cores.as_mut()?;
        cores.facts.pop_front().or_else(|| {
            let (to, mtu) = self.net.pmtu.news.as_mut()?.pop_front()?;
            Some(Fact(Told::PathMtu { to, mtu }))
        })
    }

    /// What another core has learned.
    pub(crate) fn learn(&mut self, fact: Fact, now: Instant) {
        self.net.learn(fact, now);
    }

    /// A packet for another core was dropped because its ring was full.
    pub(crate) fn count_full_ring(&mut self) {
        self.net.counters.drop_cores_ring_full += 1;
    }

    fn claim(
        &mut self,
        protocol: Protocol,
        at: SocketAddr,
        only_v6: bool,
        shared: bool,
    ) -> Result<SocketAddr, ClaimError> {
        let Some(cores) = &self.net.cores else { return Ok(at) };
        let ports = (self.tcp.config.ephemeral_ports, self.net.rng.next());
        cores.directory.claim(protocol, at, only_v6, cores.index(), shared, ports)
    }

    fn release(&self, protocol: Protocol, at: SocketAddr) {
        if let Some(cores) = &self.net.cores {
            cores.directory.release(protocol, at, cores.index());
        }
    }

    // ---- looking in

    /// What the stack has seen.
    pub fn counters(&self) -> &Counters {
        &self.net.counters
    }

    /// Every connection, as `ss` would show it.
    pub fn snapshots(&self) -> impl Iterator<Item = Snapshot> + '_ {
        self.tcp.snapshots()
    }

    /// One connection, as `ss` would show it.
    pub fn snapshot(&self, conn: ConnId) -> Option<Snapshot> {
        self.tcp.conn(conn).map(|c| c.snapshot(&self.tcp.config))
    }

    /// Settings of TCP.
    pub fn tcp_config(&self) -> &TcpConfig {
        &self.tcp.config
    }

    /// Connections, and those in TIME-WAIT.
    pub fn tcp_counts(&self) -> (usize, usize) {
        self.tcp.counts()
    }

    /// Neighbours known or asked for.
    pub fn neighbors(&self) -> usize {
        self.net.neighbors.len()
    }

    /// The pool that it takes memory from.
    pub fn pool(&self) -> &Pool {
        &self.net.pool
    }

    /// The interface.
    pub fn caps(&self) -> &Caps {
        &self.net.caps
    }

    /// The interface's addresses.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.net.addresses.iter().map(|c| c.address)
    }
}

/// Whose frame it was that could not be sent.
fn transport_of(frame: &TxFrame) -> Option<(u8, crate::tcp::Tuple)> {
    let head = frame.head();
    let ethernet = EthernetHeader::parse(head).ok()?;
    let ip = head.get(EthernetHeader::LEN..)?;
    let (local, remote, proto, ports) = match ethernet.ethertype {
        EtherType::Ipv4 => {
            let fixed: &[u8; Ipv4Header::LEN] = ip.first_chunk()?;
            let [.., s0, s1, s2, s3, d0, d1, d2, d3] = *fixed;
            let (src, dst) = (IpAddr::from([s0, s1, s2, s3]), IpAddr::from([d0, d1, d2, d3]));
            (src, dst, fixed[9], ip.get(Ipv4Header::LEN..)?)
        }
        EtherType::Ipv6 => {
            let fixed: &[u8; Ipv6Header::LEN] = ip.first_chunk()?;
            let (mut src, mut dst) = ([0; 16], [0; 16]);
            src.copy_from_slice(&fixed[8..24]);
            dst.copy_from_slice(&fixed[24..]);
            (IpAddr::from(src), IpAddr::from(dst), fixed[6], ip.get(Ipv6Header::LEN..)?)
        }
        _ => return None,
    };
    let [a, b, c, d] = *ports.first_chunk()?;
    let (local_port, remote_port) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    Some((proto, crate::tcp::Tuple { local, remote, local_port, remote_port }))
}
