//! Frames made by hand, and what a host sent taken apart: the words in which a station on its link speaks.

use std::net::IpAddr;

use hemi_net::wire::{
    Ecn, EtherType, EthernetHeader, Ipv4Header, Ipv6Header, MacAddr, Sum, UdpHeader,
    arp::{ArpPacket, Operation},
    icmpv4::IcmpV4,
    icmpv6::IcmpV6,
    ndp::Ndp,
    protocol,
};

pub(crate) const OUR_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
pub(crate) const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
pub(crate) const MAC2: MacAddr = MacAddr([2, 0, 0, 0, 0, 3]);
pub(crate) const OURS: &str = "10.99.0.1";
pub(crate) const OURS6: &str = "fd99::1";
/// The solicited-node group of [`OURS6`].
pub(crate) const GROUP: &str = "ff02::1:ff00:1";

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn v4(text: &str) -> std::net::Ipv4Addr {
    text.parse().expect("IPv4")
}

pub(crate) fn v6(text: &str) -> std::net::Ipv6Addr {
    text.parse().expect("IPv6")
}

/// What the stack sent, taken apart.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) ethernet: EthernetHeader,
    pub(crate) body: Vec<u8>,
}

impl Sent {
    pub(crate) fn arp(&self) -> ArpPacket {
        assert_eq!(self.ethernet.ethertype, EtherType::Arp);
        ArpPacket::parse(&self.body).expect("ARP")
    }

    pub(crate) fn v4(&self) -> (Ipv4Header, &[u8]) {
        let header = Ipv4Header::parse(&self.body).expect("IPv4");
        (header, &self.body[usize::from(header.header_len)..])
    }

    pub(crate) fn v6(&self) -> (Ipv6Header, &[u8]) {
        (Ipv6Header::parse(&self.body).expect("IPv6"), &self.body[Ipv6Header::LEN..])
    }

    pub(crate) fn icmp4(&self) -> (IcmpV4, &[u8]) {
        let (header, payload) = self.v4();
        assert_eq!(header.protocol, protocol::ICMP);
        (IcmpV4::parse(payload).expect("ICMP"), &payload[8..])
    }

    pub(crate) fn icmp6(&self) -> (IcmpV6, &[u8]) {
        let (header, payload) = self.v6();
        assert_eq!(header.next_header, protocol::ICMPV6);
        let pseudo = Sum::pseudo_v6(&header.src, &header.dst, protocol::ICMPV6, payload.len() as u32);
        (IcmpV6::parse(payload, pseudo).expect("ICMPv6"), &payload[8..])
    }

    pub(crate) fn ndp(&self) -> Ndp {
        self.icmp6();
        assert_eq!(self.v6().0.hop_limit, 255);
        Ndp::parse(self.v6().1).expect("NDP")
    }
}

/// Where a frame goes, what it is, and its body.
pub(crate) type Frame = (MacAddr, EtherType, Vec<u8>);

pub(crate) fn arp(
    operation: Operation,
    mac: MacAddr,
    sender: &str,
    target_mac: MacAddr,
    target: &str,
) -> Frame {
    let packet =
        ArpPacket { operation, sender_mac: mac, sender_ip: v4(sender), target_mac, target_ip: v4(target) };
    let mut body = vec![0; ArpPacket::LEN];
    packet.emit(body.first_chunk_mut().expect("28"));
    body.resize(46, 0); // Ethernet pads
    (if operation == Operation::Reply { OUR_MAC } else { MacAddr::BROADCAST }, EtherType::Arp, body)
}

pub(crate) fn ipv4(src: &str, dst: &str, protocol: u8, payload: &[u8]) -> Frame {
    fragment4(src, dst, protocol, 0, (0, false), payload)
}

pub(crate) fn fragment4(
    src: &str,
    dst: &str,
    protocol: u8,
    ident: u16,
    (offset, more): (u16, bool),
    payload: &[u8],
) -> Frame {
    let header = Ipv4Header {
        src: v4(src),
        dst: v4(dst),
        protocol,
        ttl: 64,
        dscp: 0,
        ecn: Ecn::NotCapable,
        ident,
        dont_fragment: false,
        more_fragments: more,
        fragment_offset: offset,
        header_len: 20,
        payload_len: payload.len() as u16,
    };
    let mut body = vec![0; 20];
    header.emit(body.first_chunk_mut().expect("20"));
    body.extend(payload);
    (OUR_MAC, EtherType::Ipv4, body)
}

pub(crate) fn ipv6(src: &str, dst: &str, next_header: u8, payload: &[u8]) -> Frame {
    hop6(src, dst, 64, next_header, payload)
}

