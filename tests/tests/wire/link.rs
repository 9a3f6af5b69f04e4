//! ARP and neighbour discovery: RFC 826, 5227, 4861, 4862.

use std::time::Duration;

use hemi_net::wire::{EtherType, MacAddr, arp::Operation, ndp::Ndp};

use crate::{
    Case,
    client::{Seen, Wire},
    frames::{GROUP, MAC, MAC2, OUR_MAC, OURS, OURS6, arp, ndp, ping, ping6, redirect, udp, v6},
};

pub(crate) const CASES: &[Case] = &[
    ("a question is answered to the asker alone", question),
    ("a probe is answered", probe),
    ("questions about others are not answered", others),
    ("an answer that nobody asked for makes no entry", poison),
    ("an announcement moves a known neighbour", announcement),
    ("a claim of the host's address changes nothing", conflict),
    ("malformed ARP is dropped", malformed_arp),
    ("a neighbour that did not answer is asked again by the next packet", ask_again),
    ("a solicitation is answered, by its group and by its address", solicitation),
    ("duplicate address detection is answered to all nodes", duplicate_detection),
    ("solicitations that cannot be are dropped", bad_solicitations),
    ("an advertisement that nobody asked for makes no entry", poison6),
    ("an overriding advertisement moves a neighbour, another does not", advertisement),
    ("an advertisement of the host's own address changes nothing", conflict6),
    ("a redirect by who is no gateway changes nothing", redirected),
    ("a redirect by who is no router changes nothing", redirected6),
];

const ZERO: MacAddr = MacAddr([0; 6]);

fn answer(seen: &Seen, to: &str) -> Option<MacAddr> {
    (seen.is_arp()
        && seen.frame.arp().operation == Operation::Reply
        && seen.frame.arp().target_ip.to_string() == to)
        .then_some(seen.frame.ethernet.dst)
}

fn question(wire: &mut Wire) {
    let me = wire.fresh(false);
    wire.send(&arp(Operation::Request, MAC, &me, ZERO, OURS));
    let reply = wire.wait("the answer", |s| answer(s, &me).map(|_| s.clone())).frame;
    assert_eq!((reply.ethernet.dst, reply.arp().target_mac), (MAC, MAC));
    assert_eq!((reply.arp().sender_mac, reply.arp().sender_ip.to_string().as_str()), (OUR_MAC, OURS));
    // Asked by its own address, as a neighbour that verifies an entry does.
    let (_, kind, body) = arp(Operation::Request, MAC, &me, OUR_MAC, OURS);
    wire.send(&(OUR_MAC, kind, body));
    wire.wait("the answer to a unicast question", |s| answer(s, &me));
}

fn probe(wire: &mut Wire) {
    wire.send(&arp(Operation::Request, MAC, "0.0.0.0", ZERO, OURS));
    wire.wait("the answer to a probe", |s| answer(s, "0.0.0.0"));
}

fn others(wire: &mut Wire) {
    let me = wire.fresh(false);
    wire.send(&arp(Operation::Request, MAC, &me, ZERO, "10.99.7.7"));
    wire.send(&arp(Operation::Request, MAC, &me, ZERO, &me));
    wire.nothing("an answer", |s| answer(s, &me));
}

/// RFC 1122 section 3.2.2.2: "[...] or if the source of the Redirect is not the current first-hop gateway for the specified destination".
fn redirected(wire: &mut Wire) {
    let me = wire.fresh(false);
    wire.send(&arp(Operation::Request, MAC, &me, ZERO, OURS));
    wire.wait("the answer", |s| answer(s, &me));
    let other = wire.fresh(false);
    wire.send_from(MAC2, &arp(Operation::Request, MAC2, &other, ZERO, OURS));
    wire.wait("the answer", |s| answer(s, &other));
    wire.send_from(MAC2, &redirect(&other, OURS, &me, &other));
    wire.send(&ping(&me, OURS, b"still here"));
    let to = wire.wait("the echo", |s| s.icmp4(&me).map(|_| s.frame.ethernet.dst));
    assert_eq!(to, MAC);
}

