//! UDP (RFC 768, RFC 1122 section 4.1, RFC 8200 section 8.1): sockets with a bounded receive queue.

mod predicted;

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, SocketAddr},
};

use hemi_queue::{Buf, Sga, time::Instant};

use crate::{
    ip::{Complaint, IcmpError, Net, Packet, Path, Quoted},
    tcp::Tuple,
    util::slab::Slab,
    wire::{Sum, UdpHeader, protocol},
};

/// The most bytes that a datagram carries: what is left of the largest IPv4 packet.
pub const MAX_PAYLOAD: usize = 65_507;
/// Small datagrams are copied out of large frames while one part in so many of a socket's limit waits already.
const COPY_FROM: usize = 4;

/// The name of a UDP socket of one stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UdpId {
    slot: u32,
    generation: u32,
}

impl UdpId {
    /// The socket's slot: a small number, its own while it lives.
    pub fn slot(self) -> usize {
        self.slot as usize
    }
}

/// Why a datagram can't be sent, or a socket not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UdpError {
    /// The socket is closed.
    #[error("the socket is closed")]
    Closed,
    /// The address is in use.
    #[error("the address is in use")]
    AddressInUse,
    /// This interface does not have the address.
    #[error("this interface does not have that address")]
    NoSuchAddress,
    /// No port is free.
    #[error("no ephemeral port is free")]
    NoPorts,
    /// Neither connected nor told where to send.
    #[error("the socket is not connected and no destination was given")]
    NoDestination,
    /// There is no way to the destination.
    #[error("there is no route to the destination")]
    Unreachable,
    /// Larger than a datagram can be.
    #[error("a datagram carries at most 65507 bytes, this has {0}")]
    TooLarge(usize),
    /// The transmit queue is full: wait until the socket is writable.
    #[error("the transmit queue is full; wait until it is writable")]
    Full,
    /// Broadcast was not allowed on this socket.
    #[error("the destination is a broadcast address, and the socket does not allow it")]
    Broadcast,
    /// The connected peer has nobody listening on the port.
    #[error("the peer refused the datagram: nobody listens there")]
    Refused,
}

/// A received datagram.
#[derive(Debug, Clone)]
pub struct Datagram {
    /// Who sent it.
    pub from: SocketAddr,
    /// Its payload, in the frame it came in.
    pub payload: Buf,
    /// The mark of the rewrite that the device has made to it; 0: none.
    pub mark: u32,
}

#[derive(Debug)]
struct Socket {
    at: SocketAddr,
    peer: Option<SocketAddr>,
    queue: VecDeque<Datagram>,
    /// Memory that queued datagrams pin, and may.
    pinned: usize,
    limit: usize,
    broadcast: bool,
    error: Option<UdpError>,
    signalled: bool,
    path: Option<Path>,
}

impl Socket {
    /// Whether it is bound to `local`, or to all addresses.
    fn takes(&self, local: IpAddr) -> bool {
        let ip = self.at.ip();
        ip == local || (ip.is_unspecified() && (ip.is_ipv6() || local.is_ipv4()))
    }
}

/// All UDP sockets of a stack.
#[derive(Debug, Default)]
pub(crate) struct Udp {
    sockets: Slab<Socket>,
    by_port: BTreeMap<u16, Vec<u32>>,
    events: VecDeque<UdpId>,
    flows: predicted::Flows,
}

