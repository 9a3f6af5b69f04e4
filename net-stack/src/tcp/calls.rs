//! The application's calls.

use std::net::{IpAddr, SocketAddr};

use hemi_queue::{Buf, Sga, time::Instant};

use super::{
    ConnError, ConnId, ListenerId, Snapshot, Tcp, TcpOptionsConfig,
    conn::{Connection, Cx},
    demux::{Target, Tuple},
    listen::Listener,
    state::State,
};
use crate::{cores::Cores, ip::Net};

/// A unit has fewer bytes than this: what is sent and not acknowledged must stay far below 2³¹ (RFC 9293 section 3.4).
pub(super) const MAX_UNIT: usize = 512 << 20;

impl Tcp {
    /// Listen at `at`; port 0 chooses one.
    pub(crate) fn listen(
        &mut self,
        mut at: SocketAddr,
        backlog: usize,
        only_v6: bool,
        options: TcpOptionsConfig,
        net: &mut Net,
    ) -> Result<(ListenerId, SocketAddr), ConnError> {
        if !at.ip().is_unspecified() && !net.addresses.is_ours(at.ip()) {
            return Err(ConnError::NoSuchAddress);
        }
        if at.port() == 0 {
            let (first, last) = self.config.ephemeral_ports;
            let span = u64::from(last.saturating_sub(first)) + 1;
            let start = net.rng.below(span);
            let port = (0..span)
                .map(|i| first + ((start + i) % span) as u16)
                .find(|port| !self.listeners.has_port(*port))
                .ok_or(ConnError::NoPorts)?;
            at.set_port(port);
        }
        if self.listeners.conflicts(at) {
            return Err(ConnError::AddressInUse);
        }
        let listener = Listener {
            at,
            only_v6,
            backlog: backlog.max(1),
            options,
            ready: std::collections::VecDeque::default(),
            signalled: false,
            fast_open: super::fast_open::Pending::default(),
        };
        let (slot, generation) = self.listeners.insert(listener);
        Ok((ListenerId { slot, generation }, at))
    }

    /// The next connection of a listener.
    pub(crate) fn accept(&mut self, id: ListenerId) -> Option<ConnId> {
        let listener = self.listeners.slab.named_mut(id.slot, id.generation)?;
        loop {
            let conn = listener.ready.pop_front()?;
            // One that was reset meanwhile is handed over all the same: the application learns of it by its first pop.
            if self.conns.named(conn.slot, conn.generation).is_some() {
                return Some(conn);
            }
        }
    }

    /// Where a listener is.
    pub(crate) fn listener_at(&self, id: ListenerId) -> Option<SocketAddr> {
        self.listeners.slab.named(id.slot, id.generation).map(|l| l.at)
    }

    /// Whether a connection, half-open or past ones included, is the one between these ends.
    pub(crate) fn knows(&self, remote: SocketAddr, local: SocketAddr) -> bool {
        let (local_port, remote_port) = (local.port(), remote.port());
        let tuple = Tuple { local: local.ip(), remote: remote.ip(), local_port, remote_port };
        self.find(self.demux.hash(&tuple), &tuple).is_some()
    }

    pub(crate) fn set_listener_options(&mut self, id: ListenerId, options: TcpOptionsConfig) {
        if let Some(listener) = self.listeners.slab.named_mut(id.slot, id.generation) {
            listener.options = options;
        }
    }

    /// How many wait to be accepted.
    pub(crate) fn pending(&self, id: ListenerId) -> usize {
        self.listeners.slab.named(id.slot, id.generation).map_or(0, |l| l.ready.len())
    }

    /// Stop listening; what was not accepted is reset.
    pub(crate) fn close_listener(&mut self, id: ListenerId, net: &mut Net, now: Instant) {
        if self.listeners.slab.named(id.slot, id.generation).is_none() {
            return;
        }
        let Some(listener) = self.listeners.remove(id.slot) else { return };
        for conn in listener.ready {
            self.abort(conn, net, now);
            self.release(conn, net, now);
        }
    }

