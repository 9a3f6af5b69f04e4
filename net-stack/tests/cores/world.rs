//! A client host, and a server host of several cores, on one switch.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use hemi_net::{
    ConnId, Counters, Device, Host, ListenerId, StackConfig, TcpOptionsConfig, UdpId,
    cores::Group,
    sim::{LinkConfig, Spread, Spreading, Switch, SwitchDevice},
    tcp::State,
};
use hemi_queue::{Buf, Pool, PoolConfig, Progress, Sga, time::Instant};

/// What the server's interface is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nic {
    /// One queue, core 0's.
    OneQueue,
    /// A queue for each core.
    Queues(Spreading),
}

pub(crate) const NICS: [Nic; 5] = [
    Nic::OneQueue,
    Nic::Queues(Spreading::AsTold),
    Nic::Queues(Spreading::OwnKeyTold),
    Nic::Queues(Spreading::OwnKey),
    Nic::Queues(Spreading::Chance),
];

/// Bytes of a connection, by position, and whose they are.
pub(crate) fn text(whose: u64, from: usize, len: usize) -> Vec<u8> {
    let byte = |at: usize| (whose.wrapping_add(at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8;
    (from..from + len).map(byte).collect()
}

/// The echo service on one core.
#[derive(Default)]
pub(crate) struct Server {
    pub(crate) listener: Option<ListenerId>,
    pub(crate) datagrams: Option<UdpId>,
    conns: Vec<ConnId>,
    pub(crate) accepted: usize,
    pub(crate) echoed: usize,
}

/// One of the client's connections.
struct Talk {
    conn: ConnId,
    whose: u64,
    len: usize,
    sent: usize,
    got: usize,
    shut: bool,
}

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) client: Host<SwitchDevice>,
    pub(crate) cores: Vec<Host<Box<dyn Device>>>,
    pub(crate) servers: Vec<Server>,
    talks: BTreeMap<ConnId, Talk>,
    pub(crate) done: usize,
    pub(crate) pool: Pool,
    pub(crate) switch: Switch,
    pub(crate) group: Arc<Group>,
}

pub(crate) const V4: &str = "10.0.0.1";
pub(crate) const V6: &str = "fd00::1";

impl World {
    pub(crate) fn new(cores: usize, nic: Nic, link: LinkConfig, seed: u64) -> Self {
        thread_local!(static POOL: Pool =
            Pool::with(&PoolConfig { limit: 256 << 20, ..PoolConfig::default() }).expect("memory"));
        let pool = POOL.with(Pool::clone);
        let switch = Switch::new(seed);
        let config = |host: u8| {
            StackConfig::with_addresses(
                [format!("10.0.0.{host}/24"), format!("fd00::{host}/64")].map(|c| c.parse().expect("valid")),
            )
        };
        let group = Group::new(cores, seed);
        let port = switch.plug(link, 1500, None, &pool);
        let mut queues: Vec<Option<Box<dyn Device>>> = match nic {
            Nic::OneQueue => vec![Some(Box::new(port))],
            Nic::Queues(how) => {
                Spread::over(port, cores, how, seed).into_iter().map(|q| Some(Box::new(q) as _)).collect()
            }
        };
        let hosts = (0..cores).map(|index| {
            let mut seat = group.seat(index, None).expect("free");
            let device = match queues.get_mut(index).and_then(Option::take) {
                Some(mut queue) => {
                    seat.steer(&mut *queue);
                    queue
                }
                None => Box::new(seat.borrow_device().expect("core 0 has one")),
            };
            let mut host = Host::new(device, config(1), pool.clone(), seed * 100 + index as u64);
            host.join(seat);
            host
        });
        let cores: Vec<_> = hosts.collect();
        let client = Host::new(switch.plug(link, 1500, None, &pool), config(2), pool.clone(), seed + 7);
        let servers = cores.iter().map(|_| Server::default()).collect();
        let (now, talks) = (Instant::ZERO, BTreeMap::new());
        Self { now, client, cores, servers, talks, done: 0, pool, switch, group }
    }

    pub(crate) fn listen(&mut self, core: usize, at: &str) -> SocketAddr {
        let at: SocketAddr = at.parse().expect("an address");
        let stack = &mut self.cores[core].stack;
        let (id, at) = stack.tcp_listen(at, 1024, false, TcpOptionsConfig::default()).expect("free");
        self.servers[core].listener = Some(id);
        at
    }

    pub(crate) fn take_datagrams(&mut self, core: usize, at: &str) -> SocketAddr {
        let at = at.parse().expect("an address");
        let (id, at) = self.cores[core].stack.udp_bind(at, 1 << 20, false).expect("free");
        self.servers[core].datagrams = Some(id);
        at
    }