/// RFC 4861 section 8.1: from a link-local address, and from the current first-hop router.
fn redirected6(wire: &mut Wire) {
    let me = wire.fresh(true);
    wire.send(&ndp(&me, GROUP, 255, &Ndp::Solicitation { target: v6(OURS6), source_mac: Some(MAC) }));
    let redirect = Ndp::Redirect { target: v6(&me), destination: v6(&me), target_mac: Some(MAC2) };
    for src in [me.as_str(), "fe80::77"] {
        wire.send_from(MAC2, &ndp(src, OURS6, 255, &redirect));
    }
    wire.send(&ping6(&me, OURS6, b"still here"));
    let to = wire.wait("the echo", |s| s.icmp6(&me).map(|_| s.frame.ethernet.dst));
    assert_eq!(to, MAC);
}

/// RFC 4862 section 5.4.4 is about tentative addresses; an assigned one is kept.
fn conflict6(wire: &mut Wire) {
    let claim = Ndp::Advertisement {
        target: v6(OURS6),
        target_mac: Some(MAC2),
        router: false,
        solicited: false,
        overrides: true,
    };
    wire.send_from(MAC2, &ndp(OURS6, "ff02::1", 255, &claim));
    solicitation(wire);
}

fn asks(seen: &Seen, about: &str) -> Option<()> {
    (seen.is_arp() && seen.frame.arp().target_ip.to_string() == about).then_some(())
}

fn poison(wire: &mut Wire) {
    let me = wire.fresh(false);
    wire.send_from(MAC2, &arp(Operation::Reply, MAC2, &me, OUR_MAC, OURS));
    wire.send_from(MAC2, &arp(Operation::Request, MAC2, &me, ZERO, &me));
    wire.send(&ping(&me, OURS, b"who am I?"));
    wire.wait("the question who that is", |s| asks(s, &me));
    let to = wire.wait("the echo", |s| s.icmp4(&me).map(|_| s.frame.ethernet.dst));
    assert_eq!(to, MAC);
}

fn announcement(wire: &mut Wire) {
    let me = wire.fresh(false);
    wire.send(&arp(Operation::Request, MAC, &me, ZERO, OURS));
    wire.wait("the answer", |s| answer(s, &me));
    wire.send_from(MAC2, &arp(Operation::Request, MAC2, &me, ZERO, &me));
    wire.send_from(MAC2, &ping(&me, OURS, b"moved"));
    let to = wire.wait("the echo", |s| s.icmp4(&me).map(|_| s.frame.ethernet.dst));
    assert_eq!(to, MAC2);
}

fn conflict(wire: &mut Wire) {
    wire.send_from(MAC2, &arp(Operation::Request, MAC2, OURS, ZERO, OURS));
    question(wire);
}

fn malformed_arp(wire: &mut Wire) {
    let me = wire.fresh(false);
    let (dst, kind, good) = arp(Operation::Request, MAC, &me, ZERO, OURS);
    for (at, value) in [(1, 6), (2, 9), (4, 8), (5, 16), (7, 9)] {
        let mut bad = good.clone();
        bad[at] = value;
        wire.send(&(dst, kind, bad));
    }
    wire.nothing("an answer", |s| answer(s, &me));
}

fn ask_again(wire: &mut Wire) {
    let me = wire.fresh(false);
    wire.silent.insert(me.parse().expect("an address"));
    wire.send(&udp(&me, OURS, 7000, b"one", None));
    for _ in 0..3 {
        wire.wait("a question", |s| asks(s, &me));
    }
    wire.pass(Duration::from_millis(1500));
    wire.inbox.clear();
    wire.silent.clear();
    wire.send(&udp(&me, OURS, 7000, b"two", None));
    wire.wait("another question", |s| asks(s, &me));
    assert_eq!(wire.wait("the echo", |s| s.udp(&me)), b"two");
}

fn solicit(source_mac: Option<MacAddr>) -> Ndp {
    Ndp::Solicitation { target: v6(OURS6), source_mac }
}