impl Udp {
    /// Open a socket at `at`; port 0 chooses one. `limit`: bytes of memory that waiting datagrams may pin.
    pub(crate) fn bind(
        &mut self,
        mut at: SocketAddr,
        limit: usize,
        broadcast: bool,
        ports: (u16, u16),
        net: &mut Net,
    ) -> Result<(UdpId, SocketAddr), UdpError> {
        if !at.ip().is_unspecified() && !net.addresses.is_ours(at.ip()) {
            return Err(UdpError::NoSuchAddress);
        }
        if at.port() == 0 {
            let span = u64::from(ports.1.saturating_sub(ports.0)) + 1;
            let start = net.rng.below(span);
            let free = (0..span)
                .map(|i| ports.0 + ((start + i) % span) as u16)
                .find(|p| !self.by_port.contains_key(p));
            at.set_port(free.ok_or(UdpError::NoPorts)?);
        }
        let taken = self.by_port.get(&at.port()).into_iter().flatten().filter_map(|s| self.sockets.get(*s));
        let conflicts = |s: &Socket| {
            let (a, b) = (s.at.ip(), at.ip());
            a == b || (a.is_ipv4() == b.is_ipv4() && (a.is_unspecified() || b.is_unspecified()))
        };
        if taken.into_iter().any(conflicts) {
            return Err(UdpError::AddressInUse);
        }
        let socket = Socket {
            at,
            peer: None,
            queue: VecDeque::new(),
            pinned: 0,
            limit,
            broadcast,
            error: None,
            signalled: false,
            path: None,
        };
        self.flows.forget();
        let (slot, generation) = self.sockets.insert(socket);
        self.by_port.entry(at.port()).or_default().push(slot);
        Ok((UdpId { slot, generation }, at))
    }

    /// Send to and receive from `peer` only.
    pub(crate) fn connect(&mut self, id: UdpId, peer: SocketAddr) -> Result<(), UdpError> {
        let socket = self.sockets.named_mut(id.slot, id.generation).ok_or(UdpError::Closed)?;
        self.flows.forget();
        socket.peer = Some(peer);
        socket.path = None;
        // What others sent before must not be taken for the peer's.
        socket.queue.retain(|d| d.from == peer);
        socket.pinned = socket.queue.iter().map(|d| d.payload.pinned()).sum();
        Ok(())
    }

    pub(crate) fn close(&mut self, id: UdpId) {
        if self.sockets.named(id.slot, id.generation).is_none() {
            return;
        }
        self.flows.forget();
        if let Some(socket) = self.sockets.remove(id.slot)
            && let Some(list) = self.by_port.get_mut(&socket.at.port())
        {
            list.retain(|s| *s != id.slot);
            if list.is_empty() {
                self.by_port.remove(&socket.at.port());
            }
        }
    }

    /// Where it is bound.
    pub(crate) fn local(&self, id: UdpId) -> Option<SocketAddr> {
        Some(self.sockets.named(id.slot, id.generation)?.at)
    }

    pub(crate) fn peer(&self, id: UdpId) -> Option<SocketAddr> {
        self.sockets.named(id.slot, id.generation)?.peer
    }

    /// Send one datagram.
    pub(crate) fn send(
        &mut self,
        id: UdpId,
        payload: Sga,
        to: Option<SocketAddr>,
        net: &mut Net,
        now: Instant,
    ) -> Result<(), (UdpError, Sga)> {
        let Some(socket) = self.sockets.named_mut(id.slot, id.generation) else {
            return Err((UdpError::Closed, payload));
        };
        if let Some(error) = socket.error.take() {
            return Err((error, payload));
        }
        let Some(to) = to.or(socket.peer) else { return Err((UdpError::NoDestination, payload)) };
        let len = payload.len();
        if len > MAX_PAYLOAD {
            return Err((UdpError::TooLarge(len), payload));
        }
        if !net.tx.has_room() {
            return Err((UdpError::Full, payload));
        }
        // What is asked below does not change while the path of the last datagram holds.
        if let Some(path) = &socket.path
            && path.remote == to.ip()
            && path.is_ready(net, now)
            && path.ip_len() + UdpHeader::LEN + len <= usize::from(path.mtu)
        {
            net.send_express_datagram(path, (socket.at.port(), to.port()), payload);
            return Ok(());
        }
        let is_broadcast = matches!(to.ip(), IpAddr::V4(ip) if ip.is_broadcast() || net.addresses.iter().any(|c| c.broadcast() == Some(ip)));
        if is_broadcast && !socket.broadcast {
            return Err((UdpError::Broadcast, payload));
        }
        let local = match socket.at.ip() {
            ip if !ip.is_unspecified() && ip.is_ipv4() == to.is_ipv4() => ip,
            _ => match net.addresses.source_for(to.ip()) {
                Some(ip) => ip,
                None => return Err((UdpError::Unreachable, payload)),
            },
        };
        if !net.addresses.is_ours(to.ip()) && net.routes.next_hop(&net.addresses, to.ip()).is_none() {
            net.counters.drop_tx_no_route += 1;
            return Err((UdpError::Unreachable, payload));
        }
        // The last destination's path is kept: a server that answers one client, or a connected socket, resolves once.
        let mut path = match socket.path.take() {
            Some(path) if path.local == local && path.remote == to.ip() => path,
            _ => Path::new(local, to.ip(), protocol::UDP, net.caps.mtu),
        };
        let mut header = UdpHeader {
            src_port: socket.at.port(),
            dst_port: to.port(),
            payload_len: len as u16,
            checksum: 0,
        };
        let mut bytes = [0; UdpHeader::LEN];
        header.emit(&mut bytes);
        let mut sum = Net::pseudo(&path, UdpHeader::LEN + len).bytes(&bytes);
        for part in &payload {
            sum = sum.bytes(part);
        }
        header.checksum = UdpHeader::checksum_to_send(sum);
        header.emit(&mut bytes);
        let sent = net.send_datagram(now, &mut path, &bytes, payload);
        socket.path = Some(path);
        match sent {
            Ok(()) => {
                net.counters.udp_sent += 1;
                Ok(())
            }
            Err(_) => Err((UdpError::Unreachable, Sga::new())),
        }
    }

