//! [`Opening`]: one pass over the headers of a segment that opens a connection.
//!
//! What [`Predicted`](super::Predicted) is for the segments of an established connection this is for a SYN and its answer: Ethernet, an IPv4
//! header without options that is not a fragment, or an IPv6 header with TCP right behind it, and TCP with SYN, without RST and FIN. Any
//! options. Whatever is different goes the ordinary way, through a layer at a time; what is here is checked no less.

use std::net::{IpAddr, Ipv4Addr};

use super::{
    Ecn, EthernetHeader, Flags, Ipv4Header, Ipv6Header, Shape, Sum, TcpHeader, TcpOptions, checksum::fold,
    protocol,
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

const V4: usize = EthernetHeader::LEN + Ipv4Header::LEN;

impl Opening {
    /// The segment in `frame`, if it is one. `verified`: its checksum is known to be right.
    #[inline]
    pub(crate) fn parse(frame: &[u8], shape: Shape, verified: bool) -> Option<Self> {
        if shape == Shape::V4 { Self::parse_v4(frame, verified) } else { Self::parse_v6(frame, verified) }
    }

    /// The same of IPv4 without options, which the shape says it is.
    #[inline]
    fn parse_v4(frame: &[u8], verified: bool) -> Option<Self> {
        let ip: &[u8; Ipv4Header::LEN] = frame.get(EthernetHeader::LEN..)?.first_chunk()?;
        let [_, tos, t0, t1, _, _, f0, f1, _, carried, _, _, s0, s1, s2, s3, d0, d1, d2, d3] = *ip;
        let segment = frame.get(V4..EthernetHeader::LEN + usize::from(u16::from_be_bytes([t0, t1])))?;
        let (header, options) = parse_tcp(segment)?;
        let is_fragment = u16::from_be_bytes([f0, f1]) & 0x3fff != 0;
        // RFC 1122 section 3.2.1.2: A host MUST verify the IP header checksum on every received datagram.
        if is_fragment || carried != protocol::TCP || fold(words(ip)) != 0xffff {
            return None;
        }
        let (src, dst) = (Ipv4Addr::new(s0, s1, s2, s3), Ipv4Addr::new(d0, d1, d2, d3));
        if !verified {
            let pseudo = Sum::pseudo_v4(src, dst, protocol::TCP, segment.len() as u16);
            let sum = if segment.len().is_multiple_of(4) {
                pseudo.plus(Sum::memory_order(words(segment)))
            } else {
                pseudo.bytes(segment)
            };
            if !sum.is_intact() {
                return None;
            }
        }
        let text = (V4 + usize::from(header.header_len), V4 + segment.len());
        let (src, dst, ecn) = (src.into(), dst.into(), Ecn::from_bits(tos));
        Some(Self { src, dst, header, options: TcpOptions::parse(options), ecn, text })
    }

    #[inline(never)]
    fn parse_v6(frame: &[u8], verified: bool) -> Option<Self> {
        let packet = frame.get(EthernetHeader::LEN..)?;
        let ip = Ipv6Header::parse(packet).ok().filter(|ip| ip.next_header == protocol::TCP)?;
        let segment = packet.get(Ipv6Header::LEN..Ipv6Header::LEN + usize::from(ip.payload_len))?;
        let (header, options) = parse_tcp(segment)?;
        let intact = || {
            Sum::pseudo_v6(&ip.src, &ip.dst, protocol::TCP, segment.len() as u32).bytes(segment).is_intact()
        };
        if !verified && !intact() {
            return None;
        }
        let start = EthernetHeader::LEN + Ipv6Header::LEN;
        let text = (start + usize::from(header.header_len), start + segment.len());
        let (src, dst, options) = (ip.src.into(), ip.dst.into(), TcpOptions::parse(options));
        Some(Self { src, dst, header, options, ecn: ip.ecn, text })
    }
}

/// The TCP header, if it is a SYN's.
///
/// > RFC 9293 section 3.1 (MUST-3): The receiver MUST check the checksum. (The caller does.)
#[inline]
fn parse_tcp(segment: &[u8]) -> Option<(TcpHeader, &[u8])> {
    let (header, options) = TcpHeader::parse(segment).ok()?;
    let opens = header.flags.has(Flags::SYN) && !header.flags.any(Flags::RST | Flags::FIN);
    opens.then_some((header, options))
}

/// The sum of whole words of four octets, in memory order: in 64 bits it can't overflow.
#[inline]
fn words(bytes: &[u8]) -> u64 {
    bytes.as_chunks::<4>().0.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;
    use crate::wire::{EtherType, Timestamps};

    /// A frame with a SYN, its options and `text`.
    fn frame(v4: bool, flags: Flags, text: &[u8]) -> Vec<u8> {
        let timestamps = Some(Timestamps { value: 7, echo: 9 });
        let options = TcpOptions {
            mss: Some(1460),
            window_scale: Some(7),
            sack_permitted: true,
            timestamps,
            ..TcpOptions::default()
        };
        let mut room = [0; TcpOptions::MAX_LEN];
        let options_len = options.emit(&mut room);
        let header = TcpHeader {
            src_port: 1,
            dst_port: 2,
            seq: crate::wire::Seq(3),
            ack: crate::wire::Seq(4),
            flags,
            window: 5,
            urgent: 0,
            header_len: (TcpHeader::LEN + options_len) as u8,
        };
        let mut segment = vec![0; TcpHeader::LEN];
        header.emit(segment.first_chunk_mut().expect("20 bytes"));
        segment.extend(&room[..options_len]);
        segment.extend(text);
        let (src, dst): (IpAddr, IpAddr) = if v4 {
            ([10, 0, 0, 1].into(), [10, 0, 0, 2].into())
        } else {
            (Ipv6Addr::LOCALHOST.into(), Ipv6Addr::UNSPECIFIED.into())
        };
        let sum = Sum::pseudo(src, dst, protocol::TCP, segment.len() as u32).bytes(&segment).finish();
        segment[TcpHeader::CHECKSUM_OFFSET..][..2].copy_from_slice(&sum.to_be_bytes());
        let mut frame = vec![0; EthernetHeader::LEN + if v4 { Ipv4Header::LEN } else { Ipv6Header::LEN }];
        let (eth, ip) = frame.split_at_mut(EthernetHeader::LEN);
        let ethertype = if v4 { EtherType::Ipv4 } else { EtherType::Ipv6 };
        let (to, from) = (crate::wire::MacAddr([2; 6]), crate::wire::MacAddr([4; 6]));
        EthernetHeader { dst: to, src: from, ethertype }.emit(eth.first_chunk_mut().expect("14 bytes"));
        let payload_len = segment.len() as u16;
        match (src, dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => Ipv4Header {
                src,
                dst,
                protocol: protocol::TCP,
                ttl: 64,
                dscp: 0,
                ecn: Ecn::NotCapable,
                ident: 0,
                dont_fragment: true,
                more_fragments: false,
                fragment_offset: 0,
                header_len: Ipv4Header::LEN as u8,
                payload_len,
            }
            .emit(ip.first_chunk_mut().expect("20 bytes")),
            (IpAddr::V6(src), IpAddr::V6(dst)) => Ipv6Header {
                src,
                dst,
                next_header: protocol::TCP,
                hop_limit: 64,
                dscp: 0,
                ecn: Ecn::NotCapable,
                flow_label: 0,
                payload_len,
            }
            .emit(ip.first_chunk_mut().expect("40 bytes")),
            _ => unreachable!("one family"),
        }
        frame.extend(segment);
        frame
    }

    #[test]
    fn a_syn_is_read_and_nothing_else_is() {
        for (v4, shape) in [(true, Shape::V4), (false, Shape::V6)] {
            for text in [&b""[..], b"early"] {
                let mut bytes = frame(v4, Flags::SYN, text);
                bytes.extend([0; 9]); // Ethernet's padding
                let got = Opening::parse(&bytes, shape, false).expect("a SYN");
                assert_eq!((got.header.src_port, got.header.dst_port, got.header.window), (1, 2, 5));
                assert_eq!((got.options.mss, got.options.window_scale), (Some(1460), Some(7)));
                assert_eq!(got.options.timestamps, Some(Timestamps { value: 7, echo: 9 }));
                assert_eq!(&bytes[got.text.0..got.text.1], text);
                assert!(Opening::parse(&frame(v4, Flags::SYN | Flags::ACK, text), shape, false).is_some());
                for other in [Flags::ACK, Flags::SYN | Flags::FIN, Flags::SYN | Flags::RST] {
                    assert!(Opening::parse(&frame(v4, other, text), shape, false).is_none());
                }
                // A bit that is wrong anywhere behind Ethernet's header: not this way. (IPv6's flow label and hop limit are in no checksum.)
                let whole = frame(v4, Flags::SYN, text);
                for at in 14..whole.len() {
                    let mut wrong = whole.clone();
                    wrong[at] ^= 0x10;
                    let unchecked = !v4 && matches!(at, 15..18 | 21);
                    assert_eq!(Opening::parse(&wrong, shape, false).is_some(), unchecked, "octet {at}");
                }
                for len in 0..whole.len() {
                    assert!(Opening::parse(&whole[..len], shape, false).is_none());
                }
            }
        }
    }
}
