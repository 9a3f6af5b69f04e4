//! A segment like the last one: the path's head is copied, and what differs is written into it.

use hemi_queue::{Sga, sum::memory_order};

use super::{Net, Path};
use crate::{
    frame::{ChecksumRequest, TxFrame},
    wire::{EthernetHeader, Flags, Ipv4Header, Ipv6Header, Seq, Sum, TcpHeader, checksum::fold},
};

/// The header of a segment of an established connection whose only option is timestamps, if any.
#[derive(Clone, Copy)]
pub(crate) struct Express {
    /// Source and destination, as they lie in the header.
    pub(crate) ports: u32,
    pub(crate) seq: Seq,
    pub(crate) ack: Seq,
    pub(crate) flags: Flags,
    pub(crate) window: u16,
    /// TSval and TSecr.
    pub(crate) timestamps: Option<(u32, u32)>,
}

const V4: usize = EthernetHeader::LEN + Ipv4Header::LEN;
const V6: usize = EthernetHeader::LEN + Ipv6Header::LEN;

impl Net {
    /// The longest text that is copied behind the headers. To share more is cheaper than to copy it; to share less is not.
    pub(crate) const COPIED: usize = TxFrame::MAX_HEAD - V6 - 32;

    /// Send a segment with a text of at most [`COPIED`](Self::COPIED) bytes, which is copied. The caller has asked `tx.has_room()` and
    /// [`Path::is_ready`].
    #[inline(always)]
    pub(crate) fn send_express_copy(&mut self, path: &Path, segment: &Express, text: &[u8]) {
        let offload = self.caps.tx_checksum;
        let frame = self.tx.claim();
        frame.segment_size = 0;
        let len = match (path.is_v4(), segment.timestamps) {
            (true, Some(stamps)) => write_copy::<V4>(frame, path, segment, Some(stamps), text, offload),
            (v4, _) => write_uncommon(frame, path, *segment, text, offload, v4),
        };
        self.count_express(len);
    }

    /// Send a segment whose text is shared with the send buffer, as above. `segment_size`: payload bytes per packet, when the
    /// device is to cut it; 0 otherwise.
    #[inline]
    pub(crate) fn send_express(&mut self, path: &Path, segment: &Express, text: Sga, segment_size: u16) {
        let offload = self.caps.tx_checksum;
        let frame = self.tx.claim();
        frame.payload = text;
        frame.segment_size = segment_size;
        let len = if path.is_v4() {
            write_shared::<V4>(frame, path, segment, offload)
        } else {
            write_shared::<V6>(frame, path, segment, offload)
        };
        self.count_express(len);
    }

    #[inline]
    fn count_express(&mut self, len: usize) {
        self.counters.tcp_segments_sent += 1;
        self.counters.tx_frames += 1;
        self.counters.tx_bytes += len as u64;
    }
}

/// What is not IPv4 with timestamps.
#[inline(never)]
fn write_uncommon(
    frame: &mut TxFrame,
    path: &Path,
    segment: Express,
    text: &[u8],
    offload: bool,
    v4: bool,
) -> usize {
    if v4 {
        write_copy::<V4>(frame, path, &segment, segment.timestamps, text, offload)
    } else {
        write_copy::<V6>(frame, path, &segment, segment.timestamps, text, offload)
    }
}

/// Returns the frame's length.
#[inline(always)]
fn write_copy<const TCP: usize>(
    frame: &mut TxFrame,
    path: &Path,
    segment: &Express,
    stamps: Option<(u32, u32)>,
    text: &[u8],
    offload: bool,
) -> usize {
    let at = TCP + header_len(stamps);
    let sum = if offload { 0 } else { memory_order(text) };
    let head = frame.head_array(at + text.len());
    if let Some(room) = head.get_mut(at..at + text.len()) {
        room.copy_from_slice(text);
    }
    write_headers::<TCP>(frame, path, segment, stamps, text.len(), sum, offload);
    at + text.len()
}

/// Returns the frame's length.
#[inline(always)]
fn write_shared<const TCP: usize>(
    frame: &mut TxFrame,
    path: &Path,
    segment: &Express,
    offload: bool,
) -> usize {
    let mut sum = Sum::new();
    let mut len = 0;
    for part in &frame.payload {
        len += part.len();
        if !offload {
            sum = sum.bytes(part);
        }
    }
    let at = TCP + header_len(segment.timestamps);
    frame.head_array(at);
    write_headers::<TCP>(frame, path, segment, segment.timestamps, len, sum.raw(), offload);
    at + len
}

#[inline(always)]
fn header_len(stamps: Option<(u32, u32)>) -> usize {
    if stamps.is_some() { 32 } else { TcpHeader::LEN }
}

/// Write the headers, TCP's at `TCP`; `len` bytes of text sum to `text`.
#[inline(always)]
fn write_headers<const TCP: usize>(
    frame: &mut TxFrame,
    path: &Path,
    segment: &Express,
    stamps: Option<(u32, u32)>,
    len: usize,
    text: u64,
    offload: bool,
) {
    let header_len = header_len(stamps);
    let tcp_len = header_len + len;
    let (lower, tcp) = frame.head_room().split_at_mut(TCP);
    path.write_lower::<TCP>(lower, tcp_len);
    let control = (header_len as u32) << 26 | u32::from(segment.flags.0) << 16 | u32::from(segment.window);
    // Words of 32 bits in 64: their sum can't overflow, and needs no carries.
    let mut sum = u64::from((tcp_len as u16).to_be());
    let mut put = |at: usize, word: u32| {
        tcp[at..at + 4].copy_from_slice(&word.to_ne_bytes());
        sum += u64::from(word);
    };
    put(0, segment.ports);
    put(4, segment.seq.0.to_be());
    put(8, segment.ack.0.to_be());
    put(12, control.to_be());
    put(16, 0);
    if let Some((value, echo)) = stamps {
        put(20, 0x0101_080a_u32.to_be()); // RFC 7323 appendix A: NOP, NOP, kind 8, length 10
        put(24, value.to_be());
        put(28, echo.to_be());
    }
    let checksum = if offload {
        path.pseudo().word(tcp_len as u16).partial().to_be()
    } else {
        // The header's words sum to less than 2^36, and the text's to anything.
        let (sum, carry) = (sum + path.pseudo().raw()).overflowing_add(text);
        !fold(sum + u64::from(carry))
    };
    tcp[TcpHeader::CHECKSUM_OFFSET..TcpHeader::CHECKSUM_OFFSET + 2].copy_from_slice(&checksum.to_ne_bytes());
    let (start, offset) = (TCP as u8, TcpHeader::CHECKSUM_OFFSET as u8);
    frame.checksum = offload.then_some(ChecksumRequest { start, offset });
}
