//! IPv4: RFC 791, RFC 1122 section 3.

use std::time::Duration;

use hemi_net::wire::{MacAddr, Sum, icmpv4::IcmpV4, protocol};

use crate::station::{Link, MAC, OURS, PEER, Sent, echo4, fragment4, ipv4, ping};

fn reply(sent: &[Sent]) -> Option<Vec<u8>> {
    sent.iter().find_map(|s| match s.icmp4() {
        (IcmpV4::EchoReply { .. }, data) => Some(data.to_vec()),
        _ => None,
    })
}

#[test]
fn what_is_not_for_us_or_from_nobody_is_dropped() {
    let mut link = Link::acquainted();
    for (src, dst) in [
        (PEER, "10.99.0.77"),
        (OURS, OURS),
        ("10.99.255.255", OURS),
        ("255.255.255.255", OURS),
        ("224.0.0.1", OURS),
        ("127.0.0.1", OURS),
        ("0.0.0.0", OURS),
        ("240.0.0.1", OURS),
    ] {
        assert!(link.hear(&ping(src, dst, b"x")).is_empty(), "{src} to {dst}");
    }
    assert_eq!(link.counter("drop_ip_bad_source"), 7);
    // Ours, in a frame for everyone (RFC 1122 section 3.3.6).
    let (_, kind, body) = ping(PEER, OURS, b"x");
    assert!(link.hear(&(MacAddr::BROADCAST, kind, body.clone())).is_empty());
    assert!(link.hear(&(MacAddr([2, 9, 9, 9, 9, 9]), kind, body)).is_empty());
    assert!(reply(&link.hear(&ping(PEER, OURS, b"x"))).is_some());
}

#[test]
fn broken_headers_are_dropped() {
    let mut link = Link::acquainted();
    let (dst, kind, good) = ping(PEER, OURS, b"data");
    // Version, header length, total length, checksum.
    for (at, value) in [(0, 0x65), (0, 0x44), (0, 0x4f), (2, 9), (3, 19), (10, 0xaa)] {
        let mut bad = good.clone();
        bad[at] = value;
        if at != 10 {
            bad[10..12].fill(0);
            let len = bad.len().min(usize::from(bad[0] & 15) * 4).max(20);
            let sum = Sum::new().bytes(&bad[..len.min(bad.len())]).finish();
            bad[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        assert!(link.hear(&(dst, kind, bad)).is_empty(), "octet {at}");
    }
    for len in 0..20 {
        assert!(link.hear(&(dst, kind, good[..len].to_vec())).is_empty());
    }
    // Padding behind the packet is not part of it.
    let mut padded = good;
    padded.resize(60, 0xee);
    assert_eq!(reply(&link.hear(&(dst, kind, padded))).expect("answered"), b"data");
}

#[test]
fn options_are_tolerated() {
    let mut link = Link::acquainted();
    let (dst, kind, body) = ping(PEER, OURS, b"data");
    let mut with = body[..20].to_vec();
    with.extend([1, 1, 1, 1, 148, 4, 0, 0]); // NOPs, and the router alert
    with.extend(&body[20..]);
    with[0] = 0x47;
    let len = with.len() as u16;
    with[2..4].copy_from_slice(&len.to_be_bytes());
    with[10..12].fill(0);
    let sum = Sum::new().bytes(&with[..28]).finish();
    with[10..12].copy_from_slice(&sum.to_be_bytes());
    assert_eq!(reply(&link.hear(&(dst, kind, with))).expect("answered"), b"data");
}

/// An echo request with these options in its header.
fn with_options(options: &[u8]) -> (MacAddr, hemi_net::wire::EtherType, Vec<u8>) {
    let (dst, kind, body) = ping(PEER, OURS, b"data");
    let mut with = [&body[..20], options, &body[20..]].concat();
    with[0] = 0x45 + (options.len() / 4) as u8;
    let len = with.len() as u16;
    with[2..4].copy_from_slice(&len.to_be_bytes());
    with[10..12].fill(0);
    let sum = Sum::new().bytes(&with[..20 + options.len()]).finish();
    with[10..12].copy_from_slice(&sum.to_be_bytes());
    (dst, kind, with)
}

/// RFC 1122 sections 3.2.2.5 and 3.3.5.
#[test]
fn options_that_lie_and_source_routes_that_go_on_are_complained_of() {
    let mut link = Link::acquainted();
    for (options, pointer) in [
        (&[7, 0, 0, 0][..], 21), // a length of zero
        (&[1, 68, 1, 0], 22),    // shorter than its own two octets
        (&[7, 5, 4, 0], 21),     // runs past the header
        (&[131, 4, 3, 0], 22),   // a pointer into itself
        (&[1, 1, 131, 2], 24),   // no pointer at all: the octet behind
        (&[1, 1, 1, 7], 24),     // no length
    ] {
        let sent = link.hear(&with_options(options));
        assert_eq!(sent[0].icmp4().0, IcmpV4::ParameterProblem { code: 0, pointer }, "{options:?}");
        assert_eq!(sent.len(), 1);
    }
    for kind in [131, 137] {
        let sent = link.hear(&with_options(&[1, kind, 7, 4, 10, 99, 0, 9]));
        assert_eq!(sent[0].icmp4().0, IcmpV4::Unreachable { code: 5, mtu: 0 });
        // At its end it is for us.
        assert!(reply(&link.hear(&with_options(&[1, kind, 7, 8, 10, 99, 0, 9]))).is_some());
    }
    // Nothing to see behind the end of the list.
    assert!(reply(&link.hear(&with_options(&[0, 7, 0, 0]))).is_some());
    assert_eq!(link.counter("drop_ip_bad_extension"), 8);
}

#[test]
fn an_unknown_protocol_is_complained_of() {
    let mut link = Link::acquainted();
    let sent = link.hear(&ipv4(PEER, OURS, 253, b"who knows"));
    assert_eq!(sent[0].icmp4().0, IcmpV4::Unreachable { code: 2, mtu: 0 });
    assert_eq!(&sent[0].icmp4().1[20..], b"who knows");
    assert!(link.hear(&ipv4(PEER, "10.99.255.255", 253, b"x")).is_empty());
    assert!(link.hear(&ipv4(PEER, "255.255.255.255", 253, b"x")).is_empty());
}

#[test]
fn fragments_in_any_order_are_put_together() {
    let mut link = Link::acquainted();
    let data: Vec<u8> = (0..3000).map(|i| i as u8).collect();
    let whole = echo4(&data);
    let pieces = [(0_usize, 1480_usize, true), (1480, 2960, true), (2960, whole.len(), false)];
    for (ident, order) in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]].into_iter().enumerate() {
        let mut sent = Vec::new();
        for i in order {
            let (from, to, more) = pieces[i];
            assert!(sent.is_empty());
            let frame =
                fragment4(PEER, OURS, protocol::ICMP, ident as u16, (from as u16, more), &whole[from..to]);
            sent = link.hear(&frame);
            // A repeated fragment changes nothing.
            if i != order[2] {
                sent = link.hear(&frame);
            }
        }
        // The reply is larger than the MTU: it is fragmented too.
        let mut got: Vec<_> = sent.iter().map(|s| (s.v4().0.fragment_offset, s.v4().1.to_vec())).collect();
        got.sort();
        let got: Vec<u8> = got.into_iter().flat_map(|(_, b)| b).collect();
        assert_eq!(&got[8..], &data[..], "{order:?}");
    }
}

