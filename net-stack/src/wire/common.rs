//! [`Common`]: the layout that nearly every segment between today's hosts has, looked at in one go.
//!
//! Ethernet, an IPv4 header without options that is not a fragment, TCP with ACK and perhaps PSH, timestamps as RFC 7323 appendix A lays
//! them out, and nothing behind the packet. So every field has its place in the first 66 bytes, and what must have one value is compared
//! all at once. It is the narrower of two predictions: what is not like this is looked at again by [`Predicted`](super::Predicted).

use hemi_queue::sum::{memory_order, of_words};

use super::{Flags, Seq, checksum::fold, protocol};

/// Headers of a segment like this.
const HEAD: usize = 14 + 20 + 32;

/// A frame of the common layout. Nothing of it is verified before [`is_intact`](Self::is_intact).
#[derive(Clone, Copy)]
pub(crate) struct Common<'a> {
    head: &'a [u8; HEAD],
    text: &'a [u8],
}

impl<'a> Common<'a> {
    /// The length of the headers: where the text begins, which ends where the frame does.
    pub(crate) const HEAD: usize = HEAD;

    /// The frame, if it has the layout and is for the station `mac`.
    #[inline(always)]
    pub(crate) fn of(frame: &'a [u8], mac: [u8; 6]) -> Option<Self> {
        let (head, text) = frame.split_first_chunk::<HEAD>()?;
        let common = Self { head, text };
        let [m0, m1, m2, m3, m4, m5] = mac;
        let station = common.word8(0) ^ u64::from_ne_bytes([m0, m1, m2, m3, m4, m5, 0, 0]);
        // Type, version and header length; the traffic class may be anything.
        let kind = common.word4(12) ^ u32::from_ne_bytes([0x08, 0x00, 0x45, 0]);
        let fragment = common.word4(20) & u32::from_ne_bytes([0x3f, 0xff, 0, 0]);
        let protocol = head[23] ^ protocol::TCP;
        // Data offset and flags; PSH may be there, and reserved bits mean nothing.
        let control = common.word4(46) & u32::from_ne_bytes([0xf0, !Flags::PSH.0, 0, 0]);
        let control = control ^ u32::from_ne_bytes([0x80, Flags::ACK.0, 0, 0]);
        // RFC 7323 appendix A: NOP, NOP, kind 8, length 10.
        let option = common.word4(54) ^ u32::from_ne_bytes([1, 1, 8, 10]);
        let differs = (station & u64::from_ne_bytes([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0]))
            | u64::from(
                (kind & u32::from_ne_bytes([0xff, 0xff, 0xff, 0]))
                    | fragment
                    | u32::from(protocol)
                    | control
                    | option,
            );
        // RFC 3168 section 6.1.3: congestion that was met is not overlooked.
        let congested = head[15] & 3 == 3;
        (differs == 0 && !congested && usize::from(common.total()) + 14 == frame.len()).then_some(common)
    }

    /// Whether both checksums are right; `verified`: TCP's is known to be.
    #[inline(always)]
    pub(crate) fn is_intact(&self, verified: bool) -> bool {
        // RFC 1122 section 3.2.1.2: A host MUST verify the IP header checksum on every received datagram.
        let ip = of_words([u64::from(self.word4(30)), self.word8(14), self.word8(22)]);
        if fold(ip) != 0xffff {
            return false;
        }
        if verified {
            return true;
        }
        // RFC 9293 section 3.1 (MUST-3): The receiver MUST check the checksum.
        let pseudo = u64::from(u16::from(protocol::TCP).to_be()) + u64::from((self.total() - 20).to_be());
        let [addresses, a, b, c, d] = [26, 34, 42, 50, 58].map(|at| self.word8(at));
        // Summed before the text is: that needs all registers. The text begins at an even offset of the segment.
        let head = of_words([pseudo, addresses, a, b, c, d]);
        fold(of_words([head, memory_order(self.text)])) == 0xffff
    }

    /// Source and destination address, as they lie.
    #[inline(always)]
    pub(crate) fn addresses(&self) -> u64 {
        self.word8(26)
    }

    /// Source and destination port, as they lie.
    #[inline(always)]
    pub(crate) fn ports(&self) -> u32 {
        self.word4(34)
    }

    #[inline(always)]
    pub(crate) fn seq(&self) -> Seq {
        Seq(u32::from_be(self.word4(38)))
    }

    #[inline(always)]
    pub(crate) fn ack(&self) -> Seq {
        Seq(u32::from_be(self.word4(42)))
    }

    /// Unscaled.
    #[inline(always)]
    pub(crate) fn window(&self) -> u16 {
        u16::from_be_bytes([self.head[48], self.head[49]])
    }

    /// TSval.
    #[inline(always)]
    pub(crate) fn stamp(&self) -> u32 {
        u32::from_be(self.word4(58))
    }

