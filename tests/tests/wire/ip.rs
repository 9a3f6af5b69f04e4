//! IPv4, IPv6, ICMP, ICMPv6 and UDP: RFC 791, 792, 768, 1122, 4443, 8200.

use hemi_net::wire::{MacAddr, Sum, icmpv4::IcmpV4, icmpv6::IcmpV6, protocol};

use crate::{
    Case,
    client::{Seen, Wire},
    frames::{Frame, OURS, OURS6, echo4, echo6, fragment4, ip, ipv4, ipv6, ping, ping6, udp, v6},
};

pub(crate) const CASES: &[Case] = &[
    ("an echo has all the data, whatever its length", echo),
    ("broken ICMP and IP headers are dropped", broken),
    ("what is not for the host, or from nobody, is dropped", martians),
    ("broadcasts are not answered", broadcasts),
    ("a time to live of one is enough", last_hop),
    ("IPv4 options are tolerated", options),
    ("IPv4 options that lie are complained of", bad_options),
    ("IPv4 fragments are put together in any order", fragments),
    ("overlapping IPv4 fragments are thrown away", overlap),
    ("an unknown protocol is complained of", unknown_protocol),
    ("errors are not answered by errors, nor are groups", no_errors),
    ("errors are rate-limited", rate_limit),
    ("a port that nobody has is unreachable, with what was sent", unreachable),
    ("datagrams are echoed", datagrams),
    ("UDP checksums: none over IPv4 is fine, a wrong one never, none over IPv6 not", udp_checksums),
    ("UDP lengths that lie are dropped", udp_lengths),
    ("a datagram over the MTU comes in fragments and leaves in fragments", large_datagrams),
    ("IPv6 extension headers are passed over", extensions),
    ("unknown IPv6 options do what their first bits say", unknown_options),
    ("IPv6 headers that cannot be are pointed at", pointed_at),
    ("IPv6 fragments are put together, atomic ones are whole", fragments6),
    ("overlapping IPv6 fragments are thrown away", overlap6),
    ("a group of IPv6 is answered from the host's own address", groups6),
];

fn echoed4(seen: &Seen, to: &str) -> Option<Vec<u8>> {
    seen.icmp4(to).filter(|(m, _)| matches!(m, IcmpV4::EchoReply { .. })).map(|(_, data)| data)
}

fn echoed6(seen: &Seen, to: &str) -> Option<Vec<u8>> {
    seen.icmp6(to).filter(|(m, _)| matches!(m, IcmpV6::EchoReply { .. })).map(|(_, data)| data)
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7) as u8).collect()
}

fn echo(wire: &mut Wire) {
    let (me, me6) = (wire.fresh(false), wire.fresh(true));
    for len in [0, 1, 2, 55, 56, 57, 1451, 1452, 1471, 1472] {
        let data = pattern(len);
        wire.send(&ping(&me, OURS, &data));
        assert_eq!(wire.wait("the echo", |s| echoed4(s, &me)), data);
        let data = &data[..len.min(1452)];
        wire.send(&ping6(&me6, OURS6, data));
        assert_eq!(wire.wait("the echo", |s| echoed6(s, &me6)), data);
    }
}

/// An IPv4 packet whose header was changed is summed again.
fn resum(mut frame: Frame) -> Frame {
    let len = usize::from(frame.2[0] & 15) * 4;
    frame.2[10..12].fill(0);
    let sum = Sum::new().bytes(&frame.2[..len]).finish();
    frame.2[10..12].copy_from_slice(&sum.to_be_bytes());
    frame
}