    /// The client connects and will have `len` bytes echoed.
    pub(crate) fn talk(&mut self, to: &str, len: usize) {
        let to = to.parse().expect("an address");
        let conn =
            self.client.stack.tcp_connect(to, None, TcpOptionsConfig::default(), self.now).expect("a port");
        let whose = self.talks.len() as u64 + self.done as u64 * 1000;
        self.talks.insert(conn, Talk { conn, whose, len, sent: 0, got: 0, shut: false });
    }

    pub(crate) fn talking(&self) -> usize {
        self.talks.len()
    }

    /// Everything that happens now, with the applications.
    pub(crate) fn settle(&mut self) {
        for _ in 0..100_000 {
            let mut busy = self.client.poll(self.now).expect("a device") == Progress::Busy;
            busy |= self.client_works();
            for core in 0..self.cores.len() {
                busy |= self.cores[core].poll(self.now).expect("a device") == Progress::Busy;
                busy |= self.server_works(core);
            }
            if !busy {
                return;
            }
        }
        panic!("livelock at {:?}", self.now);
    }

    /// Until `done`, which must come within an hour.
    pub(crate) fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        loop {
            self.settle();
            if done(self) {
                return;
            }
            let hosts = self.cores.iter().filter_map(Host::deadline).chain(self.client.deadline());
            let next = hosts.min().unwrap_or_else(|| panic!("{what}: deadlock at {:?}", self.now));
            self.now = self.now.max(next);
            assert!(self.now.as_nanos() < 3_600_000_000_000, "{what}: not in an hour\n{}", self.report());
        }
    }

    fn server_works(&mut self, core: usize) -> bool {
        let (stack, server, now) = (&mut self.cores[core].stack, &mut self.servers[core], self.now);
        let mut any = false;
        while stack.poll_event().is_some() {
            any = true;
        }
        while let Some(conn) = server.listener.and_then(|listener| stack.tcp_accept(listener)) {
            server.conns.push(conn);
            server.accepted += 1;
            any = true;
        }
        server.conns.retain(|&conn| {
            while stack.tcp_send_room(conn) > 0
                && let Ok(Some(buf)) = stack.tcp_pop(conn, now)
            {
                stack.tcp_push(conn, Sga::from(buf), now).map_err(|(e, _)| e).expect("room");
                any = true;
            }
            let over = stack.tcp_is_at_end(conn) || stack.tcp_error(conn).is_some();
            if over && stack.tcp_send_room(conn) > 0 {
                stack.tcp_release(conn, now);
                any = true;
            }
            !over
        });
        while let Some(socket) = server.datagrams
            && let Ok(Some(datagram)) = stack.udp_recv(socket)
        {
            let _ = stack.udp_send(socket, datagram.payload.into(), Some(datagram.from), now);
            server.echoed += 1;
            any = true;
        }
        any
    }

    fn client_works(&mut self) -> bool {
        let (stack, now) = (&mut self.client.stack, self.now);
        let mut any = false;
        while stack.poll_event().is_some() {
            any = true;
        }
        let before = self.talks.len();
        self.talks.retain(|_, talk| {
            let conn = talk.conn;
            assert_eq!(stack.tcp_error(conn), None, "after {} of {} bytes", talk.got, talk.len);
            if !stack.tcp_state(conn).is_synchronized() && stack.tcp_state(conn) != State::Closed {
                return true;
            }
            while talk.sent < talk.len && stack.tcp_send_room(conn) > 0 {
                let n = (talk.len - talk.sent).min(3000);
                let unit = Buf::from(text(talk.whose, talk.sent, n));
                stack.tcp_push(conn, Sga::from(unit), now).map_err(|(e, _)| e).expect("room");
                talk.sent += n;
                any = true;
            }
            if talk.sent == talk.len && !talk.shut {
                stack.tcp_shutdown(conn, now);
                talk.shut = true;
                any = true;
            }
            while let Ok(Some(buf)) = stack.tcp_pop(conn, now) {
                assert_eq!(
                    buf.to_vec(),
                    text(talk.whose, talk.got, buf.len()),
                    "at {} of {}",
                    talk.got,
                    talk.len
                );
                talk.got += buf.len();
                any = true;
            }
            let over = talk.shut && stack.tcp_is_at_end(conn);
            if over {
                assert_eq!(talk.got, talk.len, "all of it");
                stack.tcp_release(conn, now);
                any = true;
            }
            !over
        });
        self.done += before - self.talks.len();
        any
    }

    /// One of the counters, over all cores.
    pub(crate) fn sum(&self, which: impl Fn(&Counters) -> u64) -> u64 {
        self.cores.iter().map(|core| which(core.stack.counters())).sum()
    }

    pub(crate) fn report(&self) -> String {
        let one = |core: &Host<_>| format!("{:?}\n", core.stack.counters());
        self.cores.iter().map(one).collect::<String>() + &format!("{:?}", self.client.stack.counters())
    }
}
