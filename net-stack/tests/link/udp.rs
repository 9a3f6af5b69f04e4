//! UDP: RFC 768, RFC 1122 section 4.1, RFC 8200 section 8.1.

use hemi_net::wire::{MacAddr, icmpv4::IcmpV4, icmpv6::IcmpV6};

use crate::station::{Link, OURS, OURS6, PEER, PEER6, udp};

fn bound() -> (Link, hemi_net::UdpId) {
    let mut link = Link::acquainted();
    let (socket, _) = link.stack.udp_bind("[::]:9".parse().expect("valid"), 1 << 16, true).expect("free");
    (link, socket)
}

#[test]
fn checksums_are_asked_for_as_each_family_wants_them() {
    for (src, dst, checksum, taken) in [
        (PEER, OURS, None, true),
        (PEER, OURS, Some(0), true), // RFC 768: none was computed
        (PEER, OURS, Some(0x1234), false),
        (PEER6, OURS6, None, true),
        (PEER6, OURS6, Some(0), false), // RFC 8200 section 8.1: it must be
        (PEER6, OURS6, Some(0x1234), false),
    ] {
        let (mut link, socket) = bound();
        assert!(link.hear(&udp(src, dst, 9, b"data", checksum)).is_empty());
        let got = link.stack.udp_recv(socket).expect("open");
        assert_eq!(got.is_some(), taken, "{src} {checksum:?}");
    }
}

#[test]
fn lengths_must_fit() {
    let (mut link, socket) = bound();
    let (dst, kind, good) = udp(PEER, OURS, 9, b"data", Some(0));
    for length in [0_u16, 7, 13, 999] {
        let mut bad = good.clone();
        bad[24..26].copy_from_slice(&length.to_be_bytes());
        link.hear(&(dst, kind, bad));
    }
    assert!(link.stack.udp_recv(socket).expect("open").is_none());
    assert_eq!(link.counter("drop_udp_malformed"), 4);
    // A length shorter than the packet's: the rest is not data.
    let mut short = good;
    short[24..26].copy_from_slice(&10_u16.to_be_bytes());
    link.hear(&(dst, kind, short));
    assert_eq!(link.stack.udp_recv(socket).expect("open").expect("taken").payload, *b"da");
}

#[test]
fn a_port_that_nobody_has_is_unreachable_but_not_for_a_group() {
    let mut link = Link::acquainted();
    let sent = link.hear(&udp(PEER, OURS, 77, b"data", None));
    assert_eq!(sent[0].icmp4().0, IcmpV4::Unreachable { code: 3, mtu: 0 });
    assert_eq!(sent[0].icmp4().1.len(), 20 + 8 + 4, "it quotes what it got");
    let sent = link.hear(&udp(PEER6, OURS6, 77, b"data", None));
    assert_eq!(sent[0].icmp6().0, IcmpV6::Unreachable { code: 4 });
    for dst in ["10.99.255.255", "255.255.255.255"] {
        let (_, kind, body) = udp(PEER, dst, 77, b"data", None);
        assert!(link.hear(&(MacAddr::BROADCAST, kind, body)).is_empty(), "{dst}");
    }
    assert!(link.hear(&udp(PEER6, "ff02::1", 77, b"data", None)).is_empty());
    // A bad checksum is no reason to say anything.
    assert!(link.hear(&udp(PEER, OURS, 77, b"data", Some(0x1234))).is_empty());
}
