//! [`Pair`]: two hosts on a wire, in virtual time, as one object.

use std::time::Duration;

use hemi_queue::{Pool, PoolConfig, Sga, time::Instant};

use super::{SimDevice, Wire, WireConfig};
use crate::{ConnId, ListenerId, TcpOptionsConfig, config::StackConfig, host::Host};

/// Which of the two hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The first: 10.0.0.1, fd00::1.
    A,
    /// The second: 10.0.0.2, fd00::2.
    B,
}

/// Nothing can happen any more: no frame is on its way and no timer is armed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("deadlock at {0:?}: no work and no deadline, so what is waited for can never happen")]
pub struct Deadlock(pub Instant);

/// Two hosts on one wire.
///
/// # How it is driven
/// Call the stacks (`pair.a.stack.tcp_connect(...)`) and then [`step`](Self::step): it polls both hosts until neither has work, then
/// jumps to the next time at which something happens. [`run_until`](Self::run_until) steps until a condition holds.
///
/// ```
/// use std::time::Duration;
/// use hemi_net::sim::{Pair, WireConfig};
///
/// let mut pair = Pair::new(WireConfig { delay: Duration::from_millis(5), ..WireConfig::default() }, 7);
/// let (client, server) = pair.connect(80).expect("connected");
/// pair.a.stack.tcp_push(client, "hello".into(), pair.now()).expect("room");
/// pair.run_until(|p| p.b.stack.snapshot(server).is_some_and(|s| s.recv_queue == 5)).expect("it arrives");
/// assert_eq!(pair.b.stack.tcp_pop(server, pair.now()).unwrap().unwrap(), *b"hello");
/// ```
pub struct Pair {
    /// The first host.
    pub a: Host<SimDevice>,
    /// The second host.
    pub b: Host<SimDevice>,
    /// The link.
    pub wire: Wire,
    now: Instant,
}

impl Pair {
    /// Two hosts with default stacks.
    pub fn new(wire: WireConfig, seed: u64) -> Self {
        Self::with(wire, StackConfig::default(), StackConfig::default(), seed)
    }

    /// Two hosts with stacks as configured; addresses are added.
    ///
    /// # Panics
    /// When the system has no memory for the pool.
    pub fn with(wire: WireConfig, a: StackConfig, b: StackConfig, seed: u64) -> Self {
        let pool =
            Pool::with(&PoolConfig { limit: 512 << 20, ..PoolConfig::default() }).expect("memory for a pool");
        Self::with_pool(wire, a, b, seed, pool)
    }

    /// The same with a pool that is there already: whoever runs thousands of worlds need not map memory for each.
    ///
    /// # Panics
    /// Never: the addresses are valid.
    pub fn with_pool(
        wire: WireConfig,
        mut a: StackConfig,
        mut b: StackConfig,
        seed: u64,
        pool: Pool,
    ) -> Self {
        a.addresses.extend(["10.0.0.1/24", "fd00::1/64"].map(|c| c.parse::<crate::Cidr>().expect("valid")));
        b.addresses.extend(["10.0.0.2/24", "fd00::2/64"].map(|c| c.parse::<crate::Cidr>().expect("valid")));
        let (link, [first, second]) = Wire::new(wire, pool.clone());
        let a = Host::new(first, a, pool.clone(), seed.wrapping_mul(2) + 1);
        let b = Host::new(second, b, pool, seed.wrapping_mul(2) + 2);
        Self { a, b, wire: link, now: Instant::ZERO }
    }

    /// The virtual time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// One of the hosts.
    pub fn host(&mut self, side: Side) -> &mut Host<SimDevice> {
        match side {
            Side::A => &mut self.a,
            Side::B => &mut self.b,
        }
    }

    /// Poll both hosts until neither has anything to do at this time.
    ///
    /// # Panics
    /// When they never come to rest: a livelock.
    pub fn settle(&mut self) {
        for _ in 0..100_000 {
            let busy = [self.a.poll(self.now), self.b.poll(self.now)];
            if busy.iter().all(|p| matches!(p, Ok(hemi_queue::Progress::Idle))) {
                return;
            }
        }
        panic!("livelock at {:?}: the hosts never come to rest", self.now);
    }

    /// When something happens next.
    pub fn deadline(&self) -> Option<Instant> {
        [self.a.deadline(), self.b.deadline()].into_iter().flatten().min()
    }

    /// Do everything that happens now, and jump to when something happens next.
    pub fn step(&mut self) -> Result<(), Deadlock> {
        self.settle();
        let next = self.deadline().ok_or(Deadlock(self.now))?;
        self.now = self.now.max(next);
        Ok(())
    }

    /// Step until `done`. A deadlock, or ten million steps, end it too.
    pub fn run_until(&mut self, mut done: impl FnMut(&mut Self) -> bool) -> Result<(), Deadlock> {
        for _ in 0..10_000_000 {
            self.settle();
            if done(self) {
                return Ok(());
            }
            self.step()?;
        }
        Err(Deadlock(self.now))
    }

    /// Let `time` pass.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.settle();
            match self.deadline() {
                Some(next) if next <= end => self.now = self.now.max(next),
                _ => break,
            }
        }
        self.now = end;
        self.settle();
    }

    /// Connect A to a new listener of B on `port`, over IPv4: A's end and B's.
    pub fn connect(&mut self, port: u16) -> Result<(ConnId, ConnId), Deadlock> {
        self.connect_with(port, TcpOptionsConfig::default(), TcpOptionsConfig::default())
    }

    /// The same with options for each end.
    ///
    /// # Panics
    /// When the port is taken.
    pub fn connect_with(
        &mut self,
        port: u16,
        a: TcpOptionsConfig,
        b: TcpOptionsConfig,
    ) -> Result<(ConnId, ConnId), Deadlock> {
        let listener = self.listen(port, b);
        let to = ([10, 0, 0, 2], port).into();
        let client = self.a.stack.tcp_connect(to, None, a, self.now).expect("a port and a route");
        let mut server = None;
        self.run_until(|p| {
            server = server.or_else(|| p.b.stack.tcp_accept(listener));
            server.is_some() && p.a.stack.tcp_state(client).is_synchronized()
        })?;
        self.b.stack.tcp_close_listener(listener, self.now);
        server.map(|s| (client, s)).ok_or(Deadlock(self.now))
    }

    /// B listens on `port`.
    ///
    /// # Panics
    /// When the port is taken.
    pub fn listen(&mut self, port: u16, options: TcpOptionsConfig) -> ListenerId {
        let at = (std::net::Ipv4Addr::UNSPECIFIED, port).into();
        self.b.stack.tcp_listen(at, 1024, false, options).expect("a free port").0
    }

    /// Push from one side; panics when the stack refuses.
    ///
    /// # Panics
    /// When the push is refused.
    pub fn push(&mut self, side: Side, conn: ConnId, unit: impl Into<Sga>) {
        let now = self.now;
        self.host(side)
            .stack
            .tcp_push(conn, unit.into(), now)
            .map_err(|(e, _)| e)
            .expect("the push is taken");
    }

    /// Everything that one side can pop now.
    pub fn pop_all(&mut self, side: Side, conn: ConnId) -> Vec<u8> {
        let now = self.now;
        let stack = &mut self.host(side).stack;
        let mut out = Vec::new();
        while let Ok(Some(buf)) = stack.tcp_pop(conn, now) {
            out.extend_from_slice(&buf);
        }
        out
    }
}
