//! UDP (RFC 768).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, network_endian::U16};

use super::{Malformed, checksum::Sum};

/// A UDP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpHeader {
    /// Source port; 0 when the sender wants no answer.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Bytes of payload.
    pub payload_len: u16,
    /// As it stands on the wire; 0 means "none".
    pub checksum: u16,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Raw {
    src_port: U16,
    dst_port: U16,
    len: U16,
    checksum: U16,
}

impl UdpHeader {
    /// Bytes on the wire.
    pub const LEN: usize = 8;

    /// The header at the front of `datagram`, which is the IP payload. The checksum is not looked at: see
    /// [`verify`](Self::verify).
    #[inline]
    pub fn parse(datagram: &[u8]) -> Result<Self, Malformed> {
        let (raw, rest) = Raw::ref_from_prefix(datagram).map_err(|_| Malformed::Truncated)?;
        let len = usize::from(raw.len.get());
        if len < Self::LEN || len - Self::LEN > rest.len() {
            return Err(Malformed::Length);
        }
        // RFC 768 "Fields": destination port. Port 0 is reserved (RFC 6335) and can't be bound.
        if raw.dst_port.get() == 0 {
            return Err(Malformed::Field);
        }
        Ok(Self {
            src_port: raw.src_port.get(),
            dst_port: raw.dst_port.get(),
            payload_len: (len - Self::LEN) as u16,
            checksum: raw.checksum.get(),
        })
    }

    /// Whether the datagram is intact. `pseudo` is the sum of the pseudo-header; `v6` forbids the missing checksum.
    ///
    /// > RFC 768: An all zero transmitted checksum value means that the transmitter generated no checksum.
    /// >
    /// > RFC 8200 section 8.1: IPv6 receivers must discard UDP packets containing a zero checksum.
    #[inline]
    pub fn verify(&self, datagram: &[u8], pseudo: Sum, v6: bool) -> bool {
        if self.checksum == 0 {
            return !v6;
        }
        let len = Self::LEN + usize::from(self.payload_len);
        datagram.get(..len).is_some_and(|d| pseudo.bytes(d).is_intact())
    }

    /// Write it with `checksum` as it stands.
    #[inline]
    pub fn emit(&self, out: &mut [u8; Self::LEN]) {
        let raw = Raw {
            src_port: U16::new(self.src_port),
            dst_port: U16::new(self.dst_port),
            len: U16::new(Self::LEN as u16 + self.payload_len),
            checksum: U16::new(self.checksum),
        };
        out.copy_from_slice(raw.as_bytes());
    }

    /// A finished sum as it must be sent.
    ///
    /// > RFC 768: If the computed checksum is zero, it is transmitted as all ones.
    #[inline]
    pub fn checksum_to_send(sum: Sum) -> u16 {
        match sum.finish() {
            0 => 0xffff,
            sum => sum,
        }
    }
}
