//! Neighbour discovery: RFC 4861, RFC 4862 section 5.4, RFC 6980.

use std::time::Duration;

use hemi_net::wire::{EtherType, ndp::Ndp, protocol};

use crate::station::{GROUP, Link, MAC, MAC2, OUR_MAC, OURS6, PEER6, Sent, ipv6, ndp, ndp_body, ping6, v6};

fn solicit(source_mac: Option<hemi_net::wire::MacAddr>) -> Ndp {
    Ndp::Solicitation { target: v6(OURS6), source_mac }
}

fn advertise(mac: Option<hemi_net::wire::MacAddr>, solicited: bool, overrides: bool) -> Ndp {
    Ndp::Advertisement { target: v6(PEER6), target_mac: mac, router: false, solicited, overrides }
}

fn answers_at(link: &mut Link, mac: hemi_net::wire::MacAddr) -> bool {
    link.tell(mac, &ping6(PEER6, OURS6, b"?")).iter().any(|s| {
        s.ethernet.dst == mac && matches!(s.icmp6().0, hemi_net::wire::icmpv6::IcmpV6::EchoReply { .. })
    })
}

#[test]
fn a_solicitation_is_answered_with_our_mac_address() {
    for dst in [GROUP, OURS6] {
        let mut link = Link::new();
        let sent = link.hear(&ndp(PEER6, dst, 255, &solicit(Some(MAC))));
        let [reply] = &sent[..] else { panic!("{sent:?}") };
        assert_eq!((reply.ethernet.dst, reply.v6().0.dst), (MAC, v6(PEER6)));
        let expected = Ndp::Advertisement {
            target: v6(OURS6),
            target_mac: Some(OUR_MAC),
            router: false,
            solicited: true,
            overrides: true,
        };
        assert_eq!(reply.ndp(), expected);
        assert!(answers_at(&mut link, MAC), "the asker is known");
    }
}

#[test]
fn duplicate_address_detection_is_answered_to_all_nodes() {
    let mut link = Link::new();
    let sent = link.hear(&ndp("::", GROUP, 255, &solicit(None)));
    let [reply] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(reply.v6().0.dst, v6("ff02::1"));
    assert_eq!(reply.ethernet.dst.0, [0x33, 0x33, 0, 0, 0, 1]);
    assert!(matches!(
        reply.ndp(),
        Ndp::Advertisement { solicited: false, overrides: true, target_mac: Some(OUR_MAC), .. }
    ));
    // With a source option, or not to the group, it is invalid (RFC 4861 section 7.1.1).
    assert!(link.hear(&ndp("::", GROUP, 255, &solicit(Some(MAC)))).is_empty());
    assert!(link.hear(&ndp("::", OURS6, 255, &solicit(None))).is_empty());
    assert_eq!(link.stack.neighbors(), 0);
}

#[test]
fn invalid_messages_are_dropped() {
    let mut link = Link::new();
    // It came through a router.
    assert!(link.hear(&ndp(PEER6, GROUP, 254, &solicit(Some(MAC)))).is_empty());
    // For somebody else.
    let other = Ndp::Solicitation { target: v6("fd99::77"), source_mac: Some(MAC) };
    assert!(link.hear(&ndp(PEER6, OURS6, 255, &other)).is_empty());
    // A bad checksum; an option of length zero; a code that is not zero; a multicast target.
    let (dst, kind, good) = ndp(PEER6, OURS6, 255, &solicit(Some(MAC)));
    for at in [42, 65, 41] {
        let mut bad = good.clone();
        bad[at] = if at == 65 { 0 } else { bad[at].wrapping_add(1) };
        assert!(link.hear(&(dst, kind, bad)).is_empty(), "octet {at}");
    }
    let group = Ndp::Solicitation { target: v6("ff02::1"), source_mac: Some(MAC) };
    assert!(link.hear(&ndp(PEER6, OURS6, 255, &group)).is_empty());
    // In a fragment (RFC 6980), even an atomic one.
    let mut fragment = vec![protocol::ICMPV6, 0, 0, 0, 0, 0, 0, 1];
    fragment.extend(ndp_body(PEER6, OURS6, &solicit(Some(MAC))));
    let (dst, kind, mut body) = ipv6(PEER6, OURS6, protocol::IPV6_FRAGMENT, &fragment);
    body[7] = 255;
    assert!(link.hear(&(dst, kind, body)).is_empty());
    assert_eq!(link.stack.neighbors(), 0);
}