    /// The next datagram.
    pub(crate) fn recv(&mut self, id: UdpId) -> Result<Option<Datagram>, UdpError> {
        let socket = self.sockets.named_mut(id.slot, id.generation).ok_or(UdpError::Closed)?;
        if let Some(datagram) = socket.queue.pop_front() {
            socket.pinned -= datagram.payload.pinned();
            return Ok(Some(datagram));
        }
        match socket.error.take() {
            Some(error) => Err(error),
            None => Ok(None),
        }
    }

    /// A packet with a UDP datagram arrived.
    pub(crate) fn on_packet(&mut self, packet: Packet, net: &mut Net, now: Instant) {
        let Packet { src, dst, verified, mark, unicast, mut bytes, whole, .. } = packet;
        let Ok(header) = UdpHeader::parse(&bytes) else {
            net.counters.drop_udp_malformed += 1;
            return;
        };
        let len = UdpHeader::LEN + usize::from(header.payload_len);
        let pseudo = Sum::pseudo(src, dst, protocol::UDP, len as u32);
        let vouched = verified && header.checksum != 0;
        if !vouched && !header.verify(&bytes, pseudo, src.is_ipv6()) {
            net.counters.drop_udp_bad_checksum += 1;
            return;
        }
        let from = SocketAddr::new(src, header.src_port);
        let Some(slot) = self.find(dst, header.dst_port, from) else {
            net.counters.drop_udp_no_port += 1;
            // RFC 1122 section 4.1.3.1: UDP SHOULD send an ICMP Port Unreachable message.
            if let Some(whole) = whole.filter(|_| unicast) {
                net.complain(&whole, Complaint::PortUnreachable, now);
            }
            return;
        };
        drop(whole);
        bytes.truncate(len);
        bytes.advance(UdpHeader::LEN);
        self.enqueue(slot, from, bytes, mark, net);
    }

    /// A datagram for the socket in `slot`.
    #[inline]
    fn enqueue(&mut self, slot: u32, from: SocketAddr, mut payload: Buf, mark: u32, net: &mut Net) {
        let Some((generation, socket)) = self.sockets.entry_mut(slot) else { return };
        let pinned = payload.pinned();
        if payload.len() * 4 < pinned && socket.pinned + pinned > socket.limit / COPY_FROM {
            // Charged by frame: a small datagram that has to wait behind many is copied out of its large one.
            if let Ok(mut copy) = net.pool.try_alloc(payload.len().max(1)) {
                copy.put(&payload);
                payload = copy.freeze();
            }
        }
        let pinned = payload.pinned();
        if socket.pinned + pinned > socket.limit && !socket.queue.is_empty() {
            net.counters.drop_udp_queue_full += 1;
            return;
        }
        socket.pinned += pinned;
        socket.queue.push_back(Datagram { from, payload, mark });
        net.counters.udp_received += 1;
        if !socket.signalled {
            socket.signalled = true;
            self.events.push_back(UdpId { slot, generation });
        }
    }