fn advertised(seen: &Seen, to: &str) -> Option<Ndp> {
    (seen.frame.ethernet.ethertype == EtherType::Ipv6
        && seen.frame.v6().0.dst == v6(to)
        && seen.frame.body[40] == 136)
        .then(|| seen.frame.ndp())
}

fn solicitation(wire: &mut Wire) {
    for dst in [GROUP, OURS6] {
        let me = wire.fresh(true);
        wire.send(&ndp(&me, dst, 255, &solicit(Some(MAC))));
        let expected = Ndp::Advertisement {
            target: v6(OURS6),
            target_mac: Some(OUR_MAC),
            router: false,
            solicited: true,
            overrides: true,
        };
        assert_eq!(wire.wait("the advertisement", |s| advertised(s, &me)), expected);
    }
}

fn duplicate_detection(wire: &mut Wire) {
    wire.send(&ndp("::", GROUP, 255, &solicit(None)));
    let to = wire.wait("the defence", |s| advertised(s, "ff02::1").map(|a| (a, s.frame.ethernet.dst.0)));
    assert!(matches!(
        to.0,
        Ndp::Advertisement { solicited: false, overrides: true, target_mac: Some(OUR_MAC), .. }
    ));
    assert_eq!(to.1, [0x33, 0x33, 0, 0, 0, 1]);
    wire.fence();
    wire.inbox.clear();
    wire.send(&ndp("::", GROUP, 255, &solicit(Some(MAC))));
    wire.send(&ndp("::", OURS6, 255, &solicit(None)));
    wire.nothing("an answer to what is invalid", |s| advertised(s, "ff02::1"));
}

fn bad_solicitations(wire: &mut Wire) {
    let me = wire.fresh(true);
    wire.send(&ndp(&me, GROUP, 254, &solicit(Some(MAC))));
    let other = Ndp::Solicitation { target: v6("fd99::7777"), source_mac: Some(MAC) };
    wire.send(&ndp(&me, OURS6, 255, &other));
    let (dst, kind, good) = ndp(&me, OURS6, 255, &solicit(Some(MAC)));
    for at in [42, 65, 41] {
        let mut bad = good.clone();
        bad[at] = if at == 65 { 0 } else { bad[at].wrapping_add(1) };
        wire.send(&(dst, kind, bad));
    }
    wire.nothing("an answer", |s| advertised(s, &me));
}

fn advertise(me: &str, mac: MacAddr, solicited: bool, overrides: bool) -> Ndp {
    Ndp::Advertisement { target: v6(me), target_mac: Some(mac), router: false, solicited, overrides }
}

fn poison6(wire: &mut Wire) {
    let me = wire.fresh(true);
    wire.send_from(MAC2, &ndp(&me, OURS6, 255, &advertise(&me, MAC2, true, true)));
    wire.send_from(MAC2, &ndp(&me, "ff02::1", 255, &advertise(&me, MAC2, false, true)));
    wire.send(&ping6(&me, OURS6, b"who am I?"));
    let to = wire.wait("the echo", |s| s.icmp6(&me).map(|_| s.frame.ethernet.dst));
    assert_eq!(to, MAC);
}

fn advertisement(wire: &mut Wire) {
    let me = wire.fresh(true);
    wire.send(&ndp(&me, GROUP, 255, &solicit(Some(MAC))));
    wire.wait("the advertisement", |s| advertised(s, &me));
    wire.send_from(MAC2, &ndp(&me, "ff02::1", 255, &advertise(&me, MAC2, false, false)));
    wire.send(&ping6(&me, OURS6, b"1"));
    assert_eq!(wire.wait("the echo", |s| s.icmp6(&me).map(|_| s.frame.ethernet.dst)), MAC);
    wire.send_from(MAC2, &ndp(&me, "ff02::1", 255, &advertise(&me, MAC2, false, true)));
    wire.send(&ping6(&me, OURS6, b"2"));
    assert_eq!(wire.wait("the echo", |s| s.icmp6(&me).map(|_| s.frame.ethernet.dst)), MAC2);
}