    /// Open a connection to `remote`, from `local` if it is given.
    pub(crate) fn connect(
        &mut self,
        remote: SocketAddr,
        local: Option<SocketAddr>,
        options: &TcpOptionsConfig,
        net: &mut Net,
        now: Instant,
    ) -> Result<ConnId, ConnError> {
        let local_ip = match self.last_opened {
            // Addresses and routes are the interface's for life: what was right once is.
            Some((known, from)) if known == remote.ip() && local.is_none() && remote.port() != 0 => from,
            _ => self.address_towards(remote, local, net)?,
        };
        let mut tuple = Tuple {
            local: local_ip,
            remote: remote.ip(),
            local_port: local.map_or(0, |l| l.port()),
            remote_port: remote.port(),
        };
        let chosen = tuple.local_port != 0;
        let hash = if chosen {
            if let Some(cores) = &net.cores {
                cores.will_live_here(tuple.remote(), tuple.local());
            }
            self.demux.hash(&tuple)
        } else {
            self.choose_port(&mut tuple, net.cores.as_deref()).ok_or(ConnError::NoPorts)?
        };
        match if chosen { self.find(hash, &tuple) } else { None } {
            None => {}
            // RFC 6191 is about SYNs that arrive; our own new incarnation starts beyond the old one because its ISN does.
            Some(Target::TimeWait(slot)) => {
                self.demux.remove(hash, Target::TimeWait(slot));
                self.time_wait.remove(slot);
            }
            Some(_) => return Err(ConnError::AddressInUse),
        }
        let (iss, offset) = self.secrets.opening(&tuple, now);
        let mut conn = self.spare_connection();
        let mut cx =
            Cx { now, net, config: &self.config, timing: &self.timing, challenge: &mut self.challenge };
        conn.connect(&tuple, iss, offset, options, &mut cx);
        let (slot, generation) = self.conns.insert(conn);
        self.demux.insert(hash, Target::Connection(slot));
        self.settle(slot, net, now);
        Ok(ConnId { slot, generation })
    }

    /// The address to open a connection to `remote` from.
    #[inline(never)]
    fn address_towards(
        &mut self,
        remote: SocketAddr,
        local: Option<SocketAddr>,
        net: &Net,
    ) -> Result<IpAddr, ConnError> {
        // RFC 9293 section 3.9.2.3 (MUST-46): an OPEN with an invalid remote address is an error.
        if remote.port() == 0 || !net.addresses.is_valid_peer(remote.ip()) {
            return Err(ConnError::Unreachable);
        }
        let local_ip = match local.map(|l| l.ip()).filter(|ip| !ip.is_unspecified()) {
            Some(ip) if net.addresses.is_ours(ip) && ip.is_ipv4() == remote.is_ipv4() => ip,
            Some(_) => return Err(ConnError::NoSuchAddress),
            None => net.addresses.source_for(remote.ip()).ok_or(ConnError::Unreachable)?,
        };
        if !net.addresses.is_ours(remote.ip()) && net.routes.next_hop(&net.addresses, remote.ip()).is_none() {
            return Err(ConnError::Unreachable);
        }
        if local.is_none() {
            self.last_opened = Some((remote.ip(), local_ip));
        }
        Ok(local_ip)
    }

    /// Choose the local port of a connection that is to be opened; returns the hash of its tuple then.
    #[inline(never)]
    fn choose_port(&mut self, tuple: &mut Tuple, cores: Option<&Cores>) -> Option<u32> {
        let mut ports = self.secrets.ephemeral_ports(tuple, self.config.ephemeral_ports);
        loop {
            tuple.local_port = self.secrets.next_port(&mut ports)?;
            let hash = self.demux.hash(tuple);
            // Of a connection that was, half-open or in TIME-WAIT, the port is left alone as well.
            let taken = self.find(hash, tuple).is_some() || self.listeners.has_port(tuple.local_port);
            // With several cores: one whose segments come to this core, by the rule that all go by.
            if !taken && cores.is_none_or(|cores| cores.may_open(tuple.remote(), tuple.local())) {
                return Some(hash);
            }
        }
    }

    #[inline]
    pub(crate) fn conn(&self, id: ConnId) -> Option<&Connection> {
        self.conns.named(id.slot, id.generation).map(|c| &**c)
    }

