//! UDP and ICMP between two hosts: fragments, unreachable ports, echo.

use std::{net::SocketAddr, time::Duration};

use hemi_net::{
    Event, UdpError,
    sim::{Pair, WireConfig},
    wire::{EtherType, EthernetHeader, Ipv4Header, MacAddr, Sum, icmpv4::IcmpV4},
};
use hemi_queue::Buf;

const MS: Duration = Duration::from_millis(1);

fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

#[test]
fn datagrams_of_every_size_arrive_whole_over_both_families() {
    for (bind, from, to) in [("0.0.0.0:9", "0.0.0.0:0", "10.0.0.2:9"), ("[::]:9", "[::]:0", "[fd00::2]:9")] {
        let mut pair = Pair::new(WireConfig { delay: MS, ..WireConfig::default() }, 1);
        let (server, _) = pair.b.stack.udp_bind(addr(bind), 1 << 20, false).expect("free");
        let (client, at) = pair.a.stack.udp_bind(addr(from), 1 << 20, false).expect("free");
        for len in [0, 1, 100, 1452, 1472, 1473, 4000, 30_000, 65_000] {
            let bytes: Vec<u8> = (0..len).map(|i| (i * 13) as u8).collect();
            let now = pair.now();
            pair.a
                .stack
                .udp_send(client, Buf::from(bytes.clone()).into(), Some(addr(to)), now)
                .expect("sent");
            pair.run_for(10 * MS);
            let d = pair
                .b
                .stack
                .udp_recv(server)
                .expect("open")
                .unwrap_or_else(|| panic!("{len} bytes are lost"));
            assert!(d.payload == bytes && d.from.port() == at.port(), "{len}");
            // And back to where it came from.
            let now = pair.now();
            pair.b.stack.udp_send(server, d.payload.into(), Some(d.from), now).expect("sent");
            pair.run_for(10 * MS);
            assert_eq!(pair.a.stack.udp_recv(client).expect("open").expect("answered").payload.len(), len);
        }
        assert_eq!(pair.b.stack.counters().dropped(), 0);
        pair.run_for(Duration::from_secs(100));
        assert_eq!(pair.a.stack.pool().stats().in_use, 0);
    }
}

#[test]
fn a_closed_port_is_reported_to_a_connected_socket_only() {
    let mut pair = Pair::new(WireConfig { delay: MS, ..WireConfig::default() }, 1);
    for connected in [false, true] {
        let (client, _) = pair.a.stack.udp_bind(addr("0.0.0.0:0"), 1 << 20, false).expect("free");
        if connected {
            pair.a.stack.udp_connect(client, addr("10.0.0.2:77")).expect("open");
        }
        let now = pair.now();
        pair.a.stack.udp_send(client, "x".into(), Some(addr("10.0.0.2:77")), now).expect("sent");
        pair.run_for(10 * MS);
        let answer = pair.a.stack.udp_recv(client);
        assert_eq!(answer.is_err(), connected);
        assert!(!connected || matches!(answer, Err(UdpError::Refused)));
    }
    assert_eq!((pair.b.stack.counters().icmp_errors_sent, pair.b.stack.counters().drop_udp_no_port), (2, 2));
}

#[test]
fn a_slow_reader_bounds_its_queue_and_is_told_once() {
    let mut pair = Pair::new(WireConfig::default(), 1);
    let (server, _) = pair.b.stack.udp_bind(addr("0.0.0.0:9"), 20_000, false).expect("free");
    let (client, _) = pair.a.stack.udp_bind(addr("0.0.0.0:0"), 1 << 20, false).expect("free");
    for _ in 0..1000 {
        let now = pair.now();
        pair.a
            .stack
            .udp_send(client, Buf::from(vec![1; 100]).into(), Some(addr("10.0.0.2:9")), now)
            .expect("sent");
        pair.settle();
    }
    let mut events = 0;
    while let Some(event) = pair.b.stack.poll_event() {
        events += u32::from(event == Event::Udp(server));
    }
    assert_eq!(events, 1);
    let dropped = pair.b.stack.counters().drop_udp_queue_full;
    let mut got = 0;
    while pair.b.stack.udp_recv(server).expect("open").is_some() {
        got += 1;
    }
    assert_eq!(got + dropped, 1000);
    assert!(got >= 60 && pair.a.stack.pool().stats().in_use == 0, "{got}");
}

