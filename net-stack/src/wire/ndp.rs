//! Neighbour discovery for IPv6 (RFC 4861): solicitations, advertisements, redirects. What routers advertise is deliberately
//! absent: addresses and routes are configured.

use std::net::Ipv6Addr;

use super::{MacAddr, Malformed, checksum::Sum, prefix};

/// A neighbour-discovery message, valid by RFC 4861 section 7.1 as far as its own bytes can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ndp {
    /// Who has `target`?
    Solicitation {
        /// The address asked for; never multicast.
        target: Ipv6Addr,
        /// The sender's MAC address, absent in duplicate address detection.
        source_mac: Option<MacAddr>,
    },
    /// The sender has `target`.
    Advertisement {
        /// The address.
        target: Ipv6Addr,
        /// Its MAC address.
        target_mac: Option<MacAddr>,
        /// Sent by a router.
        router: bool,
        /// Answers a solicitation.
        solicited: bool,
        /// Overrides what is in the cache.
        overrides: bool,
    },
    /// Packets for `destination` should go by `target`: a better router, or the destination itself, which is on the link.
    Redirect {
        /// The better first hop.
        target: Ipv6Addr,
        /// Of which destination.
        destination: Ipv6Addr,
        /// The target's MAC address, if the router knows it.
        target_mac: Option<MacAddr>,
    },
}

impl Ndp {
    /// ICMPv6 type of a solicitation.
    pub const SOLICITATION: u8 = 135;
    /// ICMPv6 type of an advertisement.
    pub const ADVERTISEMENT: u8 = 136;
    /// ICMPv6 type of a redirect.
    pub const REDIRECT: u8 = 137;
    /// Bytes that [`emit`](Self::emit) writes at most.
    pub const MAX_LEN: usize = 48;

    /// The message in `bytes`, an ICMPv6 message of type 135 to 137 whose checksum was verified.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let head = prefix::<24>(bytes)?;
        if head[1] != 0 {
            return Err(Malformed::Field);
        }
        let mut octets = [0; 16];
        octets.copy_from_slice(&head[8..]);
        let target = Ipv6Addr::from(octets);
        if target.is_multicast() {
            return Err(Malformed::Field);
        }
        if head[0] == Self::REDIRECT {
            return Self::parse_redirect(bytes, target);
        }
        let option = |kind| link_layer_option(&bytes[24..], kind);
        match head[0] {
            Self::SOLICITATION => Ok(Self::Solicitation { target, source_mac: option(1)? }),
            Self::ADVERTISEMENT => Ok(Self::Advertisement {
                target,
                target_mac: option(2)?,
                router: head[4] & 0x80 != 0,
                solicited: head[4] & 0x40 != 0,
                overrides: head[4] & 0x20 != 0,
            }),
            _ => Err(Malformed::Field),
        }
    }

    /// > RFC 4861 section 8.1: ICMP length (derived from the IP length) is 40 or more octets. [...] The ICMP Destination Address field in the redirect
    /// > message does not contain a multicast address. The ICMP Target Address is either a link-local address (when redirected to a router) or
    /// > the same as the ICMP Destination Address (when redirected to the on-link destination).
    fn parse_redirect(bytes: &[u8], target: Ipv6Addr) -> Result<Self, Malformed> {
        let head = prefix::<40>(bytes)?;
        let mut octets = [0; 16];
        octets.copy_from_slice(&head[24..]);
        let destination = Ipv6Addr::from(octets);
        if destination.is_multicast() || !(target.is_unicast_link_local() || target == destination) {
            return Err(Malformed::Field);
        }
        Ok(Self::Redirect { target, destination, target_mac: link_layer_option(&bytes[40..], 2)? })
    }

    /// Write it; `pseudo` sums the pseudo-header for this address pair and the length given back by
    /// [`wire_len`](Self::wire_len).
    pub fn emit(&self, out: &mut [u8; Self::MAX_LEN], pseudo: Sum) -> usize {
        out.fill(0);
        let (kind, flags, target, option, mac) = match *self {
            Self::Solicitation { target, source_mac } => (Self::SOLICITATION, 0, target, 1, source_mac),
            Self::Advertisement { target, target_mac, router, solicited, overrides } => {
                let flags = u8::from(router) << 7 | u8::from(solicited) << 6 | u8::from(overrides) << 5;
                (Self::ADVERTISEMENT, flags, target, 2, target_mac)
            }
            Self::Redirect { target, target_mac, .. } => (Self::REDIRECT, 0, target, 2, target_mac),
        };
        out[0] = kind;
        out[4] = flags;
        out[8..24].copy_from_slice(&target.octets());
        let mut end = 24;
        if let Self::Redirect { destination, .. } = self {
            out[24..40].copy_from_slice(&destination.octets());
            end = 40;
        }
        if let Some(mac) = mac {
            out[end] = option;
            out[end + 1] = 1;
            out[end + 2..end + 8].copy_from_slice(&mac.0);
        }
        let len = self.wire_len();
        let sum = pseudo.bytes(&out[..len]).finish();
        out[2..4].copy_from_slice(&sum.to_be_bytes());
        len
    }

    /// Bytes on the wire.
    pub fn wire_len(&self) -> usize {
        match self {
            Self::Solicitation { source_mac: mac, .. } | Self::Advertisement { target_mac: mac, .. } => {
                if mac.is_some() { 32 } else { 24 }
            }
            Self::Redirect { target_mac: mac, .. } => {
                if mac.is_some() {
                    48
                } else {
                    40
                }
            }
        }
    }
}

/// RFC 4861 section 4.6: Nodes MUST silently discard an ND packet that contains an option with length zero.
fn link_layer_option(mut options: &[u8], wanted: u8) -> Result<Option<MacAddr>, Malformed> {
    let mut found = None;
    while let [kind, len, ..] = *options {
        let len = usize::from(len) * 8;
        let option = options.get(..len).filter(|o| !o.is_empty()).ok_or(Malformed::Option)?;
        if kind == wanted && len == 8 {
            let mut mac = [0; 6];
            mac.copy_from_slice(&option[2..]);
            found = Some(MacAddr(mac));
        }
        options = &options[len..];
    }
    if options.is_empty() { Ok(found) } else { Err(Malformed::Option) }
}
