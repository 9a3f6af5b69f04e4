//! Neighbour discovery: questions and answers for IPv6 (RFC 4861).

use std::net::{IpAddr, Ipv6Addr};

use hemi_queue::{Sga, time::Instant};

use super::cache::Learnt;
use crate::{
    frame::TxFrame,
    ip::{ALL_NODES, Net, solicited_node},
    wire::{Ecn, EtherType, EthernetHeader, Ipv6Header, MacAddr, Sum, ndp::Ndp, protocol},
};

impl Net {
    /// A neighbour-discovery message arrived, its checksum verified.
    pub(crate) fn on_ndp(&mut self, header: &Ipv6Header, message: &[u8], now: Instant) {
        // RFC 4861 section 7.1.1: The IP Hop Limit field has a value of 255, i.e., the packet could not possibly have been forwarded
        // by a router.
        let parsed = if header.hop_limit == 255 { Ndp::parse(message).ok() } else { None };
        match parsed {
            Some(message) if self.is_tentative(false) => self.on_ndp_while_tentative(header, &message),
            Some(Ndp::Solicitation { target, source_mac }) => {
                self.on_solicitation(header, target, source_mac, now);
            }
            Some(Ndp::Advertisement { target, target_mac, solicited, overrides, .. }) => {
                self.on_advertisement(header, target, target_mac, solicited, overrides, now);
            }
            Some(Ndp::Redirect { target, destination, target_mac }) => {
                self.on_ndp_redirect(header, target, destination, target_mac, now);
            }
            None => self.counters.drop_ndp_invalid += 1,
        }
    }

    /// > RFC 4861 section 8.1: IP Source Address is a link-local address. [...] The IP source address of the Redirect is the same as the current
    /// > first-hop router for the specified ICMP Destination Address.
    ///
    /// A gateway may be configured by another address than its link-local one: then it must be the same station.
    #[cold]
    fn on_ndp_redirect(
        &mut self,
        header: &Ipv6Header,
        target: Ipv6Addr,
        destination: Ipv6Addr,
        mac: Option<MacAddr>,
        now: Instant,
    ) {
        let (src, to, via) = (IpAddr::V6(header.src), IpAddr::V6(destination), IpAddr::V6(target));
        let hop = self.next_hop(to, now);
        let from_gateway = hop.is_some_and(|hop| hop == src || self.is_same_station(hop, src));
        if !header.src.is_unicast_link_local() || !from_gateway {
            self.counters.drop_redirect_invalid += 1;
            return;
        }
        // Section 8.3: "If the redirect contains a Target Link-Layer Address option, the host either creates or updates the Neighbor Cache entry".
        if let Some(mac) = mac.filter(|_| !self.redirects.ignored) {
            self.neighbor_seen(via, mac, Learnt::Question, now);
        }
        self.redirect(to, via, now);
    }

    /// > RFC 4862 section 5.4.3: If the source address of the Neighbor Solicitation is the unspecified address, the solicitation is from a node
    /// > performing Duplicate Address Detection. If the solicitation is from another node, the tentative address is a duplicate and should not be
    /// > used (by either node). Section 5.4.4, on a Neighbor Advertisement: If the target address is tentative [...], the tentative address is not unique.
    #[cold]
    fn on_ndp_while_tentative(&mut self, header: &Ipv6Header, message: &Ndp) {
        let (target, station) = match *message {
            Ndp::Solicitation { target, .. } if header.src.is_unspecified() => (target, None),
            Ndp::Advertisement { target, target_mac, .. } => (target, target_mac),
            // "[...] from a unicast address [...] the solicitation's sender is performing address resolution [...]; the solicitation should be
            // silently ignored."
            Ndp::Solicitation { .. } | Ndp::Redirect { .. } => return,
        };
        if self.addresses.is_ours(IpAddr::V6(target)) {
            self.found_duplicate(IpAddr::V6(target), station);
        }
    }

    /// RFC 4862 section 5.4.2: the Target Address set to the address being checked, the IP source is set to the unspecified address, and the IP
    /// destination is set to the solicited-node multicast address of the target address.
    pub(super) fn send_duplicate_solicitation(&mut self, target: Ipv6Addr) {
        let dst = solicited_node(target);
        let message = Ndp::Solicitation { target, source_mac: None };
        self.send_ndp(Ipv6Addr::UNSPECIFIED, dst, multicast_mac(dst), &message, Instant::ZERO);
    }

