//! IPv4 (RFC 791).

use std::net::Ipv4Addr;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, network_endian::U16};

use super::{Ecn, Malformed, checksum::Sum};

/// An IPv4 header whose checksum was right and whose lengths fit the bytes behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Header {
    /// Source.
    pub src: Ipv4Addr,
    /// Destination.
    pub dst: Ipv4Addr,
    /// The payload's protocol.
    pub protocol: u8,
    /// Hops left.
    pub ttl: u8,
    /// Differentiated-services codepoint (six bits).
    pub dscp: u8,
    /// Congestion notification.
    pub ecn: Ecn,
    /// Names the datagram a fragment belongs to.
    pub ident: u16,
    /// Routers must not fragment it.
    pub dont_fragment: bool,
    /// More fragments follow.
    pub more_fragments: bool,
    /// Where this fragment's payload goes, in bytes.
    pub fragment_offset: u16,
    /// Bytes of header, options included; 20 when there are none.
    pub header_len: u8,
    /// Bytes of payload in this datagram.
    pub payload_len: u16,
}

/// Why a packet with options is not for us to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ipv4OptionError {
    /// A length or a pointer is none.
    Malformed {
        /// The octet of the header that is wrong.
        pointer: u8,
    },
    /// The packet's source route goes on from here, and we do not forward.
    SourceRoute,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Raw {
    version_ihl: u8,
    tos: u8,
    total_len: U16,
    ident: U16,
    fragment: U16,
    ttl: u8,
    protocol: u8,
    checksum: U16,
    src: [u8; 4],
    dst: [u8; 4],
}

const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;

impl Ipv4Header {
    /// Bytes of a header without options, which is what we send.
    pub const LEN: usize = 20;

    /// The header at the front of `packet`. Options are tolerated and skipped; `packet` may be longer than the datagram
    /// (Ethernet padding).
    ///
    /// > RFC 1122 section 3.2.1.2: A host MUST verify the IP header checksum on every received datagram and silently discard every
    /// > datagram that has a bad checksum.
    #[inline]
    pub fn parse(packet: &[u8]) -> Result<Self, Malformed> {
        let (raw, _) = Raw::ref_from_prefix(packet).map_err(|_| Malformed::Truncated)?;
        if raw.version_ihl >> 4 != 4 {
            return Err(Malformed::Version);
        }
        let header_len = usize::from(raw.version_ihl & 15) * 4;
        if header_len < Self::LEN {
            return Err(Malformed::HeaderLength);
        }
        let header = packet.get(..header_len).ok_or(Malformed::HeaderLength)?;
        let total_len = usize::from(raw.total_len.get());
        if total_len < header_len || total_len > packet.len() {
            return Err(Malformed::Length);
        }
        if !Sum::new().bytes(header).is_intact() {
            return Err(Malformed::Checksum);
        }
        let fragment = raw.fragment.get();
        Ok(Self {
            src: raw.src.into(),
            dst: raw.dst.into(),
            protocol: raw.protocol,
            ttl: raw.ttl,
            dscp: raw.tos >> 2,
            ecn: Ecn::from_bits(raw.tos),
            ident: raw.ident.get(),
            dont_fragment: fragment & DONT_FRAGMENT != 0,
            more_fragments: fragment & MORE_FRAGMENTS != 0,
            fragment_offset: (fragment & 0x1fff) << 3,
            header_len: header_len as u8,
            payload_len: (total_len - header_len) as u16,
        })
    }

    /// Whether a host may take a packet with these options, which stand behind the first 20 octets of its header.
    ///
    /// > RFC 1122 section 3.2.1.8: The IP and transport layer MUST each interpret those IP options that they understand and silently ignore
    /// > the others.
    pub fn check_options(options: &[u8]) -> Result<(), Ipv4OptionError> {
        const END: u8 = 0;
        const NOP: u8 = 1;
        const SOURCE_ROUTES: [u8; 2] = [131, 137]; // loose, strict
        let mut at = 0;
        while let Some(&kind) = options.get(at) {
            match kind {
                END => break,
                NOP => {
                    at += 1;
                    continue;
                }
                _ => {}
            }
            let malformed = |octet: usize| Ipv4OptionError::Malformed { pointer: (Self::LEN + octet) as u8 };
            let len = options.get(at + 1).map_or(0, |len| usize::from(*len));
            if len < 2 || at + len > options.len() {
                return Err(malformed(at + 1));
            }
            if SOURCE_ROUTES.contains(&kind) {
                // RFC 791 section 3.1: the pointer is relative to the option, "and the smallest legal value is 4. [...] If the pointer is
                // greater than the length, the source route is empty (and the recorded route full)".
                match options.get(at + 2) {
                    Some(&next) if len >= 3 && next >= 4 => {
                        if usize::from(next) <= len {
                            return Err(Ipv4OptionError::SourceRoute);
                        }
                    }
                    _ => return Err(malformed(at + 2)),
                }
            }
            at += len;
        }
        Ok(())
    }

    /// Whether this is a piece of a larger datagram.
    #[inline]
    pub fn is_fragment(&self) -> bool {
        self.more_fragments || self.fragment_offset != 0
    }

    /// Write it, without options and with its checksum. `header_len` is taken to be 20.
    #[inline]
    pub fn emit(&self, out: &mut [u8; Self::LEN]) {
        let fragment = (self.fragment_offset >> 3)
            | if self.dont_fragment { DONT_FRAGMENT } else { 0 }
            | if self.more_fragments { MORE_FRAGMENTS } else { 0 };
        let mut raw = Raw {
            version_ihl: 0x45,
            tos: self.dscp << 2 | self.ecn as u8,
            total_len: U16::new(Self::LEN as u16 + self.payload_len),
            ident: U16::new(self.ident),
            fragment: U16::new(fragment),
            ttl: self.ttl,
            protocol: self.protocol,
            checksum: U16::ZERO,
            src: self.src.octets(),
            dst: self.dst.octets(),
        };
        raw.checksum = U16::new(Sum::new().bytes(raw.as_bytes()).finish());
        out.copy_from_slice(raw.as_bytes());
    }
}
