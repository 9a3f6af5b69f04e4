//! Which addresses are ours, and which of them to send from.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use crate::wire::MacAddr;

/// An address with the length of its network's prefix: `10.77.0.2/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cidr {
    /// The address.
    pub address: IpAddr,
    /// Bits of network.
    pub prefix: u8,
}

/// A text that is not an address with a prefix length.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an address with a prefix length, like 10.77.0.2/24 or fd00::2/64")]
pub struct BadCidr(pub String);

impl Cidr {
    /// `address` in a network of `prefix` bits (cut to the address' length).
    pub fn new(address: impl Into<IpAddr>, prefix: u8) -> Self {
        let address = address.into();
        Self { address, prefix: prefix.min(if address.is_ipv4() { 32 } else { 128 }) }
    }

    /// The link-local address made from a MAC address (RFC 4291 section 2.5.6 and appendix A: modified EUI-64).
    ///
    /// ```
    /// use hemi_net::{Cidr, wire::MacAddr};
    /// assert_eq!(Cidr::link_local(MacAddr([2, 0, 0, 0, 0, 1])).to_string(), "fe80::ff:fe00:1/64");
    /// ```
    pub fn link_local(mac: MacAddr) -> Self {
        let [a, b, c, d, e, f] = mac.0;
        let id = [a ^ 2, b, c, 0xff, 0xfe, d, e, f];
        let mut ip = [0; 16];
        ip[..2].copy_from_slice(&[0xfe, 0x80]);
        ip[8..].copy_from_slice(&id);
        Self::new(ip, 64)
    }

    /// Whether `other` is in the same network.
    pub fn contains(&self, other: IpAddr) -> bool {
        match (self.address, other) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                (a.to_bits() ^ b.to_bits()) & mask == 0
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                (a.to_bits() ^ b.to_bits()) & mask == 0
            }
            _ => false,
        }
    }

    /// The IPv4 network's broadcast address, if it has one (RFC 3021: /31 and /32 have none).
    pub fn broadcast(&self) -> Option<Ipv4Addr> {
        match self.address {
            IpAddr::V4(a) if self.prefix < 31 => Some(Ipv4Addr::from_bits(
                a.to_bits() | u32::MAX.checked_shr(u32::from(self.prefix)).unwrap_or(0),
            )),
            _ => None,
        }
    }
}

impl FromStr for Cidr {
    type Err = BadCidr;

    fn from_str(s: &str) -> Result<Self, BadCidr> {
        let bad = || BadCidr(s.to_owned());
        let (address, prefix) = s.split_once('/').ok_or_else(bad)?;
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let prefix: u8 = prefix.parse().map_err(|_| bad())?;
        let cidr = Self::new(address, prefix);
        if cidr.prefix == prefix { Ok(cidr) } else { Err(bad()) }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// How a received packet's destination relates to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// One of our addresses.
    Ours,
    /// Broadcast, or a group that every host is in.
    Everyone,
    /// Someone else's.
    NotOurs,
}

/// The interface's addresses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Addresses {
    list: Vec<Cidr>,
}

impl Addresses {
    pub(crate) fn add(&mut self, cidr: Cidr) {
        self.list.push(cidr);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Cidr> {
        self.list.iter()
    }

    #[inline]
    pub(crate) fn is_ours(&self, ip: IpAddr) -> bool {
        self.list.iter().any(|c| c.address == ip)
    }

    #[inline]
    pub(crate) fn classify(&self, ip: IpAddr) -> Destination {
        if self.is_ours(ip) {
            return Destination::Ours;
        }
        let everyone = match ip {
            IpAddr::V4(ip) => {
                ip.is_broadcast()
                    || ip == Ipv4Addr::new(224, 0, 0, 1)
                    || self.list.iter().any(|c| c.broadcast() == Some(ip))
            }
            IpAddr::V6(ip) => ip == ALL_NODES || self.is_solicited_node(ip),
        };
        if everyone { Destination::Everyone } else { Destination::NotOurs }
    }

    /// Whether a packet from `src` to `dst` comes from another host that may be answered, to us alone.
    pub(crate) fn is_plain_pair(&self, dst: IpAddr, src: IpAddr) -> bool {
        self.is_ours(dst) && self.is_valid_peer(src) && !self.is_ours(src)
    }

    /// Whether an address may be the source of a packet that is answered (RFC 1122 section 3.2.1.3).
    #[inline]
    pub(crate) fn is_valid_peer(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => {
                let bits = ip.to_bits();
                // 0.0.0.0/8, 127.0.0.0/8, 224.0.0.0/4 and above
                let reserved = bits >> 24 == 0 || bits >> 24 == 127 || bits >> 28 >= 14;
                !reserved && self.list.iter().all(|c| c.broadcast() != Some(ip))
            }
            IpAddr::V6(ip) => !ip.is_multicast() && !ip.is_unspecified() && !ip.is_loopback(),
        }
    }

