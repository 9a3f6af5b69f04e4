//! Duplicate address detection before our own addresses are used: RFC 4862 section 5.4, RFC 5227 section 2.1.

use std::time::Duration;

use hemi_net::{
    Host, StackConfig, TcpOptionsConfig,
    sim::{LinkConfig, Switch},
    wire::{EtherType, Flags, MacAddr, Seq, Sum, TcpHeader, arp::Operation, ndp::Ndp, protocol},
};
use hemi_queue::{Pool, time::Instant};

use crate::station::{
    Frame, GROUP, Link, MAC, OUR_MAC, OURS, OURS6, PEER, PEER6, Sent, arp, ip, ipv4, ipv6, ndp, ping, ping6,
    udp, v6,
};

/// A host that has just begun to ask, and what it asked.
fn asking() -> (Link, Vec<Sent>) {
    let mut link = Link::with(|config| config.detect_duplicates = true);
    let sent = link.pass(Duration::ZERO);
    (link, sent)
}

#[test]
fn the_questions_are_probes_from_nobody() {
    let (mut link, first) = asking();
    let [probe, solicitation] = &first[..] else { panic!("{first:?}") };
    let probed = probe.arp();
    assert_eq!((probed.sender_ip, probed.sender_mac), ([0; 4].into(), OUR_MAC));
    assert_eq!((probed.operation, probed.target_ip.to_string()), (Operation::Request, OURS.to_owned()));
    let (header, _) = solicitation.v6();
    assert_eq!((header.src, header.dst, header.hop_limit), (v6("::"), v6(GROUP), 255));
    assert_eq!(solicitation.ndp(), Ndp::Solicitation { target: v6(OURS6), source_mac: None });
    // RFC 5227: PROBE_NUM 3, a second or two apart; then two more seconds, and the announcement.
    let rest = link.pass(Duration::from_secs(7));
    let arps: Vec<_> =
        rest.iter().filter(|s| s.ethernet.ethertype == EtherType::Arp).map(Sent::arp).collect();
    assert_eq!(arps.iter().filter(|arp| arp.sender_ip.is_unspecified()).count(), 2, "{arps:?}");
    assert_eq!(arps.last().map(|arp| arp.sender_ip.to_string()).as_deref(), Some(OURS));
    let advertised =
        |s: &Sent| s.ethernet.ethertype == EtherType::Ipv6 && matches!(s.ndp(), Ndp::Advertisement { .. });
    assert_eq!(rest.iter().filter(|s| advertised(s)).count(), 1);
}

#[test]
fn a_tentative_address_does_not_exist() {
    let (mut link, _) = asking();
    assert!(link.hear(&ping(PEER, OURS, b"?")).is_empty());
    assert!(link.hear(&ping6(PEER6, OURS6, b"?")).is_empty());
    assert!(link.hear(&arp(Operation::Request, MAC, PEER, MacAddr::default(), OURS)).is_empty());
    // RFC 4862 section 5.4.3: from a unicast address: silently ignored.
    let solicit = Ndp::Solicitation { target: v6(OURS6), source_mac: Some(MAC) };
    assert!(link.hear(&ndp(PEER6, GROUP, 255, &solicit)).is_empty());
    assert_eq!((link.counter("drop_ip_tentative"), link.stack.conflict()), (2, None));
    link.pass(Duration::from_secs(7));
    link.hear(&arp(Operation::Request, MAC, PEER, MacAddr::default(), OURS));
    assert_eq!(link.hear(&ping(PEER, OURS, b"?")).len(), 1);
    link.hear(&ndp(PEER6, GROUP, 255, &solicit));
    assert_eq!(link.hear(&ping6(PEER6, OURS6, b"?")).len(), 1);
}

/// A SYN to port 80.
fn syn(src: &str, dst: &str) -> Frame {
    let header = TcpHeader {
        src_port: 5000,
        dst_port: 80,
        seq: Seq(1),
        ack: Seq(0),
        flags: Flags::SYN,
        window: 65_535,
        urgent: 0,
        header_len: TcpHeader::LEN as u8,
    };
    let mut body = [0; TcpHeader::LEN];
    header.emit(&mut body);
    let sum = Sum::pseudo(ip(src), ip(dst), protocol::TCP, TcpHeader::LEN as u32).bytes(&body).finish();
    body[TcpHeader::CHECKSUM_OFFSET..][..2].copy_from_slice(&sum.to_be_bytes());
    if ip(src).is_ipv4() {
        ipv4(src, dst, protocol::TCP, &body)
    } else {
        ipv6(src, dst, protocol::TCP, &body)
    }
}

/// The short ways of TCP and UDP ask no less than the ordinary one.
#[test]
fn nobody_listens_at_a_tentative_address() {
    let (mut link, _) = asking();
    let any = |port| format!("[::]:{port}").parse().expect("valid");
    link.stack.tcp_listen(any(80), 8, false, TcpOptionsConfig::default()).expect("free");
    let (socket, _) = link.stack.udp_bind(any(9), 1 << 16, true).expect("free");
    let pairs = [(PEER, OURS), (PEER6, OURS6)];
    for (n, (src, dst)) in (1_u64..).zip(pairs) {
        link.hear(&syn(src, dst));
        link.hear(&udp(src, dst, 9, b"data", None));
        assert_eq!(link.counter("drop_ip_tentative"), 2 * n, "{dst}");
        assert!(link.stack.udp_recv(socket).expect("open").is_none());
    }
    // No SYN-ACK waits for its time.
    let announced = link.pass(Duration::from_secs(7));
    assert_eq!(link.counter("tcp_segments_sent"), 0, "{announced:?}");
    for (src, dst) in pairs {
        link.hear(&syn(src, dst));
        link.hear(&udp(src, dst, 9, b"data", None));
        assert!(link.stack.udp_recv(socket).expect("open").is_some(), "{dst}");
    }
    assert_eq!(link.counter("tcp_segments_sent"), 2);
}

