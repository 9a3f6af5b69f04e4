//! What the host sends, and how much of it: MSS, windows, Nagle, keep-alive, path MTU, ICMP (RFC 9293, 1122, 1191, 5927, 8201).

use std::time::Duration;

use hemi_net::wire::{Sum, icmpv4::IcmpV4, icmpv6::IcmpV6, protocol};

use crate::{
    Case,
    client::Wire,
    flow::{ACK, ALL, ECHO, FIN, Flow, KEEP_ALIVE, MSS, NAGLE, SACK},
    frames::{OURS, OURS6, ip, ipv4, ipv6},
};

pub(crate) const CASES: &[Case] = &[
    ("segments are no larger than the peer's MSS, with the defaults of RFC 9293", segment_sizes),
    ("timestamps and SACK blocks take their room from the segment", room_for_options),
    ("no more is sent than the window allows, scaled if it was agreed on", windows),
    ("a window that shrinks is bounded by", shrinking),
    ("a closed window is probed, later and later, and the connection stays", probes),
    ("a window that opens a little is not filled bit by bit", silly_window),
    ("Nagle: a small segment waits for the ACK of the one before", nagle),
    ("keep-alive after two idle seconds, answered or not", keep_alive),
    ("packets do not fragment, and shrink when they must", path_mtu),
    ("IPv6 packets shrink when they must, to 1280 at least", path_mtu6),
    ("an ICMP error that quotes what is not in flight changes nothing", forged_icmp),
    ("soft and hard ICMP errors do not end a connection, nor does source quench", icmp_errors),
];

/// Have the host send: what is asked for comes back, as long as nothing is acknowledged.
fn ask(flow: &mut Flow, wire: &mut Wire, len: usize) {
    for at in (0..len).step_by(1000) {
        flow.send(wire, ACK, &vec![(at / 1000) as u8; (len - at).min(1000)]);
    }
}

fn sizes(flow: &mut Flow, wire: &mut Wire, len: usize) -> Vec<usize> {
    ask(flow, wire, len);
    let (mut got, mut sizes) = (0, Vec::new());
    while got < len {
        let segment = wire.wait("data", |s| s.segment(flow.me()).filter(|s| !s.data.is_empty()));
        if segment.header.seq.0 == flow.ack {
            got += segment.data.len();
            flow.acknowledge(wire, segment.data.len() as u32);
        }
        sizes.push(segment.data.len());
    }
    sizes
}

fn segment_sizes(wire: &mut Wire) {
    for (v6, options, most) in [
        (false, &b""[..], 536),
        (true, b"", 1220),
        (false, MSS, 1460),
        (true, MSS, 1440),
        (false, &[2, 4, 1, 44], 300),
        (false, &[2, 4, 0, 100], 100),
        (false, &[2, 4, 0x23, 0x00], 1460),
        (false, &[2, 4, 0, 0], 536),
    ] {
        let mut flow = Flow::open_to(wire, v6, ECHO, options);
        let sizes = sizes(&mut flow, wire, 6000);
        assert_eq!(sizes.iter().max(), Some(&most), "{options:?}");
    }
}

fn room_for_options(wire: &mut Wire) {
    let mut flow = Flow::open(wire, ALL);
    flow.send_at(wire, 9000, b"a hole, so that every segment has a block");
    flow.expect_ack(wire, "a duplicate ACK");
    ask(&mut flow, wire, 6000);
    for _ in 0..3 {
        let segment = wire.wait("data", |s| s.segment(flow.me()).filter(|s| !s.data.is_empty()));
        let header = usize::from(segment.header.header_len);
        assert!(header + segment.data.len() <= 1480, "{header} + {}", segment.data.len());
    }
}

fn windows(wire: &mut Wire) {
    for (options, window, scale) in [(MSS, 3000_u16, 0), (ALL, 40, 7)] {
        let mut flow = Flow::new(wire, false, ECHO);
        flow.emit(wire, crate::flow::SYN, flow.seq, None, b"", options);
        let answer = flow.recv(wire, "SYN-ACK");
        flow.take_syn_ack(&answer);
        flow.window = window;
        flow.send(wire, ACK, b"");
        ask(&mut flow, wire, 12_000);
        wire.fence();
        let edge = u32::from(window) << scale;
        let data: Vec<_> = flow.drain(wire).into_iter().filter(|s| !s.data.is_empty()).collect();
        let end = data.iter().map(|s| s.header.seq.0.wrapping_sub(flow.ack) + s.data.len() as u32).max();
        let least = edge - 1460; // what is left is too small to be sent for its own sake
        assert!(end.is_some_and(|end| (least..=edge).contains(&end)), "{end:?} of {edge}");
    }
}

