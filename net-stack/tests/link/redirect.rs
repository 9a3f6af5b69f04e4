//! Redirects: RFC 1122 section 3.2.2.2, RFC 4861 section 8.

use std::time::Duration;

use hemi_net::{
    Route,
    wire::{EtherType, MacAddr, Sum, arp::Operation, ndp::Ndp, protocol},
};

use crate::station::{Frame, Link, MAC, MAC2, OURS, OURS6, Sent, arp, ipv4, ndp, ping, ping6, redirect, v6};

const GATEWAY: &str = "10.99.0.254";
const BETTER: &str = "10.99.0.253";
const FAR: &str = "192.0.2.9";
const GATEWAY6: &str = "fe80::fe";
const BETTER6: &str = "fe80::fd";
const FAR6: &str = "2001:db8::9";

/// A host that knows two gateways, at [`MAC`] and [`MAC2`], and sends everything by the first.
fn link() -> Link {
    let mut link = Link::with(|config| {
        config.addresses.push("fe80::1/64".parse().unwrap());
        let route = |network: &str, gateway: &str| Route {
            network: network.parse().unwrap(),
            gateway: gateway.parse().unwrap(),
        };
        config.routes.extend([route("0.0.0.0/0", GATEWAY), route("::/0", GATEWAY6)]);
    });
    link.pass(Duration::ZERO);
    for (mac, v4, v6_) in [(MAC, GATEWAY, GATEWAY6), (MAC2, BETTER, BETTER6)] {
        link.tell(mac, &arp(Operation::Request, mac, v4, MacAddr::default(), OURS));
        let solicit = Ndp::Solicitation { target: v6("fe80::1"), source_mac: Some(mac) };
        link.tell(mac, &ndp(v6_, "fe80::1", 255, &solicit));
    }
    link
}

/// Where an answer to `ping` goes.
fn hop(link: &mut Link, ping: &Frame) -> Vec<MacAddr> {
    let ip = |s: &Sent| s.ethernet.ethertype != EtherType::Arp && !s.ethernet.dst.is_multicast();
    link.tell(MAC, ping).iter().filter(|s| ip(s)).map(|s| s.ethernet.dst).collect()
}

fn goes_by(link: &mut Link, mac: MacAddr) -> bool {
    hop(link, &ping(FAR, OURS, b"?")) == [mac]
}

fn goes_by6(link: &mut Link, mac: MacAddr) -> bool {
    hop(link, &ping6(FAR6, OURS6, b"?")) == [mac]
}

#[test]
fn a_gateways_word_is_followed_for_that_destination() {
    let mut link = link();
    assert!(goes_by(&mut link, MAC));
    link.hear(&redirect(GATEWAY, OURS, FAR, BETTER));
    assert_eq!(link.counter("redirects_followed"), 1);
    assert!(goes_by(&mut link, MAC2));
    assert_eq!(hop(&mut link, &ping("192.0.2.10", OURS, b"?")), [MAC], "other destinations are not meant");
}

#[test]
fn a_host_on_the_link_is_not_its_own_gateway() {
    let mut link = link();
    link.hear(&redirect(BETTER, OURS, BETTER, GATEWAY));
    assert_eq!((link.counter("redirects_followed"), link.counter("drop_redirect_invalid")), (0, 1));
}

#[test]
fn it_is_forgotten_after_ten_minutes() {
    let mut link = link();
    link.hear(&redirect(GATEWAY, OURS, FAR, BETTER));
    link.pass(Duration::from_secs(601));
    for (mac, v4) in [(MAC, GATEWAY), (MAC2, BETTER)] {
        link.tell(mac, &arp(Operation::Request, mac, v4, MacAddr::default(), OURS));
    }
    assert!(goes_by(&mut link, MAC));
}