/// RFC 4862 section 5.4.3: "If the solicitation is from the node itself (because the node loops back multicast packets), the solicitation does
/// not indicate the presence of a duplicate address."
#[test]
fn a_question_of_our_own_that_comes_back_is_no_conflict() {
    let (mut link, _) = asking();
    let question = ndp("::", GROUP, 255, &Ndp::Solicitation { target: v6(OURS6), source_mac: None });
    let probe = arp(Operation::Request, OUR_MAC, "0.0.0.0", MacAddr::default(), OURS);
    for packet in [question, probe] {
        assert!(link.tell(OUR_MAC, &packet).is_empty());
    }
    assert_eq!(link.stack.conflict(), None);
}

/// What the application sends meanwhile waits; IPv6 is ready after RETRANS_TIMER, whatever IPv4 does.
#[test]
fn a_connection_begins_when_the_address_is_ours() {
    let (mut link, _) = asking();
    for to in ["10.99.0.2:80", "[fd99::2]:80"] {
        link.stack.tcp_connect(to.parse().unwrap(), None, TcpOptionsConfig::default(), link.now).unwrap();
    }
    assert!(link.pass(Duration::from_millis(900)).is_empty());
    let sent = link.pass(Duration::from_millis(200));
    let asks = |s: &Sent| matches!(s.ndp(), Ndp::Solicitation { target, source_mac: Some(_) } if target == v6(PEER6));
    assert!(sent.iter().any(|s| s.ethernet.ethertype == EtherType::Ipv6 && asks(s)), "{sent:?}");
    let answer = Ndp::Advertisement {
        target: v6(PEER6),
        target_mac: Some(MAC),
        router: false,
        solicited: true,
        overrides: true,
    };
    let syn = link.hear(&ndp(PEER6, OURS6, 255, &answer));
    assert!(syn.iter().any(|s| s.ethernet.dst == MAC), "the SYN has waited: {syn:?}");
    let later = link.pass(Duration::from_secs(7));
    let question =
        |s: &&Sent| s.ethernet.ethertype == EtherType::Arp && s.arp().target_ip.to_string() == PEER;
    assert!(later.iter().find(question).is_some_and(|s| s.arp().sender_ip.to_string() == OURS));
}

#[test]
fn who_has_the_address_or_asks_for_it_too_is_a_conflict() {
    let advertisement = Ndp::Advertisement {
        target: v6(OURS6),
        target_mac: Some(MAC),
        router: false,
        solicited: false,
        overrides: true,
    };
    let question = Ndp::Solicitation { target: v6(OURS6), source_mac: None };
    let nobody = MacAddr::default();
    for (packet, address, station) in [
        (ndp(OURS6, "ff02::1", 255, &advertisement), OURS6, Some(MAC)),
        (ndp("::", GROUP, 255, &question), OURS6, None),
        (arp(Operation::Reply, MAC, OURS, OUR_MAC, "0.0.0.0"), OURS, Some(MAC)),
        (arp(Operation::Request, MAC, OURS, nobody, OURS), OURS, Some(MAC)),
        (arp(Operation::Request, MAC, "0.0.0.0", nobody, OURS), OURS, Some(MAC)),
    ] {
        let (mut link, _) = asking();
        link.pass(Duration::from_millis(300));
        assert!(link.hear(&packet).is_empty());
        let conflict = link.stack.conflict().expect("a conflict");
        assert_eq!((conflict.address.to_string().as_str(), conflict.station), (address, station));
        // None is used from then on.
        assert!(link.pass(Duration::from_secs(20)).is_empty());
        for packet in [ping(PEER, OURS, b"?"), ping6(PEER6, OURS6, b"?")] {
            assert!(link.hear(&packet).is_empty());
        }
    }
}

#[test]
fn both_hosts_of_a_link_with_one_address_hear_of_it() {
    let (pool, switch) = (Pool::new().unwrap(), Switch::new(3));
    let host = |seed| {
        let mut config = StackConfig::with_addresses(["fd99::7/64".parse().unwrap()]);
        config.detect_duplicates = true;
        Host::new(switch.plug(LinkConfig::default(), 1500, None, &pool), config, pool.clone(), seed)
    };
    let (mut first, mut second) = (host(1), host(2));
    let mut now = Instant::ZERO;
    let mut run = |hosts: &mut [&mut Host<_>], time: Duration| {
        let end = now + time;
        let mut errors = Vec::new();
        while now < end {
            now += Duration::from_millis(10);
            errors.extend(
                hosts.iter_mut().filter_map(|host| host.poll(now).err()).map(|gone| gone.to_string()),
            );
        }
        errors
    };
    assert!(run(&mut [&mut first], Duration::from_secs(2)).is_empty());
    let errors = run(&mut [&mut first, &mut second], Duration::from_secs(2));
    assert!(
        errors.iter().any(|e| e.contains("fd99::7 is in use by the station") && e.contains("dad=0")),
        "{errors:?}"
    );
    assert!(first.stack.conflict().is_none() && second.stack.conflict().is_some());
}
