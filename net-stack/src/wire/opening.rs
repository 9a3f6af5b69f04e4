//! [`Opening`]: one pass over the headers of a segment that opens a connection.
//!
//! What [`Predicted`](super::Predicted) is for the segments of an established connection this is for a SYN and its answer: Ethernet, an IPv4
//! header without options that is not a fragment, or an IPv6 header with TCP right behind it, and TCP with SYN, without RST and FIN. Any
//! options. Whatever is different goes the ordinary way, through a layer at a time; what is here is checked no less.

use std::net::IpAddr;

use super::{
    Ecn, EthernetHeader, Flags, Ipv4Header, Ipv6Header, Shape, Sum, TcpHeader, TcpOptions, protocol,
};

/// A SYN, perhaps with an ACK: not a fragment, its lengths in order, its checksums right.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) header: TcpHeader,
    pub(crate) options: TcpOptions,
    pub(crate) ecn: Ecn,
    /// Where in the frame the text begins and ends.
    pub(crate) text: (usize, usize),
}

impl Opening {
    /// The segment in `frame`, if it is one. `verified`: its checksum is known to be right.
    #[inline]
    pub(crate) fn parse(frame: &[u8], shape: Shape, verified: bool) -> Option<Self> {
        let packet = frame.get(EthernetHeader::LEN..)?;
        let ip_len = if shape == Shape::V4 { Ipv4Header::LEN } else { Ipv6Header::LEN };
        let flags = Flags(*packet.get(ip_len + 13)?);
        if !flags.has(Flags::SYN) || flags.any(Flags::RST | Flags::FIN) {
            return None;
        }
        let (src, dst, ecn, carried, len) = if shape == Shape::V4 {
            let ip = Ipv4Header::parse(packet).ok().filter(|ip| !ip.is_fragment())?;
            (IpAddr::V4(ip.src), IpAddr::V4(ip.dst), ip.ecn, ip.protocol, ip.payload_len)
        } else {
            let ip = Ipv6Header::parse(packet).ok()?;
            (IpAddr::V6(ip.src), IpAddr::V6(ip.dst), ip.ecn, ip.next_header, ip.payload_len)
        };
        let len = usize::from(len);
        let segment = packet.get(ip_len..ip_len + len)?;
        let (header, options) = TcpHeader::parse(segment).ok()?;
        // RFC 9293 section 3.1 (MUST-3): The receiver MUST check the checksum.
        let intact = || Sum::pseudo(src, dst, protocol::TCP, len as u32).bytes(segment).is_intact();
        if carried != protocol::TCP || !(verified || intact()) {
            return None;
        }
        let start = EthernetHeader::LEN + ip_len;
        let text = (start + usize::from(header.header_len), start + len);
        Some(Self { src, dst, header, options: TcpOptions::parse(options), ecn, text })
    }
}
