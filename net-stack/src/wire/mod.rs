//! Headers on the wire: what bytes mean, and how they are written.
//!
//! Parse, don't validate: each file has a raw layout (`zerocopy`, never handed out) and a *meaning*, a plain value whose
//! existence proves that the header was whole, of the right version and consistent with the bytes behind it. `parse` turns
//! bytes into a meaning or a [`Malformed`]; `emit` writes a meaning. Nothing here panics on any input, allocates or
//! keeps state; what a meaning *implies* is decided above.
//!
//! | file | headers |
//! |---|---|
//! | [`ethernet`], [`arp`] | Ethernet II, RFC 826 |
//! | [`ipv4`], [`ipv6`] | RFC 791, RFC 8200 and its extension headers |
//! | [`icmpv4`], [`icmpv6`], [`ndp`] | RFC 792, RFC 4443, RFC 4861 |
//! | [`udp`], [`tcp`], [`tcp_options`], [`fast_open`] | RFC 768, RFC 9293, RFC 2018, RFC 7323, RFC 5482, RFC 7413 |
//! | `common` | all of Ethernet, IPv4 and TCP at once, when they have the one layout that most segments have |
//! | `predicted`, `opening` | all of Ethernet, IP and TCP in one pass, when they are as expected |
//! | [`checksum`], [`seq`] | RFC 1071 and 1624, sequence numbers modulo 2³² |
//!
//! Deliberately absent: VLAN tags, IP options' meaning (they are skipped), IPsec, routing headers (refused).

pub mod arp;
pub mod checksum;
pub(crate) mod common;
pub mod ethernet;
pub mod fast_open;
pub mod icmpv4;
pub mod icmpv6;
pub mod ipv4;
pub mod ipv6;
pub mod ndp;
mod opening;
pub(crate) mod predicted;
pub mod seq;
pub mod tcp;
pub mod tcp_options;
#[cfg(test)]
mod tests;
pub mod udp;

pub use checksum::Sum;
pub(crate) use common::Common;
pub use ethernet::{EtherType, EthernetHeader, MacAddr};
pub use fast_open::{Cookie, FastOpen};
pub use ipv4::Ipv4Header;
pub use ipv6::Ipv6Header;
pub(crate) use opening::Opening;
pub(crate) use predicted::{Flow, Predicted, PredictedDatagram, Shape};
pub use seq::Seq;
pub use tcp::{Flags, TcpHeader};
pub use tcp_options::{SackBlock, SackBlocks, TcpOptions, Timestamps};
pub use udp::UdpHeader;

/// IP protocol numbers (IANA) that the stack speaks.
pub mod protocol {
    /// ICMP for IPv4.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// IPv6 fragment header.
    pub const IPV6_FRAGMENT: u8 = 44;
    /// ICMP for IPv6.
    pub const ICMPV6: u8 = 58;
}

/// Why bytes are not the header they were taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Malformed {
    /// Fewer bytes than the header needs.
    #[error("shorter than its header")]
    Truncated,
    /// The version field names another protocol.
    #[error("wrong version")]
    Version,
    /// The header-length field is too small, or points past the end.
    #[error("impossible header length")]
    HeaderLength,
    /// The total- or payload-length field points past the end, or before the header's.
    #[error("impossible length")]
    Length,
    /// The checksum does not match.
    #[error("bad checksum")]
    Checksum,
    /// An option or extension header has an impossible length or value.
    #[error("malformed option")]
    Option,
    /// A field holds what the protocol does not allow.
    #[error("a field has a value that is not allowed")]
    Field,
}

/// The ECN field of an IP header (RFC 3168, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum Ecn {
    /// Not ECN-capable.
    #[default]
    NotCapable = 0,
    /// ECN-capable, codepoint ECT(1).
    Capable1 = 1,
    /// ECN-capable, codepoint ECT(0).
    Capable0 = 2,
    /// Congestion experienced.
    Congested = 3,
}

impl Ecn {
    /// The codepoint in the low two bits of a traffic-class octet.
    #[inline]
    pub const fn from_bits(tos: u8) -> Self {
        match tos & 3 {
            0 => Self::NotCapable,
            1 => Self::Capable1,
            2 => Self::Capable0,
            _ => Self::Congested,
        }
    }
}

/// The first `N` bytes as an array.
#[inline]
fn prefix<const N: usize>(bytes: &[u8]) -> Result<&[u8; N], Malformed> {
    bytes.first_chunk().ok_or(Malformed::Truncated)
}
