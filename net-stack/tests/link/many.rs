//! A large link: more neighbours and clients than any table of a toy holds.

use hemi_net::{
    TcpOptionsConfig,
    wire::{Flags, MacAddr, Seq, Sum, TcpHeader, arp::Operation, protocol},
};

use crate::station::{Link, OURS, arp, ip, ipv4};

fn neighbor(n: u16) -> (String, MacAddr) {
    let [a, b] = n.to_be_bytes();
    (format!("10.99.{}.{b}", a + 1), MacAddr([2, 1, 0, 0, a, b]))
}

#[test]
fn two_thousand_neighbours_are_known_at_one_time() {
    let mut link = Link::new();
    for n in 1..2000 {
        let (address, mac) = neighbor(n);
        let sent = link.tell(mac, &arp(Operation::Request, mac, &address, MacAddr::default(), OURS));
        assert_eq!((sent.len(), sent[0].ethernet.dst), (1, mac));
    }
    assert_eq!(link.stack.neighbors(), 1999);
    for n in (1..2000).rev() {
        let (address, mac) = neighbor(n);
        assert!(link.answers_at(&address, mac), "{address}");
        if n % 500 == 0 {
            link.pass(std::time::Duration::from_secs(1)); // echo replies are rate-limited
        }
    }
}

fn segment(
    src: &str,
    port: u16,
    seq: u32,
    ack: Option<u32>,
    flags: Flags,
    text: &[u8],
) -> (MacAddr, hemi_net::wire::EtherType, Vec<u8>) {
    let header = TcpHeader {
        src_port: port,
        dst_port: 80,
        seq: Seq(seq),
        ack: Seq(ack.unwrap_or(0)),
        flags,
        window: 65_535,
        urgent: 0,
        header_len: 20,
    };
    let mut body = vec![0; 20];
    header.emit(body.first_chunk_mut().expect("20"));
    body.extend(text);
    let sum = Sum::pseudo(ip(src), ip(OURS), protocol::TCP, body.len() as u32).bytes(&body).finish();
    body[16..18].copy_from_slice(&sum.to_be_bytes());
    ipv4(src, OURS, protocol::TCP, &body)
}

/// 300 client addresses, two connections each, all open at once, all served.
#[test]
fn three_hundred_clients_are_served_at_one_time() {
    let mut link = Link::new();
    let at = "0.0.0.0:80".parse().expect("valid");
    let (listener, _) = link.stack.tcp_listen(at, 1024, false, TcpOptionsConfig::default()).expect("free");
    let mut clients = Vec::new();
    for n in 1..=300 {
        let (address, mac) = neighbor(n);
        link.tell(mac, &arp(Operation::Request, mac, &address, MacAddr::default(), OURS));
        for port in [5000, 5001] {
            let sent = link.tell(mac, &segment(&address, port, 100, None, Flags::SYN, b""));
            let (answer, _) = TcpHeader::parse(sent[0].v4().1).expect("TCP");
            assert_eq!(
                (answer.flags, answer.ack, answer.dst_port),
                (Flags::SYN | Flags::ACK, Seq(101), port)
            );
            link.tell(mac, &segment(&address, port, 101, Some(answer.seq.0 + 1), Flags::ACK, b""));
            clients.push((address.clone(), mac, port, answer.seq.0.wrapping_add(1)));
        }
    }
    let mut conns = Vec::new();
    while let Some(conn) = link.stack.tcp_accept(listener) {
        conns.push(conn);
    }
    assert_eq!(conns.len(), 600);
    for (address, mac, port, next) in &clients {
        link.tell(*mac, &segment(address, *port, 101, Some(*next), Flags::ACK | Flags::PSH, b"hello"));
    }
    for conn in conns {
        let now = link.now;
        let got = link.stack.tcp_pop(conn, now).expect("open").expect("data");
        assert_eq!(got, *b"hello");
        link.stack.tcp_push(conn, got.into(), now).map_err(|(e, _)| e).expect("room");
    }
    let sent = link.pass(std::time::Duration::ZERO);
    let echoes = sent.iter().filter(|s| s.v4().1.ends_with(b"hello")).count();
    assert!(echoes >= 250, "{echoes}: a queue's worth at least");
}
