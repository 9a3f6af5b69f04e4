//! What a device with segmentation offload does: cut a large TCP frame into packets.

use crate::{
    frame::TxFrame,
    wire::{EtherType, EthernetHeader, Flags, Ipv4Header, Ipv6Header, Seq, Sum, TcpHeader, protocol},
};

/// The packets of a frame, each with its own lengths, sequence number and checksums. FIN and PSH are on the last only, CWR on the first
/// (RFC 3168 section 6.1.2).
pub fn cut(frame: &TxFrame) -> Vec<Vec<u8>> {
    let mut whole = vec![0; frame.len()];
    frame.copy_to(&mut whole);
    let size = usize::from(frame.segment_size);
    let head_len = frame.head().len();
    let payload = whole.split_off(head_len);
    if size == 0 || payload.len() <= size {
        whole.extend(payload);
        return vec![whole];
    }
    let count = payload.len().div_ceil(size);
    payload
        .chunks(size)
        .enumerate()
        .map(|(i, part)| {
            let mut packet = whole.clone();
            packet.extend(part);
            patch(&mut packet, (i * size) as u32, i == 0, i + 1 == count);
            packet
        })
        .collect()
}

/// Make a head that was copied from the large frame right for one packet.
fn patch(packet: &mut [u8], offset: u32, first: bool, last: bool) {
    let Ok(ethernet) = EthernetHeader::parse(packet) else { return };
    let ip_at = EthernetHeader::LEN;
    let v4 = ethernet.ethertype == EtherType::Ipv4;
    let tcp_at = ip_at + if v4 { Ipv4Header::LEN } else { Ipv6Header::LEN };
    let tcp_len = packet.len() - tcp_at;
    let field = if v4 { packet.len() - ip_at } else { tcp_len } as u16;
    let field_at = ip_at + if v4 { 2 } else { 4 };
    packet[field_at..field_at + 2].copy_from_slice(&field.to_be_bytes());
    if v4 {
        packet[ip_at + 10..ip_at + 12].fill(0);
        let sum = Sum::new().bytes(&packet[ip_at..tcp_at]).finish();
        packet[ip_at + 10..ip_at + 12].copy_from_slice(&sum.to_be_bytes());
    }
    let pseudo = match (Ipv4Header::parse(&packet[ip_at..]), Ipv6Header::parse(&packet[ip_at..])) {
        (Ok(ip), _) => Sum::pseudo_v4(ip.src, ip.dst, protocol::TCP, tcp_len as u16),
        (_, Ok(ip)) => Sum::pseudo_v6(&ip.src, &ip.dst, protocol::TCP, tcp_len as u32),
        _ => return,
    };
    let Ok((tcp, _)) = TcpHeader::parse(&packet[tcp_at..]) else { return };
    let Seq(seq) = tcp.seq + offset;
    packet[tcp_at + 4..tcp_at + 8].copy_from_slice(&seq.to_be_bytes());
    let mut flags = tcp.flags;
    if !first {
        flags = flags.without(Flags::CWR);
    }
    if !last {
        flags = flags.without(Flags::FIN | Flags::PSH);
    }
    packet[tcp_at + 13] = flags.0;
    let checksum_at = tcp_at + TcpHeader::CHECKSUM_OFFSET;
    packet[checksum_at..checksum_at + 2].fill(0);
    let sum = pseudo.bytes(&packet[tcp_at..]).finish();
    packet[checksum_at..checksum_at + 2].copy_from_slice(&sum.to_be_bytes());
}
