//! [`Predicted`]: one pass over the headers that nearly every segment of an established connection has.
//!
//! Header prediction (V. Jacobson, "4BSD TCP Header Prediction", 1990): instead of asking each layer what it sees, compare with what
//! is expected. Expected is: Ethernet; an IPv4 header without options that is not a fragment, or an IPv6 header with TCP right
//! behind it; TCP with ACK, perhaps PSH and FIN, and nothing else; no options, or timestamps in the layout of RFC 7323 appendix A. So
//! every field has a fixed place. Whatever is different goes the ordinary way, which knows all the rules; what is here is
//! checked no less: lengths, both checksums.

use super::{Flags, Seq, Sum, Timestamps, UdpHeader, checksum::fold, protocol};

const ETHERNET: usize = 14;
/// Where the TCP header begins behind IPv4, and behind IPv6.
const V4: usize = ETHERNET + 20;
const V6: usize = ETHERNET + 40;

/// Data offset and flags as the fourth word of a TCP header has them, without PSH and FIN, without reserved bits and window.
const FIELDS: u32 = 0xf000_0000 | (0xff & !(Flags::PSH.0 | Flags::FIN.0) as u32) << 16;
const PLAIN: u32 = 5 << 28 | (Flags::ACK.0 as u32) << 16;
const STAMPED: u32 = 8 << 28 | (Flags::ACK.0 as u32) << 16;
/// RFC 7323 appendix A: NOP, NOP, kind 8, length 10.
const TIMESTAMPS: u32 = 0x0101_080a;

/// What a frame looks like from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// IPv4 with a header of 20 bytes.
    V4,
    /// IPv6.
    V6,
    /// Not for this station, too short, or something else.
    Other,
}

impl Shape {
    /// The shape of a frame for the station `mac`.
    #[inline(always)]
    pub(crate) fn of(frame: &[u8], mac: [u8; 6]) -> Self {
        let Some(head) = frame.first_chunk::<{ V4 + 20 }>() else { return Self::Other };
        let [m0, m1, m2, m3, m4, m5, ..] = *head;
        let [.., t0, t1, version] = *head.first_chunk::<{ ETHERNET + 1 }>().unwrap_or(&[0; ETHERNET + 1]);
        if [m0, m1, m2, m3, m4, m5] != mac {
            return Self::Other;
        }
        match (t0, t1, version) {
            (0x08, 0x00, 0x45) => Self::V4,
            (0x86, 0xdd, 0x60..=0x6f) => Self::V6,
            _ => Self::Other,
        }
    }
}

/// Source and destination address, in words, and the ports as they stand in a received packet, in memory order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flow<const WORDS: usize> {
    pub(crate) addresses: [u64; WORDS],
    pub(crate) ports: u32,
}

impl<const WORDS: usize> Flow<WORDS> {
    /// No flow: port 0 is nobody's.
    pub(crate) const NONE: Self = Self { addresses: [0; WORDS], ports: 0 };

    /// Source and destination port.
    #[inline]
    pub(crate) fn ports(&self) -> (u16, u16) {
        let [a, b, c, d] = self.ports.to_ne_bytes();
        (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
    }
}

/// A segment as predicted: ACK, perhaps with PSH and FIN, not a fragment, its lengths in order, its IP header intact.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Predicted<const WORDS: usize> {
    pub(crate) flow: Flow<WORDS>,
    pub(crate) seq: Seq,
    pub(crate) ack: Seq,
    /// Unscaled.
    pub(crate) window: u16,
    pub(crate) flags: Flags,
    /// The low two bits of the traffic class.
    pub(crate) ecn: u8,
    pub(crate) timestamps: Option<Timestamps>,
    /// Where in the frame the text begins and ends.
    pub(crate) text: (usize, usize),
}

/// The network header of a segment: where the packet ends, the addresses, and their sum.
#[derive(Clone, Copy)]
struct Lower<const WORDS: usize> {
    end: usize,
    addresses: [u64; WORDS],
    sum: u64,
    ecn: u8,
}

impl Predicted<1> {
    /// The segment in `frame`, which has the shape of IPv4, if it is as predicted. `verified`: its checksum is known to be right.
    #[inline(always)]
    pub(crate) fn parse_v4(frame: &[u8], verified: bool) -> Option<Self> {
        parse_tcp::<V4, 1>(frame, Lower::v4(frame, protocol::TCP)?, verified)
    }
}

impl Predicted<4> {
    /// The same of IPv6.
    #[inline(always)]
    pub(crate) fn parse_v6(frame: &[u8], verified: bool) -> Option<Self> {
        parse_tcp::<V6, 4>(frame, Lower::v6(frame, protocol::TCP)?, verified)
    }
}

/// A UDP datagram as predicted: not a fragment, as long as its packet, its IP header intact, to a port, with a checksum that is right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PredictedDatagram<const WORDS: usize> {
    pub(crate) flow: Flow<WORDS>,
    /// Where in the frame the payload begins and ends.
    pub(crate) text: (usize, usize),
}

