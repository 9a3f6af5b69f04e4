//! What a round trip over `shm:` costs between two pinned cores, without a runtime: bare frames, UDP and TCP echo of 64 bytes, each
//! beside the bare round trip of a cache line in the same round; and one TCP stream as fast as it goes.
//!
//! `cargo bench -p hemi-bench --bench shm [-- ROUNDS]`. Both sides poll; ten seconds in all.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant as Clock},
};

use hemi_bench::{
    cores::{self, Cores},
    probe,
};
use hemi_net::{Device, DeviceQueue, Host, RxFrame, StackConfig, TcpOptionsConfig, TxFrame, TxQueue};
use hemi_queue::{Buf, Pool, PoolConfig, Sga, Uri, time::Instant};

/// Round trips per reading of the clock.
const TRIPS: u32 = 20;
/// How long a sample takes, and how long before it nothing is recorded.
const SAMPLE: Duration = Duration::from_millis(100);
const WARM_UP: Duration = Duration::from_millis(20);
/// Bytes of a message.
const SIZE: usize = 64;
/// Polls of an idle side between two looks at the clock, which cost as much as several polls.
const POLLS_PER_LOOK: u32 = 16;

/// A clock that is read seldom while nothing happens.
struct Time {
    begin: Clock,
    now: Instant,
    left: u32,
}

impl Time {
    fn new() -> Self {
        Self { begin: Clock::now(), now: Instant::ZERO, left: 0 }
    }

    fn now(&mut self) -> Instant {
        if self.left == 0 {
            self.now = Instant::ZERO + self.begin.elapsed();
            self.left = POLLS_PER_LOOK;
        }
        self.left -= 1;
        self.now
    }
}

/// One side's device and pool.
fn open(uri: &str) -> (Box<dyn Device>, Pool) {
    let uri: Uri = uri.parse().expect("a URI");
    let pool = Pool::with(&PoolConfig::default()).expect("memory");
    (hemi_shm::open(&uri, &pool, DeviceQueue::ONLY).expect("two sides"), pool)
}

fn host(uri: &str, address: &str) -> Host<Box<dyn Device>> {
    let (device, pool) = open(uri);
    Host::new(device, StackConfig::with_addresses([address.parse().expect("an address")]), pool, 5)
}

/// A case: what the client measures, and what the server does until it is over.
struct Case {
    name: &'static str,
    client: fn(&str) -> f64,
    server: fn(&str, &AtomicBool),
}

const CASES: [Case; 3] = [
    Case { name: "bare frame", client: frames, server: frames_back },
    Case { name: "UDP echo", client: udp, server: echo },
    Case { name: "TCP echo", client: tcp, server: echo },
];

fn frame() -> TxFrame {
    let mut frame = TxFrame::new(Sga::new());
    frame.head_mut(66 + SIZE).fill(7);
    frame
}

/// Nanoseconds per trip: the tenth percentile of the readings, because interference only adds, and on a machine that does other work
/// most are interrupted. (The latency lab's rows have the whole distribution.)
fn measure(mut trip: impl FnMut()) -> f64 {
    let mut readings = Vec::new();
    // The first trip finds the other side and its address.
    trip();
    let begin = Clock::now();
    while begin.elapsed() < WARM_UP + SAMPLE {
        let reading = Clock::now();
        (0..TRIPS).for_each(|_| trip());
        if begin.elapsed() > WARM_UP {
            readings.push(reading.elapsed().as_nanos() as f64 / f64::from(TRIPS));
        }
    }
    readings.sort_by(f64::total_cmp);
    readings.get(readings.len() / 10).copied().unwrap_or(f64::INFINITY)
}

fn next_frame(device: &mut dyn Device, time: &mut Time, got: &mut Vec<RxFrame>, over: &AtomicBool) {
    got.clear();
    while device.rx_burst(time.now(), 64, got).expect("alive") == 0 && !over.load(Ordering::Relaxed) {}
}

