//! ICMP for IPv4 (RFC 792, RFC 1122 section 3.2.2, RFC 1191).

use super::{Malformed, checksum::Sum, prefix};

/// What an ICMP message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpV4 {
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
    /// A datagram could not be delivered; it is quoted behind the header.
    Unreachable {
        /// Why: see the constants of [`unreachable`](mod@unreachable).
        code: u8,
        /// With [`FRAGMENTATION_NEEDED`](mod@unreachable), the next hop's MTU (RFC 1191), 0 from an old router.
        mtu: u16,
    },
    /// Hops or reassembly time ran out; the datagram is quoted.
    TimeExceeded {
        /// 0 in transit, 1 in reassembly.
        code: u8,
    },
    /// A header field was wrong; the datagram is quoted.
    ParameterProblem {
        /// 0: `pointer` is the offset of the octet in error.
        code: u8,
        /// Offset.
        pointer: u8,
    },
    /// Another type.
    Other {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
}

/// Codes of [`IcmpV4::Unreachable`].
pub mod unreachable {
    /// Network.
    pub const NET: u8 = 0;
    /// Host.
    pub const HOST: u8 = 1;
    /// Protocol.
    pub const PROTOCOL: u8 = 2;
    /// Port.
    pub const PORT: u8 = 3;
    /// Too large, and DF is set.
    pub const FRAGMENTATION_NEEDED: u8 = 4;
    /// The source route can't be followed.
    pub const SOURCE_ROUTE_FAILED: u8 = 5;
    /// Communication administratively prohibited.
    pub const PROHIBITED: u8 = 13;
}

impl IcmpV4 {
    /// The type of a Redirect: a gateway tells of a better one, and quotes the packet.
    pub const REDIRECT: u8 = 5;

    /// Bytes of header; the quote or the echo's data follows.
    pub const LEN: usize = 8;

    /// The message that `bytes`, a whole IP payload, carry. The checksum is verified.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let &[kind, code, _, _, a, b, c, d] = prefix::<8>(bytes)?;
        if !Sum::new().bytes(bytes).is_intact() {
            return Err(Malformed::Checksum);
        }
        let (ident, seq) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        Ok(match kind {
            0 if code == 0 => Self::EchoReply { ident, seq },
            8 if code == 0 => Self::EchoRequest { ident, seq },
            3 => Self::Unreachable { code, mtu: seq },
            11 => Self::TimeExceeded { code },
            12 => Self::ParameterProblem { code, pointer: a },
            _ => Self::Other { kind, code },
        })
    }

    /// Write the header for a message with `body` behind it.
    pub fn emit(&self, out: &mut [u8; Self::LEN], body: Sum) {
        let (kind, code, rest): (u8, u8, [u8; 4]) = match *self {
            Self::EchoReply { ident, seq } => (0, 0, pair(ident, seq)),
            Self::EchoRequest { ident, seq } => (8, 0, pair(ident, seq)),
            Self::Unreachable { code, mtu } => (3, code, pair(0, mtu)),
            Self::TimeExceeded { code } => (11, code, [0; 4]),
            Self::ParameterProblem { code, pointer } => (12, code, [pointer, 0, 0, 0]),
            Self::Other { kind, code } => (kind, code, [0; 4]),
        };
        *out = [kind, code, 0, 0, rest[0], rest[1], rest[2], rest[3]];
        // `body` starts at an even offset and the header is of even length, so it can be summed last.
        let sum = body.even().bytes(out).finish();
        out[2..4].copy_from_slice(&sum.to_be_bytes());
    }

    /// Whether it reports an error about a datagram that it quotes.
    pub fn is_error(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::TimeExceeded { .. }
                | Self::ParameterProblem { .. }
                | Self::Other { kind: 4 | 5, .. }
        )
    }
}

fn pair(a: u16, b: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (a.to_be_bytes(), b.to_be_bytes());
    [a, b, c, d]
}
