//! IPv6 (RFC 8200) and its extension headers.

use std::net::Ipv6Addr;

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    network_endian::{U16, U32},
};

use super::{Ecn, Malformed, prefix, protocol};

/// An IPv6 header whose payload length fits the bytes behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6Header {
    /// Source.
    pub src: Ipv6Addr,
    /// Destination.
    pub dst: Ipv6Addr,
    /// The first header behind this one.
    pub next_header: u8,
    /// Hops left.
    pub hop_limit: u8,
    /// Differentiated-services codepoint (six bits).
    pub dscp: u8,
    /// Congestion notification.
    pub ecn: Ecn,
    /// Flow label (20 bits).
    pub flow_label: u32,
    /// Bytes behind this header.
    pub payload_len: u16,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Raw {
    version_class_flow: U32,
    payload_len: U16,
    next_header: u8,
    hop_limit: u8,
    src: [u8; 16],
    dst: [u8; 16],
}

impl Ipv6Header {
    /// Bytes on the wire.
    pub const LEN: usize = 40;

    /// The header at the front of `packet`, which may be longer than the datagram.
    #[inline]
    pub fn parse(packet: &[u8]) -> Result<Self, Malformed> {
        let (raw, rest) = Raw::ref_from_prefix(packet).map_err(|_| Malformed::Truncated)?;
        let vcf = raw.version_class_flow.get();
        if vcf >> 28 != 6 {
            return Err(Malformed::Version);
        }
        if usize::from(raw.payload_len.get()) > rest.len() {
            return Err(Malformed::Length);
        }
        Ok(Self {
            src: raw.src.into(),
            dst: raw.dst.into(),
            next_header: raw.next_header,
            hop_limit: raw.hop_limit,
            dscp: (vcf >> 22) as u8 & 0x3f,
            ecn: Ecn::from_bits((vcf >> 20) as u8),
            flow_label: vcf & 0xf_ffff,
            payload_len: raw.payload_len.get(),
        })
    }

    /// Write it.
    #[inline]
    pub fn emit(&self, out: &mut [u8; Self::LEN]) {
        let class = u32::from(self.dscp) << 2 | u32::from(self.ecn as u8);
        let raw = Raw {
            version_class_flow: U32::new(6 << 28 | class << 20 | self.flow_label & 0xf_ffff),
            payload_len: U16::new(self.payload_len),
            next_header: self.next_header,
            hop_limit: self.hop_limit,
            src: self.src.octets(),
            dst: self.dst.octets(),
        };
        out.copy_from_slice(raw.as_bytes());
    }
}

/// A fragment header (RFC 8200 section 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentHeader {
    /// The header behind it, of the fragmentable part.
    pub next_header: u8,
    /// Where this fragment's payload goes, in bytes.
    pub offset: u16,
    /// More fragments follow.
    pub more: bool,
    /// Names the datagram.
    pub ident: u32,
}

impl FragmentHeader {
    /// Bytes on the wire.
    pub const LEN: usize = 8;

    fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let [next_header, _, o0, o1, ident @ ..] = prefix::<8>(bytes)?;
        let field = u16::from_be_bytes([*o0, *o1]);
        Ok(Self {
            next_header: *next_header,
            offset: field & !7,
            more: field & 1 == 1,
            ident: u32::from_be_bytes(*ident),
        })
    }

    /// Write it.
    pub fn emit(&self, out: &mut [u8; Self::LEN]) {
        let field = (self.offset & !7) | u16::from(self.more);
        out[0] = self.next_header;
        out[1] = 0;
        out[2..4].copy_from_slice(&field.to_be_bytes());
        out[4..].copy_from_slice(&self.ident.to_be_bytes());
    }
}

/// Where the extension headers of a datagram end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upper {
    /// The upper-layer protocol, or [`protocol::IPV6_FRAGMENT`] never: a fragment is in `fragment`.
    pub protocol: u8,
    /// Bytes of extension headers before it.
    pub offset: usize,
    /// The fragment header, if there was one. Behind it is a piece of the datagram, which must not be parsed as a whole
    /// unless the header is "atomic" (RFC 6946: offset 0 and no more fragments).
    pub fragment: Option<FragmentHeader>,
    /// Where the next-header field that named the fragment header lies, relative to the payload (`None`: in the IPv6 header).
    pub before_fragment: Option<usize>,
}