fn broken(wire: &mut Wire) {
    let (me, me6) = (wire.fresh(false), wire.fresh(true));
    let good = ping(&me, OURS, b"data");
    for (at, value) in [(0, 0x65), (0, 0x44), (2, 9), (3, 19)] {
        let mut bad = good.clone();
        bad.2[at] = value;
        wire.send(&if bad.2[0] & 15 == 5 { resum(bad) } else { bad });
    }
    for at in [10, 22, 29] {
        let mut bad = good.clone();
        bad.2[at] ^= 0x40;
        wire.send(&bad);
    }
    for len in [1, 19, 20, 27] {
        wire.send(&(good.0, good.1, good.2[..len].to_vec()));
    }
    wire.nothing("an echo", |s| echoed4(s, &me));
    let good = ping6(&me6, OURS6, b"data");
    for at in [0, 42, 49] {
        let mut bad = good.clone();
        bad.2[at] ^= 0x40;
        wire.send(&bad);
    }
    wire.nothing("an echo", |s| echoed6(s, &me6));
}

fn martians(wire: &mut Wire) {
    let (me, me6) = (wire.fresh(false), wire.fresh(true));
    for src in [OURS, "10.99.255.255", "255.255.255.255", "224.0.0.1", "127.0.0.1", "0.0.0.0", "240.0.0.1"] {
        wire.send(&ping(src, OURS, b"x"));
    }
    wire.send(&ping(&me, "10.99.7.7", b"x"));
    let (_, kind, body) = ping(&me, OURS, b"x");
    wire.send(&(MacAddr::BROADCAST, kind, body.clone()));
    wire.send(&(MacAddr([2, 9, 9, 9, 9, 9]), kind, body));
    for src in [OURS6, "ff02::1", "::1", "::"] {
        wire.send(&ping6(src, OURS6, b"x"));
    }
    wire.send(&ping6(&me6, "fd99::7777", b"x"));
    wire.nothing("an echo", |s| {
        let (_, dst, proto, _) = s.packet()?;
        let fence = dst == ip("10.99.200.1") || dst == ip("fd99::c801");
        (!fence && matches!(proto, protocol::ICMP) || echoed6(s, &me6).is_some()).then(|| s.clone())
    });
}

fn broadcasts(wire: &mut Wire) {
    let me = wire.fresh(false);
    for dst in ["10.99.255.255", "255.255.255.255", "224.0.0.1"] {
        let (_, kind, body) = ping(&me, dst, b"x");
        wire.send(&(MacAddr::BROADCAST, kind, body));
    }
    wire.nothing("an echo", |s| echoed4(s, &me));
}

fn last_hop(wire: &mut Wire) {
    let (me, me6) = (wire.fresh(false), wire.fresh(true));
    let mut packet = ping(&me, OURS, b"x");
    packet.2[8] = 1;
    wire.send(&resum(packet));
    wire.wait("the echo", |s| echoed4(s, &me));
    let mut packet = ping6(&me6, OURS6, b"x");
    packet.2[7] = 1;
    wire.send(&packet);
    wire.wait("the echo", |s| echoed6(s, &me6));
}

fn with_options(me: &str, options: &[u8]) -> Frame {
    let (dst, kind, body) = ping(me, OURS, b"data");
    let mut with = [&body[..20], options, &body[20..]].concat();
    with[0] = 0x45 + (options.len() / 4) as u8;
    let len = with.len() as u16;
    with[2..4].copy_from_slice(&len.to_be_bytes());
    resum((dst, kind, with))
}

fn options(wire: &mut Wire) {
    let me = wire.fresh(false);
    wire.send(&with_options(&me, &[1, 1, 1, 1, 148, 4, 0, 0]));
    assert_eq!(wire.wait("the echo", |s| echoed4(s, &me)), b"data");
}

fn bad_options(wire: &mut Wire) {
    let me = wire.fresh(false);
    wire.send(&with_options(&me, &[7, 0, 0, 0]));
    let problem = wire.wait("the complaint", |s| s.icmp4(&me)).0;
    assert!(matches!(problem, IcmpV4::ParameterProblem { code: 0, .. }), "{problem:?}");
}

