//! Packets out.

use hemi_queue::{Sga, time::Instant};

use super::{Net, Path, path::NoPath};
use crate::{
    frame::{ChecksumRequest, RxFrame, TxFrame},
    wire::{Ecn, EthernetHeader, Ipv4Header, Sum, TcpHeader, TcpOptions, ipv6::FragmentHeader, protocol},
};

/// A TCP segment to send, without addresses.
#[derive(Debug)]
pub(crate) struct TcpSegment {
    /// `header_len` is filled in.
    pub(crate) header: TcpHeader,
    pub(crate) options: TcpOptions,
    pub(crate) payload: Sga,
    pub(crate) ecn: Ecn,
    /// Payload bytes per packet, when the device is to cut it; 0 otherwise.
    pub(crate) segment_size: u16,
}

/// A packet could not be sent, for a reason that will not pass by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SendError {
    #[error("there is no route")]
    NoRoute,
    #[error("there is no memory for a packet to ourselves")]
    NoMemory,
}

impl Net {
    /// Send a segment. The caller has asked `tx.has_room()`.
    #[inline]
    pub(crate) fn send_tcp(
        &mut self,
        now: Instant,
        path: &mut Path,
        confirmed: bool,
        segment: TcpSegment,
    ) -> Result<(), SendError> {
        let ready = path.ready(self, now, confirmed);
        self.counters.tcp_segments_sent += 1;
        if ready.is_ok() && !path.looped {
            let frame = self.tx.claim();
            write_tcp(frame, path, segment, self.caps.tx_checksum);
            self.counters.tx_frames += 1;
            self.counters.tx_bytes += frame.len() as u64;
            return Ok(());
        }
        let mut frame = TxFrame::new(Sga::new());
        write_tcp(&mut frame, path, segment, self.caps.tx_checksum);
        self.dispatch(now, path, ready, frame)
    }

    /// Send a datagram of a protocol without segmentation: `header` is its transport header, checksummed. It is cut into
    /// fragments when it is larger than the path's MTU.
    pub(crate) fn send_datagram(
        &mut self,
        now: Instant,
        path: &mut Path,
        header: &[u8],
        payload: Sga,
    ) -> Result<(), SendError> {
        let ready = path.ready(self, now, false);
        let len = header.len() + payload.len();
        if path.ip_len() + len > usize::from(path.mtu) {
            return self.send_fragments(now, path, ready, header, payload);
        }
        let mut frame = TxFrame::new(payload);
        let ip_end = path.head_len();
        let head = frame.head_mut(ip_end + header.len());
        head[ip_end..].copy_from_slice(header);
        path.write_head(head, len, Ecn::NotCapable);
        self.dispatch(now, path, ready, frame)
    }

    /// The sum of a path's pseudo-header for `len` bytes of transport.
    pub(crate) fn pseudo(path: &Path, len: usize) -> Sum {
        path.pseudo().word(len as u16)
    }

    fn send_fragments(
        &mut self,
        now: Instant,
        path: &mut Path,
        ready: Result<(), NoPath>,
        header: &[u8],
        mut payload: Sga,
    ) -> Result<(), SendError> {
        let v4 = path.remote.is_ipv4();
        let extra = if v4 { 0 } else { FragmentHeader::LEN };
        let room = (usize::from(path.mtu) - path.ip_len() - extra) & !7;
        // Cores with the same addresses take turns.
        let step = self.cores.as_ref().map_or(1, |cores| cores.count() as u32);
        self.ident = self.ident.wrapping_add(step);
        let mut offset = 0_usize;
        loop {
            let lead: &[u8] = if offset == 0 { header } else { &[] };
            let part = payload.split_to(room - lead.len());
            let len = lead.len() + part.len();
            let more = !payload.is_empty();
            let mut frame = TxFrame::new(part);
            let ip_end = path.head_len();
            let head = frame.head_mut(ip_end + extra + lead.len());
            head[ip_end + extra..].copy_from_slice(lead);
            path.write_head(head, extra + len, Ecn::NotCapable);
            if v4 {
                mark_v4_fragment(head, self.ident as u16, offset as u16, more);
            } else {
                let next_header =
                    std::mem::replace(&mut head[EthernetHeader::LEN + 6], protocol::IPV6_FRAGMENT);
                if let Some(out) = head[ip_end..].first_chunk_mut() {
                    FragmentHeader { next_header, offset: offset as u16, more, ident: self.ident }.emit(out);
                }
            }
            self.dispatch(now, path, ready, frame)?;
            offset += len;
            if !more {
                return Ok(());
            }
        }
    }

