//! Frames that nobody honest sends: a connection lives on, nothing panics, memory is bounded.

use std::time::Duration;

use hemi_net::{
    Event, RxFrame, StackConfig, TcpConfig, TcpOptionsConfig,
    sim::{Faults, Pair, Side, WireConfig},
    tcp::State,
    wire::{EtherType, EthernetHeader, Flags, Ipv4Header, MacAddr, Seq, Sum, TcpHeader, protocol},
};
use hemi_queue::Buf;
use proptest::prelude::*;

const MS: Duration = Duration::from_millis(1);

/// An IPv4 packet from the first host's address to the second, in a frame.
fn ipv4(protocol: u8, src: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 34];
    let ethernet = EthernetHeader {
        dst: MacAddr([2, 0, 0, 0, 0, 2]),
        src: MacAddr([2, 0, 0, 0, 0, 1]),
        ethertype: EtherType::Ipv4,
    };
    ethernet.emit(frame.first_chunk_mut().expect("14"));
    let header = Ipv4Header {
        src: src.into(),
        dst: [10, 0, 0, 2].into(),
        protocol,
        ttl: 64,
        dscp: 0,
        ecn: hemi_net::wire::Ecn::NotCapable,
        ident: 0,
        dont_fragment: true,
        more_fragments: false,
        fragment_offset: 0,
        header_len: 20,
        payload_len: payload.len() as u16,
    };
    header.emit(frame[14..].first_chunk_mut().expect("20"));
    frame.extend(payload);
    frame
}

fn tcp(src: [u8; 4], header: TcpHeader, rest: &[u8]) -> Vec<u8> {
    let mut segment = vec![0; 20];
    TcpHeader { header_len: 20, ..header }.emit(segment.first_chunk_mut().expect("20"));
    segment.extend(rest);
    let sum =
        Sum::pseudo_v4(src.into(), [10, 0, 0, 2].into(), protocol::TCP, segment.len() as u16).bytes(&segment);
    segment[16..18].copy_from_slice(&sum.finish().to_be_bytes());
    ipv4(protocol::TCP, src, &segment)
}

fn syn(src: [u8; 4], src_port: u16) -> Vec<u8> {
    let header = TcpHeader {
        src_port,
        dst_port: 80,
        seq: Seq(77),
        ack: Seq(0),
        flags: Flags::SYN,
        window: 1000,
        urgent: 0,
        header_len: 20,
    };
    tcp(src, header, &[])
}