fn frames(uri: &str) -> f64 {
    let (mut device, _) = open(uri);
    let (mut time, mut queue, mut got) = (Time::new(), TxQueue::new(8), Vec::new());
    let never = AtomicBool::new(false);
    measure(|| {
        queue.push(frame());
        // Until the link is there.
        while device.tx_burst(time.now(), &mut queue).expect("alive") == 0 {
            device.rx_burst(time.now(), 64, &mut got).expect("alive");
        }
        next_frame(&mut *device, &mut time, &mut got, &never);
    })
}

fn frames_back(uri: &str, over: &AtomicBool) {
    let (mut device, _) = open(uri);
    let (mut time, mut queue, mut got) = (Time::new(), TxQueue::new(8), Vec::new());
    while !over.load(Ordering::Relaxed) {
        next_frame(&mut *device, &mut time, &mut got, over);
        queue.push(frame());
        device.tx_burst(time.now(), &mut queue).expect("alive");
    }
}

/// TCP and UDP echo on port 7.
fn echo(uri: &str, over: &AtomicBool) {
    let mut host = host(uri, "10.0.0.2/24");
    let mut time = Time::new();
    let at = "0.0.0.0:7".parse().expect("valid");
    let (listener, _) = host.stack.tcp_listen(at, 8, false, TcpOptionsConfig::default()).expect("free");
    let (socket, _) = host.stack.udp_bind(at, 1 << 20, false).expect("free");
    let mut conn = None;
    while !over.load(Ordering::Relaxed) {
        let now = time.now();
        host.poll(now).expect("alive");
        while let Some(event) = host.stack.poll_event() {
            std::hint::black_box(event);
        }
        if conn.is_none() {
            conn = host.stack.tcp_accept(listener);
        }
        let mut work = false;
        if let Some(conn) = conn {
            while let Ok(Some(part)) = host.stack.tcp_pop(conn, now) {
                host.stack.tcp_push(conn, part.into(), now).map_err(|(e, _)| e).expect("room");
                work = true;
            }
        }
        while let Ok(Some(datagram)) = host.stack.udp_recv(socket) {
            let to = Some(datagram.from);
            host.stack.udp_send(socket, datagram.payload.into(), to, now).map_err(|(e, _)| e).expect("room");
            work = true;
        }
        if work {
            host.flush(now).expect("alive");
        }
    }
}

fn message(pool: &Pool) -> Buf {
    let mut buffer = pool.try_alloc(SIZE).expect("memory");
    buffer.put(&[7; SIZE]);
    buffer.freeze()
}

fn udp(uri: &str) -> f64 {
    let mut host = host(uri, "10.0.0.1/24");
    let mut time = Time::new();
    let (socket, _) = host.stack.udp_bind("0.0.0.0:0".parse().expect("valid"), 1 << 20, false).expect("free");
    let to = Some("10.0.0.2:7".parse().expect("valid"));
    measure(|| {
        let unit = message(host.stack.pool()).into();
        let now = time.now();
        host.stack.udp_send(socket, unit, to, now).map_err(|(e, _)| e).expect("room");
        host.flush(now).expect("alive");
        while host.stack.udp_recv(socket).expect("open").is_none() {
            host.poll(time.now()).expect("alive");
            while host.stack.poll_event().is_some() {}
        }
    })
}

fn connected(uri: &str) -> (Host<Box<dyn Device>>, Time, hemi_net::ConnId) {
    let mut host = host(uri, "10.0.0.1/24");
    let mut time = Time::new();
    let mut options = TcpOptionsConfig::default();
    options.nodelay = true;
    let to = "10.0.0.2:7".parse().expect("valid");
    let conn = host.stack.tcp_connect(to, None, options, time.now()).expect("a route");
    while !host.stack.tcp_state(conn).is_synchronized() {
        host.poll(time.now()).expect("alive");
    }
    (host, time, conn)
}

fn tcp(uri: &str) -> f64 {
    let (mut host, mut time, conn) = connected(uri);
    measure(|| {
        let unit = message(host.stack.pool()).into();
        let now = time.now();
        host.stack.tcp_push(conn, unit, now).map_err(|(e, _)| e).expect("room");
        host.flush(now).expect("alive");
        let mut got = 0;
        while got < SIZE {
            host.poll(time.now()).expect("alive");
            while host.stack.poll_event().is_some() {}
            while let Some(part) = host.stack.tcp_pop(conn, time.now).expect("open") {
                got += part.len();
            }
        }
    })
}