#[test]
fn overlapping_fragments_are_thrown_away() {
    let mut link = Link::acquainted();
    let whole = echo4(&[7; 48]);
    for overlap in [(8, 40), (16, 32), (0, 16), (24, 56)] {
        let first = fragment4(PEER, OURS, protocol::ICMP, 3, (0, true), &whole[..32]);
        let second =
            fragment4(PEER, OURS, protocol::ICMP, 3, (overlap.0 as u16, true), &whole[overlap.0..overlap.1]);
        let last = fragment4(PEER, OURS, protocol::ICMP, 3, (32, false), &whole[32..]);
        for frame in [first, second, last] {
            assert!(link.hear(&frame).is_empty(), "{overlap:?}");
        }
        link.pass(Duration::from_secs(61));
    }
}

#[test]
fn a_datagram_that_stays_incomplete_is_given_up_and_said_so_if_its_head_came() {
    let mut link = Link::acquainted();
    let whole = echo4(&[7; 100]);
    link.hear(&fragment4(PEER, OURS, protocol::ICMP, 1, (0, true), &whole[..56]));
    link.hear(&fragment4(PEER, OURS, protocol::ICMP, 2, (56, false), &whole[56..]));
    let sent: Vec<_> =
        link.pass(Duration::from_secs(121)).into_iter().filter(|s| s.ethernet.dst == MAC).collect();
    let errors: Vec<_> = sent.iter().filter(|s| s.body[0] >> 4 == 4).map(|s| s.icmp4().0).collect();
    assert_eq!(errors, [IcmpV4::TimeExceeded { code: 1 }]);
    assert_eq!(link.counter("drop_ip_reassembly_timeout"), 2);
}

#[test]
fn a_flood_of_fragments_holds_little_memory() {
    let mut link = Link::acquainted();
    for ident in 0..20_000_u16 {
        link.hear(&fragment4(PEER, OURS, protocol::UDP, ident, (0, true), &[0; 1480]));
    }
    assert!(link.counter("drop_ip_fragment_limit") > 19_000);
    assert!(link.stack.pool().stats().in_use < 4 << 20);
    assert!(reply(&link.hear(&ping(PEER, OURS, b"x"))).is_some());
}