    /// Append a unit to a connection's send buffer.
    #[inline]
    pub(crate) fn push(&mut self, id: ConnId, unit: Sga) -> Result<(), (ConnError, Sga)> {
        if let Some(conn) = self.conns.named_mut(id.slot, id.generation)
            && conn.is_known_calm()
        {
            let bytes = match unit.into_single() {
                Ok(bytes) => bytes,
                Err(unit) => return self.push_slowly(id, unit),
            };
            if !conn.has_room_for(bytes.len()) {
                return self.push_slowly(id, bytes.into());
            }
            conn.push_within(bytes);
            if !conn.dirty {
                conn.dirty = true;
                self.dirty.push_back(id.slot);
            }
            return Ok(());
        }
        self.push_slowly(id, unit)
    }

    #[inline(never)]
    fn push_slowly(&mut self, id: ConnId, unit: Sga) -> Result<(), (ConnError, Sga)> {
        let Some(conn) = self.conns.named_mut(id.slot, id.generation) else {
            return Err((ConnError::Closed, unit));
        };
        if !conn.is_known_calm() {
            if let Err(error) = conn.may_push() {
                return Err((error, unit));
            }
            conn.open_now();
        }
        if unit.len() >= MAX_UNIT {
            return Err((ConnError::TooLarge, unit));
        }
        if conn.send_room() == 0 && !conn.may_overfill(unit.len()) {
            return Err((ConnError::Full, unit));
        }
        conn.push(unit);
        // Nothing but output follows from a push.
        if !conn.dirty && conn.has_output() {
            conn.dirty = true;
            self.dirty.push_back(id.slot);
        }
        Ok(())
    }

    /// The next received bytes: `Ok(None)` when there are none now.
    #[inline(always)]
    pub(crate) fn pop(&mut self, id: ConnId, now: Instant) -> Result<Option<Buf>, ConnError> {
        if let Some(conn) = self.conns.named_mut(id.slot, id.generation)
            && let Some(buf) = conn.pop()
        {
            // All that can follow from a pop is that the peer must be told of the room.
            if conn.popped(buf.len() as u32, now) && !conn.dirty && conn.must_acknowledge() {
                conn.dirty = true;
                self.dirty.push_back(id.slot);
            }
            return Ok(Some(buf));
        }
        self.why_nothing(id)
    }

    #[inline(never)]
    fn why_nothing(&mut self, id: ConnId) -> Result<Option<Buf>, ConnError> {
        let Some(conn) = self.conns.named_mut(id.slot, id.generation) else { return Err(ConnError::Closed) };
        if conn.is_deferred() {
            // Who waits for the peer to speak first has nothing for the SYN to carry.
            conn.open_now();
            conn.dirty = true;
            self.dirty.push_back(id.slot);
        }
        match conn.error {
            Some(error) => Err(error),
            None => Ok(None),
        }
    }

    /// Send the SYN that waits for data to carry, with what there is.
    pub(crate) fn open_now(&mut self, id: ConnId, net: &mut Net, now: Instant) {
        self.on_named(id, net, now, |conn, _| conn.open_now());
    }

    /// How many bytes the SYN of a connection could carry that waits for data.
    pub(crate) fn deferred_room(&mut self, id: ConnId, net: &mut Net, now: Instant) -> usize {
        let Some(conn) = self.conns.named(id.slot, id.generation) else { return 0 };
        let cx = Cx { now, net, config: &self.config, timing: &self.timing, challenge: &mut self.challenge };
        conn.deferred_room(&cx) as usize
    }

    /// How many bytes the SYN to a server could carry; none when it would ask for a cookie, or do without.
    pub(crate) fn syn_room(
        &mut self,
        remote: SocketAddr,
        local: Option<SocketAddr>,
        options: &TcpOptionsConfig,
        net: &mut Net,
        now: Instant,
    ) -> Option<usize> {
        let local = local.map(|l| l.ip()).filter(|ip| !ip.is_unspecified());
        let local = local.or_else(|| net.addresses.source_for(remote.ip()))?;
        let tuple = Tuple { local, remote: remote.ip(), local_port: 0, remote_port: remote.port() };
        let mut cx =
            Cx { now, net, config: &self.config, timing: &self.timing, challenge: &mut self.challenge };
        super::conn::syn_room_of(&tuple, options, &mut cx).map(|room| room as usize)
    }

