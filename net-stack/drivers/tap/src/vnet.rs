//! [`VnetHeader`]: what stands before every frame to and from the kernel: what is left to do to it, or has been done.
//!
//! `struct virtio_net_hdr` of linux/virtio_net.h, ten bytes, in the machine's byte order (the kernel's default for a TAP device).

use hemi_net::{
    TxFrame,
    frame::RxChecksum,
    wire::{EtherType, EthernetHeader},
};

/// Bytes of the header.
pub(crate) const LEN: usize = 10;

/// The checksum is to be finished from `csum_start`.
const NEEDS_CSUM: u8 = 1;
/// The checksum was verified.
const DATA_VALID: u8 = 2;

const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
/// The first segment has CWR, which only it may have.
const GSO_ECN: u8 = 0x80;

/// A header that says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct VnetHeader {
    flags: u8,
    gso_type: u8,
    hdr_len: u16,
    gso_size: u16,
    csum_start: u16,
    csum_offset: u16,
}

impl VnetHeader {
    /// What the kernel is to do with a frame of ours.
    pub(crate) fn of(frame: &TxFrame) -> Self {
        let mut header = Self::default();
        let Some(request) = frame.checksum else { return header };
        header.flags = NEEDS_CSUM;
        header.csum_start = request.start.into();
        header.csum_offset = request.offset.into();
        let head = frame.head();
        if frame.segment_size == 0 || frame.payload.len() <= usize::from(frame.segment_size) {
            return header;
        }
        let v6 = EthernetHeader::parse(head).is_ok_and(|ethernet| ethernet.ethertype == EtherType::Ipv6);
        header.gso_type = if v6 { GSO_TCPV6 } else { GSO_TCPV4 };
        // RFC 3168: the flag CWR, in the TCP header's fourteenth byte.
        if head.get(usize::from(request.start) + 13).is_some_and(|flags| flags & 0x80 != 0) {
            header.gso_type |= GSO_ECN;
        }
        header.hdr_len = head.len() as u16;
        header.gso_size = frame.segment_size;
        header
    }

    pub(crate) fn encode(self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[0] = self.flags;
        bytes[1] = self.gso_type;
        let fields = [self.hdr_len, self.gso_size, self.csum_start, self.csum_offset];
        for (to, field) in bytes[2..].chunks_exact_mut(2).zip(fields) {
            to.copy_from_slice(&field.to_ne_bytes());
        }
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; LEN]) -> Self {
        let [flags, gso_type, fields @ ..] = *bytes;
        let field = |i: usize| u16::from_ne_bytes([fields[2 * i], fields[2 * i + 1]]);
        Self {
            flags,
            gso_type,
            hdr_len: field(0),
            gso_size: field(1),
            csum_start: field(2),
            csum_offset: field(3),
        }
    }

    /// What it says of the checksum of a received frame of `len` bytes. `None` when it contradicts itself, or the frame, or
    /// says what was not agreed on.
    pub(crate) fn checksum(self, len: usize) -> Option<RxChecksum> {
        if self.flags & !(NEEDS_CSUM | DATA_VALID) != 0 {
            return None;
        }
        let needs = self.flags & NEEDS_CSUM != 0;
        if needs && usize::from(self.csum_start) + usize::from(self.csum_offset) + 2 > len {
            return None;
        }
        match self.gso_type & !GSO_ECN {
            GSO_NONE => {}
            // Cut into segments by nobody: the stack takes it whole. Its checksum is always unfinished.
            GSO_TCPV4 | GSO_TCPV6 if needs && self.gso_size > 0 => {}
            _ => return None,
        }
        // An unfinished checksum is of a frame that has not left this machine's memory.
        Some(if self.flags == 0 { RxChecksum::Unknown } else { RxChecksum::Good })
    }
}

#[cfg(test)]
mod tests {
    use hemi_net::frame::ChecksumRequest;
    use hemi_queue::Sga;

    use super::*;

    const LARGE: VnetHeader = VnetHeader {
        flags: NEEDS_CSUM,
        gso_type: GSO_TCPV4,
        hdr_len: 66,
        gso_size: 1448,
        csum_start: 34,
        csum_offset: 16,
    };

    #[test]
    fn what_is_encoded_is_decoded() {
        assert_eq!(VnetHeader::decode(&LARGE.encode()), LARGE);
        assert_eq!(LARGE.encode()[2..4], 66_u16.to_ne_bytes());
    }

    #[test]
    fn received_headers_are_believed_only_when_they_can_be() {
        let plain = VnetHeader::default();
        assert_eq!(plain.checksum(60), Some(RxChecksum::Unknown));
        assert_eq!(VnetHeader { flags: DATA_VALID, ..plain }.checksum(60), Some(RxChecksum::Good));
        assert_eq!(LARGE.checksum(3000), Some(RxChecksum::Good));
        assert_eq!(
            VnetHeader { gso_type: GSO_TCPV6 | GSO_ECN, ..LARGE }.checksum(3000),
            Some(RxChecksum::Good)
        );
        for wrong in [
            VnetHeader { flags: 4, ..plain },
            VnetHeader { gso_type: 3, ..LARGE },
            VnetHeader { gso_type: GSO_TCPV4, ..plain },
            VnetHeader { gso_size: 0, ..LARGE },
            VnetHeader { csum_start: 2999, ..LARGE },
            VnetHeader { csum_start: u16::MAX, csum_offset: u16::MAX, ..LARGE },
        ] {
            assert_eq!(wrong.checksum(3000), None, "{wrong:?}");
        }
    }

    #[test]
    fn frames_of_ours() {
        let mut frame = TxFrame::new(Sga::from(vec![0; 3000]));
        frame.head_mut(66)[12..14].copy_from_slice(&[0x08, 0x00]);
        assert_eq!(VnetHeader::of(&frame), VnetHeader::default());
        frame.checksum = Some(ChecksumRequest { start: 34, offset: 16 });
        frame.segment_size = 1448;
        assert_eq!(VnetHeader::of(&frame), LARGE);
        frame.head_mut(66)[34 + 13] = 0x80;
        assert_eq!(VnetHeader::of(&frame).gso_type, GSO_TCPV4 | GSO_ECN);
        frame.head_mut(86)[12..14].copy_from_slice(&[0x86, 0xdd]);
        frame.head_mut(86)[34 + 13] = 0;
        assert_eq!((VnetHeader::of(&frame).gso_type, VnetHeader::of(&frame).hdr_len), (GSO_TCPV6, 86));
        // One segment needs no cutting.
        frame.segment_size = 3000;
        assert_eq!(VnetHeader::of(&frame).gso_type, GSO_NONE);
    }
}
