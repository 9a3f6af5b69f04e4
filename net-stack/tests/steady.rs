//! In steady state the stack allocates nothing: not for a request and its response, not for bulk.

use std::time::Duration;

use hemi_meter::Steady;
use hemi_net::{ConnId, Host, StackConfig, TcpOptionsConfig, sim::Pipe};
use hemi_queue::{Pool, time::Instant};

#[global_allocator]
static ALLOCATOR: hemi_meter::Counting = hemi_meter::Counting;

struct World {
    a: Host<Pipe>,
    b: Host<Pipe>,
    ends: (ConnId, ConnId),
    pool: Pool,
    now: Instant,
}

impl World {
    fn new() -> Self {
        let pool = Pool::new().expect("memory");
        let [first, second] = Pipe::pair(1500, false, &pool);
        let host = |pipe, address: &str, seed| {
            let config = StackConfig::with_addresses([address.parse().expect("valid")]);
            Host::new(pipe, config, pool.clone(), seed)
        };
        let (mut a, mut b) = (host(first, "10.0.0.1/24", 1), host(second, "10.0.0.2/24", 2));
        let at = ([0, 0, 0, 0], 80).into();
        let (listener, _) = b.stack.tcp_listen(at, 8, false, TcpOptionsConfig::default()).expect("free");
        let mut now = Instant::ZERO;
        let to = ([10, 0, 0, 2], 80).into();
        let client = a.stack.tcp_connect(to, None, TcpOptionsConfig::default(), now).expect("a port");
        let server = loop {
            now += Duration::from_micros(5);
            a.poll(now).expect("alive");
            b.poll(now).expect("alive");
            if let Some(server) = b.stack.tcp_accept(listener) {
                break server;
            }
        };
        Self { a, b, ends: (client, server), pool, now }
    }

    fn turn(&mut self) {
        self.now += Duration::from_micros(5);
        self.a.poll(self.now).expect("alive");
        self.b.poll(self.now).expect("alive");
        while self.a.stack.poll_event().is_some() || self.b.stack.poll_event().is_some() {}
    }

    fn send(&mut self, bytes: usize) {
        let mut unit = self.pool.try_alloc(bytes).expect("memory");
        unit.set_len(bytes);
        self.a.stack.tcp_push(self.ends.0, unit.freeze().into(), self.now).map_err(|(e, _)| e).expect("room");
    }
}

#[test]
fn a_request_and_its_response_allocate_nothing() {
    let mut world = World::new();
    let mut steady = Steady::over(1_000);
    let verdict = loop {
        world.send(64);
        world.turn();
        let got = world.b.stack.tcp_pop(world.ends.1, world.now).expect("open").expect("the request");
        world.b.stack.tcp_push(world.ends.1, got.into(), world.now).map_err(|(e, _)| e).expect("room");
        world.turn();
        world.turn();
        let got = world.a.stack.tcp_pop(world.ends.0, world.now).expect("open").expect("the response");
        assert_eq!(got.len(), 64);
        if let Some(verdict) = steady.operation() {
            break verdict;
        }
    };
    assert!(verdict.is_clean(), "{verdict}");
}

#[test]
fn bulk_allocates_nothing() {
    let mut world = World::new();
    let mut steady = Steady::over(100);
    let verdict = loop {
        world.send(60_000);
        let mut got = 0;
        while got < 60_000 {
            world.turn();
            while let Ok(Some(bytes)) = world.b.stack.tcp_pop(world.ends.1, world.now) {
                got += bytes.len();
            }
        }
        if let Some(verdict) = steady.operation() {
            break verdict;
        }
    };
    assert!(verdict.is_clean(), "{verdict}");
}

/// TIME-WAIT and tables included, once the first connections have left it.
#[test]
fn opening_and_closing_allocates_nothing() {
    let pool = Pool::new().expect("memory");
    let [first, second] = Pipe::pair(1500, false, &pool);
    let host = |pipe, address: &str, seed| {
        let mut config = StackConfig::with_addresses([address.parse().expect("valid")]);
        config.tcp.time_wait = Duration::from_millis(10);
        Host::new(pipe, config, pool.clone(), seed)
    };
    let (mut a, mut b) = (host(first, "10.0.0.1/24", 1), host(second, "10.0.0.2/24", 2));
    let at = ([0, 0, 0, 0], 80).into();
    let (listener, _) = b.stack.tcp_listen(at, 8, false, TcpOptionsConfig::default()).expect("free");
    let to = ([10, 0, 0, 2], 80).into();
    let mut now = Instant::ZERO;
    let mut steady = Steady::over(500);
    let verdict = loop {
        let client = a.stack.tcp_connect(to, None, TcpOptionsConfig::default(), now).expect("a port");
        let mut server = None;
        // Three turns to open (more when the neighbour is asked for); then the client closes, and the server when it hears of it.
        for turn in 0.. {
            now += Duration::from_micros(50);
            a.poll(now).expect("alive");
            b.poll(now).expect("alive");
            while a.stack.poll_event().is_some() || b.stack.poll_event().is_some() {}
            server =
                server.or_else(|| b.stack.tcp_accept(listener).inspect(|_| a.stack.tcp_release(client, now)));
            if let Some(conn) = server
                && b.stack.tcp_is_at_end(conn)
            {
                b.stack.tcp_release(conn, now);
                if b.stack.tcp_state(conn) == hemi_net::tcp::State::Closed {
                    break;
                }
            }
            assert!(turn < 1000, "it never ends");
        }
        if let Some(verdict) = steady.operation() {
            break verdict;
        }
    };
    assert!(verdict.is_clean(), "{verdict}");
}
