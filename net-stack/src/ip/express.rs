//! A segment like the last one: the path's head is copied, and what differs is written into it.

use hemi_queue::Sga;

use super::{Net, Path};
use crate::{
    frame::{ChecksumRequest, TxFrame},
    wire::{EthernetHeader, Flags, Ipv4Header, Ipv6Header, Seq, Sum, TcpHeader, checksum::fold},
};

/// A segment of an established connection whose only option is timestamps, if any.
pub(crate) struct Express {
    pub(crate) ports: (u16, u16),
    pub(crate) seq: Seq,
    pub(crate) ack: Seq,
    pub(crate) flags: Flags,
    pub(crate) window: u16,
    /// TSval and TSecr.
    pub(crate) timestamps: Option<(u32, u32)>,
    /// Payload bytes per packet, when the device is to cut it; 0 otherwise.
    pub(crate) segment_size: u16,
    pub(crate) payload: Sga,
}

const V4: usize = EthernetHeader::LEN + Ipv4Header::LEN;
const V6: usize = EthernetHeader::LEN + Ipv6Header::LEN;

impl Net {
    /// Send it. The caller has asked `tx.has_room()` and [`Path::is_ready`].
    #[inline]
    pub(crate) fn send_express(&mut self, path: &Path, segment: Express) {
        let offload = self.caps.tx_checksum;
        let frame = self.tx.claim();
        if path.is_v4() {
            write::<V4>(frame, path, segment, offload);
        } else {
            write::<V6>(frame, path, segment, offload);
        }
        let len = frame.len() as u64;
        self.counters.tcp_segments_sent += 1;
        self.counters.tx_frames += 1;
        self.counters.tx_bytes += len;
    }
}

/// Write the segment with its TCP header at `TCP`.
#[inline(always)]
fn write<const TCP: usize>(frame: &mut TxFrame, path: &Path, segment: Express, offload: bool) {
    let payload_len = segment.payload.len();
    let header_len = if segment.timestamps.is_some() { 32 } else { TcpHeader::LEN };
    let tcp_len = header_len + payload_len;
    let head = frame.head_array(TCP + header_len);
    let (lower, tcp) = head.split_at_mut(TCP);
    path.write_lower::<TCP>(lower, tcp_len);

    let ports = u32::from(segment.ports.0) << 16 | u32::from(segment.ports.1);
    let control = (header_len as u32) << 26 | u32::from(segment.flags.0) << 16 | u32::from(segment.window);
    // Words of 32 bits in 64: their sum can't overflow, and needs no carries.
    let mut sum = u64::from((tcp_len as u16).to_be());
    let mut put = |at: usize, word: u32| {
        let word = word.to_be();
        tcp[at..at + 4].copy_from_slice(&word.to_ne_bytes());
        sum += u64::from(word);
    };
    put(0, ports);
    put(4, segment.seq.0);
    put(8, segment.ack.0);
    put(12, control);
    put(16, 0);
    if let Some((value, echo)) = segment.timestamps {
        put(20, 0x0101_080a); // RFC 7323 appendix A: NOP, NOP, kind 8, length 10
        put(24, value);
        put(28, echo);
    }
    let checksum = if offload {
        path.pseudo.word(tcp_len as u16).partial().to_be()
    } else {
        let mut sum = Sum::memory_order(sum).plus(path.pseudo);
        for part in &segment.payload {
            sum = sum.bytes(part);
        }
        !fold(sum.raw())
    };
    tcp[TcpHeader::CHECKSUM_OFFSET..TcpHeader::CHECKSUM_OFFSET + 2].copy_from_slice(&checksum.to_ne_bytes());
    let (start, offset) = (TCP as u8, TcpHeader::CHECKSUM_OFFSET as u8);
    frame.checksum = offload.then_some(ChecksumRequest { start, offset });
    frame.segment_size = segment.segment_size;
    frame.payload = segment.payload;
}
