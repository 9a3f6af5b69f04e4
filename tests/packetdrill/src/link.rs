//! The link below the stack: packetdrill speaks IP packets, the stack Ethernet frames. One neighbour answers for every
//! address that the stack asks for, so that resolution never shows in a script.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hemi_net::{
    Caps, RxFrame, TxFrame,
    sim::cut,
    wire::{
        EtherType, EthernetHeader, Ipv6Header, MacAddr, Sum,
        arp::{ArpPacket, Operation},
        ndp::Ndp,
        protocol,
    },
};
use hemi_queue::Buf;

const OURS: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const NEIGHBOR: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

/// What a frame of the stack comes to.
#[derive(Debug)]
pub(crate) enum Sent {
    /// IP packets for packetdrill to see: one, or the segments of a burst.
    Packets(Vec<Vec<u8>>),
    /// A question to the neighbour, and its answer for the stack.
    Answer(RxFrame),
    /// Nothing of interest (announcements).
    Nothing,
}

/// The interface.
pub(crate) fn caps(mtu: u16) -> Caps {
    // Bursts are cut here as an offloading device does, because that is how Linux sends: it shows in the PSH flags.
    Caps { mtu, tso: 65_000, ..Caps::ethernet(OURS) }
}

/// A packet as the frame in which it arrives; `None` when it is neither IPv4 nor IPv6.
pub(crate) fn frame_of(packet: &[u8]) -> Option<RxFrame> {
    let ethertype = match packet.first()? >> 4 {
        4 => EtherType::Ipv4,
        6 => EtherType::Ipv6,
        _ => return None,
    };
    Some(frame(ethertype, packet))
}

/// Where an IP packet goes.
pub(crate) fn destination(packet: &[u8]) -> Option<IpAddr> {
    match packet.first()? >> 4 {
        4 => Some(Ipv4Addr::from(*packet.get(16..)?.first_chunk::<4>()?).into()),
        6 => Some(Ipv6Addr::from(*packet.get(24..)?.first_chunk::<16>()?).into()),
        _ => None,
    }
}

/// What a frame that the stack sent comes to.
pub(crate) fn sent(frame: &TxFrame) -> Sent {
    let mut packets = cut(frame);
    let Some(bytes) = packets.first() else { return Sent::Nothing };
    let Ok(ethernet) = EthernetHeader::parse(bytes) else { return Sent::Nothing };
    let body = &bytes[EthernetHeader::LEN..];
    match ethernet.ethertype {
        EtherType::Arp => answer_arp(body).map_or(Sent::Nothing, Sent::Answer),
        EtherType::Ipv6 if is_neighbor_discovery(body) => {
            answer_ndp(body).map_or(Sent::Nothing, Sent::Answer)
        }
        EtherType::Ipv4 | EtherType::Ipv6 => {
            for packet in &mut packets {
                packet.drain(..EthernetHeader::LEN);
            }
            Sent::Packets(packets)
        }
        EtherType::Other(_) => Sent::Nothing,
    }
}

fn frame(ethertype: EtherType, body: &[u8]) -> RxFrame {
    let mut bytes = vec![0; EthernetHeader::LEN];
    if let Some(head) = bytes.first_chunk_mut() {
        EthernetHeader { dst: OURS, src: NEIGHBOR, ethertype }.emit(head);
    }
    bytes.extend_from_slice(body);
    RxFrame::new(Buf::from(bytes))
}

fn answer_arp(body: &[u8]) -> Option<RxFrame> {
    let question = ArpPacket::parse(body).ok().filter(|a| a.operation == Operation::Request)?;
    if question.target_ip == question.sender_ip {
        return None; // an announcement
    }
    let answer = ArpPacket {
        operation: Operation::Reply,
        sender_mac: NEIGHBOR,
        sender_ip: question.target_ip,
        target_mac: OURS,
        target_ip: question.sender_ip,
    };
    let mut bytes = [0; ArpPacket::LEN];
    answer.emit(&mut bytes);
    Some(frame(EtherType::Arp, &bytes))
}

fn is_neighbor_discovery(packet: &[u8]) -> bool {
    packet.get(6) == Some(&protocol::ICMPV6)
        && packet.get(Ipv6Header::LEN).is_some_and(|kind| (133..=137).contains(kind))
}

fn answer_ndp(packet: &[u8]) -> Option<RxFrame> {
    let ip = Ipv6Header::parse(packet).ok()?;
    let Ok(Ndp::Solicitation { target, .. }) = Ndp::parse(&packet[Ipv6Header::LEN..]) else { return None };
    if ip.src.is_unspecified() {
        return None; // duplicate address detection: nobody else has it
    }
    let answer = Ndp::Advertisement {
        target,
        target_mac: Some(NEIGHBOR),
        router: false,
        solicited: true,
        overrides: true,
    };
    let mut bytes = vec![0; Ipv6Header::LEN];
    let mut body = [0; Ndp::MAX_LEN];
    let len = answer.wire_len();
    let pseudo = Sum::pseudo_v6(&target, &ip.src, protocol::ICMPV6, len as u32);
    let written = answer.emit(&mut body, pseudo);
    let header = Ipv6Header { src: target, dst: ip.src, payload_len: written as u16, ..ip };
    header.emit(bytes.first_chunk_mut()?);
    bytes.extend_from_slice(&body[..written]);
    Some(frame(EtherType::Ipv6, &bytes))
}