    /// To the device, to ourselves, or to wait for the neighbour.
    #[inline]
    fn dispatch(
        &mut self,
        now: Instant,
        path: &Path,
        ready: Result<(), NoPath>,
        frame: TxFrame,
    ) -> Result<(), SendError> {
        match ready {
            Ok(()) if !path.looped => {
                self.counters.tx_frames += 1;
                self.counters.tx_bytes += frame.len() as u64;
                self.tx.push(frame);
                Ok(())
            }
            Ok(()) => self.loop_back(&frame),
            Err(NoPath::Pending(hop)) => {
                self.wait_for_neighbor(hop, frame, now);
                Ok(())
            }
            Err(NoPath::NoRoute) => {
                self.counters.drop_tx_no_route += 1;
                Err(SendError::NoRoute)
            }
        }
    }

    /// A packet to one of our own addresses: it comes back as a received frame, in memory of its own.
    fn loop_back(&mut self, frame: &TxFrame) -> Result<(), SendError> {
        let mut copy = self.pool.try_alloc(frame.len()).map_err(|_| SendError::NoMemory)?;
        let len = frame.copy_to(copy.spare_mut()).ok_or(SendError::NoMemory)?;
        copy.set_len(len);
        self.looped.push_back(RxFrame {
            bytes: copy.freeze(),
            checksum: crate::frame::RxChecksum::Good,
            mark: 0,
        });
        Ok(())
    }

    /// A frame whose Ethernet header is already right (ARP, NDP).
    pub(crate) fn send_raw(&mut self, frame: TxFrame) {
        if self.tx.has_room() {
            self.counters.tx_frames += 1;
            self.counters.tx_bytes += frame.len() as u64;
            self.tx.push(frame);
        } else {
            self.counters.drop_tx_queue_full += 1;
        }
    }
}

/// Write a whole segment into a frame: Ethernet, IP, TCP, checksums.
#[inline]
fn write_tcp(frame: &mut TxFrame, path: &Path, segment: TcpSegment, offload: bool) {
    let ip_end = path.head_len();
    let payload = segment.payload;
    let payload_len = payload.len();
    let tcp = &mut frame.head_mut(ip_end + TcpHeader::MAX_LEN)[ip_end..];
    let options_len = match tcp[TcpHeader::LEN..].first_chunk_mut() {
        Some(room) => segment.options.emit(room),
        None => 0,
    };
    let header_len = TcpHeader::LEN + options_len;
    if let Some(fixed) = tcp.first_chunk_mut() {
        TcpHeader { header_len: header_len as u8, ..segment.header }.emit(fixed);
    }
    let tcp_len = header_len + payload_len;
    let mut sum = path.pseudo().word(tcp_len as u16);
    let checksum = if offload {
        sum.partial()
    } else {
        sum = sum.bytes(&tcp[..header_len]);
        for part in &payload {
            sum = sum.bytes(part);
        }
        sum.finish()
    };
    let (start, offset) = (ip_end as u8, TcpHeader::CHECKSUM_OFFSET as u8);
    frame.checksum = offload.then_some(ChecksumRequest { start, offset });
    frame.segment_size = segment.segment_size;
    frame.payload = payload;
    let head = frame.head_mut(ip_end + header_len);
    head[ip_end + TcpHeader::CHECKSUM_OFFSET..][..2].copy_from_slice(&checksum.to_be_bytes());
    path.write_head(head, tcp_len, segment.ecn);
}

/// Turn the head of an unfragmented IPv4 packet into a fragment's.
fn mark_v4_fragment(head: &mut [u8], ident: u16, offset: u16, more: bool) {
    let Some(ip) = head.get_mut(EthernetHeader::LEN..EthernetHeader::LEN + Ipv4Header::LEN) else { return };
    let field = offset >> 3 | if more { 0x2000 } else { 0 };
    ip[4..6].copy_from_slice(&ident.to_be_bytes());
    ip[6..8].copy_from_slice(&field.to_be_bytes());
    ip[10..12].fill(0);
    let sum = Sum::new().bytes(ip).finish();
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
}
