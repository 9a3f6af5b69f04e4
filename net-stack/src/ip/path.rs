//! [`Path`]: a resolved way to a peer, with its headers ready to copy.

use std::net::IpAddr;

use hemi_queue::time::Instant;

use super::Net;
use crate::{
    neighbor::Resolved,
    wire::{Ecn, EtherType, EthernetHeader, Ipv4Header, Ipv6Header, MacAddr, Sum, checksum::fold, protocol},
};

/// The Ethernet and IP headers for one peer, and how long they can be trusted.
///
/// Filled at the first packet, and again when the neighbour's reachability must be confirmed or the cache changed
/// (`Net::epoch`). Between those, a packet costs a copy of the head and three stores.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    pub(crate) local: IpAddr,
    pub(crate) remote: IpAddr,
    protocol: u8,
    head: [u8; Self::MAX_HEAD],
    /// Sum of the IPv4 header with zero length and identification, in memory order.
    ip_sum: u16,
    /// Sum of the pseudo-header with zero length, in memory order.
    pseudo: u16,
    valid_until: Instant,
    epoch: u32,
    resolved: bool,
    /// The peer is one of our own addresses.
    pub(super) looped: bool,
    /// What the way carries, in bytes of IP packet.
    pub(crate) mtu: u16,
    /// It may carry more: see `pmtu.rs`.
    pub(crate) searching: bool,
}

/// Why there is no way now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoPath {
    /// The neighbour was asked for its address; frames may wait for it.
    Pending(IpAddr),
    /// There is no route.
    NoRoute,
}

impl Path {
    const MAX_HEAD: usize = EthernetHeader::LEN + Ipv6Header::LEN;

    pub(crate) fn new(local: IpAddr, remote: IpAddr, protocol: u8, mtu: u16) -> Self {
        Self {
            local,
            remote,
            protocol,
            head: [0; Self::MAX_HEAD],
            ip_sum: 0,
            pseudo: Sum::pseudo(local, remote, protocol, 0).folded(),
            valid_until: Instant::ZERO,
            epoch: 0,
            resolved: false,
            looped: false,
            mtu,
            searching: false,
        }
    }

    /// The sum of the pseudo-header with zero length.
    #[inline]
    pub(super) fn pseudo(&self) -> Sum {
        Sum::memory_order(u64::from(self.pseudo))
    }

    /// Bytes of Ethernet and IP header.
    #[inline]
    pub(crate) fn head_len(&self) -> usize {
        if self.remote.is_ipv4() {
            EthernetHeader::LEN + Ipv4Header::LEN
        } else {
            EthernetHeader::LEN + Ipv6Header::LEN
        }
    }

    /// Bytes of IP header.
    #[inline]
    pub(crate) fn ip_len(&self) -> usize {
        self.head_len() - EthernetHeader::LEN
    }

    /// Make sure that the head is right. `confirmed`: the peer has lately answered through this path, which RFC 4861
    /// section 7.3.1 takes for a proof that the neighbour is reachable.
    #[inline]
    pub(super) fn ready(&mut self, net: &mut Net, now: Instant, confirmed: bool) -> Result<(), NoPath> {
        if self.resolved && self.epoch == net.epoch && now < self.valid_until {
            return Ok(());
        }
        self.resolve(net, now, confirmed)
    }

    /// Whether the head is right as it is, and leads to the device.
    #[inline]
    pub(crate) fn is_ready(&self, net: &Net, now: Instant) -> bool {
        self.resolved && !self.looped && self.epoch == net.epoch && now < self.valid_until
    }

    /// The same of one that [`leads_away`](Self::leads_away).
    #[inline(always)]
    pub(crate) fn is_current(&self, net: &Net, now: Instant) -> bool {
        self.epoch == net.epoch && now < self.valid_until
    }

    /// The same for a way whose headers are kept with those of others; such a one never leads to ourselves.
    #[inline]
    pub(super) fn is_valid(&self, epoch: u32, now: Instant) -> bool {
        self.resolved && self.epoch == epoch && now < self.valid_until
    }

    /// Whether it leads from `local` to `remote`, for `protocol`.
    #[inline]
    pub(super) fn leads(&self, local: IpAddr, remote: IpAddr, protocol: u8) -> bool {
        self.remote == remote && self.local == local && self.protocol == protocol
    }

    /// Whether the peer is known to be another host.
    pub(crate) fn leads_away(&self) -> bool {
        self.resolved && !self.looped
    }

    #[inline]
    pub(super) fn is_v4(&self) -> bool {
        self.remote.is_ipv4()
    }

    /// A way from `local` to `remote`: the one that was resolved last, if it leads there.
    pub(crate) fn find(local: IpAddr, remote: IpAddr, protocol: u8, net: &Net, now: Instant) -> Self {
        match &net.last_path {
            Some(known) if known.leads(local, remote, protocol) && known.is_valid(net.epoch, now) => {
                let (mtu, searching) = Self::carries(remote, protocol, net, now);
                Self { mtu, searching, ..known.clone() }
            }
            _ => Self::new(local, remote, protocol, net.caps.mtu),
        }
    }

    /// What the way to `remote` carries, and whether it may carry more: only TCP can find that out.
    fn carries(remote: IpAddr, protocol: u8, net: &Net, now: Instant) -> (u16, bool) {
        let (mtu, searching) = if protocol == protocol::TCP {
            net.pmtu.get_to_search(remote, now).unwrap_or((u16::MAX, false))
        } else {
            (net.pmtu.get(remote, now).unwrap_or(u16::MAX), false)
        };
        (mtu.min(net.caps.mtu), searching)
    }

