//! ARP: questions and answers for IPv4 (RFC 826, RFC 5227).

use std::net::{IpAddr, Ipv4Addr};

use hemi_queue::{Sga, time::Instant};

use super::cache::Learnt;
use crate::{
    frame::TxFrame,
    ip::Net,
    wire::{
        EtherType, EthernetHeader, MacAddr,
        arp::{ArpPacket, Operation},
    },
};

impl Net {
    /// An ARP packet arrived.
    pub(crate) fn on_arp(&mut self, packet: &[u8], now: Instant) {
        let Ok(arp) = ArpPacket::parse(packet) else {
            self.counters.drop_arp_malformed += 1;
            return;
        };
        let for_us = self.addresses.is_ours(arp.target_ip.into());
        if self.is_tentative(true) {
            // RFC 5227 section 2.1.1: any ARP packet [...] where the packet's 'sender IP address' is the address being probed for [...]; or any ARP
            // Probe where the packet's 'target IP address' is, and the 'sender hardware address' is not the hardware address of [ours].
            let probes = arp.sender_ip.is_unspecified() && for_us && arp.operation == Operation::Request;
            let has = self.addresses.is_ours(arp.sender_ip.into());
            if arp.sender_mac != self.caps.mac && (has || probes) {
                let address = if has { arp.sender_ip } else { arp.target_ip };
                self.found_duplicate(address.into(), Some(arp.sender_mac));
            }
            return;
        }
        if self.addresses.is_ours(arp.sender_ip.into()) && arp.sender_mac != self.caps.mac {
            // RFC 5227 section 2.4: a conflict. We defend the address (b): keep it, and say so at most once per DEFEND_INTERVAL, so that
            // two that both defend do not do so for ever.
            self.counters.neighbor_conflicts += 1;
            if self.neighbors.may_defend(now) {
                self.send_arp_request(arp.sender_ip, arp.sender_ip, None);
            }
            return;
        }
        // RFC 5227 section 1.1: an ARP Probe has an all-zero sender address: nothing to learn from it.
        if !arp.sender_ip.is_unspecified() {
            let how = match arp.operation {
                Operation::Reply if for_us => Learnt::Answer,
                Operation::Request if for_us => Learnt::Question,
                _ if arp.sender_ip == arp.target_ip => Learnt::Announcement,
                _ => Learnt::Gossip,
            };
            self.neighbor_seen(arp.sender_ip.into(), arp.sender_mac, how, now);
        }
        // RFC 826: "Now look at the opcode": if a request for us, swap and send it back. Never from or to a group address.
        if arp.operation == Operation::Request && for_us && arp.sender_mac.is_unicast() {
            self.send_arp(ArpPacket {
                operation: Operation::Reply,
                sender_mac: self.caps.mac,
                sender_ip: arp.target_ip,
                target_mac: arp.sender_mac,
                target_ip: arp.sender_ip,
            });
        }
    }

    pub(super) fn send_arp_request(
        &mut self,
        target_ip: Ipv4Addr,
        sender_ip: Ipv4Addr,
        unicast: Option<MacAddr>,
    ) {
        self.send_arp(ArpPacket {
            operation: Operation::Request,
            sender_mac: self.caps.mac,
            sender_ip,
            target_mac: unicast.unwrap_or_default(),
            target_ip,
        });
    }

    /// Tell everyone our addresses: RFC 5227 section 2.3, an ARP Announcement.
    pub(crate) fn announce(&mut self) {
        let ours: Vec<IpAddr> = self.addresses.iter().map(|c| c.address).collect();
        for ip in ours {
            match ip {
                IpAddr::V4(ip) => self.send_arp_request(ip, ip, None),
                IpAddr::V6(ip) => self.send_unsolicited_advertisement(ip),
            }
        }
    }

    fn send_arp(&mut self, packet: ArpPacket) {
        let mut frame = TxFrame::new(Sga::new());
        // Ethernet's least frame is 60 bytes; devices that need padding pad, and receivers ignore it.
        let head = frame.head_mut(EthernetHeader::LEN + ArpPacket::LEN);
        let (eth, arp) = head.split_at_mut(EthernetHeader::LEN);
        let dst = if packet.target_mac.is_unicast() { packet.target_mac } else { MacAddr::BROADCAST };
        if let (Some(eth), Some(arp)) = (eth.first_chunk_mut(), arp.first_chunk_mut()) {
            EthernetHeader { dst, src: self.caps.mac, ethertype: EtherType::Arp }.emit(eth);
            packet.emit(arp);
        }
        self.send_raw(frame);
    }
}