/// Why extension headers could not be followed, and what to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtensionError {
    /// Drop it in silence.
    Discard(Malformed),
    /// Answer ICMPv6 "parameter problem" with this code and pointer (relative to the payload).
    ParameterProblem {
        /// RFC 4443 section 3.4: 0 erroneous field, 1 unrecognised next header, 2 unrecognised option.
        code: u8,
        /// Offset of the offending octet in the payload.
        pointer: usize,
        /// Whether a multicast destination keeps us from answering (RFC 8200 section 4.2, action 11).
        unicast_only: bool,
    },
}

/// At most this many extension headers are followed: a bound on work, not of the RFC.
const MAX_HEADERS: usize = 8;

/// Follow the extension headers of a payload up to the upper layer or the first fragment header.
///
/// > RFC 8200 section 4.1: IPv6 nodes must accept and attempt to process extension headers in any order and occurring
/// > any number of times in the same packet, except for the Hop-by-Hop Options header, which is restricted to appear
/// > immediately after an IPv6 header only.
pub fn follow_extensions(first: u8, payload: &[u8]) -> Result<Upper, ExtensionError> {
    use ExtensionError::{Discard, ParameterProblem};
    let mut next = first;
    let mut at = 0;
    let mut named_at = None;
    for count in 0..=MAX_HEADERS {
        match next {
            0 | 60 => {
                if next == 0 && count > 0 {
                    let pointer = named_at.unwrap_or(0);
                    return Err(ParameterProblem { code: 1, pointer, unicast_only: false });
                }
                let len = extension_len(payload, at).map_err(Discard)?;
                check_options(payload, at + 2, at + len)?;
                named_at = Some(at);
                next = payload[at];
                at += len;
            }
            43 => {
                let len = extension_len(payload, at).map_err(Discard)?;
                // RFC 8200 section 4.4: If Segments Left is zero, the node must ignore the Routing header [...]. If it is
                // non-zero, the node must discard the packet and send an ICMP Parameter Problem, Code 0 [...] to the
                // packet's Source Address, pointing to the unrecognized Routing Type.
                if payload[at + 3] != 0 {
                    return Err(ParameterProblem { code: 0, pointer: at + 2, unicast_only: false });
                }
                named_at = Some(at);
                next = payload[at];
                at += len;
            }
            protocol::IPV6_FRAGMENT => {
                let fragment = FragmentHeader::parse(payload.get(at..).unwrap_or(&[])).map_err(Discard)?;
                return Ok(Upper {
                    protocol: fragment.next_header,
                    offset: at + FragmentHeader::LEN,
                    fragment: Some(fragment),
                    before_fragment: named_at,
                });
            }
            upper => {
                return Ok(Upper { protocol: upper, offset: at, fragment: None, before_fragment: named_at });
            }
        }
    }
    Err(Discard(Malformed::Option))
}

fn extension_len(payload: &[u8], at: usize) -> Result<usize, Malformed> {
    let len = payload.get(at + 1).map_or(usize::MAX, |&l| (usize::from(l) + 1) * 8);
    if payload.len() < at || payload.len() - at < len { Err(Malformed::Truncated) } else { Ok(len) }
}

/// RFC 8200 section 4.2: the two highest bits of an unrecognised option's type say what to do.
fn check_options(payload: &[u8], mut at: usize, end: usize) -> Result<(), ExtensionError> {
    while at < end {
        let kind = payload[at];
        if kind == 0 {
            at += 1; // Pad1
            continue;
        }
        let Some(&len) = payload.get(at + 1).filter(|_| at + 1 < end) else {
            return Err(ExtensionError::Discard(Malformed::Option));
        };
        let next = at + 2 + usize::from(len);
        if next > end {
            return Err(ExtensionError::Discard(Malformed::Option));
        }
        // PadN (1), router alert (5) and anything marked "skip over" (00).
        match kind >> 6 {
            0 => {}
            1 => return Err(ExtensionError::Discard(Malformed::Option)),
            action => {
                return Err(ExtensionError::ParameterProblem {
                    code: 2,
                    pointer: at,
                    unicast_only: action == 3,
                });
            }
        }
        at = next;
    }
    Ok(())
}