    /// The address to send from to `dst` when the program does not say: of the same network, else of the same family and scope
    /// (RFC 6724 rules 2 and 8, as far as a host with static addresses needs them).
    pub(crate) fn source_for(&self, dst: IpAddr) -> Option<IpAddr> {
        let link_local = |ip: IpAddr| matches!(ip, IpAddr::V6(a) if a.is_unicast_link_local());
        let family = || self.list.iter().filter(|c| c.address.is_ipv4() == dst.is_ipv4());
        family()
            .filter(|c| c.contains(dst))
            .max_by_key(|c| c.prefix)
            .or_else(|| family().find(|c| link_local(c.address) == link_local(dst)))
            .or_else(|| family().next())
            .map(|c| c.address)
    }

    fn is_solicited_node(&self, ip: Ipv6Addr) -> bool {
        self.list.iter().any(|c| matches!(c.address, IpAddr::V6(a) if solicited_node(a) == ip))
    }
}

/// ff02::1
pub(crate) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// RFC 4291 section 2.7.1: the solicited-node multicast address.
pub(crate) fn solicited_node(ip: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b] = ip.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | a & 0xff, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cidrs() {
        let c: Cidr = "10.77.0.2/24".parse().expect("valid");
        assert!(
            c.contains("10.77.0.255".parse().expect("ip")) && !c.contains("10.77.1.0".parse().expect("ip"))
        );
        assert_eq!(c.broadcast(), Some(Ipv4Addr::new(10, 77, 0, 255)));
        assert_eq!(c.to_string(), "10.77.0.2/24");
        let all: Cidr = "0.0.0.0/0".parse().expect("valid");
        assert!(all.contains("1.2.3.4".parse().expect("ip")) && !all.contains("::1".parse().expect("ip")));
        for bad in ["10.0.0.1", "10.0.0.1/33", "x/3", "fd00::1/129", "1.1.1.1/-1"] {
            assert_eq!(bad.parse::<Cidr>(), Err(BadCidr(bad.into())));
        }
    }

    #[test]
    fn sources_and_classes() {
        let mut a = Addresses::default();
        for c in ["10.0.0.1/24", "192.168.0.1/16", "fe80::1/64", "fd00::1/64"] {
            a.add(c.parse().expect("valid"));
        }
        let ip = |s: &str| s.parse::<IpAddr>().expect("ip");
        assert_eq!(a.source_for(ip("192.168.9.9")), Some(ip("192.168.0.1")));
        assert_eq!(a.source_for(ip("8.8.8.8")), Some(ip("10.0.0.1")));
        assert_eq!(a.source_for(ip("2001:db8::1")), Some(ip("fd00::1")));
        assert_eq!(a.source_for(ip("fe80::9")), Some(ip("fe80::1")));
        assert_eq!(a.classify(ip("10.0.0.255")), Destination::Everyone);
        assert_eq!(a.classify(ip("ff02::1:ff00:1")), Destination::Everyone);
        assert_eq!(a.classify(ip("10.0.0.2")), Destination::NotOurs);
        for bad in ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "10.0.0.255", "::", "ff02::1"] {
            assert!(!a.is_valid_peer(ip(bad)), "{bad}");
        }
    }
}