    /// Bytes of text.
    #[inline(always)]
    pub(crate) fn len(&self) -> u32 {
        self.text.len() as u32
    }

    /// The length that the IP header tells.
    #[inline(always)]
    fn total(&self) -> u16 {
        u16::from_be_bytes([self.head[16], self.head[17]])
    }

    #[inline(always)]
    fn word8(&self, at: usize) -> u64 {
        self.head[at..].first_chunk().map_or(0, |w| u64::from_ne_bytes(*w))
    }

    #[inline(always)]
    fn word4(&self, at: usize) -> u32 {
        self.head[at..].first_chunk().map_or(0, |w| u32::from_ne_bytes(*w))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::wire::{
        Ecn, EtherType, EthernetHeader, Ipv4Header, MacAddr, Predicted, Shape, Sum, TcpHeader, TcpOptions,
        Timestamps,
    };

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

    /// A segment as we would send it.
    fn frame(text: &[u8]) -> Vec<u8> {
        let (src, dst) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        let mut frame = vec![0; HEAD];
        frame.extend_from_slice(text);
        let (eth, rest) = frame.split_at_mut(14);
        let (ip, tcp) = rest.split_at_mut(20);
        let ethernet = EthernetHeader { dst: MacAddr(MAC), src: MacAddr([2; 6]), ethertype: EtherType::Ipv4 };
        ethernet.emit(eth.first_chunk_mut().expect("14 bytes"));
        let header = Ipv4Header {
            src,
            dst,
            protocol: protocol::TCP,
            ttl: 64,
            dscp: 0,
            ecn: Ecn::NotCapable,
            ident: 7,
            dont_fragment: true,
            more_fragments: false,
            fragment_offset: 0,
            header_len: 20,
            payload_len: tcp.len() as u16,
        };
        header.emit(ip.first_chunk_mut().expect("20 bytes"));
        tcp[..4].copy_from_slice(&[1, 2, 3, 4]);
        tcp[4..8].copy_from_slice(&0xfeed_f00d_u32.to_be_bytes());
        tcp[8..12].copy_from_slice(&0x0bad_cafe_u32.to_be_bytes());
        tcp[12..16].copy_from_slice(&[0x80, Flags::ACK.0 | Flags::PSH.0, 0x12, 0x34]);
        tcp[20..24].copy_from_slice(&[1, 1, 8, 10]);
        tcp[24..28].copy_from_slice(&77_u32.to_be_bytes());
        let len = tcp.len() as u16;
        let sum = Sum::pseudo_v4(src, dst, protocol::TCP, len).bytes(tcp).finish();
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());
        frame
    }

    fn accepted(frame: &[u8]) -> bool {
        Common::of(frame, MAC).is_some_and(|common| common.is_intact(false))
    }

    #[test]
    fn a_common_segment_is_read() {
        for len in [0, 1, 7, 64, 129, 1448] {
            let frame = frame(&vec![0xa5; len]);
            let common = Common::of(&frame, MAC).expect("common");
            assert!(common.is_intact(false) && common.is_intact(true));
            assert_eq!((common.seq(), common.ack()), (Seq(0xfeed_f00d), Seq(0x0bad_cafe)));
            assert_eq!((common.window(), common.stamp(), common.len()), (0x1234, 77, len as u32));
            assert_eq!(common.ports().to_ne_bytes(), [1, 2, 3, 4]);
            let (header, _) = TcpHeader::parse(&frame[34..]).expect("a header");
            assert_eq!(header.seq, common.seq());
            let options = TcpOptions::parse(&frame[54..66]);
            assert_eq!(options.timestamps, Some(Timestamps { value: 77, echo: 0 }));
        }
    }

    /// Whatever bit is changed: what is taken here would be taken by the wider prediction, and no damage is.
    #[test]
    fn one_flipped_bit_is_never_taken_unless_it_matters_to_nobody() {
        let good = frame(&[1, 2, 3, 4, 5]);
        for bit in 0..good.len() * 8 {
            let mut frame = good.clone();
            frame[bit / 8] ^= 1 << (bit % 8);
            // The source's station is in no checksum.
            assert_eq!(accepted(&frame), (48..96).contains(&bit), "bit {bit}");
            let wider = Shape::of(&frame, MAC) == Shape::V4 && Predicted::parse_v4(&frame, false).is_some();
            assert!(wider || !accepted(&frame), "bit {bit}");
        }
    }

    #[test]
    fn what_is_behind_the_packet_or_missing_is_not_common() {
        let mut frame = frame(&[1; 10]);
        frame.push(0);
        assert!(!accepted(&frame));
        frame.truncate(frame.len() - 2);
        assert!(!accepted(&frame));
        assert!((0..HEAD).all(|len| Common::of(&frame[..len], MAC).is_none()));
    }
}