/// Gbit/s of one stream for half a second.
fn bulk(uri: &str) -> f64 {
    const UNIT: usize = 60 << 10;
    let (mut host, mut time, conn) = connected(uri);
    let mut unit = host.stack.pool().try_alloc(UNIT).expect("memory");
    unit.set_len(UNIT);
    let unit = unit.freeze();
    let (begin, mut sent) = (Clock::now(), 0_u64);
    while begin.elapsed() < Duration::from_millis(500) {
        let now = time.now();
        while host.stack.tcp_send_room(conn) > 0 {
            host.stack.tcp_push(conn, unit.clone().into(), now).map_err(|(e, _)| e).expect("room");
            sent += UNIT as u64;
        }
        host.poll(now).expect("alive");
        while host.stack.poll_event().is_some() {}
    }
    sent as f64 * 8.0 / begin.elapsed().as_nanos() as f64
}

/// Takes everything, and reads every byte.
fn sink(uri: &str, over: &AtomicBool) {
    let mut host = host(uri, "10.0.0.2/24");
    let mut time = Time::new();
    let at = "0.0.0.0:7".parse().expect("valid");
    let (listener, _) = host.stack.tcp_listen(at, 8, false, TcpOptionsConfig::default()).expect("free");
    let mut conn = None;
    while !over.load(Ordering::Relaxed) {
        let now = time.now();
        host.poll(now).expect("alive");
        while host.stack.poll_event().is_some() {}
        conn = conn.or_else(|| host.stack.tcp_accept(listener));
        while let Some(part) = conn.and_then(|conn| host.stack.tcp_pop(conn, now).ok().flatten()) {
            let (words, _) = part.as_chunks::<8>();
            std::hint::black_box(words.iter().fold(0, |sum: u64, word| sum ^ u64::from_ne_bytes(*word)));
        }
    }
}

/// Run a client and a server on two cores; what the client measured.
fn run(cores: Cores, client: fn(&str) -> f64, server: fn(&str, &AtomicBool)) -> f64 {
    let name = std::env::temp_dir().join(format!("hemi-bench-shm-{}", std::process::id()));
    let uri = |role: &str| format!("shm:{}?role={role}", name.display());
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let serving = scope.spawn(|| {
            cores::pin(cores.server).expect("pinned");
            server(&uri("a"), &over);
        });
        let asking = scope.spawn(|| {
            cores::pin(cores.client).expect("pinned");
            client(&uri("b"))
        });
        let answer = asking.join();
        over.store(true, Ordering::Relaxed);
        serving.join().expect("the server is content");
        answer.expect("the client is content")
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let rounds = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(15_usize);
    let cores = match Cores::choose(None, None) {
        Ok(cores) => cores,
        Err(error) => return println!("{error}"),
    };
    let probe = || probe::round_trip(cores).expect("both cores are ours");
    println!("{:12} {:>10} {:>10} {:>8} {:>8}", "", "ns", "line, ns", "ratio", "best");
    let mut samples = CASES.map(|_| Vec::new());
    for _ in 0..rounds {
        for (case, samples) in CASES.iter().zip(&mut samples) {
            let before = probe();
            let ns = run(cores, case.client, case.server);
            samples.push((ns, f64::midpoint(before, probe())));
        }
    }
    for (case, samples) in CASES.iter().zip(&samples) {
        let of = |each: fn(&(f64, f64)) -> f64| samples.iter().map(each).collect::<Vec<_>>();
        let ratios = of(|sample| sample.0 / sample.1);
        let best = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        println!(
            "{:12} {:>10.0} {:>10.0} {:>8.2} {:>8.2}",
            case.name,
            median(of(|sample| sample.0)),
            median(of(|sample| sample.1)),
            median(ratios),
            best
        );
    }
    let rates: Vec<f64> = (0..5).map(|_| run(cores, bulk, sink)).collect();
    println!("one TCP stream: {:.1} Gbit/s", median(rates));
}
