//! ICMPv6 (RFC 4443). Neighbour discovery messages have their own file, [`ndp`](super::ndp).

use super::{Malformed, checksum::Sum, prefix};

/// What an ICMPv6 message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpV6 {
    /// A datagram could not be delivered; it is quoted.
    Unreachable {
        /// Why: 0 no route, 1 prohibited, 3 address, 4 port.
        code: u8,
    },
    /// The datagram was larger than the next link's MTU.
    PacketTooBig {
        /// That MTU.
        mtu: u32,
    },
    /// Hops or reassembly time ran out.
    TimeExceeded {
        /// 0 in transit, 1 in reassembly.
        code: u8,
    },
    /// A header field was wrong.
    ParameterProblem {
        /// 0 erroneous field, 1 unrecognised next header, 2 unrecognised option.
        code: u8,
        /// Offset of the octet in error.
        pointer: u32,
    },
    /// Answer this.
    EchoRequest {
        /// Identifier.
        ident: u16,
        /// Sequence number.
        seq: u16,
    },
    /// An answer.
    EchoReply {
        /// Identifier.
        ident: u16,
        /// Sequence number.
        seq: u16,
    },
    /// Another type: neighbour discovery (133 to 137), multicast listener discovery, unknown.
    Other {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
}

/// Codes of [`IcmpV6::Unreachable`].
pub mod unreachable {
    /// No route to the destination.
    pub const NO_ROUTE: u8 = 0;
    /// The address does not answer.
    pub const ADDRESS: u8 = 3;
    /// Nobody listens on the port.
    pub const PORT: u8 = 4;
}

impl IcmpV6 {
    /// Bytes of header.
    pub const LEN: usize = 8;

    /// The message that `bytes`, a whole upper-layer payload, carry; `pseudo` is the pseudo-header's sum.
    pub fn parse(bytes: &[u8], pseudo: Sum) -> Result<Self, Malformed> {
        let &[kind, code, _, _, a, b, c, d] = prefix::<8>(bytes)?;
        if !pseudo.bytes(bytes).is_intact() {
            return Err(Malformed::Checksum);
        }
        let (ident, seq) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let word = u32::from_be_bytes([a, b, c, d]);
        Ok(match kind {
            1 => Self::Unreachable { code },
            2 => Self::PacketTooBig { mtu: word },
            3 => Self::TimeExceeded { code },
            4 => Self::ParameterProblem { code, pointer: word },
            128 if code == 0 => Self::EchoRequest { ident, seq },
            129 if code == 0 => Self::EchoReply { ident, seq },
            _ => Self::Other { kind, code },
        })
    }

    /// Write the header for a message with `body` behind it (summed from the pseudo-header on).
    pub fn emit(&self, out: &mut [u8; Self::LEN], pseudo_and_body: Sum) {
        let (kind, code, rest): (u8, u8, [u8; 4]) = match *self {
            Self::Unreachable { code } => (1, code, [0; 4]),
            Self::PacketTooBig { mtu } => (2, 0, mtu.to_be_bytes()),
            Self::TimeExceeded { code } => (3, code, [0; 4]),
            Self::ParameterProblem { code, pointer } => (4, code, pointer.to_be_bytes()),
            Self::EchoRequest { ident, seq } => (128, 0, pair(ident, seq)),
            Self::EchoReply { ident, seq } => (129, 0, pair(ident, seq)),
            Self::Other { kind, code } => (kind, code, [0; 4]),
        };
        *out = [kind, code, 0, 0, rest[0], rest[1], rest[2], rest[3]];
        let sum = pseudo_and_body.even().bytes(out).finish();
        out[2..4].copy_from_slice(&sum.to_be_bytes());
    }

    /// Whether it reports an error (RFC 4443 section 2.1: types 0 to 127).
    pub fn is_error(&self) -> bool {
        match self {
            Self::Other { kind, .. } => *kind < 128,
            Self::EchoRequest { .. } | Self::EchoReply { .. } => false,
            _ => true,
        }
    }
}

fn pair(a: u16, b: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (a.to_be_bytes(), b.to_be_bytes());
    [a, b, c, d]
}