    fn on_solicitation(
        &mut self,
        header: &Ipv6Header,
        target: Ipv6Addr,
        source: Option<MacAddr>,
        now: Instant,
    ) {
        let dad = header.src.is_unspecified();
        // RFC 4861 section 7.1.1: If the IP source address is the unspecified address, the IP destination address is a solicited-node
        // multicast address [and] there is no source link-layer address option in the message.
        let invalid = dad && (source.is_some() || header.dst != solicited_node(target));
        if invalid || !self.addresses.is_ours(IpAddr::V6(target)) {
            self.counters.drop_ndp_invalid += u64::from(invalid);
            return;
        }
        if let Some(mac) = source.filter(|_| !dad) {
            self.neighbor_seen(IpAddr::V6(header.src), mac, Learnt::Question, now);
        }
        // RFC 4861 section 7.2.4: If the source of the solicitation is the unspecified address, the node MUST set the Solicited
        // flag to zero and multicast the advertisement to the all-nodes address.
        let dst = if dad { ALL_NODES } else { header.src };
        let advertisement = Ndp::Advertisement {
            target,
            target_mac: Some(self.caps.mac),
            router: false,
            solicited: !dad,
            overrides: true,
        };
        let mac = if dad { multicast_mac(dst) } else { source };
        self.send_ndp(target, dst, mac, &advertisement, now);
    }

    fn on_advertisement(
        &mut self,
        header: &Ipv6Header,
        target: Ipv6Addr,
        mac: Option<MacAddr>,
        solicited: bool,
        overrides: bool,
        now: Instant,
    ) {
        // RFC 4861 section 7.1.2: If the IP Destination Address is a multicast address the Solicited flag is zero.
        if solicited && header.dst.is_multicast() {
            self.counters.drop_ndp_invalid += 1;
            return;
        }
        if self.addresses.is_ours(IpAddr::V6(target)) {
            self.counters.neighbor_conflicts += 1;
            return;
        }
        // RFC 4861 section 7.2.5: without the Override flag a known address is not changed; an answer to a unicast question need not
        // tell the address at all (section 7.2.4), and Linux's do not.
        match mac {
            Some(mac) if overrides || self.is_incomplete(IpAddr::V6(target)) => {
                let how = if solicited { Learnt::Answer } else { Learnt::Announcement };
                self.neighbor_seen(IpAddr::V6(target), mac, how, now);
            }
            mac => self.neighbor_answered(IpAddr::V6(target), mac, solicited, now),
        }
    }

    pub(super) fn send_solicitation(&mut self, target: Ipv6Addr, from: Ipv6Addr, unicast: Option<MacAddr>) {
        let dst = if unicast.is_some() { target } else { solicited_node(target) };
        let message = Ndp::Solicitation { target, source_mac: Some(self.caps.mac) };
        let mac = unicast.or_else(|| multicast_mac(dst));
        self.send_ndp(from, dst, mac, &message, Instant::ZERO);
    }

    pub(super) fn send_unsolicited_advertisement(&mut self, ip: Ipv6Addr) {
        let target_mac = Some(self.caps.mac);
        let message =
            Ndp::Advertisement { target: ip, target_mac, router: false, solicited: false, overrides: true };
        self.send_ndp(ip, ALL_NODES, multicast_mac(ALL_NODES), &message, Instant::ZERO);
    }

    /// `mac` is `None` when the asker did not tell its own: then it is looked up, and asked for if need be.
    fn send_ndp(&mut self, src: Ipv6Addr, dst: Ipv6Addr, mac: Option<MacAddr>, message: &Ndp, now: Instant) {
        let mut body = [0; Ndp::MAX_LEN];
        let len = message.wire_len();
        let pseudo = Sum::pseudo_v6(&src, &dst, protocol::ICMPV6, len as u32);
        message.emit(&mut body, pseudo);
        let ip_end = EthernetHeader::LEN + Ipv6Header::LEN;
        let mut frame = TxFrame::new(Sga::new());
        let head = frame.head_mut(ip_end + len);
        head[ip_end..].copy_from_slice(&body[..len]);
        let header = Ipv6Header {
            src,
            dst,
            next_header: protocol::ICMPV6,
            hop_limit: 255,
            dscp: 0,
            ecn: Ecn::NotCapable,
            flow_label: 0,
            payload_len: len as u16,
        };
        let ethernet = |dst| EthernetHeader { dst, src: self.caps.mac, ethertype: EtherType::Ipv6 };
        if let Some(out) = head.first_chunk_mut() {
            ethernet(mac.unwrap_or_default()).emit(out);
        }
        if let Some(out) = head[EthernetHeader::LEN..].first_chunk_mut() {
            header.emit(out);
        }
        if mac.is_some() {
            self.send_raw(frame);
        } else if let super::Resolved::Mac { mac, .. } =
            self.resolve(IpAddr::V6(dst), IpAddr::V6(src), now, false)
        {
            if let Some(out) = frame.head_mut(ip_end + len).first_chunk_mut() {
                *out = mac.0;
            }
            self.send_raw(frame);
        } else {
            self.wait_for_neighbor(IpAddr::V6(dst), frame, now);
        }
    }
}

/// RFC 2464 section 7.
fn multicast_mac(ip: Ipv6Addr) -> Option<MacAddr> {
    let [.., a, b, c, d] = ip.octets();
    ip.is_multicast().then_some(MacAddr([0x33, 0x33, a, b, c, d]))
}