fn fragments(wire: &mut Wire) {
    let me = wire.fresh(false);
    let data = pattern(3000);
    let whole = echo4(&data);
    for (ident, order) in [[0, 1, 2], [2, 1, 0], [1, 2, 0]].into_iter().enumerate() {
        for i in order {
            let (from, to) = (i * 1480, ((i + 1) * 1480).min(whole.len()));
            let at = (from as u16, to < whole.len());
            wire.send(&fragment4(&me, OURS, protocol::ICMP, ident as u16, at, &whole[from..to]));
        }
        assert_eq!(&reassembled(wire, &me)[8..], data, "{order:?}");
    }
}

/// The payload of the next fragmented IPv4 packet to `me`.
fn reassembled(wire: &mut Wire, me: &str) -> Vec<u8> {
    let mut pieces = Vec::new();
    loop {
        let (header, bytes) = wire.wait("a fragment", |s| {
            let is_v4 = s.frame.ethernet.ethertype == hemi_net::wire::EtherType::Ipv4;
            let (h, bytes) = is_v4.then(|| s.frame.v4())?;
            (h.is_fragment() && h.dst.to_string() == me).then(|| (h, bytes.to_vec()))
        });
        pieces.push((header.fragment_offset, header.more_fragments, bytes));
        pieces.sort();
        let have: usize = pieces.iter().map(|p| p.2.len()).sum();
        if pieces.last().is_some_and(|p| !p.1 && usize::from(p.0) + p.2.len() == have) {
            return pieces.into_iter().flat_map(|p| p.2).collect();
        }
    }
}

fn overlap(wire: &mut Wire) {
    let me = wire.fresh(false);
    let whole = echo4(&[7; 48]);
    let piece = |from: usize, to: usize| {
        fragment4(&me, OURS, protocol::ICMP, 9, (from as u16, to < 56), &whole[from..to])
    };
    for frame in [piece(0, 32), piece(24, 40), piece(40, 56)] {
        wire.send(&frame);
    }
    wire.nothing("an echo", |s| echoed4(s, &me));
}

fn unknown_protocol(wire: &mut Wire) {
    let me = wire.fresh(false);
    wire.send(&ipv4(&me, OURS, 253, b"who knows"));
    let (message, quoted) = wire.wait("the complaint", |s| s.icmp4(&me));
    assert_eq!(message, IcmpV4::Unreachable { code: 2, mtu: 0 });
    assert_eq!(&quoted[20..], b"who knows");
}

fn no_errors(wire: &mut Wire) {
    let (me, me6) = (wire.fresh(false), wire.fresh(true));
    let (_, _, quoted) = udp(OURS, &me, 9, b"x", None);
    let mut body = [&[3, 3, 0, 0, 0, 0, 0, 0][..], &quoted].concat();
    let sum = Sum::new().bytes(&body).finish();
    body[2..4].copy_from_slice(&sum.to_be_bytes());
    wire.send(&ipv4(&me, OURS, protocol::ICMP, &body));
    let (_, kind, body) = udp(&me, "10.99.255.255", 77, b"x", None);
    wire.send(&(MacAddr::BROADCAST, kind, body));
    // A fragment that is not the first, to nobody.
    wire.send(&fragment4(&me, OURS, 253, 5, (64, false), &[0; 16]));
    wire.nothing("an error", |s| s.icmp4(&me));
    let mut body = vec![77, 0, 0, 0, 0, 0, 0, 0];
    let sum = Sum::pseudo_v6(&v6(&me6), &v6(OURS6), protocol::ICMPV6, 8).bytes(&body).finish();
    body[2..4].copy_from_slice(&sum.to_be_bytes());
    wire.send(&ipv6(&me6, OURS6, protocol::ICMPV6, &body));
    wire.send(&udp(&me6, "ff02::1", 77, b"x", None));
    wire.nothing("an error", |s| s.icmp6(&me6));
}

fn rate_limit(wire: &mut Wire) {
    let me = wire.fresh(false);
    wire.send(&ping(&me, OURS, b"known"));
    wire.wait("the echo", |s| echoed4(s, &me));
    let begun = std::time::Instant::now();
    for _ in 0..2000 {
        wire.send(&udp(&me, OURS, 77, b"x", None));
    }
    wire.fence();
    let errors = wire.inbox.iter().filter(|s| s.icmp4(&me).is_some()).count();
    // More may be answered where sending them takes long.
    let most = 500 + begun.elapsed().as_millis() as usize;
    assert!((1..=most).contains(&errors), "{errors} of {most}");
    // What was used up comes back.
    wire.pass(std::time::Duration::from_secs(1));
}