    /// An ICMP error quotes a datagram of ours: it belongs to the socket if that is connected to the peer (RFC 1122 section 4.1.3.3).
    pub(crate) fn on_icmp(&mut self, quoted: &Quoted, net: &mut Net, now: Instant) {
        let (remote, port) = quoted.remote;
        if let IcmpError::TooBig(mtu) = quoted.error {
            net.pmtu.learn(remote, mtu, now);
            net.epoch = net.epoch.wrapping_add(1);
            net.counters.icmp_errors_received += 1;
            return;
        }
        let refused = quoted.error == IcmpError::Refused;
        let error = if refused { UdpError::Refused } else { UdpError::Unreachable };
        if self.fail(quoted.local, SocketAddr::new(remote, port), error) {
            net.counters.icmp_errors_received += 1;
        } else {
            net.counters.drop_icmp_unverified += 1;
        }
    }

    /// A datagram could not be sent, because its next hop does not answer: a connected socket hears of it, as of an ICMP error.
    pub(crate) fn on_unreachable(&mut self, tuple: &Tuple) {
        let remote = SocketAddr::new(tuple.remote, tuple.remote_port);
        self.fail((tuple.local, tuple.local_port), remote, UdpError::Unreachable);
    }

    /// Tell the socket that is connected to `remote` of an error; says whether there is one.
    fn fail(&mut self, local: (IpAddr, u16), remote: SocketAddr, error: UdpError) -> bool {
        let Some(slot) = self.find(local.0, local.1, remote) else { return false };
        let generation = self.sockets.generation(slot);
        let Some(socket) = self.sockets.get_mut(slot).filter(|s| s.peer == Some(remote)) else {
            return false;
        };
        socket.error = Some(error);
        if !std::mem::replace(&mut socket.signalled, true) {
            self.events.push_back(UdpId { slot, generation });
        }
        true
    }

    /// A socket with something to receive, or an error to hear of.
    #[inline]
    pub(crate) fn poll_event(&mut self) -> Option<UdpId> {
        if self.events.is_empty() { None } else { self.next_event() }
    }

    fn next_event(&mut self) -> Option<UdpId> {
        loop {
            let id = self.events.pop_front()?;
            if let Some(socket) = self.sockets.named_mut(id.slot, id.generation) {
                socket.signalled = false;
                return Some(id);
            }
        }
    }

    /// The addresses of ours at which every datagram, from its peer if it has one, reaches this socket: not those where another one
    /// is connected, if it is not.
    pub(crate) fn destinations(&self, id: UdpId, net: &Net) -> Vec<SocketAddr> {
        let Some(socket) = self.sockets.named(id.slot, id.generation) else { return Vec::new() };
        let port = socket.at.port();
        let ours = net.addresses.iter().map(|cidr| cidr.address);
        let from = |ip: IpAddr| socket.peer.unwrap_or(SocketAddr::new(ip, 0));
        let connected = |ip: IpAddr| {
            let slots = self.by_port.get(&port).into_iter().flatten();
            slots.filter_map(|s| self.sockets.get(*s)).any(|s| s.peer.is_some() && s.takes(ip))
        };
        ours.filter(|ip| self.find(*ip, port, from(*ip)) == Some(id.slot))
            .filter(|ip| socket.peer.is_some() || !connected(*ip))
            .map(|ip| SocketAddr::new(ip, port))
            .collect()
    }

    /// The socket for a datagram: a connected one before one bound to the address before one bound to all.
    fn find(&self, local: IpAddr, port: u16, from: SocketAddr) -> Option<u32> {
        let rank = |slot: u32| {
            let s = self.sockets.get(slot)?;
            let exact = s.at.ip() == local;
            match s.peer {
                _ if !s.takes(local) => None,
                Some(peer) if peer != from => None,
                peer => Some((peer.is_some(), exact)),
            }
        };
        self.by_port.get(&port)?.iter().copied().filter_map(|s| Some((rank(s)?, s))).max().map(|(_, s)| s)
    }
}
