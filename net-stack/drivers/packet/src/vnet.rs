//! The `virtio_net_hdr` that stands before every frame (linux/virtio_net.h; the kernel's PACKET_VNET_HDR).

use hemi_net::{TxFrame, frame::RxChecksum};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `struct virtio_net_hdr`: ten bytes, in the machine's byte order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct VnetHeader {
    pub(crate) flags: u8,
    pub(crate) gso_type: u8,
    pub(crate) hdr_len: u16,
    pub(crate) gso_size: u16,
    pub(crate) csum_start: u16,
    pub(crate) csum_offset: u16,
}

/// The checksum is to be finished: sum from `csum_start`, write at `csum_offset` from there.
const NEEDS_CSUM: u8 = 1;
/// The checksum is verified.
const DATA_VALID: u8 = 2;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
/// The frame holds several UDP datagrams of `gso_size` bytes each (but the last).
const GSO_UDP_L4: u8 = 5;
/// With one of the TCP types: the first packet carries CWR, the rest must not (RFC 3168).
const GSO_ECN: u8 = 0x80;

impl VnetHeader {
    pub(crate) const LEN: usize = size_of::<Self>();

    /// What a received frame's checksum is known to be. An unfinished one is as good as verified: the frame has not left this
    /// machine's memory.
    pub(crate) fn checksum(self) -> RxChecksum {
        if self.flags & (NEEDS_CSUM | DATA_VALID) == 0 { RxChecksum::Unknown } else { RxChecksum::Good }
    }

    /// The size of each datagram's payload, if the frame holds several datagrams.
    pub(crate) fn datagrams(self) -> Option<usize> {
        (self.gso_type & !GSO_ECN == GSO_UDP_L4).then_some(usize::from(self.gso_size))
    }

    /// What the kernel is asked to do for a frame of ours.
    pub(crate) fn of(frame: &TxFrame) -> Self {
        let mut header = Self::default();
        if let Some(request) = frame.checksum {
            header.flags = NEEDS_CSUM;
            header.csum_start = u16::from(request.start);
            header.csum_offset = u16::from(request.offset);
        }
        if frame.segment_size > 0 && frame.payload.len() > usize::from(frame.segment_size) {
            let head = frame.head();
            let v6 = head.get(12..14) == Some(&[0x86, 0xdd]);
            let flags = usize::from(header.csum_start) + 13;
            let cwr = head.get(flags).is_some_and(|flags| flags & 0x80 != 0);
            header.gso_type = if v6 { GSO_TCPV6 } else { GSO_TCPV4 } | if cwr { GSO_ECN } else { 0 };
            header.gso_size = frame.segment_size;
            header.hdr_len = head.len() as u16;
        }
        header
    }
}

#[cfg(test)]
mod tests {
    use hemi_net::frame::ChecksumRequest;
    use hemi_queue::Sga;

    use super::*;

    #[test]
    fn a_frame_asks_for_what_it_needs() {
        let mut frame = TxFrame::new(Sga::from(vec![0; 3000]));
        frame.head_mut(66)[12..14].copy_from_slice(&[8, 0]);
        assert_eq!(VnetHeader::of(&frame), VnetHeader::default());
        frame.checksum = Some(ChecksumRequest { start: 34, offset: 16 });
        let plain =
            VnetHeader { flags: NEEDS_CSUM, csum_start: 34, csum_offset: 16, ..VnetHeader::default() };
        assert_eq!(VnetHeader::of(&frame), plain);
        frame.segment_size = 1448;
        let cut = VnetHeader { gso_type: GSO_TCPV4, gso_size: 1448, hdr_len: 66, ..plain };
        assert_eq!(VnetHeader::of(&frame), cut);
        frame.head_mut(66)[34 + 13] = 0x80;
        assert_eq!(VnetHeader::of(&frame).gso_type, GSO_TCPV4 | GSO_ECN);
        frame.head_mut(66)[12..14].copy_from_slice(&[0x86, 0xdd]);
        assert_eq!(VnetHeader::of(&frame).gso_type, GSO_TCPV6 | GSO_ECN);
        frame.segment_size = 3000; // one packet: nothing to cut
        assert_eq!(VnetHeader::of(&frame), plain);
    }

    #[test]
    fn unfinished_is_good_and_silence_is_unknown() {
        let with = |flags| VnetHeader { flags, ..VnetHeader::default() }.checksum();
        assert_eq!(with(NEEDS_CSUM), RxChecksum::Good);
        assert_eq!(with(DATA_VALID), RxChecksum::Good);
        assert_eq!(with(0), RxChecksum::Unknown);
        assert_eq!(with(0xf8), RxChecksum::Unknown);
    }
}
