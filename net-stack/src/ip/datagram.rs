//! A datagram like the last one: the path's head is copied, and what differs is written into it, in the place where it waits for the device.

use hemi_queue::Sga;

use super::{Net, Path};
use crate::{
    frame::TxFrame,
    wire::{EthernetHeader, Ipv4Header, Ipv6Header, Sum, UdpHeader, checksum::fold},
};

const V4: usize = EthernetHeader::LEN + Ipv4Header::LEN;
const V6: usize = EthernetHeader::LEN + Ipv6Header::LEN;
/// The longest payload that is copied behind its headers: its buffer is free at once, and devices send one piece.
const COPIED: usize = TxFrame::MAX_HEAD - V6 - UdpHeader::LEN;

impl Net {
    /// Send a datagram that fits the path's MTU. The caller has asked `tx.has_room()` and [`Path::is_ready`].
    #[inline]
    pub(crate) fn send_express_datagram(&mut self, path: &Path, ports: (u16, u16), payload: Sga) {
        let frame = self.tx.claim();
        if path.is_v4() {
            write::<V4>(frame, path, ports, payload);
        } else {
            write::<V6>(frame, path, ports, payload);
        }
        (frame.checksum, frame.segment_size) = (None, 0);
        let len = frame.len();
        self.counters.udp_sent += 1;
        self.counters.tx_frames += 1;
        self.counters.tx_bytes += len as u64;
    }
}

/// Write the headers, UDP's at `UDP`.
#[inline(always)]
fn write<const UDP: usize>(frame: &mut TxFrame, path: &Path, ports: (u16, u16), payload: Sga) {
    let len = payload.len();
    let udp_len = UdpHeader::LEN + len;
    let text = payload.iter().fold(Sum::new(), |sum, part| sum.bytes(part));
    let at = UDP + UdpHeader::LEN;
    if len <= COPIED {
        if let Some(room) = frame.head_array(at + len).get_mut(at..at + len) {
            payload.copy_to(room);
        }
    } else {
        frame.head_array(at);
        frame.payload = payload;
    }
    let (lower, udp) = frame.head_room().split_at_mut(UDP);
    path.write_lower::<UDP>(lower, udp_len);
    let ports = (u32::from(ports.0) << 16 | u32::from(ports.1)).to_be();
    let length = (udp_len as u16).to_be();
    // In the UDP header, and in the pseudo-header. Words of 32 bits in 64: no carries.
    let sum = u64::from(ports) + 2 * u64::from(length);
    // RFC 768: If the computed checksum is zero, it is transmitted as all ones.
    let checksum = match !fold(Sum::memory_order(sum).plus(path.pseudo()).plus(text).raw()) {
        0 => 0xffff,
        checksum => checksum,
    };
    udp[..4].copy_from_slice(&ports.to_ne_bytes());
    udp[4..6].copy_from_slice(&length.to_ne_bytes());
    udp[6..8].copy_from_slice(&checksum.to_ne_bytes());
}