fn shrinking(wire: &mut Wire) {
    let mut flow = Flow::open(wire, MSS);
    flow.window = 2920;
    flow.send(wire, ACK, b"");
    ask(&mut flow, wire, 8000);
    let sent: usize = flow.drain(wire).iter().map(|s| s.data.len()).sum();
    assert!(sent <= 2920);
    // Half of it is acknowledged, and the right edge moves back.
    flow.window = 500;
    flow.acknowledge(wire, 1460);
    let edge = flow.ack + 500;
    assert!(flow.drain(wire).iter().all(|s| s.data.is_empty() || s.header.seq.0 < edge));
    flow.window = 60_000;
    flow.send(wire, ACK, b"");
    let data = flow.read(wire, 8000 - 1460);
    assert_eq!(data.last(), Some(&7));
}

fn probes(wire: &mut Wire) {
    let mut flow = Flow::open(wire, MSS);
    flow.window = 0;
    flow.send(wire, ACK, b"waiting");
    let ack = flow.recv(wire, "an ACK");
    assert_eq!((ack.data.len(), ack.header.ack.0), (0, flow.seq));
    let mut at = Vec::new();
    for _ in 0..3 {
        let probe = flow.recv(wire, "a probe");
        assert!(probe.data.len() <= 1 && probe.header.seq.0.wrapping_sub(flow.ack.wrapping_sub(1)) <= 1);
        at.push(probe.at);
        flow.send(wire, ACK, b"");
    }
    assert!(at[2] - at[0] > Duration::from_millis(1500), "RFC 9293: a retransmission timeout, then longer");
    flow.window = 65_535;
    flow.send(wire, ACK, b"");
    assert_eq!(flow.read(wire, 7), b"waiting");
}

fn silly_window(wire: &mut Wire) {
    let mut flow = Flow::open(wire, MSS);
    flow.window = 0;
    flow.send(wire, ACK, b"");
    ask(&mut flow, wire, 3000);
    flow.drain(wire);
    flow.window = 100;
    flow.send(wire, ACK, b"");
    let hasty = flow.drain(wire).iter().filter(|s| s.data.len() > 1).count();
    assert_eq!(
        hasty, 0,
        "RFC 9293 section 3.8.6.2.1: less than a segment, and less than half of the largest window"
    );
    flow.window = 65_535;
    flow.send(wire, ACK, b"");
    assert_eq!(flow.read(wire, 3000).len(), 3000);
}

fn nagle(wire: &mut Wire) {
    for (port, held) in [(NAGLE, true), (ECHO, false)] {
        let mut flow = Flow::open_to(wire, false, port, MSS);
        for text in [b"a", b"b", b"c"] {
            flow.send(wire, ACK, text);
            wire.fence();
        }
        let at_once: usize = flow.drain(wire).iter().map(|s| s.data.len()).sum();
        assert_eq!(at_once, if held { 1 } else { 3 }, "port {port}");
        flow.acknowledge(wire, at_once as u32);
        if held {
            assert_eq!(flow.read(wire, 2), b"bc");
        }
    }
}

fn keep_alive(wire: &mut Wire) {
    let mut flow = Flow::open_to(wire, false, KEEP_ALIVE, MSS);
    flow.echoes(wire, b"x");
    for _ in 0..2 {
        let began = std::time::Instant::now();
        let probe = flow.recv(wire, "a keep-alive probe");
        assert!(probe.at - began > Duration::from_millis(1500));
        assert_eq!(
            (probe.header.seq.0, probe.header.ack.0),
            (flow.ack.wrapping_sub(1), flow.seq),
            "{probe:?}"
        );
        assert!(probe.data.len() <= 1);
        flow.send(wire, ACK, b"");
    }
    flow.echoes(wire, b"alive");
}

/// An ICMP error about the host's segment at `seq`.
fn about(flow: &Flow, seq: u32, message: IcmpV4) -> crate::frames::Frame {
    let mut transport = flow.host_port.to_be_bytes().to_vec();
    transport.extend(flow.port.to_be_bytes());
    transport.extend(seq.to_be_bytes());
    let (_, _, quoted) = ipv4(OURS, &flow.src, protocol::TCP, &transport);
    let mut head = [0; 8];
    message.emit(&mut head, Sum::new().bytes(&quoted));
    ipv4(&flow.src, OURS, protocol::ICMP, &[&head[..], &quoted].concat())
}