fn unreachable(wire: &mut Wire) {
    let (me, me6) = (wire.fresh(false), wire.fresh(true));
    wire.send(&udp(&me, OURS, 77, b"text", None));
    let (message, quoted) = wire.wait("the error", |s| s.icmp4(&me));
    assert_eq!((message, &quoted[28..]), (IcmpV4::Unreachable { code: 3, mtu: 0 }, &b"text"[..]));
    wire.send(&udp(&me6, OURS6, 77, b"text", None));
    let (message, quoted) = wire.wait("the error", |s| s.icmp6(&me6));
    assert_eq!((message, &quoted[48..]), (IcmpV6::Unreachable { code: 4 }, &b"text"[..]));
    wire.send(&udp(&me6, OURS6, 77, &[1; 1452], None));
    let (_, quoted) = wire.wait("the error", |s| s.icmp6(&me6));
    assert_eq!(quoted.len(), 1280 - 48, "as much as fits in the least MTU");
}

fn datagrams(wire: &mut Wire) {
    for (me, host) in [(wire.fresh(false), OURS), (wire.fresh(true), OURS6)] {
        for len in [0, 1, 2, 512, 1452] {
            wire.send(&udp(&me, host, 7000, &pattern(len), None));
            assert_eq!(wire.wait("the echo", |s| s.udp(&me)), pattern(len));
        }
    }
}

fn udp_checksums(wire: &mut Wire) {
    let (me, me6) = (wire.fresh(false), wire.fresh(true));
    wire.send(&udp(&me, OURS, 7000, b"none", Some(0)));
    assert_eq!(wire.wait("the echo", |s| s.udp(&me)), b"none");
    wire.send(&udp(&me, OURS, 7000, b"wrong", Some(0x1234)));
    wire.nothing("an echo", |s| s.udp(&me));
    wire.send(&udp(&me6, OURS6, 7000, b"none", Some(0)));
    wire.send(&udp(&me6, OURS6, 7000, b"wrong", Some(0x1234)));
    wire.nothing("an echo", |s| s.udp(&me6));
}

fn udp_lengths(wire: &mut Wire) {
    let me = wire.fresh(false);
    for (len, echo) in [(7_u16, false), (100, false), (0, false), (8 + 2, true)] {
        let mut frame = udp(&me, OURS, 7000, b"text", Some(0));
        frame.2[24..26].copy_from_slice(&len.to_be_bytes());
        wire.send(&frame);
        if echo {
            assert_eq!(wire.wait("the echo", |s| s.udp(&me)), b"te");
        } else {
            wire.nothing("an echo", |s| s.udp(&me));
        }
    }
}

fn large_datagrams(wire: &mut Wire) {
    let me = wire.fresh(false);
    let data = pattern(4000);
    let (_, _, whole) = udp(&me, OURS, 7000, &data, None);
    let whole = &whole[20..];
    for from in (0..whole.len()).step_by(1480) {
        let to = (from + 1480).min(whole.len());
        wire.send(&fragment4(
            &me,
            OURS,
            protocol::UDP,
            77,
            (from as u16, to < whole.len()),
            &whole[from..to],
        ));
    }
    assert_eq!(&reassembled(wire, &me)[8..], data);
}

fn behind(me: &str, first: u8, headers: &[u8]) -> Frame {
    ipv6(me, OURS6, first, &[headers, &echo6(me, OURS6, b"data")].concat())
}