    pub(crate) fn shutdown(&mut self, id: ConnId, net: &mut Net, now: Instant) {
        self.on_named(id, net, now, |conn, _| conn.shutdown());
    }

    pub(crate) fn close(&mut self, id: ConnId, net: &mut Net, now: Instant) {
        self.on_named(id, net, now, Connection::close);
    }

    pub(crate) fn abort(&mut self, id: ConnId, net: &mut Net, now: Instant) {
        self.on_named(id, net, now, Connection::abort);
    }

    pub(crate) fn want_acked(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.named_mut(id.slot, id.generation) {
            conn.want_acked();
        }
    }

    pub(crate) fn want_room(&mut self, id: ConnId, below: usize) {
        if let Some(conn) = self.conns.named_mut(id.slot, id.generation) {
            conn.want_room(below);
        }
    }

    pub(crate) fn set_send_buffer(&mut self, id: ConnId, bytes: usize, net: &mut Net, now: Instant) {
        self.on_named(id, net, now, |conn, _| conn.set_send_limit(bytes));
    }

    pub(crate) fn set_recv_buffer(&mut self, id: ConnId, bytes: usize) {
        if let Some(conn) = self.conns.named_mut(id.slot, id.generation) {
            conn.set_recv_max(bytes);
        }
    }

    pub(crate) fn set_nodelay(&mut self, id: ConnId, nodelay: bool, net: &mut Net, now: Instant) {
        self.on_named(id, net, now, |conn, _| conn.options.nodelay = nodelay);
    }

    pub(crate) fn set_keep_alive(
        &mut self,
        id: ConnId,
        idle: Option<std::time::Duration>,
        net: &mut Net,
        now: Instant,
    ) {
        self.on_named(id, net, now, |conn, cx| {
            conn.options.set_keep_alive(idle);
            conn.arm_keep_alive(cx.now);
        });
    }

    pub(crate) fn set_keep_alive_probes(
        &mut self,
        id: ConnId,
        interval: Option<std::time::Duration>,
        probes: Option<u8>,
        net: &mut Net,
        now: Instant,
    ) {
        self.on_named(id, net, now, |conn, _| {
            conn.options.set_keep_alive_probes(interval, probes);
        });
    }

    pub(crate) fn set_linger(&mut self, id: ConnId, linger: Option<std::time::Duration>) {
        if let Some(conn) = self.conns.named_mut(id.slot, id.generation) {
            conn.options.linger = linger.into();
        }
    }

    pub(crate) fn set_user_timeout(&mut self, id: ConnId, limit: Option<std::time::Duration>) {
        if let Some(conn) = self.conns.named_mut(id.slot, id.generation) {
            conn.options.user_timeout = limit.into();
            conn.disturb();
        }
    }

    /// The application forgets the connection. What was pushed still goes out; the slot is freed when the connection is over.
    pub(crate) fn release(&mut self, id: ConnId, net: &mut Net, now: Instant) {
        self.close(id, net, now);
        // A connection that was over already has nothing more to settle.
        if self
            .conns
            .named(id.slot, id.generation)
            .is_some_and(|c| matches!(c.state, State::Closed | State::TimeWait))
        {
            self.forget_connection(id.slot);
        }
    }

    fn on_named(
        &mut self,
        id: ConnId,
        net: &mut Net,
        now: Instant,
        work: impl FnOnce(&mut Connection, &mut Cx<'_>),
    ) {
        if self.conns.named(id.slot, id.generation).is_some() {
            self.with_conn(id.slot, net, now, work);
        }
    }

    /// Every connection, for people.
    pub(crate) fn snapshots(&self) -> impl Iterator<Item = Snapshot> + '_ {
        self.conns.iter().map(|(_, c)| c.snapshot(&self.config))
    }

    /// How many there are: connections, and those in TIME-WAIT.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.conns.len(), self.time_wait.len())
    }

    /// A local address for tests and messages.
    pub(crate) fn addresses(&self, id: ConnId) -> Option<(SocketAddr, SocketAddr)> {
        let t = &self.conn(id)?.tuple;
        let at = |ip: IpAddr, port| SocketAddr::new(ip, port);
        Some((at(t.local, t.local_port), at(t.remote, t.remote_port)))
    }
}
