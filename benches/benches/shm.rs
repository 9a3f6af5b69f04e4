//! What a round trip over `shm:` costs between two pinned cores, without a runtime: bare frames, UDP and TCP echo of 64 bytes, each
//! beside the bare round trip of a cache line in the same round; and one TCP stream as fast as it goes.
//!
//! `cargo bench -p hemi-bench --bench shm [-- ROUNDS]`. Both sides poll; ten seconds in all.

mod echo;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant as Clock},
};

use echo::{Side, Time, connected, frames, frames_back, host, median, tcp, udp};
use hemi_bench::{
    cores::{self, Cores},
    probe,
};
use hemi_net::{DeviceQueue, TcpOptionsConfig};
use hemi_queue::{Pool, PoolConfig, Uri};

/// One side's device and pool.
fn open(uri: &str) -> Side {
    let uri: Uri = uri.parse().expect("a URI");
    let pool = Pool::with(&PoolConfig::default()).expect("memory");
    (hemi_shm::open(&uri, &pool, DeviceQueue::ONLY).expect("two sides"), pool)
}

/// A case: what the client measures, and what the server does until it is over.
struct Case {
    name: &'static str,
    client: fn(Side) -> f64,
    server: fn(Side, &AtomicBool),
}

const CASES: [Case; 3] = [
    Case { name: "bare frame", client: frames, server: frames_back },
    Case { name: "UDP echo", client: udp, server: echo::echo },
    Case { name: "TCP echo", client: tcp, server: echo::echo },
];

/// Gbit/s of one stream for half a second.
fn bulk(side: Side) -> f64 {
    const UNIT: usize = 60 << 10;
    let (mut host, mut time, conn) = connected(side);
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
fn sink(side: Side, over: &AtomicBool) {
    let mut host = host(side, "10.0.0.2/24");
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
fn run(cores: Cores, client: fn(Side) -> f64, server: fn(Side, &AtomicBool)) -> f64 {
    let name = std::env::temp_dir().join(format!("hemi-bench-shm-{}", std::process::id()));
    let uri = |role: &str| format!("shm:{}?role={role}", name.display());
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let serving = scope.spawn(|| {
            cores::pin(cores.server).expect("pinned");
            server(open(&uri("a")), &over);
        });
        let asking = scope.spawn(|| {
            cores::pin(cores.client).expect("pinned");
            client(open(&uri("b")))
        });
        let answer = asking.join();
        over.store(true, Ordering::Relaxed);
        serving.join().expect("the server is content");
        answer.expect("the client is content")
    })
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
