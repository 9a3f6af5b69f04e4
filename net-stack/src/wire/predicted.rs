//! [`Predicted`]: one pass over the headers that nearly every segment of an established connection has.
//!
//! Header prediction (V. Jacobson, "4BSD TCP Header Prediction", 1990): instead of asking each layer what it sees, compare with what
//! is expected. Expected is: Ethernet; an IPv4 header without options that is not a fragment, or an IPv6 header with TCP right
//! behind it; TCP with ACK, perhaps PSH, and nothing else; no options, or timestamps in the layout of RFC 7323 appendix A. So
//! every field has a fixed place. Whatever is different goes the ordinary way, which knows all the rules; what is here is
//! checked no less: lengths, both checksums.

use super::{Flags, Seq, Sum, Timestamps, checksum::fold, protocol};

/// Source address, destination address and ports as they stand in a received packet, as words in memory order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    V4 { addresses: u64, ports: u32 },
    V6 { addresses: [u64; 4], ports: u32 },
}

impl Flow {
    /// Source and destination port.
    #[inline]
    pub(crate) fn ports(&self) -> (u16, u16) {
        let (Self::V4 { ports, .. } | Self::V6 { ports, .. }) = *self;
        let [a, b, c, d] = ports.to_ne_bytes();
        (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
    }
}

/// A segment as predicted: ACK or ACK and PSH, not a fragment, its lengths in order, its IP header intact.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Predicted {
    pub(crate) flow: Flow,
    pub(crate) seq: Seq,
    pub(crate) ack: Seq,
    /// Unscaled.
    pub(crate) window: u16,
    pub(crate) timestamps: Option<Timestamps>,
    /// The low two bits of the traffic class.
    pub(crate) ecn: u8,
    /// Where in the frame the text begins and ends.
    pub(crate) text: (usize, usize),
    /// Where the TCP header begins, and the sum of the pseudo-header without the length.
    tcp: u8,
    pseudo: u64,
}

const ETHERNET: usize = 14;
const ACK: u8 = Flags::ACK.0;
const PSH: u8 = Flags::PSH.0;

impl Predicted {
    /// The segment in `frame`, if it is as predicted and for the station `mac`. Its own checksum is not looked at yet.
    #[inline]
    pub(crate) fn parse(frame: &[u8], mac: [u8; 6]) -> Option<Self> {
        let ethernet: &[u8; ETHERNET + 1] = frame.first_chunk()?;
        let [m0, m1, m2, m3, m4, m5, .., t0, t1, version] = *ethernet;
        if [m0, m1, m2, m3, m4, m5] != mac {
            return None;
        }
        match (t0, t1, version) {
            (0x08, 0x00, 0x45) => Self::parse_v4(frame),
            (0x86, 0xdd, 0x60..=0x6f) => Self::parse_v6(frame),
            _ => None,
        }
    }

    #[inline]
    fn parse_v4(frame: &[u8]) -> Option<Self> {
        const TCP: usize = ETHERNET + 20;
        let head: &[u8; TCP + 20] = frame.first_chunk()?;
        let total = u16::from_be_bytes([head[16], head[17]]);
        let fragment = u16::from_be_bytes([head[20], head[21]]) & 0x3fff;
        if fragment != 0 || head[23] != protocol::TCP {
            return None;
        }
        let end = ETHERNET + usize::from(total);
        if end < TCP + 20 {
            return None;
        }
        // RFC 1122 section 3.2.1.2: A host MUST verify the IP header checksum on every received datagram.
        let (first, addresses) = (word8(head, 14), word8(head, 26));
        let middle = u64::from(word4(head, 22));
        let halves = (addresses & 0xffff_ffff) + (addresses >> 32);
        if fold((first & 0xffff_ffff) + (first >> 32) + middle + halves) != 0xffff {
            return None;
        }
        let pseudo = halves + u64::from(u16::from(protocol::TCP).to_be());
        let flow = Flow::V4 { addresses, ports: word4(head, TCP) };
        Self::parse_tcp::<TCP>(frame, end, flow, head[15] & 3, pseudo)
    }

    #[inline(never)]
    fn parse_v6(frame: &[u8]) -> Option<Self> {
        const TCP: usize = ETHERNET + 40;
        let head: &[u8; TCP + 20] = frame.first_chunk()?;
        let payload = u16::from_be_bytes([head[18], head[19]]);
        if head[20] != protocol::TCP || payload < 20 {
            return None;
        }
        let addresses = [word8(head, 22), word8(head, 30), word8(head, 38), word8(head, 46)];
        let halves = addresses.iter().map(|w| (w & 0xffff_ffff) + (w >> 32)).sum::<u64>();
        let pseudo = halves + u64::from(u16::from(protocol::TCP).to_be());
        let flow = Flow::V6 { addresses, ports: word4(head, TCP) };
        Self::parse_tcp::<TCP>(frame, TCP + usize::from(payload), flow, head[15] >> 4 & 3, pseudo)
    }

    /// The TCP header, at `TCP`; the packet ends at `end`, and `pseudo` sums its pseudo-header without the length.
    #[inline(always)]
    fn parse_tcp<const TCP: usize>(
        frame: &[u8],
        end: usize,
        flow: Flow,
        ecn: u8,
        pseudo: u64,
    ) -> Option<Self> {
        let segment = frame.get(TCP..end)?;
        let fixed: &[u8; 20] = segment.first_chunk()?;
        if fixed[13] & !PSH != ACK {
            return None;
        }
        let (timestamps, header) = match fixed[12] >> 4 {
            5 => (None, 20),
            8 => {
                let long: &[u8; 32] = segment.first_chunk()?;
                let [.., n0, n1, kind, len, v0, v1, v2, v3, e0, e1, e2, e3] = *long;
                if [n0, n1, kind, len] != [1, 1, 8, 10] {
                    return None;
                }
                let value = u32::from_be_bytes([v0, v1, v2, v3]);
                (Some(Timestamps { value, echo: u32::from_be_bytes([e0, e1, e2, e3]) }), 32)
            }
            _ => return None,
        };
        let [_, _, _, _, s0, s1, s2, s3, a0, a1, a2, a3, _, _, w0, w1, ..] = *fixed;
        Some(Self {
            flow,
            seq: Seq(u32::from_be_bytes([s0, s1, s2, s3])),
            ack: Seq(u32::from_be_bytes([a0, a1, a2, a3])),
            window: u16::from_be_bytes([w0, w1]),
            timestamps,
            ecn,
            tcp: TCP as u8,
            text: (TCP + header, end),
            pseudo,
        })
    }

    /// RFC 9293 section 3.1 (MUST-3): The receiver MUST check the checksum. It is checked last, when the segment is known to be
    /// taken: `frame` is what it was parsed from.
    #[inline]
    pub(crate) fn is_intact(&self, frame: &[u8]) -> bool {
        let Some(segment) = frame.get(usize::from(self.tcp)..self.text.1) else { return false };
        let length = u64::from((segment.len() as u16).to_be());
        Sum::memory_order(self.pseudo + length).bytes(segment).is_intact()
    }
}

#[inline(always)]
fn word8<const N: usize>(bytes: &[u8; N], at: usize) -> u64 {
    u64::from_ne_bytes(std::array::from_fn(|i| bytes[at + i]))
}

#[inline(always)]
fn word4<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
    u32::from_ne_bytes(std::array::from_fn(|i| bytes[at + i]))
}
