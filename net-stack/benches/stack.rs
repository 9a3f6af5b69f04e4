//! What the stack costs: both ends on one in-memory wire that copies every frame once, checksums computed, every byte read.
//!
//! `cargo bench -p hemi-net --bench stack` prints nanoseconds; with arguments it runs one case a fixed number of times, for
//! callgrind: `stack rr 20000 IDLE`, `stack setup 20000`, `stack bulk MIB MTU`.

use std::{
    hint::black_box,
    net::SocketAddr,
    time::{Duration, Instant as Clock},
};

use hemi_net::{ConnId, Host, ListenerId, StackConfig, TcpConfig, TcpOptionsConfig, sim::Pipe};
use hemi_queue::{Pool, PoolConfig, time::Instant};

struct World {
    a: Host<Pipe>,
    b: Host<Pipe>,
    pool: Pool,
    listener: ListenerId,
    now: Instant,
}

impl World {
    fn new(mtu: u16, offload: bool) -> Self {
        let pool = Pool::with(&PoolConfig { limit: 1 << 30, ..PoolConfig::default() }).expect("memory");
        let [first, second] = Pipe::pair(mtu, offload, &pool);
        let config = |address: &str| {
            let mut tcp = TcpConfig::default();
            tcp.half_open_limit = 200_000;
            tcp.ephemeral_ports = (1024, 65_535);
            let mut config = StackConfig::with_addresses([address.parse().expect("valid")]);
            config.tcp = tcp;
            config.tx_queue = 1024;
            config
        };
        let a = Host::new(first, config("10.0.0.1/24"), pool.clone(), 1);
        let mut b = Host::new(second, config("10.0.0.2/24"), pool.clone(), 2);
        let at = SocketAddr::from(([0, 0, 0, 0], 80));
        let (listener, _) = b.stack.tcp_listen(at, 1024, false, TcpOptionsConfig::default()).expect("free");
        Self { a, b, pool, listener, now: Instant::ZERO }
    }

    fn poll(&mut self) {
        self.now += Duration::from_nanos(300);
        self.a.poll(self.now).expect("alive");
        self.b.poll(self.now).expect("alive");
    }

    fn connect(&mut self) -> (ConnId, ConnId) {
        let to = SocketAddr::from(([10, 0, 0, 2], 80));
        let a = self.a.stack.tcp_connect(to, None, TcpOptionsConfig::default(), self.now).expect("a port");
        loop {
            self.poll();
            if let Some(b) = self.b.stack.tcp_accept(self.listener) {
                self.poll();
                while self.a.stack.poll_event().is_some() || self.b.stack.poll_event().is_some() {}
                return (a, b);
            }
        }
    }

    /// One 64 B request and its response.
    fn request(&mut self, a: ConnId, b: ConnId) {
        self.now += Duration::from_nanos(300);
        let mut request = self.pool.try_alloc(64).expect("memory");
        request.put(&[7; 64]);
        self.a.stack.tcp_push(a, request.freeze().into(), self.now).map_err(|(e, _)| e).expect("room");
        self.a.flush(self.now).expect("alive");
        self.b.poll(self.now).expect("alive");
        while let Some(event) = self.b.stack.poll_event() {
            black_box(event);
        }
        let got = self.b.stack.tcp_pop(b, self.now).expect("open").expect("arrived");
        read(&got);
        self.b.stack.tcp_push(b, got.into(), self.now).map_err(|(e, _)| e).expect("room");
        self.b.flush(self.now).expect("alive");
        self.a.poll(self.now).expect("alive");
        while let Some(event) = self.a.stack.poll_event() {
            black_box(event);
        }
        let got = self.a.stack.tcp_pop(a, self.now).expect("open").expect("arrived");
        assert_eq!(got.len(), 64);
        read(&got);
    }

    /// Connect, close both ends.
    fn setup(&mut self) {
        let (a, b) = self.connect();
        self.a.stack.tcp_release(a, self.now);
        self.poll();
        self.b.stack.tcp_release(b, self.now);
        self.poll();
        self.poll();
    }

    fn bulk(&mut self, a: ConnId, b: ConnId, bytes: usize) {
        let mut left = bytes;
        let mut got = 0;
        while got < bytes {
            while left > 0 && self.a.stack.tcp_send_room(a) > 0 {
                let n = left.min(64 << 10);
                let mut unit = self.pool.try_alloc(n).expect("memory");
                unit.set_len(n);
                self.a.stack.tcp_push(a, unit.freeze().into(), self.now).map_err(|(e, _)| e).expect("room");
                left -= n;
            }
            self.poll();
            while let Ok(Some(buf)) = self.b.stack.tcp_pop(b, self.now) {
                read(&buf);
                got += buf.len();
            }
        }
    }
}

/// Touch every byte.
fn read(bytes: &[u8]) {
    let (words, tail) = bytes.as_chunks::<8>();
    let sum = words.iter().fold(0_u64, |s, w| s.wrapping_add(u64::from_ne_bytes(*w)));
    black_box(sum + tail.iter().map(|b| u64::from(*b)).sum::<u64>());
}

fn with_idle(idle: usize) -> (World, ConnId, ConnId) {
    let mut world = World::new(1500, false);
    let (a, b) = world.connect();
    for _ in 0..idle {
        world.connect();
    }
    for _ in 0..100 {
        world.request(a, b);
    }
    (world, a, b)
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let number = |i: usize, default: usize| args.get(i).and_then(|a| a.parse().ok()).unwrap_or(default);
    match args.first().map(String::as_str) {
        Some("rr") => {
            let (mut world, a, b) = with_idle(number(2, 0));
            let sent =
                |w: &World| w.a.stack.counters().tcp_segments_sent + w.b.stack.counters().tcp_segments_sent;
            let (n, before) = (number(1, 10_000), sent(&world));
            (0..n).for_each(|_| world.request(a, b));
            println!("{:.2} segments per request", (sent(&world) - before) as f64 / n as f64);
        }
        Some("setup") => {
            let mut world = World::new(1500, false);
            (0..number(1, 10_000)).for_each(|_| world.setup());
        }
        Some("bulk") => {
            let mut world = World::new(number(2, 1500) as u16, false);
            let (a, b) = world.connect();
            world.bulk(a, b, number(1, 100) << 20);
        }
        _ => report(),
    }
}

fn report() {
    for idle in [0, 10_000] {
        let (mut world, a, b) = with_idle(idle);
        let n = 200_000;
        let begin = Clock::now();
        (0..n).for_each(|_| world.request(a, b));
        println!(
            "64 B request/response, {idle:>6} idle: {:>7.0} ns",
            begin.elapsed().as_nanos() as f64 / f64::from(n)
        );
    }
    let mut world = World::new(1500, false);
    let n = 50_000;
    let begin = Clock::now();
    (0..n).for_each(|_| world.setup());
    println!("set-up + teardown: {:>7.0} /s", f64::from(n) / begin.elapsed().as_secs_f64());
    for (mtu, offload) in [(1500, false), (9000, false), (1500, true), (9000, true)] {
        let mut world = World::new(mtu, offload);
        let (a, b) = world.connect();
        world.bulk(a, b, 64 << 20);
        let bytes = 1_usize << 30;
        let begin = Clock::now();
        world.bulk(a, b, bytes);
        let gbit = bytes as f64 * 8.0 / begin.elapsed().as_secs_f64() / 1e9;
        println!(
            "bulk, MTU {mtu}, checksums {}: {gbit:>6.1} Gbit/s",
            if offload { "offloaded" } else { "computed" }
        );
    }
}
