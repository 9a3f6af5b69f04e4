//! ARP: RFC 826, RFC 5227, RFC 1122 section 2.3.2.

use std::time::Duration;

use hemi_net::wire::{EtherType, MacAddr, arp::Operation};

use crate::station::{Link, MAC, MAC2, OUR_MAC, OURS, PEER, arp};

const ZERO: MacAddr = MacAddr([0; 6]);

#[test]
fn a_request_for_us_is_answered_to_the_asker_alone() {
    let mut link = Link::new();
    let sent = link.hear(&arp(Operation::Request, MAC, PEER, ZERO, OURS));
    let [reply] = &sent[..] else { panic!("{sent:?}") };
    let answer = reply.arp();
    assert_eq!((reply.ethernet.dst, answer.operation), (MAC, Operation::Reply));
    assert_eq!((answer.sender_mac, answer.sender_ip.to_string().as_str()), (OUR_MAC, OURS));
    assert_eq!((answer.target_mac, answer.target_ip.to_string().as_str()), (MAC, PEER));
    // The asker is known now: its ping is answered without a question.
    assert!(link.answers_at(PEER, MAC));
}

#[test]
fn a_probe_is_answered_and_nothing_is_learnt_from_it() {
    let mut link = Link::new();
    let sent = link.hear(&arp(Operation::Request, MAC, "0.0.0.0", ZERO, OURS));
    assert_eq!(sent.len(), 1);
    assert_eq!((sent[0].arp().operation, sent[0].arp().sender_mac), (Operation::Reply, OUR_MAC));
    assert_eq!(link.stack.neighbors(), 0);
}

#[test]
fn what_concerns_others_is_neither_answered_nor_learnt() {
    let mut link = Link::new();
    assert!(link.hear(&arp(Operation::Request, MAC, PEER, ZERO, "10.99.0.77")).is_empty());
    assert!(link.hear(&arp(Operation::Request, MAC, PEER, ZERO, PEER)).is_empty());
    assert!(link.hear(&arp(Operation::Reply, MAC, PEER, OUR_MAC, OURS)).is_empty());
    assert_eq!(link.stack.neighbors(), 0, "poisoned");
}

#[test]
fn a_neighbour_that_announces_its_move_is_followed_at_once() {
    let mut link = Link::acquainted();
    assert!(link.answers_at(PEER, MAC));
    link.tell(MAC2, &arp(Operation::Request, MAC2, PEER, ZERO, PEER));
    assert!(link.answers_at(PEER, MAC2));
    // And one that asks from another place.
    link.hear(&arp(Operation::Request, MAC, PEER, ZERO, OURS));
    assert!(link.answers_at(PEER, MAC));
}

#[test]
fn an_answer_to_nothing_moves_nobody_at_once() {
    let mut link = Link::acquainted();
    link.tell(MAC2, &arp(Operation::Reply, MAC2, PEER, OUR_MAC, OURS));
    assert!(link.answers_at(PEER, MAC));
    // After a while it is RFC 826's word that counts again.
    link.pass(Duration::from_secs(2));
    link.tell(MAC2, &arp(Operation::Reply, MAC2, PEER, OUR_MAC, OURS));
    assert!(link.answers_at(PEER, MAC2));
}

#[test]
fn group_addresses_and_nonsense_are_not_believed() {
    let mut link = Link::acquainted();
    link.pass(Duration::from_secs(2));
    for mac in [MacAddr::BROADCAST, ZERO, MacAddr([0x33, 0x33, 0, 0, 0, 1])] {
        link.hear(&arp(Operation::Request, mac, PEER, ZERO, PEER));
    }
    assert!(link.answers_at(PEER, MAC));
    let (dst, ethertype, mut body) = arp(Operation::Request, MAC2, PEER, ZERO, OURS);
    for (at, value) in [(0, 9), (2, 9), (4, 8), (5, 16), (7, 9)] {
        let old = std::mem::replace(&mut body[at], value);
        assert!(link.hear(&(dst, ethertype, body.clone())).is_empty(), "field {at}");
        body[at] = old;
    }
    assert!(link.hear(&(dst, ethertype, body[..27].to_vec())).is_empty());
    assert_eq!(link.counter("drop_arp_malformed"), 6);
}

