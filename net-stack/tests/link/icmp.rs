//! ICMP (RFC 792, RFC 1122 section 3.2.2) and ICMPv6 (RFC 4443).

use hemi_net::wire::{icmpv4::IcmpV4, icmpv6::IcmpV6, protocol};

use crate::station::{Link, OURS, OURS6, PEER, PEER6, echo4, echo6, ipv4, ipv6, ping, ping6, udp, v6};

#[test]
fn an_echo_has_all_the_data_whatever_its_length() {
    let mut link = Link::acquainted();
    for len in [0, 1, 2, 55, 56, 57, 1471, 1472] {
        let data: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
        let sent = link.hear(&ping(PEER, OURS, &data));
        assert_eq!(sent[0].icmp4(), (IcmpV4::EchoReply { ident: 7, seq: 9 }, &data[..]), "{len}");
        assert_eq!((sent[0].v4().0.src.to_string().as_str(), sent[0].v4().0.ttl), (OURS, 64));
        let data = &data[..data.len().min(1452)];
        let sent = link.hear(&ping6(PEER6, OURS6, data));
        assert_eq!(sent[0].icmp6(), (IcmpV6::EchoReply { ident: 7, seq: 9 }, data), "{len}");
    }
}

#[test]
fn broken_messages_are_dropped() {
    let mut link = Link::acquainted();
    let mut bad = echo4(b"data");
    bad[2] ^= 1;
    assert!(link.hear(&ipv4(PEER, OURS, protocol::ICMP, &bad)).is_empty());
    assert!(link.hear(&ipv4(PEER, OURS, protocol::ICMP, &[8, 0, 0])).is_empty());
    let mut bad = echo6(PEER6, OURS6, b"data");
    bad[2] ^= 1;
    assert!(link.hear(&ipv6(PEER6, OURS6, protocol::ICMPV6, &bad)).is_empty());
    assert_eq!(link.counter("drop_icmp_malformed"), 3);
}

#[test]
fn an_ipv4_broadcast_is_no_amplifier_and_an_ipv6_group_answers_from_our_address() {
    let mut link = Link::acquainted();
    assert!(link.hear(&ping(PEER, "10.99.255.255", b"x")).is_empty());
    assert!(link.hear(&ping(PEER, "255.255.255.255", b"x")).is_empty());
    let sent = link.hear(&ping6(PEER6, "ff02::1", b"x"));
    assert!(matches!(sent[0].icmp6().0, IcmpV6::EchoReply { .. }));
    assert_eq!(sent[0].v6().0.src, v6(OURS6));
}

#[test]
fn an_error_is_never_answered_with_an_error() {
    let mut link = Link::acquainted();
    // An ICMP error that quotes a datagram of ours to a port that nobody has.
    let (_, _, quoted) = udp(OURS, PEER, 9, b"x", None);
    let mut body = vec![3, 3, 0, 0, 0, 0, 0, 0];
    body.extend(&quoted);
    let sum = hemi_net::wire::Sum::new().bytes(&body).finish();
    body[2..4].copy_from_slice(&sum.to_be_bytes());
    assert!(link.hear(&ipv4(PEER, OURS, protocol::ICMP, &body)).is_empty());
    // An unknown kind of ICMPv6 error.
    let mut body = vec![77, 0, 0, 0, 0, 0, 0, 0];
    let pseudo = hemi_net::wire::Sum::pseudo_v6(&v6(PEER6), &v6(OURS6), protocol::ICMPV6, 8);
    let sum = pseudo.bytes(&body).finish();
    body[2..4].copy_from_slice(&sum.to_be_bytes());
    assert!(link.hear(&ipv6(PEER6, OURS6, protocol::ICMPV6, &body)).is_empty());
}

#[test]
fn errors_are_rate_limited_and_never_larger_than_allowed() {
    let mut link = Link::acquainted();
    let errors = (0..1000).map(|_| link.hear(&udp(PEER, OURS, 77, &[0; 1400], None)).len()).sum::<usize>();
    assert!((50..=200).contains(&errors), "{errors}");
    let mut link = Link::acquainted();
    assert!(link.hear(&udp(PEER, OURS, 77, &[0; 1400], None))[0].body.len() <= 576);
    assert!(link.hear(&udp(PEER6, OURS6, 77, &[0; 1400], None))[0].body.len() <= 1280);
}