fn path_mtu(wire: &mut Wire) {
    let mut flow = Flow::open(wire, SACK);
    ask(&mut flow, wire, 4000);
    // A slow host may echo the first thousand by itself.
    let full = wire.wait("data", |s| s.segment(flow.me()).filter(|s| s.data.len() == 1460));
    assert!(full.dont_fragment);
    wire.fence();
    wire.inbox.clear();
    wire.send(&about(&flow, flow.ack, IcmpV4::Unreachable { code: 4, mtu: 1000 }));
    let next = wire.wait("it again, smaller", |s| s.segment(flow.me()).filter(|s| !s.data.is_empty()));
    assert!(next.header.seq.0 == flow.ack && next.data.len() <= 960, "{next:?}");
    wire.inbox.clear();
    flow.send(wire, ACK, b"");
    let mut got = 0;
    while got < 4000 {
        let s = wire.wait("data", |s| s.segment(flow.me()).filter(|s| !s.data.is_empty()));
        assert!(s.data.len() <= 960);
        if s.header.seq.0 == flow.ack {
            got += s.data.len();
            flow.acknowledge(wire, s.data.len() as u32);
        }
    }
}

fn path_mtu6(wire: &mut Wire) {
    let mut flow = Flow::open_to(wire, true, ECHO, SACK);
    ask(&mut flow, wire, 4000);
    wire.wait("data", |s| s.segment(flow.me()).filter(|s| s.data.len() == 1440));
    wire.fence();
    wire.inbox.clear();
    let mut transport = flow.host_port.to_be_bytes().to_vec();
    transport.extend(flow.port.to_be_bytes());
    transport.extend(flow.ack.to_be_bytes());
    transport.extend([0x50, 0x10, 0, 0, 0, 0, 0, 0]);
    let (_, _, quoted) = ipv6(OURS6, &flow.src, protocol::TCP, &transport);
    let mut head = [0; 8];
    let pseudo = Sum::pseudo(flow.ip(), ip(OURS6), protocol::ICMPV6, (8 + quoted.len()) as u32);
    IcmpV6::PacketTooBig { mtu: 600 }.emit(&mut head, pseudo.bytes(&quoted));
    wire.send(&ipv6(&flow.src, OURS6, protocol::ICMPV6, &[&head[..], &quoted].concat()));
    let next = wire.wait("it again, smaller", |s| s.segment(flow.me()).filter(|s| !s.data.is_empty()));
    assert_eq!(next.data.len(), 1220, "RFC 8201 section 4: not below 1280");
}

fn forged_icmp(wire: &mut Wire) {
    let mut flow = Flow::open(wire, MSS);
    ask(&mut flow, wire, 3000);
    wire.fence();
    wire.inbox.clear();
    for seq in [flow.ack.wrapping_sub(1), flow.ack + 100_000] {
        wire.send(&about(&flow, seq, IcmpV4::Unreachable { code: 4, mtu: 600 }));
    }
    // The right number, and an MTU that is larger than what is.
    wire.send(&about(&flow, flow.ack, IcmpV4::Unreachable { code: 4, mtu: 9000 }));
    flow.acknowledge(wire, 3000);
    let sizes = sizes(&mut flow, wire, 4000);
    assert_eq!(sizes.iter().max(), Some(&1460));
}

fn icmp_errors(wire: &mut Wire) {
    let mut flow = Flow::open(wire, MSS);
    ask(&mut flow, wire, 1000);
    wire.fence();
    for message in [
        IcmpV4::Unreachable { code: 0, mtu: 0 },
        IcmpV4::Unreachable { code: 1, mtu: 0 },
        IcmpV4::Unreachable { code: 2, mtu: 0 },
        IcmpV4::Unreachable { code: 3, mtu: 0 },
        IcmpV4::Unreachable { code: 13, mtu: 0 },
        IcmpV4::TimeExceeded { code: 0 },
        IcmpV4::ParameterProblem { code: 0, pointer: 20 },
        IcmpV4::Other { kind: 4, code: 0 },
    ] {
        wire.send(&about(&flow, flow.ack, message));
    }
    flow.acknowledge(wire, 1000);
    wire.fence();
    wire.inbox.clear();
    flow.echoes(wire, b"still here");
    flow.send(wire, FIN | ACK, b"");
    wire.wait("FIN", |s| s.segment(flow.me()).filter(|s| s.header.flags.has(FIN)));
}