#[test]
fn who_claims_our_address_is_not_believed_and_we_defend_it_once_in_a_while() {
    let mut link = Link::acquainted();
    let defended = |sent: &[crate::station::Sent]| {
        sent.iter()
            .filter(|s| s.ethernet.ethertype == EtherType::Arp && s.arp().sender_ip == s.arp().target_ip)
            .count()
    };
    let claim = arp(Operation::Request, MAC2, OURS, ZERO, OURS);
    let sent = link.tell(MAC2, &claim);
    assert_eq!((sent.len(), defended(&sent), sent[0].ethernet.dst), (1, 1, MacAddr::BROADCAST));
    assert_eq!(sent[0].arp().sender_mac, OUR_MAC);
    assert!(link.tell(MAC2, &claim).is_empty());
    link.pass(Duration::from_secs(11));
    assert_eq!(defended(&link.tell(MAC2, &claim)), 1);
    assert_eq!(link.counter("neighbor_conflicts"), 3);
    assert!(link.answers_at(PEER, MAC));
}

#[test]
fn questions_are_repeated_once_a_second_and_then_given_up() {
    let mut link = Link::new();
    let (socket, _) = link.stack.udp_bind("0.0.0.0:0".parse().expect("valid"), 1 << 16, false).expect("free");
    let now = link.now;
    link.stack.udp_send(socket, "x".into(), Some("10.99.0.9:9".parse().expect("valid")), now).expect("sent");
    let sent = link.pass(Duration::from_secs(10));
    let questions: Vec<_> = sent.iter().map(crate::station::Sent::arp).collect();
    assert_eq!(questions.len(), 3);
    assert!(
        questions.iter().all(|q| q.target_ip.to_string() == "10.99.0.9" && q.operation == Operation::Request)
    );
    assert_eq!(link.counter("drop_tx_neighbor_unreachable"), 1);
    // The next datagram asks anew, for the neighbour may have come back.
    let now = link.now;
    link.stack.udp_send(socket, "y".into(), Some("10.99.0.9:9".parse().expect("valid")), now).expect("sent");
    assert_eq!(link.pass(Duration::ZERO).len(), 1);
    let sent = link.tell(MAC2, &arp(Operation::Reply, MAC2, "10.99.0.9", OUR_MAC, OURS));
    assert_eq!((sent.len(), &sent[0].v4().1[8..]), (1, &b"y"[..]));
}

/// RFC 1122 section 4.1.3.3: a connected socket hears that its peer can't be reached; what is not connected hears nothing.
#[test]
fn a_neighbour_that_does_not_answer_is_an_error_of_the_connected_socket() {
    let mut link = Link::new();
    let sockets = [true, false].map(|connected| {
        let any = "0.0.0.0:0".parse().expect("valid");
        let (socket, _) = link.stack.udp_bind(any, 1 << 16, false).expect("free");
        let to = "10.99.0.9:9".parse().expect("valid");
        if connected {
            link.stack.udp_connect(socket, to).expect("open");
        }
        let now = link.now;
        link.stack.udp_send(socket, "x".into(), Some(to), now).expect("sent");
        socket
    });
    link.pass(Duration::from_secs(10));
    assert_eq!(link.stack.udp_recv(sockets[0]).err(), Some(hemi_net::UdpError::Unreachable));
    assert!(matches!(link.stack.udp_recv(sockets[1]), Ok(None)));
    // Once, and the socket goes on.
    assert!(matches!(link.stack.udp_recv(sockets[0]), Ok(None)));
}

#[test]
fn frames_wait_for_the_answer_and_the_latest_are_kept() {
    let mut link = Link::new();
    let (socket, _) = link.stack.udp_bind("0.0.0.0:0".parse().expect("valid"), 1 << 16, false).expect("free");
    for i in 0..40_u8 {
        let now = link.now;
        let unit = hemi_queue::Buf::from(vec![i]).into();
        link.stack.udp_send(socket, unit, Some("10.99.0.2:9".parse().expect("valid")), now).expect("sent");
    }
    assert_eq!(link.pass(Duration::ZERO).len(), 1, "one question");
    let sent = link.hear(&arp(Operation::Reply, MAC, PEER, OUR_MAC, OURS));
    assert!(!sent.is_empty() && sent.len() <= 40);
    assert_eq!(sent.last().expect("frames").v4().1[8], 39, "the latest (RFC 1122 section 2.3.2.2)");
}