fn hop6(src: &str, dst: &str, hop_limit: u8, next_header: u8, payload: &[u8]) -> Frame {
    let header = Ipv6Header {
        src: v6(src),
        dst: v6(dst),
        next_header,
        hop_limit,
        dscp: 0,
        ecn: Ecn::NotCapable,
        flow_label: 0,
        payload_len: payload.len() as u16,
    };
    let mut body = vec![0; 40];
    header.emit(body.first_chunk_mut().expect("40"));
    body.extend(payload);
    let dst = v6(dst);
    let [.., a, b, c, d] = dst.octets();
    let mac = if dst.is_multicast() { MacAddr([0x33, 0x33, a, b, c, d]) } else { OUR_MAC };
    (mac, EtherType::Ipv6, body)
}

pub(crate) fn ndp(src: &str, dst: &str, hop_limit: u8, message: &Ndp) -> Frame {
    hop6(src, dst, hop_limit, protocol::ICMPV6, &ndp_body(src, dst, message))
}

pub(crate) fn ndp_body(src: &str, dst: &str, message: &Ndp) -> Vec<u8> {
    let mut body = [0; Ndp::MAX_LEN];
    let pseudo = Sum::pseudo_v6(&v6(src), &v6(dst), protocol::ICMPV6, message.wire_len() as u32);
    let len = message.emit(&mut body, pseudo);
    body[..len].to_vec()
}

/// An echo request over IPv4, as a frame.
pub(crate) fn ping(src: &str, dst: &str, data: &[u8]) -> Frame {
    ipv4(src, dst, protocol::ICMP, &echo4(data))
}

/// An ICMP Redirect: "Send what you send from `from` to `to` by `via`."
pub(crate) fn redirect(src: &str, from: &str, to: &str, via: &str) -> Frame {
    let octets = |ip: &str| ip.parse::<std::net::Ipv4Addr>().unwrap().octets();
    let (_, _, quote) = ipv4(from, to, protocol::UDP, &[0; 8]);
    let mut message = vec![0; 8];
    let [a, b, c, d] = octets(via);
    let body = Sum::new().bytes(&[a, b, c, d]).bytes(&quote[..Ipv4Header::LEN + 8]);
    IcmpV4::Other { kind: 5, code: 1 }.emit(message.first_chunk_mut().unwrap(), body);
    message[4..8].copy_from_slice(&octets(via));
    message.extend(&quote[..Ipv4Header::LEN + 8]);
    ipv4(src, OURS, protocol::ICMP, &message)
}

pub(crate) fn echo4(data: &[u8]) -> Vec<u8> {
    let mut body = vec![0; 8];
    let request = IcmpV4::EchoRequest { ident: 7, seq: 9 };
    request.emit(body.first_chunk_mut().expect("8"), Sum::new().bytes(data));
    body.extend(data);
    body
}

/// An echo request over IPv6, as a frame.
pub(crate) fn ping6(src: &str, dst: &str, data: &[u8]) -> Frame {
    ipv6(src, dst, protocol::ICMPV6, &echo6(src, dst, data))
}

pub(crate) fn echo6(src: &str, dst: &str, data: &[u8]) -> Vec<u8> {
    let pseudo = Sum::pseudo_v6(&v6(src), &v6(dst), protocol::ICMPV6, 8 + data.len() as u32);
    let mut body = vec![0; 8];
    IcmpV6::EchoRequest { ident: 7, seq: 9 }.emit(body.first_chunk_mut().expect("8"), pseudo.bytes(data));
    body.extend(data);
    body
}

/// A datagram from port 4000; `checksum`: as it should be, or this.
pub(crate) fn udp(src: &str, dst: &str, port: u16, data: &[u8], checksum: Option<u16>) -> Frame {
    let header = UdpHeader { src_port: 4000, dst_port: port, payload_len: data.len() as u16, checksum: 0 };
    let mut body = vec![0; 8];
    header.emit(body.first_chunk_mut().expect("8"));
    body.extend(data);
    let pseudo = Sum::pseudo(ip(src), ip(dst), protocol::UDP, body.len() as u32);
    let sum = checksum.unwrap_or_else(|| UdpHeader::checksum_to_send(pseudo.bytes(&body)));
    body[6..8].copy_from_slice(&sum.to_be_bytes());
    if ip(src).is_ipv4() {
        ipv4(src, dst, protocol::UDP, &body)
    } else {
        ipv6(src, dst, protocol::UDP, &body)
    }
}