impl PredictedDatagram<1> {
    /// The datagram in `frame`, which has the shape of IPv4, if it is as predicted. `verified`: its checksum is known to be right.
    #[inline(always)]
    pub(crate) fn parse_v4(frame: &[u8], verified: bool) -> Option<Self> {
        parse_udp::<V4, 1>(frame, Lower::v4(frame, protocol::UDP)?, verified)
    }
}

impl PredictedDatagram<4> {
    /// The same of IPv6.
    #[inline(always)]
    pub(crate) fn parse_v6(frame: &[u8], verified: bool) -> Option<Self> {
        parse_udp::<V6, 4>(frame, Lower::v6(frame, protocol::UDP)?, verified)
    }
}

impl Lower<1> {
    #[inline(always)]
    fn v4(frame: &[u8], upper: u8) -> Option<Self> {
        let head: &[u8; V4] = frame.first_chunk()?;
        let total = u16::from_be_bytes([head[16], head[17]]);
        let fragment = u16::from_be_bytes([head[20], head[21]]) & 0x3fff;
        if fragment != 0 || head[23] != upper {
            return None;
        }
        // RFC 1122 section 3.2.1.2: A host MUST verify the IP header checksum on every received datagram.
        let words = [14, 18, 22].map(|at| u64::from(word4(head, at)));
        let sum = u64::from(word4(head, 26)) + u64::from(word4(head, 30));
        if fold(words.iter().sum::<u64>() + sum) != 0xffff {
            return None;
        }
        Some(Self {
            end: ETHERNET + usize::from(total),
            addresses: [word8(head, 26)],
            sum,
            ecn: head[15] & 3,
        })
    }
}

impl Lower<4> {
    #[inline(always)]
    fn v6(frame: &[u8], upper: u8) -> Option<Self> {
        let head: &[u8; V6] = frame.first_chunk()?;
        let payload = u16::from_be_bytes([head[18], head[19]]);
        if head[20] != upper {
            return None;
        }
        let addresses = [22, 30, 38, 46].map(|at| word8(head, at));
        let sum = addresses.iter().map(|w| (w & 0xffff_ffff) + (w >> 32)).sum::<u64>();
        Some(Self { end: V6 + usize::from(payload), addresses, sum, ecn: head[15] >> 4 & 3 })
    }
}

/// The UDP header, at `UDP`. A missing checksum goes the ordinary way.
#[inline(always)]
fn parse_udp<const UDP: usize, const WORDS: usize>(
    frame: &[u8],
    lower: Lower<WORDS>,
    verified: bool,
) -> Option<PredictedDatagram<WORDS>> {
    let datagram = frame.get(UDP..lower.end)?;
    let header: &[u8; UdpHeader::LEN] = datagram.first_chunk()?;
    let length = u16::from_be_bytes([header[4], header[5]]);
    if usize::from(length) != datagram.len() || header[2..4] == [0, 0] || header[6..] == [0, 0] {
        return None;
    }
    if !verified {
        let pseudo = u64::from(u16::from(protocol::UDP).to_be()) + u64::from(length.to_be());
        if !Sum::memory_order(lower.sum + pseudo).bytes(datagram).is_intact() {
            return None;
        }
    }
    let flow = Flow { addresses: lower.addresses, ports: word4(header, 0) };
    Some(PredictedDatagram { flow, text: (UDP + UdpHeader::LEN, lower.end) })
}

/// The TCP header, at `TCP`.
#[inline(always)]
fn parse_tcp<const TCP: usize, const WORDS: usize>(
    frame: &[u8],
    lower: Lower<WORDS>,
    verified: bool,
) -> Option<Predicted<WORDS>> {
    let end = lower.end;
    let segment = frame.get(TCP..end)?;
    if segment.len() < 20 {
        return None;
    }
    let fields = be32(segment, 12);
    let header = match fields & FIELDS {
        STAMPED if segment.len() >= 32 && word4(segment, 20) == TIMESTAMPS.to_be() => 32,
        PLAIN => 20,
        _ => return None,
    };
    // RFC 9293 section 3.1 (MUST-3): The receiver MUST check the checksum.
    if !verified {
        let pseudo = u64::from(u16::from(protocol::TCP).to_be()) + u64::from((segment.len() as u16).to_be());
        if !Sum::memory_order(lower.sum + pseudo).bytes(segment).is_intact() {
            return None;
        }
    }
    let timestamps =
        (header == 32).then(|| Timestamps { value: be32(frame, TCP + 24), echo: be32(frame, TCP + 28) });
    Some(Predicted {
        flow: Flow { addresses: lower.addresses, ports: word4(segment, 0) },
        seq: Seq(be32(segment, 4)),
        ack: Seq(be32(segment, 8)),
        window: fields as u16,
        flags: Flags((fields >> 16) as u8),
        ecn: lower.ecn,
        timestamps,
        text: (TCP + header, end),
    })
}

#[inline(always)]
fn word8(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |w| u64::from_ne_bytes(*w))
}

#[inline(always)]
fn word4(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |w| u32::from_ne_bytes(*w))
}

#[inline(always)]
fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be(word4(bytes, at))
}
