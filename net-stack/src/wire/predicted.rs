//! [`Predicted`]: one pass over the headers that nearly every segment of an established connection has.
//!
//! Header prediction (V. Jacobson, "4BSD TCP Header Prediction", 1990): instead of asking each layer what it sees, compare with what
//! is expected. Expected is: Ethernet; an IPv4 header without options that is not a fragment, or an IPv6 header with TCP right
//! behind it; TCP with ACK, perhaps PSH, and nothing else; no options, or timestamps in the layout of RFC 7323 appendix A. So
//! every field has a fixed place. Whatever is different goes the ordinary way, which knows all the rules; what is here is
//! checked no less: lengths, both checksums.

use super::{Flags, Seq, Sum, Timestamps, checksum::fold, protocol};

const ETHERNET: usize = 14;
/// Where the TCP header begins behind IPv4, and behind IPv6.
pub(crate) const V4: usize = ETHERNET + 20;
pub(crate) const V6: usize = ETHERNET + 40;

/// Data offset and flags as the fourth word of a TCP header has them, without PSH, without reserved bits and window.
const FIELDS: u32 = 0xf000_0000 | (0xff & !(Flags::PSH.0 as u32)) << 16;
const PLAIN: u32 = 5 << 28 | (Flags::ACK.0 as u32) << 16;
const STAMPED: u32 = 8 << 28 | (Flags::ACK.0 as u32) << 16;
/// RFC 7323 appendix A: NOP, NOP, kind 8, length 10.
const TIMESTAMPS: u32 = 0x0101_080a;
/// RFC 3168 section 5: congestion was experienced.
const MARKED: u8 = 3;

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

/// Source and destination address and the ports as they stand in a received packet, in memory order. Of IPv4 the addresses are in the
/// first word, and the others are not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flow<const TCP: usize> {
    pub(crate) addresses: [u64; 4],
    pub(crate) ports: u32,
}

impl<const TCP: usize> Flow<TCP> {
    /// No flow: port 0 is nobody's.
    pub(crate) const NONE: Self = Self { addresses: [0; 4], ports: 0 };

    #[inline(always)]
    pub(crate) fn is(&self, other: &Self) -> bool {
        let words = if TCP == V4 { 1 } else { 4 };
        self.ports == other.ports && self.addresses[..words] == other.addresses[..words]
    }

    /// Source and destination port.
    #[inline]
    pub(crate) fn ports(&self) -> (u16, u16) {
        let [a, b, c, d] = self.ports.to_ne_bytes();
        (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
    }
}

/// A segment as predicted: ACK or ACK and PSH, not a fragment, its lengths in order, its IP header intact. `TCP`: where its header
/// begins, [`V4`] or [`V6`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Predicted<const TCP: usize> {
    pub(crate) flow: Flow<TCP>,
    pub(crate) seq: Seq,
    pub(crate) ack: Seq,
    /// Unscaled.
    pub(crate) window: u16,
    pub(crate) timestamps: Option<Timestamps>,
    /// Where in the frame the text begins and ends.
    pub(crate) text: (usize, usize),
    /// The sum of the pseudo-header without the length.
    pseudo: u64,
}

impl<const TCP: usize> Predicted<TCP> {
    /// The segment in `frame`, which has the right [`Shape`], if it is as predicted. Its own checksum is not looked at yet.
    #[inline(always)]
    pub(crate) fn parse(frame: &[u8]) -> Option<Self> {
        if frame.len() < TCP + 20 {
            return None;
        }
        let (end, addresses, halves) = if TCP == V4 { v4(frame)? } else { v6(frame)? };
        if end < TCP + 20 || end > frame.len() {
            return None;
        }
        let fields = be32(frame, TCP + 12);
        let (timestamps, header) = match fields & FIELDS {
            STAMPED if end >= TCP + 32 && be32(frame, TCP + 20) == TIMESTAMPS => {
                (Some(Timestamps { value: be32(frame, TCP + 24), echo: be32(frame, TCP + 28) }), 32)
            }
            PLAIN => (None, 20),
            _ => return None,
        };
        Some(Self {
            flow: Flow { addresses, ports: word4(frame, TCP) },
            seq: Seq(be32(frame, TCP + 4)),
            ack: Seq(be32(frame, TCP + 8)),
            window: fields as u16,
            timestamps,
            text: (TCP + header, end),
            pseudo: halves + u64::from(u16::from(protocol::TCP).to_be()),
        })
    }

    /// RFC 9293 section 3.1 (MUST-3): The receiver MUST check the checksum. It is checked last, when the segment is known to be
    /// taken: `frame` is what it was parsed from.
    #[inline(always)]
    pub(crate) fn is_intact(&self, frame: &[u8]) -> bool {
        let Some(segment) = frame.get(TCP..self.text.1) else { return false };
        let length = u64::from((segment.len() as u16).to_be());
        Sum::memory_order(self.pseudo + length).bytes(segment).is_intact()
    }
}

/// Where the packet ends, its addresses, and their sum. IPv6 packets of the right shape only.
#[inline(always)]
fn v6(frame: &[u8]) -> Option<(usize, [u64; 4], u64)> {
    let head: &[u8; V6] = frame.first_chunk()?;
    let payload = u16::from_be_bytes([head[18], head[19]]);
    if head[20] != protocol::TCP || head[15] >> 4 & 3 == MARKED {
        return None;
    }
    let addresses = [22, 30, 38, 46].map(|at| word8(head, at));
    let halves = addresses.iter().map(|w| (w & 0xffff_ffff) + (w >> 32)).sum::<u64>();
    Some((V6 + usize::from(payload), addresses, halves))
}

/// The same of IPv4, if the header is intact.
#[inline(always)]
fn v4(frame: &[u8]) -> Option<(usize, [u64; 4], u64)> {
    let head: &[u8; V4] = frame.first_chunk()?;
    let total = u16::from_be_bytes([head[16], head[17]]);
    let fragment = u16::from_be_bytes([head[20], head[21]]) & 0x3fff;
    if fragment != 0 || head[23] != protocol::TCP || head[15] & 3 == MARKED {
        return None;
    }
    // RFC 1122 section 3.2.1.2: A host MUST verify the IP header checksum on every received datagram.
    let words = [14, 18, 22].map(|at| u64::from(word4(head, at)));
    let halves = u64::from(word4(head, 26)) + u64::from(word4(head, 30));
    if fold(words.iter().sum::<u64>() + halves) != 0xffff {
        return None;
    }
    Some((ETHERNET + usize::from(total), [word8(head, 26), 0, 0, 0], halves))
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