#[test]
fn others_are_not_believed() {
    for (src, from, via) in [
        // Not from the current first hop; about a packet that is not ours; to a hop that is not on the link, that is ourselves, that is everybody.
        (BETTER, OURS, BETTER),
        (GATEWAY, "10.99.0.77", BETTER),
        (GATEWAY, OURS, "10.98.0.1"),
        (GATEWAY, OURS, OURS),
        (GATEWAY, OURS, "10.99.255.255"),
    ] {
        let mut link = link();
        link.hear(&redirect(src, from, FAR, via));
        assert_eq!(link.counter("drop_redirect_invalid"), 1, "{src} {from} {via}");
        assert!(goes_by(&mut link, MAC));
    }
    // Of a destination on the link there is no gateway.
    let mut link = link();
    link.hear(&redirect(GATEWAY, OURS, "10.99.0.7", BETTER));
    assert_eq!(link.counter("drop_redirect_invalid"), 1);
    // Cut short.
    let (dst, kind, body) = ipv4(GATEWAY, OURS, protocol::ICMP, &{
        let mut short = vec![5, 1, 0, 0, 10, 99, 0, 253, 0x45];
        let sum = Sum::new().bytes(&short).finish();
        short[2..4].copy_from_slice(&sum.to_be_bytes());
        short
    });
    link.hear(&(dst, kind, body));
    assert_eq!(link.counter("drop_icmp_malformed"), 1);
}

#[test]
fn a_hop_that_does_not_answer_is_given_up() {
    let mut link = link();
    link.hear(&redirect(GATEWAY, OURS, FAR, "10.99.0.99"));
    assert!(hop(&mut link, &ping(FAR, OURS, b"?")).is_empty(), "it is asked for");
    link.pass(Duration::from_secs(4));
    assert!(goes_by(&mut link, MAC));
}

fn redirect6(src: &str, hop_limit: u8, target: &str, mac: Option<MacAddr>) -> Frame {
    let message = Ndp::Redirect { target: v6(target), destination: v6(FAR6), target_mac: mac };
    ndp(src, "fe80::1", hop_limit, &message)
}

#[test]
fn a_router_tells_of_a_better_one_and_of_its_address() {
    for (target, mac) in
        [(BETTER6, None), (BETTER6, Some(MAC2)), ("fe80::fc", Some(MAC2)), (FAR6, Some(MAC2))]
    {
        let mut link = link();
        assert!(goes_by6(&mut link, MAC));
        link.hear(&redirect6(GATEWAY6, 255, target, mac));
        assert!(goes_by6(&mut link, MAC2), "{target}");
        assert_eq!(link.counter("redirects_followed"), 1);
    }
}

#[test]
fn invalid_ones_are_dropped() {
    // Not from the first hop; through a router; from no link-local address; to a router by another than its link-local address.
    for (src, hop_limit, target) in [
        (BETTER6, 255, BETTER6),
        (GATEWAY6, 254, BETTER6),
        ("fd99::fe", 255, BETTER6),
        (GATEWAY6, 255, "fd99::fd"),
    ] {
        let mut link = link();
        link.hear(&redirect6(src, hop_limit, target, Some(MAC2)));
        assert_eq!(link.counter("redirects_followed"), 0, "{src} {target}");
        assert!(goes_by6(&mut link, MAC));
    }
}

/// The gateway was configured by another address than the link-local one that redirects come from.
#[test]
fn the_gateways_station_counts() {
    let mut link = Link::with(|config| {
        config.addresses.push("fe80::1/64".parse().unwrap());
        config.routes.push(Route { network: "::/0".parse().unwrap(), gateway: "fd99::fe".parse().unwrap() });
    });
    link.pass(Duration::ZERO);
    for (mac, from) in [(MAC, "fd99::fe"), (MAC, GATEWAY6), (MAC2, BETTER6)] {
        let solicit = Ndp::Solicitation { target: v6("fe80::1"), source_mac: Some(mac) };
        link.tell(mac, &ndp(from, "fe80::1", 255, &solicit));
    }
    link.tell(MAC2, &redirect6(BETTER6, 255, BETTER6, None));
    assert!(goes_by6(&mut link, MAC));
    link.tell(MAC, &redirect6(GATEWAY6, 255, BETTER6, None));
    assert!(goes_by6(&mut link, MAC2));
}

#[test]
fn all_of_them_can_be_ignored() {
    let mut link = Link::with(|config| {
        config.redirects = false;
        config
            .routes
            .push(Route { network: "0.0.0.0/0".parse().unwrap(), gateway: GATEWAY.parse().unwrap() });
    });
    link.pass(Duration::ZERO);
    for (mac, v4) in [(MAC, GATEWAY), (MAC2, BETTER)] {
        link.tell(mac, &arp(Operation::Request, mac, v4, MacAddr::default(), OURS));
    }
    link.hear(&redirect(GATEWAY, OURS, FAR, BETTER));
    assert!(goes_by(&mut link, MAC));
}
