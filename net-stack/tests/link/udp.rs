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

/// Long enough for the way in that skips the layers between.
const TEXT: &[u8] = b"a datagram like the one before";

#[test]
fn a_datagram_finds_the_socket_that_is_there_now() {
    for (src, dst) in [(PEER, OURS), (PEER6, OURS6)] {
        let (mut link, first) = bound();
        let datagram = udp(src, dst, 9, TEXT, None);
        let received = |link: &mut Link, socket| {
            std::iter::from_fn(|| link.stack.udp_recv(socket).expect("open")).count()
        };
        for _ in 0..3 {
            assert!(link.hear(&datagram).is_empty());
        }
        assert_eq!(received(&mut link, first), 3);
        // Damaged on the way, though the flow is known.
        let mut damaged = datagram.clone();
        *damaged.2.last_mut().expect("text") ^= 1;
        assert!(link.hear(&damaged).is_empty());
        assert_eq!((received(&mut link, first), link.counter("drop_udp_bad_checksum")), (0, 1));
        link.stack.udp_close(first);
        assert_eq!(link.hear(&datagram).len(), 1, "unreachable");
        let (second, _) = link
            .stack
            .udp_bind(format!("{}:9", host(dst)).parse().expect("valid"), 1 << 16, false)
            .expect("free");
        assert!(link.hear(&datagram).is_empty());
        assert_eq!(received(&mut link, second), 1);
        // Connected to another port of the same peer.
        let other = format!("{}:4001", host(src)).parse().expect("valid");
        link.stack.udp_connect(second, other).expect("open");
        assert_eq!(link.hear(&datagram).len(), 1, "unreachable");
        assert_eq!(received(&mut link, second), 0);
        assert_eq!(link.counter("udp_received"), 4);
    }
}

#[test]
fn flows_of_many_peers_stay_apart() {
    let (mut link, socket) = bound();
    let peers = |round: u8| (1..=200).map(move |n| (format!("10.99.1.{n}"), [round, n].repeat(16)));
    for round in 0..3 {
        for (peer, text) in peers(round) {
            link.hear(&udp(&peer, OURS, 9, &text, None));
        }
        for (peer, text) in peers(round) {
            let got = link.stack.udp_recv(socket).expect("open").expect("one of each");
            assert_eq!((got.from.ip().to_string(), got.payload.to_vec()), (peer, text));
        }
    }
    // Nobody may be answered there, known or not.
    for forged in ["127.0.0.1", "10.99.255.255", "224.0.0.1", OURS] {
        assert!(link.hear(&udp(forged, OURS, 9, TEXT, None)).is_empty());
    }
    assert!(link.stack.udp_recv(socket).expect("open").is_none());
    assert_eq!(link.counter("drop_ip_bad_source"), 4);
}

#[test]
fn datagrams_to_one_after_another_are_alike() {
    for (local, remote) in [(OURS, PEER), (OURS6, PEER6)] {
        let mut link = Link::acquainted();
        let at = format!("{}:4000", host(local)).parse().expect("valid");
        let (socket, _) = link.stack.udp_bind(at, 1 << 16, false).expect("free");
        let to = Some(format!("{}:9", host(remote)).parse().expect("valid"));
        for len in (0..=300).chain([1000, 1444, 1445, 1452, 1453, 1472]) {
            let text: Vec<u8> =
                (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
            let buf = hemi_queue::Buf::from(text.clone());
            link.stack.udp_send(socket, buf.into(), to, link.now).map_err(|(e, _)| e).expect("room");
            let sent = link.collect();
            let expected = udp(local, remote, 9, &text, None).2;
            if sent.len() == 1 {
                let v4 = local == OURS;
                let payload = if v4 { sent[0].v4().1 } else { sent[0].v6().1 };
                let header = expected.len() - text.len() - 8;
                assert_eq!(payload, &expected[header..], "{len}");
            } else {
                let most = if local == OURS { 1472 } else { 1452 };
                assert!(sent.len() == 2 && len > most, "{len}: {} fragments", sent.len());
            }
        }
    }
}

/// An address as it stands before a port.
fn host(ip: &str) -> String {
    if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() }
}
