//! Instructions per frame, by callgrind: hemi's driver beside bare bursts, over a port that makes frames up and throws them away.

use std::{env, fs, process::Command};

use hemi_dpdk::floor::{BURST, Frames};
use hemi_net::{Device, DeviceQueue, Host, TxFrame, TxQueue, sim::Pipe};
use hemi_queue::{Buf, Pool, Sga, Uri, time::Instant};

use super::echo;

/// Bytes of a payload that is not copied.
const PAYLOAD: usize = 1024;

fn uri() -> Uri {
    // Valgrind knows no vector instructions of more than 256 bits.
    let uri = "dpdk:net_null0,size=64?eal=--no-huge,--no-shconf,-m,64,--force-max-simd-bitwidth=128";
    uri.parse().expect("a URI")
}

/// Call `burst` until it has done so many frames.
#[inline(never)]
fn counted_loop(frames: usize, mut burst: impl FnMut() -> usize) {
    let mut done = 0;
    while done < frames {
        done += burst();
    }
}

/// What of a loop is counted.
#[inline(never)]
fn counted(part: impl FnOnce() -> usize) -> usize {
    part()
}

/// Do it `frames` times.
pub(crate) fn count(what: &str, frames: usize) {
    match what {
        "bare-rx" | "bare-tx" | "bare-chains" => {
            let mut port = Frames::open(&uri(), &super::FRAME).unwrap_or_else(|e| panic!("{e}"));
            if what == "bare-rx" {
                counted_loop(frames, || port.receive());
            } else if what == "bare-chains" {
                counted_loop(frames, || port.send_chains(BURST, PAYLOAD));
            } else {
                counted_loop(frames, || port.send(BURST));
            }
        }
        "rx" => {
            let (mut device, _pool) = device();
            let mut got = Vec::with_capacity(BURST);
            counted_loop(frames, || {
                got.clear();
                device.rx_burst(Instant::ZERO, BURST, &mut got).expect("alive")
            });
        }
        "tx" | "tx-payload" => {
            let (mut device, pool) = device();
            let payload = payload(what, &pool);
            let mut queue = TxQueue::new(BURST);
            counted_loop(frames, || {
                fill(&mut queue, payload.as_ref());
                device.tx_burst(Instant::ZERO, &mut queue).expect("alive")
            });
        }
        // What of the above is the queue's.
        "queue" | "queue-payload" => {
            let (_device, pool) = device();
            let payload = payload(what, &pool);
            let mut queue = TxQueue::new(BURST);
            counted_loop(frames, || {
                fill(&mut queue, payload.as_ref());
                (0..BURST).for_each(|_| queue.discard());
                BURST
            });
        }
        "udp-send" | "udp-receive" => datagrams(what == "udp-send", frames),
        _ => panic!("{what} is nothing that can be counted"),
    }
}

/// The stack's own of a datagram of 64 bytes, without a device: its sender's, with the making of the datagram, or its receiver's.
fn datagrams(sending: bool, count: usize) {
    let pool = Pool::new().expect("memory");
    let [ours, theirs] = Pipe::pair(1500, false, &pool);
    let mut sender = echo::host((Box::new(ours), pool.clone()), "10.0.0.2/24");
    let mut receiver = echo::host((Box::new(theirs), pool), "10.0.0.1/24");
    let now = Instant::ZERO;
    let bind = |host: &mut Host<Box<dyn Device>>, at: &str| {
        host.stack.udp_bind(at.parse().expect("valid"), 4 << 20, false).expect("free").0
    };
    let (from, to) = (bind(&mut sender, "0.0.0.0:0"), bind(&mut receiver, "0.0.0.0:9"));
    let at = Some("10.0.0.1:9".parse().expect("valid"));
    let send = |host: &mut Host<Box<dyn Device>>| {
        for _ in 0..BURST {
            let unit = echo::message(host.stack.pool()).into();
            host.stack.udp_send(from, unit, at, now).map_err(|(e, _)| e).expect("room");
        }
        host.flush(now).expect("alive");
        BURST
    };
    let receive = |host: &mut Host<Box<dyn Device>>| {
        host.poll(now).expect("alive");
        while host.stack.poll_event().is_some() {}
        std::iter::from_fn(|| host.stack.udp_recv(to).expect("open")).count()
    };
    // The first ones find the other side and its address.
    for _ in 0..4 {
        send(&mut sender);
        (0..4).for_each(|_| {
            receive(&mut receiver);
            receiver.flush(now).expect("alive");
            sender.poll(now).expect("alive");
        });
    }
    let mut done = 0;
    while done < count {
        if sending {
            counted(|| send(&mut sender));
            done += receive(&mut receiver);
        } else {
            send(&mut sender);
            done += counted(|| receive(&mut receiver));
        }
    }
}

fn device() -> (Box<dyn Device>, Pool) {
    let pool = Pool::new().expect("memory");
    (hemi_dpdk::open(&uri(), &pool, DeviceQueue::ONLY).unwrap_or_else(|e| panic!("{e}")), pool)
}

fn payload(what: &str, pool: &Pool) -> Option<Buf> {
    what.ends_with("payload").then(|| {
        let mut buffer = pool.try_alloc(PAYLOAD).expect("memory");
        buffer.set_len(PAYLOAD);
        buffer.freeze()
    })
}

fn fill(queue: &mut TxQueue, payload: Option<&Buf>) {
    for _ in 0..BURST {
        let mut frame = TxFrame::new(payload.map_or_else(Sga::new, |payload| Sga::from(payload.clone())));
        frame.head_mut(64);
        queue.push(frame);
    }
}

/// Those of [`count`]'s loop in this program under callgrind, per frame.
fn instructions(what: &str) -> f64 {
    const FRAMES: usize = 100_000 / BURST * BURST;
    let out = env::temp_dir().join(format!("hemi-bench-{}-{what}.callgrind", std::process::id()));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", "--toggle-collect=*instructions::counted*"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(env::current_exe().expect("ourselves"))
        .args(["--count", what, &FRAMES.to_string()])
        .output()
        .expect("valgrind runs (apt-get install valgrind)");
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    let text = fs::read_to_string(&out).expect("callgrind's output");
    let _ = fs::remove_file(&out);
    let total = text.lines().rev().find_map(|line| line.strip_prefix("totals: ")?.trim().parse::<u64>().ok());
    total.expect("a total") as f64 / FRAMES as f64
}

/// Count everything and print what hemi adds.
pub(crate) fn table() {
    let [bare_rx, rx, bare_tx, bare_chains] = ["bare-rx", "rx", "bare-tx", "bare-chains"].map(instructions);
    let [tx, queue, tx_payload, queue_payload] =
        ["tx", "queue", "tx-payload", "queue-payload"].map(instructions);
    println!("\n{:40} {:>6} {:>6} {:>6}", "instructions per frame, bursts of 32", "bare", "hemi", "added");
    for (name, bare, hemi) in [
        ("received, handed up, dropped", bare_rx, rx),
        ("sent, 64 bytes", bare_tx, tx - queue),
        ("sent, 64 bytes and 1 KiB where it is", bare_chains, tx_payload - queue_payload),
    ] {
        println!("{name:40} {bare:>6.0} {hemi:>6.0} {:>6.0}", hemi - bare);
    }
    println!("\n{:40} {:>6} {:>6}", "instructions of the stack per datagram", "send", "receive");
    let [send, receive] = ["udp-send", "udp-receive"].map(instructions);
    println!("{:40} {send:>6.0} {receive:>6.0}", "UDP, 64 bytes, made and dropped");
}
