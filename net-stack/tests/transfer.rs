//! Two hosts on a wire: bytes arrive intact, in order and once, whatever the wire does; both ends agree on the end; memory returns.

use std::time::Duration;

use hemi_net::{
    Device, StackConfig, TcpConfig, TcpOptionsConfig,
    sim::{Faults, Pair, Side, WireConfig},
    tcp::{Algorithm, State},
};
use hemi_queue::Buf;

const MS: Duration = Duration::from_millis(1);

fn stream(n: usize) -> Vec<u8> {
    (0..n as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// Send `n` bytes from A to B in pushes of `unit`, and close both ends; returns the virtual time it took.
fn transfer(pair: &mut Pair, n: usize, unit: usize) -> Duration {
    let (a, b) = pair.connect(80).expect("connected");
    transfer_on(pair, a, b, n, unit)
}

fn transfer_on(pair: &mut Pair, a: hemi_net::ConnId, b: hemi_net::ConnId, n: usize, unit: usize) -> Duration {
    let begin = pair.now();
    let bytes = stream(n);
    let (mut sent, mut got) = (0, Vec::new());
    let mut took = None;
    pair.run_until(|p| {
        while sent < n && p.a.stack.tcp_send_room(a) > 0 {
            let next = (sent + unit).min(n);
            p.push(Side::A, a, Buf::from(bytes[sent..next].to_vec()));
            sent = next;
            if sent == n {
                p.a.stack.tcp_shutdown(a, p.now());
            }
        }
        got.extend(p.pop_all(Side::B, b));
        if p.b.stack.tcp_is_at_end(b) && took.is_none() {
            took = Some(p.now() - begin);
            p.b.stack.tcp_shutdown(b, p.now());
        }
        took.is_some() && p.a.stack.tcp_is_at_end(a) && p.a.stack.tcp_is_flushed(a)
    })
    .expect("no deadlock");
    assert!(got == bytes, "{} of {} bytes arrived, or they differ", got.len(), n);
    assert_eq!(pair.a.stack.tcp_error(a), None);
    let now = pair.now();
    pair.a.stack.tcp_release(a, now);
    pair.b.stack.tcp_release(b, now);
    took.expect("finished")
}

/// `HEMI_SEEDS` makes a soak of the transfers.
fn seeds() -> u64 {
    std::env::var("HEMI_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(60)
}

/// Everything is over, for the network and for the memory.
fn assert_quiet(pair: &mut Pair) {
    pair.run_for(Duration::from_secs(4000));
    for host in [&pair.a, &pair.b] {
        assert_eq!(host.stack.tcp_counts(), (0, 0), "connections are left");
    }
    assert_eq!(pair.wire.in_flight(), 0);
    assert_eq!(pair.a.stack.pool().stats().in_use, 0, "buffers are left");
}

#[test]
fn hello() {
    let mut pair = Pair::new(WireConfig { delay: 5 * MS, ..WireConfig::default() }, 1);
    let (a, b) = pair.connect(80).expect("connected");
    pair.push(Side::A, a, "hello");
    pair.run_for(10 * MS);
    assert_eq!(pair.pop_all(Side::B, b), b"hello");
    pair.push(Side::B, b, "goodbye");
    pair.run_for(10 * MS);
    assert_eq!(pair.pop_all(Side::A, a), b"goodbye");
    let now = pair.now();
    pair.a.stack.tcp_close(a, now);
    pair.run_for(11 * MS);
    assert_eq!((pair.a.stack.tcp_state(a), pair.b.stack.tcp_state(b)), (State::FinWait2, State::CloseWait));
    assert!(pair.b.stack.tcp_is_at_end(b));
    let now = pair.now();
    pair.b.stack.tcp_close(b, now);
    pair.run_for(20 * MS);
    assert_eq!(pair.a.stack.tcp_counts().1, 1, "the side that closed first waits");
    assert_eq!(pair.b.stack.tcp_counts().1, 0);
    pair.a.stack.tcp_release(a, now);
    pair.b.stack.tcp_release(b, now);
    assert_quiet(&mut pair);
    assert_eq!((pair.a.stack.counters().dropped(), pair.b.stack.counters().dropped()), (0, 0));
    assert_eq!(pair.a.stack.counters().tcp_retransmits + pair.b.stack.counters().tcp_retransmits, 0);
}

#[test]
fn a_megabyte_over_a_perfect_wire_without_a_retransmission() {
    for (mtu, tso, offload) in [
        (1500, 0, false),
        (9000, 0, false),
        (1500, 65_000, true),
        (576, 0, false),
        (1500, 0, true),
        (9000, 65_000, true),
    ] {
        let config = WireConfig { mtu, tso, checksum_offload: offload, delay: MS, ..WireConfig::default() };
        let mut pair = Pair::new(config, 2);
        transfer(&mut pair, 1 << 20, 10_000);
        assert_eq!(pair.a.stack.counters().tcp_retransmits, 0, "mtu {mtu}");
        assert_quiet(&mut pair);
        assert_eq!(pair.b.stack.counters().dropped(), 0);
    }
}

#[test]
fn one_push_larger_than_every_window() {
    let mut pair = Pair::new(WireConfig { delay: MS, ..WireConfig::default() }, 3);
    transfer(&mut pair, 5 << 20, 5 << 20);
    assert_quiet(&mut pair);
}

#[test]
fn loss_in_both_directions() {
    for seed in 0..20 {
        let faults = [Faults::lossy(0.05), Faults::lossy(0.05)];
        let config = WireConfig { delay: 10 * MS, faults, seed, ..WireConfig::default() };
        let mut pair = Pair::new(config, seed);
        transfer(&mut pair, 300_000, 3000);
        assert!(pair.wire.stats(0).lost > 0);
        pair.wire.set_faults(0, Faults::NONE);
        pair.wire.set_faults(1, Faults::NONE);
        assert_quiet(&mut pair);
    }
}

#[test]
fn everything_at_once_with_every_controller_and_option() {
    for seed in 0..seeds() {
        let fault = Faults {
            loss: 0.03,
            burst: (seed % 4) as u32,
            duplicate: 0.02,
            reorder: 0.05,
            reorder_by: 30 * MS,
            corrupt: 0.02,
            jitter: 2 * MS,
        };
        let config = WireConfig {
            delay: 8 * MS,
            rate: 20_000_000,
            queue: 60_000,
            mark: if seed % 3 == 0 { 20_000 } else { 0 },
            tso: if seed % 5 == 0 { 65_000 } else { 0 },
            ring: if seed % 2 == 0 { 0 } else { 3 },
            mtu: [1500, 9000, 600][seed as usize % 3],
            seed,
            ..WireConfig::default()
        };
        let side = |bits: u64| {
            let mut tcp = TcpConfig::default();
            tcp.congestion = [Algorithm::Cubic, Algorithm::NewReno, Algorithm::Dctcp][bits as usize % 3];
            tcp.sack = bits & 4 == 0;
            tcp.timestamps = bits & 8 == 0;
            tcp.window_scaling = bits & 16 == 0;
            tcp.ecn = bits & 32 != 0;
            tcp.pacing = bits & 64 != 0;
            let mut config = StackConfig::default();
            config.tcp = tcp;
            config
        };
        let mut pair = Pair::with(config, side(seed * 7), side(seed * 13), seed);
        // A handshake may rightly fail when every one of its segments is lost: the trouble begins behind it.
        let (a, b) = pair.connect(80).expect("connected");
        pair.wire.set_faults(0, fault);
        pair.wire.set_faults(1, fault);
        transfer_on(&mut pair, a, b, 150_000, 700 + (seed as usize % 60) * 50);
        pair.wire.set_faults(0, Faults::NONE);
        pair.wire.set_faults(1, Faults::NONE);
        assert_quiet(&mut pair);
    }
}

#[test]
fn a_slow_reader_closes_the_window_and_opens_it_again() {
    let mut pair = Pair::new(WireConfig { delay: MS, ..WireConfig::default() }, 5);
    let mut options = TcpOptionsConfig::default();
    options.recv_buffer = Some(20_000);
    let (a, b) = pair.connect_with(80, TcpOptionsConfig::default(), options).expect("connected");
    let bytes = stream(200_000);
    pair.push(Side::A, a, Buf::from(bytes.clone()));
    pair.run_for(Duration::from_secs(30));
    let snapshot = pair.b.stack.snapshot(b).expect("alive");
    assert!(snapshot.recv_queue <= 20_000 && snapshot.recv_queue > 15_000, "{snapshot}");
    assert!(pair.a.stack.counters().tcp_window_probes >= 3);
    let mut got = Vec::new();
    for _ in 0..2000 {
        got.extend(pair.pop_all(Side::B, b));
        pair.run_for(20 * MS);
        if got.len() == bytes.len() {
            break;
        }
    }
    assert_eq!(got.len(), bytes.len());
    assert!(got == bytes);
}

#[test]
fn ipv6_and_a_link_with_a_ring_of_one_frame() {
    let mut pair = Pair::new(WireConfig { delay: MS, ring: 1, ..WireConfig::default() }, 6);
    let (listener, at) = pair
        .b
        .stack
        .tcp_listen("[::]:0".parse().expect("address"), 8, false, TcpOptionsConfig::default())
        .expect("free");
    let to = std::net::SocketAddr::new("fd00::2".parse().expect("ip"), at.port());
    let now = pair.now();
    let a = pair.a.stack.tcp_connect(to, None, TcpOptionsConfig::default(), now).expect("a way");
    let mut b = None;
    pair.run_until(|p| {
        b = b.or_else(|| p.b.stack.tcp_accept(listener));
        b.is_some()
    })
    .expect("connected");
    pair.b.stack.tcp_close_listener(listener, now);
    transfer_on(&mut pair, a, b.expect("accepted"), 100_000, 7000);
    assert_quiet(&mut pair);
    assert_eq!(pair.a.device.caps().mtu, 1500);
}

#[test]
fn as_many_keep_alive_probes_as_can_be_counted() {
    let mut pair = Pair::new(WireConfig::default(), 1);
    let (conn, _) = pair.connect(80).expect("connected");
    let now = pair.now();
    let stack = &mut pair.a.stack;
    stack.tcp_set_keep_alive_probes(conn, Some(MS), Some(255), now);
    stack.tcp_set_keep_alive(conn, Some(Duration::ZERO), now);
    // Nothing reaches the peer.
    for n in 0..300_u32 {
        assert_eq!(stack.tcp_error(conn).is_some(), n > 256, "before {n} ms");
        stack.advance(now + n * MS);
        while stack.tx_queue().pop().is_some() {}
    }
    assert_eq!(stack.tcp_error(conn), Some(hemi_net::ConnError::TimedOut));
}