/// `HEMI_CASES` makes a soak of the properties.
fn cases() -> u32 {
    std::env::var("HEMI_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(64)
}

fn exchange(pair: &mut Pair, a: hemi_net::ConnId, b: hemi_net::ConnId) {
    pair.push(Side::A, a, "ping");
    pair.run_for(500 * MS);
    assert_eq!(pair.pop_all(Side::B, b), b"ping");
    pair.push(Side::B, b, "pong");
    pair.run_for(500 * MS);
    assert_eq!(pair.pop_all(Side::A, a), b"pong");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    /// Arbitrary frames, most of them nearly right, while a connection lives: no panic, and the connection goes on.
    #[test]
    fn random_frames_do_not_disturb_a_connection(seed: u64, frames in proptest::collection::vec(
        (0_u8..6, proptest::collection::vec(0_u8.., 0..120), any::<[u8; 4]>()), 1..80)) {
        let mut pair = Pair::new(WireConfig { delay: MS, seed, ..WireConfig::default() }, seed);
        let (a, b) = pair.connect(80).expect("connected");
        for (kind, bytes, word) in frames {
            let frame = match kind {
                0 => bytes,
                1 => ipv4(word[0], [10, 0, 0, 1], &bytes),
                2 => ipv4(protocol::ICMP, [10, 0, 0, 1], &bytes),
                3 => ipv4(protocol::UDP, word, &bytes),
                4 => {
                    // A spoofed segment of another connection, or of this one at an unlikely place.
                    let header = TcpHeader {
                        src_port: u16::from_be_bytes([word[0], word[1]]).max(1), dst_port: 80, seq: Seq(u32::from_be_bytes(word)),
                        ack: Seq(u32::from_le_bytes(word)), flags: Flags(word[2]), window: 9, urgent: 0, header_len: 20,
                    };
                    tcp([10, 0, 0, 1], header, &bytes)
                }
                _ => {
                    let mut frame = vec![0; 14];
                    let ethertype = if word[0] & 1 == 0 { EtherType::Ipv6 } else { EtherType::Arp };
                    EthernetHeader { dst: MacAddr::BROADCAST, src: MacAddr(std::array::from_fn(|i| word[i % 4] & 0xfe)), ethertype }
                        .emit(frame.first_chunk_mut().expect("14"));
                    frame.extend(bytes);
                    frame
                }
            };
            let now = pair.now();
            pair.b.stack.receive(RxFrame::new(Buf::from(frame)), now);
            pair.settle();
        }
        exchange(&mut pair, a, b);
    }

    /// Random programs on a random wire: many connections, both directions, half-closes, aborts, slow readers. Whatever was
    /// delivered is a prefix of what was pushed, all of it where both sides closed in order, and nothing is left at the end.
    #[test]
    fn random_programs(seed: u64, loss in 0_u32..8, program in proptest::collection::vec((0_usize..4, 0_u8..8, 1_usize..5000), 1..60)) {
        let fault = Faults { loss: f64::from(loss) / 100.0, duplicate: 0.01, reorder: 0.02, reorder_by: 5 * MS, corrupt: 0.005, ..Faults::NONE };
        let config = WireConfig { delay: 2 * MS, ring: 4, seed, ..WireConfig::default() };
        let mut tcp = TcpConfig::default();
        tcp.rto_min = 50 * MS;
        let side = || { let mut c = StackConfig::default(); c.tcp = tcp.clone(); c };
        let mut pair = Pair::with(config, side(), side(), seed);
        let mut conns = Vec::new();
        for port in 1..5 {
            conns.push(pair.connect(port).expect("connected"));
        }
        pair.wire.set_faults(0, fault);
        pair.wire.set_faults(1, fault);
        let mut pushed = vec![[Vec::new(), Vec::new()]; 4];
        let mut got = vec![[Vec::new(), Vec::new()]; 4];
        let mut aborted = [false; 4];
        for (i, op, n) in program {
            let (a, b) = conns[i];
            let now = pair.now();
            match op {
                0 | 1 => {
                    let (side, conn) = if op == 0 { (Side::A, a) } else { (Side::B, b) };
                    let bytes: Vec<u8> = (0..n).map(|k| (k * 31 + i) as u8).collect();
                    if pair.host(side).stack.tcp_push(conn, Buf::from(bytes.clone()).into(), now).is_ok() {
                        pushed[i][usize::from(op)].extend(bytes);
                    }
                }
                2 => got[i][0].extend(pair.pop_all(Side::B, b)),
                3 => got[i][1].extend(pair.pop_all(Side::A, a)),
                4 => pair.a.stack.tcp_shutdown(a, now),
                5 => pair.b.stack.tcp_shutdown(b, now),
                6 if n < 200 => {
                    aborted[i] = true;
                    pair.a.stack.tcp_abort(a, now);
                }
                _ => pair.run_for(Duration::from_micros(n as u64 * 10)),
            }
        }
        let now = pair.now();
        for (a, b) in &conns {
            pair.a.stack.tcp_shutdown(*a, now);
            pair.b.stack.tcp_shutdown(*b, now);
        }
        pair.wire.set_faults(0, Faults::NONE);
        pair.wire.set_faults(1, Faults::NONE);
        for _ in 0..400 {
            pair.run_for(250 * MS);
            for (i, (a, b)) in conns.iter().enumerate() {
                got[i][0].extend(pair.pop_all(Side::B, *b));
                got[i][1].extend(pair.pop_all(Side::A, *a));
            }
        }
        for i in 0..4 {
            for direction in 0..2 {
                prop_assert!(pushed[i][direction].starts_with(&got[i][direction]));
                prop_assert!(aborted[i] || got[i][direction].len() == pushed[i][direction].len(), "connection {} direction {}", i, direction);
            }
            let (a, b) = conns[i];
            prop_assert!(matches!(pair.a.stack.tcp_state(a), State::Closed | State::TimeWait));
            // A peer whose reset was lost may leave a half-closed end waiting for ever: TCP has no other way to know.
            let state = pair.b.stack.tcp_state(b);
            let abandoned = aborted[i] && state == State::FinWait2;
            prop_assert!(abandoned || matches!(state, State::Closed | State::TimeWait), "{}", state);
            let now = pair.now();
            pair.a.stack.tcp_release(a, now);
            pair.b.stack.tcp_release(b, now);
        }
        pair.run_for(Duration::from_secs(4000));
        prop_assert_eq!(pair.a.stack.tcp_counts(), (0, 0));
        prop_assert_eq!(pair.b.stack.tcp_counts(), (0, 0));
        prop_assert_eq!(pair.a.stack.pool().stats().in_use, 0);
    }
}

#[test]
fn a_syn_flood_leaves_old_and_new_connections_working() {
    let mut pair = Pair::new(WireConfig { delay: MS, ..WireConfig::default() }, 9);
    let (a, b) = pair.connect(81).expect("connected");
    pair.b
        .stack
        .tcp_listen("0.0.0.0:80".parse().expect("address"), 128, false, TcpOptionsConfig::default())
        .expect("free");
    for i in 0..100_000_u32 {
        let now = pair.now();
        let [low, high, host, _] = (i * 7919).to_le_bytes();
        pair.b.stack.receive(
            RxFrame::new(Buf::from(syn([10, 0, 0, 20 + host % 100], u16::from_be_bytes([low, high]).max(1)))),
            now,
        );
        if i % 64 == 0 {
            pair.run_for(Duration::from_micros(100));
        }
    }
    assert!(pair.b.stack.counters().tcp_cookies_sent > 90_000);
    exchange(&mut pair, a, b);
    // A new and honest client gets in, by a cookie.
    let now = pair.now();
    let to = "10.0.0.2:80".parse().expect("address");
    let c = pair.a.stack.tcp_connect(to, None, TcpOptionsConfig::default(), now).expect("a way");
    pair.run_for(Duration::from_secs(3));
    assert_eq!(pair.a.stack.tcp_state(c), State::Established);
    let mut acceptable = false;
    while let Some(event) = pair.b.stack.poll_event() {
        acceptable |= matches!(event, Event::Acceptable(_));
    }
    assert!(acceptable);
}

#[test]
fn one_byte_segments_to_an_application_that_never_pops_stay_within_the_limit() {
    let mut pair = Pair::new(WireConfig::default(), 4);
    let mut options = TcpOptionsConfig::default();
    options.recv_buffer = Some(64 << 10);
    let (a, b) = pair.connect_with(80, TcpOptionsConfig::default(), options).expect("connected");
    for i in 0..100_000_u32 {
        let now = pair.now();
        if pair.a.stack.tcp_push(a, Buf::from(vec![i as u8]).into(), now).is_err() {
            break;
        }
        pair.settle();
    }
    let s = pair.b.stack.snapshot(b).expect("alive");
    assert!(s.recv_queue >= 60_000 && s.pinned <= 4 * (64 << 10), "{} bytes pin {}", s.recv_queue, s.pinned);
}

#[test]
fn resets_to_strangers_are_rate_limited() {
    let mut pair = Pair::new(WireConfig::default(), 4);
    pair.run_for(MS);
    for port in 1..10_000 {
        let now = pair.now();
        pair.b.stack.receive(RxFrame::new(Buf::from(syn([10, 0, 0, 1], port))), now);
    }
    let counters = pair.b.stack.counters();
    assert!(counters.tcp_resets_sent <= 1001, "{}", counters.tcp_resets_sent);
    assert_eq!(counters.tcp_resets_sent + counters.drop_tx_rate_limited, 9_999);
}

#[test]
fn an_address_that_does_not_answer_fails_the_open_within_seconds() {
    let mut pair = Pair::new(WireConfig::default(), 4);
    let now = pair.now();
    let to = "10.0.0.99:80".parse().expect("address");
    let c = pair.a.stack.tcp_connect(to, None, TcpOptionsConfig::default(), now).expect("a way");
    pair.run_for(Duration::from_secs(5));
    assert_eq!(pair.a.stack.tcp_error(c), Some(hemi_net::ConnError::Unreachable));
}