#[test]
fn sockets_are_found_by_port_address_and_peer() {
    let mut pair = Pair::new(WireConfig::default(), 1);
    let b = &mut pair.b.stack;
    let (any, _) = b.udp_bind(addr("0.0.0.0:9"), 1 << 20, false).expect("free");
    assert_eq!(b.udp_bind(addr("10.0.0.2:9"), 1 << 20, false), Err(UdpError::AddressInUse));
    assert_eq!(b.udp_bind(addr("10.9.9.9:1"), 1 << 20, false), Err(UdpError::NoSuchAddress));
    b.udp_connect(any, addr("10.0.0.1:5")).expect("open");
    let (five, _) = pair.a.stack.udp_bind(addr("0.0.0.0:5"), 1 << 20, false).expect("free");
    let (six, _) = pair.a.stack.udp_bind(addr("0.0.0.0:6"), 1 << 20, false).expect("free");
    let now = pair.now();
    for socket in [six, five] {
        pair.a.stack.udp_send(socket, "x".into(), Some(addr("10.0.0.2:9")), now).expect("sent");
    }
    pair.run_for(MS);
    assert_eq!(pair.b.stack.udp_recv(any).expect("open").expect("one").from.port(), 5);
    assert!(pair.b.stack.udp_recv(any).expect("open").is_none());
    assert_eq!(pair.b.stack.counters().drop_udp_no_port, 1);
    pair.b.stack.udp_close(any);
    assert!(pair.b.stack.udp_recv(any).is_err());
}

#[test]
fn echo_is_answered_with_the_same_bytes_also_after_a_long_silence() {
    let mut pair = Pair::new(WireConfig::default(), 1);
    pair.run_for(Duration::from_secs(3600));
    let data: Vec<u8> = (0..500).map(|i| i as u8).collect();
    let mut message = vec![0; 8];
    IcmpV4::EchoRequest { ident: 7, seq: 9 }
        .emit(message.first_chunk_mut().expect("8"), Sum::new().bytes(&data));
    message.extend(&data);
    let mut frame = vec![0; 34];
    let (a, b) = (MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]));
    EthernetHeader { dst: b, src: a, ethertype: EtherType::Ipv4 }.emit(frame.first_chunk_mut().expect("14"));
    let ip = Ipv4Header {
        src: [10, 0, 0, 1].into(),
        dst: [10, 0, 0, 2].into(),
        protocol: 1,
        ttl: 64,
        dscp: 0,
        ecn: hemi_net::wire::Ecn::NotCapable,
        ident: 0,
        dont_fragment: false,
        more_fragments: false,
        fragment_offset: 0,
        header_len: 20,
        payload_len: message.len() as u16,
    };
    ip.emit(frame[14..].first_chunk_mut().expect("20"));
    frame.extend(&message);
    let answers = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let seen = answers.clone();
    pair.wire.tap(1, move |_, frame| {
        if frame.get(23) == Some(&1) {
            seen.borrow_mut().push(frame.to_vec());
        }
        true
    });
    let now = pair.now();
    pair.wire.inject(0, now, &frame);
    pair.run_for(100 * MS);
    let answers = answers.borrow();
    assert_eq!(answers.len(), 1);
    let icmp = &answers[0][34..];
    assert_eq!(IcmpV4::parse(icmp), Ok(IcmpV4::EchoReply { ident: 7, seq: 9 }));
    assert_eq!(&icmp[8..], data);
    assert_eq!(answers[0][..6], a.0);
}

#[test]
fn a_rule_of_an_unconnected_socket_leaves_a_connected_ones_datagrams_alone() {
    let mut pair = Pair::new(WireConfig::default(), 1);
    let stack = &mut pair.a.stack;
    let (any, _) = stack.udp_bind(addr("0.0.0.0:9"), 1 << 20, false).expect("free");
    let (six, _) = stack.udp_bind(addr("[fd00::1]:9"), 1 << 20, false).expect("free");
    assert_eq!(stack.udp_destinations(any), [addr("10.0.0.1:9")]);
    assert_eq!(stack.udp_destinations(six), [addr("[fd00::1]:9")]);
    // Its own, from its peer.
    stack.udp_connect(six, addr("[fd00::2]:7")).expect("open");
    assert_eq!(stack.udp_destinations(six), [addr("[fd00::1]:9")]);
    let (wide, _) = stack.udp_bind(addr("[::]:10"), 1 << 20, false).expect("free");
    let (narrow, _) = stack.udp_bind(addr("10.0.0.1:10"), 1 << 20, false).expect("free");
    let both = stack.udp_destinations(wide);
    assert!(both.contains(&addr("[fd00::1]:10")) && !both.contains(&addr("10.0.0.1:10")), "{both:?}");
    stack.udp_connect(wide, addr("[fd00::2]:7")).expect("open");
    assert_eq!(stack.udp_destinations(narrow), [], "the other one is connected there");
}