fn extensions(wire: &mut Wire) {
    let me = wire.fresh(true);
    let header = |next: u8| [next, 0, 1, 4, 0, 0, 0, 0];
    for (first, headers) in [
        (0, header(58).to_vec()),
        (60, header(58).to_vec()),
        (0, [header(60), header(58)].concat()),
        (43, vec![58, 0, 0, 0, 0, 0, 0, 0]),
    ] {
        wire.send(&behind(&me, first, &headers));
        assert_eq!(wire.wait("the echo", |s| echoed6(s, &me)), b"data");
    }
    wire.send(&ipv6(&me, OURS6, 59, b""));
    wire.nothing("an answer", |s| s.icmp6(&me));
}

fn problem(seen: &Seen, to: &str) -> Option<(u8, u32)> {
    match seen.icmp6(to)?.0 {
        IcmpV6::ParameterProblem { code, pointer } => Some((code, pointer)),
        _ => None,
    }
}

fn unknown_options(wire: &mut Wire) {
    for (kind, answer, complaint) in
        [(0x1e_u8, true, false), (0x5e, false, false), (0x9e, false, true), (0xde, false, true)]
    {
        let me = wire.fresh(true);
        wire.send(&behind(&me, 60, &[58, 0, kind, 4, 0, 0, 0, 0]));
        if answer {
            wire.wait("the echo", |s| echoed6(s, &me));
        } else if complaint {
            assert_eq!(wire.wait("the complaint", |s| problem(s, &me)), (2, 42));
        }
        wire.nothing("more", |s| s.icmp6(&me));
    }
}

fn pointed_at(wire: &mut Wire) {
    let me = wire.fresh(true);
    for (frame, expected) in [
        (ipv6(&me, OURS6, 253, b"x"), (1, 6)),
        (ipv6(&me, OURS6, 60, &[253, 0, 1, 4, 0, 0, 0, 0, 9]), (1, 40)),
        (behind(&me, 60, &[0, 0, 1, 4, 0, 0, 0, 0, 58, 0, 1, 4, 0, 0, 0, 0]), (1, 40)),
        (
            behind(&me, 43, &[58, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            (0, 42),
        ),
    ] {
        wire.send(&frame);
        assert_eq!(wire.wait("the complaint", |s| problem(s, &me)), expected);
    }
}

fn fragment6(me: &str, ident: u32, offset: u16, more: bool, data: &[u8]) -> Frame {
    let mut payload = vec![58, 0];
    payload.extend((offset | u16::from(more)).to_be_bytes());
    payload.extend(ident.to_be_bytes());
    payload.extend(data);
    ipv6(me, OURS6, protocol::IPV6_FRAGMENT, &payload)
}

fn fragments6(wire: &mut Wire) {
    let me = wire.fresh(true);
    let data = pattern(100);
    let whole = echo6(&me, OURS6, &data);
    wire.send(&fragment6(&me, 1, 0, false, &whole));
    assert_eq!(wire.wait("the echo", |s| echoed6(s, &me)), data);
    for (ident, order) in [[0, 1, 2], [2, 1, 0], [1, 0, 2]].into_iter().enumerate() {
        for i in order {
            let (from, to) = (i * 40, ((i + 1) * 40).min(whole.len()));
            wire.send(&fragment6(&me, 10 + ident as u32, from as u16, to < whole.len(), &whole[from..to]));
        }
        assert_eq!(wire.wait("the echo", |s| echoed6(s, &me)), data);
    }
}

fn overlap6(wire: &mut Wire) {
    let me = wire.fresh(true);
    let whole = echo6(&me, OURS6, &[5; 72]);
    wire.send(&fragment6(&me, 1, 0, true, &whole[..40]));
    wire.send(&fragment6(&me, 1, 32, true, &whole[32..48]));
    wire.send(&fragment6(&me, 1, 40, false, &whole[40..]));
    wire.nothing("an answer", |s| s.icmp6(&me));
}

fn groups6(wire: &mut Wire) {
    let me = wire.fresh(true);
    wire.send(&ping6(&me, "ff02::1", b"x"));
    let from = wire.wait("the echo", |s| echoed6(s, &me).and(s.packet()).map(|p| p.0));
    assert_eq!(from, ip(OURS6));
}