    #[cold]
    fn resolve(&mut self, net: &mut Net, now: Instant, confirmed: bool) -> Result<(), NoPath> {
        (self.mtu, self.searching) = Self::carries(self.remote, self.protocol, net, now);
        if let Some(known) = &net.last_path
            && known.leads(self.local, self.remote, self.protocol)
            && known.is_valid(net.epoch, now)
        {
            *self = Self { mtu: self.mtu, searching: self.searching, ..known.clone() };
            return Ok(());
        }
        self.epoch = net.epoch;
        self.resolved = false;
        self.looped = net.addresses.is_ours(self.remote);
        if self.looped {
            self.fill(net.caps.mac, net.caps.mac, net.ttl);
            (self.resolved, self.valid_until) = (true, Instant::FAR_FUTURE);
            return Ok(());
        }
        let hop = net.next_hop(self.remote, now).ok_or(NoPath::NoRoute)?;
        match net.resolve(hop, self.local, now, confirmed) {
            Resolved::Mac { mac, until } => {
                self.fill(mac, net.caps.mac, net.ttl);
                (self.resolved, self.valid_until) = (true, until);
                // Asking may have changed the cache.
                self.epoch = net.epoch;
                net.last_path = Some(self.clone());
                Ok(())
            }
            Resolved::Pending => {
                self.fill(MacAddr::default(), net.caps.mac, net.ttl);
                Err(NoPath::Pending(hop))
            }
        }
    }

    fn fill(&mut self, dst: MacAddr, src: MacAddr, ttl: u8) {
        let (eth, ip) = self.head.split_at_mut(EthernetHeader::LEN);
        let ethertype = if self.remote.is_ipv4() { EtherType::Ipv4 } else { EtherType::Ipv6 };
        if let Some(eth) = eth.first_chunk_mut() {
            EthernetHeader { dst, src, ethertype }.emit(eth);
        }
        match (self.local, self.remote) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let header = Ipv4Header {
                    src,
                    dst,
                    protocol: self.protocol,
                    ttl,
                    dscp: 0,
                    ecn: Ecn::NotCapable,
                    ident: 0,
                    dont_fragment: true,
                    more_fragments: false,
                    fragment_offset: 0,
                    header_len: Ipv4Header::LEN as u8,
                    payload_len: 0,
                };
                if let Some(ip) = ip.first_chunk_mut::<{ Ipv4Header::LEN }>() {
                    header.emit(ip);
                    // Length and checksum are filled in per packet.
                    ip[2..4].fill(0);
                    ip[10..12].fill(0);
                    self.ip_sum = Sum::new().bytes(ip).folded();
                }
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let header = Ipv6Header {
                    src,
                    dst,
                    next_header: self.protocol,
                    hop_limit: ttl,
                    dscp: 0,
                    ecn: Ecn::NotCapable,
                    flow_label: 0,
                    payload_len: 0,
                };
                if let Some(ip) = ip.first_chunk_mut() {
                    header.emit(ip);
                }
            }
            _ => {}
        }
    }

    /// Write the head of a packet that is not ECN-capable, of `LEN` bytes, with `payload_len` bytes behind the IP header, to `out`.
    #[inline(always)]
    pub(super) fn write_lower<const LEN: usize>(&self, out: &mut [u8], payload_len: usize) {
        const IP: usize = EthernetHeader::LEN;
        let (Some(out), Some(head)) = (out.first_chunk_mut::<LEN>(), self.head.first_chunk::<LEN>()) else {
            return;
        };
        *out = *head;
        if LEN == IP + Ipv4Header::LEN {
            let total = ((Ipv4Header::LEN + payload_len) as u16).to_be();
            out[IP + 2..IP + 4].copy_from_slice(&total.to_ne_bytes());
            let sum = !fold(u64::from(self.ip_sum) + u64::from(total));
            out[IP + 10..IP + 12].copy_from_slice(&sum.to_ne_bytes());
        } else {
            out[IP + 4..IP + 6].copy_from_slice(&(payload_len as u16).to_be_bytes());
        }
    }

    /// Write the head of a packet with `payload_len` bytes behind the IP header to the front of `out`.
    ///
    /// > RFC 6864 section 4.1: the IPv4 ID of an atomic datagram (DF set, not fragmented) may be anything: it is zero.
    #[inline]
    pub(super) fn write_head(&self, out: &mut [u8], payload_len: usize, ecn: Ecn) {
        let (eth_len, head_len) = (EthernetHeader::LEN, self.head_len());
        let Some(out) = out.get_mut(..head_len) else { return };
        out.copy_from_slice(&self.head[..head_len]);
        if self.remote.is_ipv4() {
            let total = (Ipv4Header::LEN + payload_len) as u16;
            out[eth_len + 1] |= ecn as u8;
            out[eth_len + 2..eth_len + 4].copy_from_slice(&total.to_be_bytes());
            let sum = Sum::memory_order(u64::from(self.ip_sum));
            let sum = sum.word(total).word(u16::from(ecn as u8)).finish();
            out[eth_len + 10..eth_len + 12].copy_from_slice(&sum.to_be_bytes());
        } else {
            out[eth_len + 1] |= (ecn as u8) << 4;
            out[eth_len + 4..eth_len + 6].copy_from_slice(&(payload_len as u16).to_be_bytes());
        }
    }
}