#[test]
fn advertisements_that_nobody_asked_for_teach_nothing() {
    let mut link = Link::new();
    link.hear(&ndp(PEER6, "ff02::1", 255, &advertise(Some(MAC), false, true)));
    link.hear(&ndp(PEER6, OURS6, 255, &advertise(Some(MAC), true, true)));
    assert_eq!(link.stack.neighbors(), 0);
    // "If the IP Destination Address is a multicast address the Solicited flag is zero."
    link.hear(&ndp(PEER6, "ff02::1", 255, &advertise(Some(MAC), true, true)));
    assert_eq!(link.counter("drop_ndp_invalid"), 1);
}

#[test]
fn only_an_override_moves_a_neighbour() {
    let mut link = Link::acquainted();
    link.tell(MAC2, &ndp(PEER6, "ff02::1", 255, &advertise(Some(MAC2), false, false)));
    link.tell(MAC2, &ndp(PEER6, OURS6, 255, &advertise(Some(MAC2), true, false)));
    assert!(answers_at(&mut link, MAC));
    link.tell(MAC2, &ndp(PEER6, "ff02::1", 255, &advertise(Some(MAC2), false, true)));
    assert!(answers_at(&mut link, MAC2));
}

/// RFC 4861 section 7.2.5: another address that does not override makes a reachable entry stale, and changes nothing else.
#[test]
fn another_address_that_does_not_override_has_the_known_one_asked_again() {
    for solicited in [false, true] {
        let mut link = Link::acquainted();
        link.hear(&ndp(PEER6, OURS6, 255, &advertise(None, true, false)));
        let asked = |sent: &[Sent]| sent.iter().any(|s| matches!(s.ndp(), Ndp::Solicitation { .. }));
        assert!(answers_at(&mut link, MAC) && !asked(&link.pass(Duration::from_secs(7))), "it is reachable");
        let dst = if solicited { OURS6 } else { "ff02::1" };
        link.tell(MAC2, &ndp(PEER6, dst, 255, &advertise(Some(MAC2), solicited, false)));
        assert!(answers_at(&mut link, MAC));
        assert!(asked(&link.pass(Duration::from_secs(7))));
    }
}

#[test]
fn an_answer_without_an_address_proves_that_the_neighbour_is_there() {
    let mut link = Link::acquainted();
    assert!(answers_at(&mut link, MAC));
    // The neighbour was used while stale: after five seconds it is asked.
    let asked = |sent: &[Sent]| sent.iter().filter(|s| matches!(s.ndp(), Ndp::Solicitation { .. })).count();
    let sent = link.pass(Duration::from_millis(5500));
    assert_eq!((asked(&sent), sent[0].ethernet.dst), (1, MAC));
    link.hear(&ndp(PEER6, OURS6, 255, &advertise(None, true, false)));
    let sent = link.pass(Duration::from_secs(20));
    assert_eq!(asked(&sent), 0, "it is reachable");
    assert!(answers_at(&mut link, MAC));
}

#[test]
fn a_question_waits_for_an_answer_of_any_kind() {
    let mut link = Link::new();
    let (socket, _) = link.stack.udp_bind("[::]:0".parse().expect("valid"), 1 << 16, false).expect("free");
    let now = link.now;
    link.stack.udp_send(socket, "x".into(), Some("[fd99::2]:9".parse().expect("valid")), now).expect("sent");
    let sent = link.pass(Duration::ZERO);
    assert_eq!(sent[0].v6().0.dst, v6("ff02::1:ff00:2"));
    assert_eq!(sent[0].ndp(), Ndp::Solicitation { target: v6(PEER6), source_mac: Some(OUR_MAC) });
    // Without an address there is nothing to send to.
    assert!(link.hear(&ndp(PEER6, OURS6, 255, &advertise(None, true, false))).is_empty());
    let sent = link.hear(&ndp(PEER6, OURS6, 255, &advertise(Some(MAC), true, false)));
    assert_eq!((sent.len(), sent[0].ethernet.dst, sent[0].ethernet.ethertype), (1, MAC, EtherType::Ipv6));
}
