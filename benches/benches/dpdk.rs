//! What a round trip over a DPDK port costs between two processes on two pinned cores: memif, as a plain user, without huge pages. Bare
//! frames (`rte_eth_rx_burst` and `rte_eth_tx_burst` and nothing else: the floor), hemi's driver, UDP and TCP echo of 64 bytes, each beside the
//! bare round trip of a cache line in the same round; packets per second one way; and the driver's instructions per frame.
//!
//! ```text
//! cargo bench -p hemi-bench --features dpdk --bench dpdk                  # both, a minute
//! cargo bench -p hemi-bench --features dpdk --bench dpdk -- --rounds 30
//! cargo bench -p hemi-bench --features dpdk --bench dpdk -- --callgrind   # instructions only, repeatable on a busy machine
//! cargo bench -p hemi-bench --features dpdk --bench dpdk -- --kernel      # a kernel's client opposite hemi and testpmd (root)
//! ```

mod echo;
#[path = "dpdk/instructions.rs"]
mod instructions;
#[path = "dpdk/kernel.rs"]
mod kernel;

use std::{
    env,
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    sync::atomic::AtomicBool,
    time::Instant as Clock,
};

use echo::{SAMPLE, Side, Time, host, median};
use hemi_bench::{
    cores::{self, Cores},
    probe,
};
use hemi_dpdk::floor::{BURST, Frames};
use hemi_net::DeviceQueue;
use hemi_queue::{Pool, Uri};

/// The floor's frame.
const FRAME: [u8; 64] = [7; 64];

fn uri(number: usize, role: &str, socket: &str) -> Uri {
    let uri = format!("dpdk:net_memif{number},role={role},socket={socket},socket-abstract=no");
    uri.parse().expect("a URI")
}

/// Hemi's device on a memif.
fn open(uri: &Uri) -> Side {
    let pool = Pool::new().expect("memory");
    (hemi_dpdk::open(uri, &pool, DeviceQueue::ONLY).unwrap_or_else(|e| panic!("{e}")), pool)
}

fn bare(uri: &Uri) -> Frames {
    Frames::open(uri, &FRAME).unwrap_or_else(|e| panic!("{e}"))
}

/// A case: what we measure, and what the other process does until it is killed.
struct Case {
    name: &'static str,
    client: fn(&Uri) -> f64,
    server: fn(&Uri),
}

static NEVER: AtomicBool = AtomicBool::new(false);

const TRIPS: [Case; 4] = [
    Case { name: "bare frame", client: bounce, server: bounce_back },
    Case {
        name: "driver, frame",
        client: |uri| echo::frames(open(uri)),
        server: |uri| echo::frames_back(opened(uri), &NEVER),
    },
    Case {
        name: "UDP echo",
        client: |uri| echo::udp(open(uri)),
        server: |uri| echo::echo(opened(uri), &NEVER),
    },
    Case {
        name: "TCP echo",
        client: |uri| echo::tcp(open(uri)),
        server: |uri| echo::echo(opened(uri), &NEVER),
    },
];

const RATES: [Case; 2] = [
    Case { name: "bare frames", client: count, server: flood },
    Case { name: "UDP", client: count_udp, server: flood_udp },
];

fn bounce(uri: &Uri) -> f64 {
    /// Polls after which a frame is taken for lost: the first ones, while the link comes up.
    const LOST: u32 = 1 << 20;
    let mut port = bare(uri);
    echo::measure(|| {
        let mut polls = 0;
        loop {
            // A memif's receiver makes room for its sender.
            while polls % LOST == 0 && port.send(1) == 0 {
                port.receive();
            }
            if port.receive() > 0 {
                return;
            }
            polls += 1;
        }
    })
}

fn bounce_back(uri: &Uri) {
    let mut port = bare(uri);
    ready();
    loop {
        port.bounce();
    }
}

/// The same for the other process, which we are told of.
fn opened(uri: &Uri) -> Side {
    let side = open(uri);
    ready();
    side
}

/// Units per second, of what `take` takes.
fn rate(mut take: impl FnMut() -> usize) -> f64 {
    while take() == 0 {}
    let warm = Clock::now();
    while warm.elapsed() < SAMPLE / 4 {
        take();
    }
    let (begin, mut taken) = (Clock::now(), 0);
    while begin.elapsed() < SAMPLE {
        for _ in 0..64 {
            taken += take();
        }
    }
    taken as f64 / begin.elapsed().as_secs_f64()
}

fn count(uri: &Uri) -> f64 {
    let mut port = bare(uri);
    rate(|| port.receive())
}

fn flood(uri: &Uri) {
    let mut port = bare(uri);
    ready();
    loop {
        port.send(BURST);
    }
}

fn count_udp(uri: &Uri) -> f64 {
    let mut host = host(open(uri), "10.0.0.1/24");
    let mut time = Time::new();
    let (socket, _) = host.stack.udp_bind("0.0.0.0:9".parse().expect("valid"), 4 << 20, false).expect("free");
    rate(|| {
        host.poll(time.now()).expect("alive");
        while host.stack.poll_event().is_some() {}
        let mut taken = 0;
        while host.stack.udp_recv(socket).expect("open").is_some() {
            taken += 1;
        }
        taken
    })
}

fn flood_udp(uri: &Uri) {
    let mut host = host(open(uri), "10.0.0.2/24");
    ready();
    let mut time = Time::new();
    let (socket, _) = host.stack.udp_bind("0.0.0.0:0".parse().expect("valid"), 1 << 20, false).expect("free");
    let to = Some("10.0.0.1:9".parse().expect("valid"));
    loop {
        let now = time.now();
        for _ in 0..BURST {
            // What finds no room is dropped, as by any program that floods.
            let _ = host.stack.udp_send(socket, echo::message(host.stack.pool()).into(), to, now);
        }
        host.poll(now).expect("alive");
        while host.stack.poll_event().is_some() {}
    }
}

