//! ARP for IPv4 over Ethernet (RFC 826).

use std::net::Ipv4Addr;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, network_endian::U16};

use super::{MacAddr, Malformed};

/// What an ARP packet does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Who has the target address?
    Request,
    /// The sender has its address.
    Reply,
}

/// An ARP packet for IPv4 over Ethernet; other hardware and protocols are [`Malformed::Field`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArpPacket {
    /// Request or reply.
    pub operation: Operation,
    /// Who sent it.
    pub sender_mac: MacAddr,
    /// Its IPv4 address; unspecified in a probe (RFC 5227).
    pub sender_ip: Ipv4Addr,
    /// Whom it is for; meaningless in a request.
    pub target_mac: MacAddr,
    /// The address asked for.
    pub target_ip: Ipv4Addr,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Raw {
    hardware: U16,
    protocol: U16,
    hardware_len: u8,
    protocol_len: u8,
    operation: U16,
    sender_mac: MacAddr,
    sender_ip: [u8; 4],
    target_mac: MacAddr,
    target_ip: [u8; 4],
}

impl ArpPacket {
    /// Bytes on the wire.
    pub const LEN: usize = 28;

    /// The packet at the front of `bytes` (Ethernet pads behind it).
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let (raw, _) = Raw::ref_from_prefix(bytes).map_err(|_| Malformed::Truncated)?;
        let supported = raw.hardware.get() == 1
            && raw.protocol.get() == 0x0800
            && raw.hardware_len == 6
            && raw.protocol_len == 4;
        let operation = match raw.operation.get() {
            1 if supported => Operation::Request,
            2 if supported => Operation::Reply,
            _ => return Err(Malformed::Field),
        };
        Ok(Self {
            operation,
            sender_mac: raw.sender_mac,
            sender_ip: raw.sender_ip.into(),
            target_mac: raw.target_mac,
            target_ip: raw.target_ip.into(),
        })
    }

    /// Write it.
    pub fn emit(&self, out: &mut [u8; Self::LEN]) {
        let raw = Raw {
            hardware: U16::new(1),
            protocol: U16::new(0x0800),
            hardware_len: 6,
            protocol_len: 4,
            operation: U16::new(if self.operation == Operation::Request { 1 } else { 2 }),
            sender_mac: self.sender_mac,
            sender_ip: self.sender_ip.octets(),
            target_mac: self.target_mac,
            target_ip: self.target_ip.octets(),
        };
        out.copy_from_slice(raw.as_bytes());
    }
}
