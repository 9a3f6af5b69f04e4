//! A client of the Linux kernel's opposite an answering machine behind AF_XDP: hemi over DPDK's `net_af_xdp` and over its own `xdp:`, each beside DPDK's
//! own, `testpmd --forward-mode=icmpecho`. Echo requests of 64 bytes over a veth pair in a network namespace of its own (root); the client
//! does not sleep.

use std::{
    fs,
    io::{self, Write as _},
    net::{Ipv4Addr, SocketAddrV4},
    process::{Child, Command, Stdio},
    time::{Duration, Instant as Clock},
};

use hemi_bench::cores::{self, Cores};
use hemi_netns::Namespace;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto, recv, sendto, socket_with,
};

use super::{Other, echo, open, print_table};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 79, 0, 2);
/// An echo is taken for lost after this: the first ones, while the link comes up.
const LOST: Duration = Duration::from_millis(100);
/// How long somebody has to come up.
const PATIENCE: Duration = Duration::from_secs(60);

const TESTPMD: &str = "testpmd";
const DEVICES: [(&str, &str); 2] =
    [("hemi, dpdk:net_af_xdp", "dpdk:net_af_xdp0,iface=h0,busy_budget=0"), ("hemi, xdp:", "xdp:h0")];

/// Answer echo requests until we are killed.
pub(crate) fn serve(device: &str) {
    let uri = device.parse().expect("a URI");
    let side = if device.starts_with("xdp:") {
        let pool = hemi_queue::Pool::new().expect("memory");
        let opened = hemi_xdp::open(&uri, &pool, hemi_net::DeviceQueue::ONLY);
        (opened.unwrap_or_else(|e| panic!("{e}")), pool)
    } else {
        open(&uri)
    };
    let mut host = echo::host(side, &format!("{SERVER}/24"));
    let mut time = echo::Time::new();
    loop {
        host.poll(time.now()).expect("alive");
        while host.stack.poll_event().is_some() {}
    }
}

/// A process with its standard input open: testpmd ends with it.
fn start(mut command: Command) -> Other {
    let child: io::Result<Child> =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::inherit()).spawn();
    Other(child.expect("started"))
}

fn testpmd(cores: Cores) -> Other {
    let program = ["dpdk-testpmd", "/usr/bin/dpdk-testpmd"].into_iter().find(|p| {
        Command::new(p).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    });
    let mut command = Command::new(program.expect("dpdk-testpmd (apt-get install dpdk-dev)"));
    // Its main core waits for commands.
    command.args([
        "-l",
        &format!("{},{}", cores.client, cores.server),
        "--main-lcore",
        &cores.client.to_string(),
    ]);
    command.args(["--no-huge", "--no-shconf", "-m", "256", "--no-pci", "--no-telemetry", "--iova-mode=va"]);
    command.args(["--vdev", "net_af_xdp0,iface=h0,busy_budget=0", "--"]);
    command.args([
        "--forward-mode=icmpecho",
        "--auto-start",
        "--nb-cores=1",
        "--total-num-mbufs=16384",
        "--no-mlockall",
        "-i",
    ]);
    start(command)
}

fn hemi(device: &str, cores: Cores) -> Other {
    let mut command = Command::new(std::env::current_exe().expect("ourselves"));
    command.args(["--serve-kernel", device, &cores.server.to_string()]);
    start(command)
}

/// Nanoseconds per echo.
fn ping() -> f64 {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket =
        socket_with(AddressFamily::INET, SocketType::DGRAM, flags, Some(ipproto::ICMP)).expect("allowed");
    let mut request = [7; 64];
    request[..8].copy_from_slice(&[8, 0, 0, 0, 0, 0, 0, 0]); // an echo request; the kernel fills in its checksum and number
    let to = SocketAddrV4::new(SERVER, 0);
    let begun = Clock::now();
    let mut sequence = 0_u16;
    echo::measure(|| {
        loop {
            sequence = sequence.wrapping_add(1);
            request[6..8].copy_from_slice(&sequence.to_be_bytes());
            let asked = Clock::now();
            sendto(&socket, &request, SendFlags::empty(), &to).expect("the kernel sends");
            let mut answer = [0; 128];
            loop {
                match recv(&socket, &mut answer, RecvFlags::empty()) {
                    Ok((n, _)) if n >= 8 && answer[6..8] == request[6..8] => return,
                    _ if asked.elapsed() > LOST => break,
                    _ => {}
                }
            }
            assert!(begun.elapsed() < PATIENCE, "nobody answers");
        }
    })
}

/// Measure in turns, and print.
pub(crate) fn table(rounds: usize) {
    let cores = match Cores::choose(None, None) {
        Ok(cores) => cores,
        Err(error) => return println!("{error}"),
    };
    let namespace = match Namespace::enter() {
        Ok(namespace) => namespace,
        Err(why) => return println!("SKIPPED: {why}"),
    };
    fs::write("/proc/sys/net/ipv4/ping_group_range", "0 0").expect("a namespace of ours");
    let mut rows: Vec<(&str, Vec<f64>)> = vec![(TESTPMD, Vec::new())];
    rows.extend(DEVICES.map(|(name, _)| (name, Vec::new())));
    for _ in 0..rounds {
        for (name, samples) in &mut rows {
            // A killed process leaves its program on the interface: each has a new one.
            namespace.veth("h0", "k0");
            namespace.ip("addr add 10.79.0.1/24 dev k0");
            let device = DEVICES.iter().find(|(device, _)| device == name);
            let other = device.map_or_else(|| testpmd(cores), |(_, uri)| hemi(uri, cores));
            let sample = std::thread::scope(|scope| {
                let asking = scope.spawn(|| {
                    cores::pin(cores.client).expect("pinned");
                    ping()
                });
                asking.join().expect("the client is content")
            });
            samples.push(sample);
            drop(other);
            namespace.ip("link del k0");
            print!(".");
            let _ = io::stdout().flush();
        }
    }
    print_table(&rows);
}
