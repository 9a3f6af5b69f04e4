//! Ethernet II framing.

use std::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, network_endian::U16};

use super::Malformed;

/// A MAC address.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Default,
    PartialOrd,
    Ord,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
    Unaligned,
)]
#[repr(transparent)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// Everyone on the link.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether this addresses one station: neither multicast nor all zeroes.
    #[inline]
    pub const fn is_unicast(self) -> bool {
        self.0[0] & 1 == 0 && !matches!(self.0, [0, 0, 0, 0, 0, 0])
    }

    /// Whether the group bit is set (broadcast included).
    #[inline]
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 == 1
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for MacAddr {
    type Err = Malformed;

    /// Six hexadecimal octets separated by colons or hyphens.
    fn from_str(s: &str) -> Result<Self, Malformed> {
        let mut mac = [0; 6];
        let mut octets = s.split([':', '-']);
        for octet in &mut mac {
            let text = octets.next().ok_or(Malformed::Truncated)?;
            if text.len() != 2 {
                return Err(Malformed::Field);
            }
            *octet = u8::from_str_radix(text, 16).map_err(|_| Malformed::Field)?;
        }
        if octets.next().is_some() { Err(Malformed::Length) } else { Ok(Self(mac)) }
    }
}

/// What an Ethernet frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EtherType {
    /// IPv4.
    Ipv4,
    /// Address resolution for IPv4.
    Arp,
    /// IPv6.
    Ipv6,
    /// Something else; its number.
    Other(u16),
}

impl EtherType {
    /// From the number on the wire.
    #[inline]
    pub const fn from_number(n: u16) -> Self {
        match n {
            0x0800 => Self::Ipv4,
            0x0806 => Self::Arp,
            0x86dd => Self::Ipv6,
            n => Self::Other(n),
        }
    }

    /// The number on the wire.
    #[inline]
    pub const fn number(self) -> u16 {
        match self {
            Self::Ipv4 => 0x0800,
            Self::Arp => 0x0806,
            Self::Ipv6 => 0x86dd,
            Self::Other(n) => n,
        }
    }
}

/// An Ethernet header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EthernetHeader {
    /// Destination.
    pub dst: MacAddr,
    /// Source.
    pub src: MacAddr,
    /// What follows.
    pub ethertype: EtherType,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Raw {
    dst: MacAddr,
    src: MacAddr,
    ethertype: U16,
}

impl EthernetHeader {
    /// Bytes on the wire.
    pub const LEN: usize = 14;

    /// The header at the front of `frame`.
    #[inline]
    pub fn parse(frame: &[u8]) -> Result<Self, Malformed> {
        let (raw, _) = Raw::ref_from_prefix(frame).map_err(|_| Malformed::Truncated)?;
        Ok(Self { dst: raw.dst, src: raw.src, ethertype: EtherType::from_number(raw.ethertype.get()) })
    }

    /// Write it.
    #[inline]
    pub fn emit(&self, out: &mut [u8; Self::LEN]) {
        let raw = Raw { dst: self.dst, src: self.src, ethertype: U16::new(self.ethertype.number()) };
        out.copy_from_slice(raw.as_bytes());
    }
}