/// Tell the other process that the link's socket is there.
fn ready() {
    println!("ready");
    let _ = std::io::stdout().flush();
}

/// A process that is killed with the sample.
struct Other(Child);

impl Other {
    /// Run a case's server on a core of its own, until it says that it is ready.
    fn start(case: &Case, socket: &str, cpu: usize) -> Self {
        let mut child = Command::new(env::current_exe().expect("ourselves"))
            .args(["--serve", case.name, socket, &cpu.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let mut lines = BufReader::new(child.stdout.take().expect("piped"));
        let this = Self(child);
        let mut line = String::new();
        while line.trim() != "ready" {
            line.clear();
            assert!(
                lines.read_line(&mut line).expect("readable") > 0,
                "{}: the other process ended",
                case.name
            );
        }
        this
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(name: &str, socket: &str, cpu: &str) {
    cores::pin(cpu.parse().expect("a core")).expect("pinned");
    let uri = uri(0, "server", socket);
    let Some(case) = TRIPS.iter().chain(&RATES).find(|case| case.name == name) else { return };
    (case.server)(&uri);
}

struct Lab {
    cores: Cores,
    number: usize,
}

impl Lab {
    fn run(&mut self, case: &Case) -> f64 {
        self.number += 1;
        let socket = env::temp_dir().join(format!("hemi-bench-{}-{}", std::process::id(), self.number));
        let socket = socket.to_str().expect("a plain path").to_owned();
        let other = Other::start(case, &socket, self.cores.server);
        let number = self.number;
        let measured = std::thread::scope(|scope| {
            let asking = scope.spawn(|| {
                cores::pin(self.cores.client).expect("pinned");
                (case.client)(&uri(number, "client", &socket))
            });
            asking.join().expect("the client is content")
        });
        drop(other);
        let _ = std::fs::remove_file(&socket);
        measured
    }

    fn probe(&self) -> f64 {
        probe::round_trip(self.cores).expect("both cores are ours")
    }
}

/// Samples of one case: what was measured, and the cache line beside it.
type Samples = Vec<(f64, f64)>;

fn interleaved<const N: usize>(lab: &mut Lab, cases: &[Case; N], rounds: usize) -> [Samples; N] {
    let mut samples = [const { Vec::new() }; N];
    for _ in 0..rounds {
        for (case, samples) in cases.iter().zip(&mut samples) {
            let before = lab.probe();
            let value = lab.run(case);
            samples.push((value, f64::midpoint(before, lab.probe())));
        }
    }
    samples
}

/// Of each round the case's value over the floor's, if no core has moved meanwhile.
fn ratios(case: &Samples, floor: &Samples) -> Vec<f64> {
    let near = |line: f64| line < probe::NEAR;
    case.iter().zip(floor).filter(|(a, b)| near(a.1) == near(b.1)).map(|(a, b)| a.0 / b.0).collect()
}

fn print(cases: &[Case], samples: &[Samples], scale: f64, unit: &str) {
    println!("{:16} {unit:>10} {:>10} {:>10} {:>10} {:>8}", "", "near", "far", "line, ns", "x floor");
    for (case, own) in cases.iter().zip(samples) {
        let of = |near: bool| {
            own.iter().filter(move |s| (s.1 < probe::NEAR) == near).map(|s| s.0 / scale).collect()
        };
        println!(
            "{:16} {:>10.2} {:>10.2} {:>10.2} {:>10.0} {:>8.2}",
            case.name,
            median(own.iter().map(|s| s.0 / scale).collect()),
            median(of(true)),
            median(of(false)),
            median(own.iter().map(|s| s.1).collect()),
            median(ratios(own, &samples[0])),
        );
    }
}

/// Rows of times, each over the first's of the same round.
fn print_table(rows: &[(&str, Vec<f64>)]) {
    println!("\n{:24} {:>10} {:>8}", "", "RTT, us", "x floor");
    for (name, samples) in rows {
        let ratios = samples.iter().zip(&rows[0].1).map(|(own, floor)| own / floor).collect();
        println!("{name:24} {:>10.2} {:>8.2}", median(samples.clone()) / 1e3, median(ratios));
    }
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--serve", name, socket, cpu] => serve(name, socket, cpu),
        ["--count", what, frames] => instructions::count(what, frames.parse().expect("a number")),
        ["--callgrind"] => instructions::table(),
        ["--serve-kernel", device, cpu] => {
            cores::pin(cpu.parse().expect("a core")).expect("pinned");
            kernel::serve(device);
        }
        ["--kernel"] => kernel::table(5),
        ["--kernel", rounds] => kernel::table(rounds.parse().expect("a number of rounds")),
        ["--rounds", rounds] => times(rounds.parse().expect("a number of rounds")),
        _ => {
            times(5);
            instructions::table();
        }
    }
}

fn times(rounds: usize) {
    let cores = match Cores::choose(None, None) {
        Ok(cores) => cores,
        Err(error) => return println!("{error}"),
    };
    let mut lab = Lab { cores, number: 0 };
    print(&TRIPS, &interleaved(&mut lab, &TRIPS, rounds), 1.0, "RTT, ns");
    println!();
    print(&RATES, &interleaved(&mut lab, &RATES, rounds.div_ceil(3)), 1e6, "M/s");
}
