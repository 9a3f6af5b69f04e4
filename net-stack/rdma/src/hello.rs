//! What two ends tell each other before the first unit: the connection manager's private data.
//!
//! ```text
//!   connect ── Hello ──►  accept ── Hello ──►      or      reject ── Refusal ──►
//! ```
//!
//! `rdma_cm` carries 56 bytes of private data in a connection request (92 of the REQ, less its own 36 byte header), 196 in
//! the reply and 148 in a reject, and pads what it is given with zeros: so lengths are ours to tell, and bytes behind
//! ours mean nothing.

use std::fmt;

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    big_endian::{U16, U32, U64},
};

/// The first bytes of every private data of ours.
const MAGIC: [u8; 4] = *b"hemi";

/// The version of the protocol that this crate speaks. Ends of different versions do not connect.
pub const VERSION: u8 = 1;

/// The fewest receive buffers that one end must have for the other: less than this has no room for control messages beside units
/// (see the crate docs on credits).
pub const MIN_WINDOW: u16 = 8;

/// The most: far below half of the sixteen bits in which limits are counted.
pub const MAX_WINDOW: u16 = 4096;

/// The smallest receive buffer, in bytes: every control message fits.
pub const MIN_BUFFER: u32 = 256;

/// One end's side of the handshake: what it can receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// How many receive buffers it has for this connection, [`MIN_WINDOW`] to [`MAX_WINDOW`].
    pub window: u16,
    /// How many of them are posted: the credits that the other end begins with. At most the window.
    pub credits: u16,
    /// The size of each in bytes, at least [`MIN_BUFFER`]: the longest message.
    pub buffer: u32,
    /// It would rather read units of this many bytes or more out of the sender's memory than get them in pieces. `u32::MAX`: it never reads.
    pub rendezvous_from: u32,
    /// The largest unit that it takes, in bytes.
    pub largest_unit: u64,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Layout {
    magic: [u8; 4],
    version: u8,
    reserved: u8,
    window: U16,
    credits: U16,
    reserved_too: [u8; 2],
    buffer: U32,
    rendezvous_from: U32,
    largest_unit: U64,
}

impl Hello {
    /// Bytes of private data.
    pub const LEN: usize = size_of::<Layout>();

    /// As private data.
    pub fn encode(&self) -> [u8; Self::LEN] {
        zerocopy::transmute!(Layout {
            magic: MAGIC,
            version: VERSION,
            reserved: 0,
            window: self.window.into(),
            credits: self.credits.into(),
            reserved_too: [0; 2],
            buffer: self.buffer.into(),
            rendezvous_from: self.rendezvous_from.into(),
            largest_unit: self.largest_unit.into(),
        })
    }

    /// From private data, and what comes behind it.
    ///
    /// ```
    /// use hemi_rdma::{Hello, Refusal};
    /// let hello = Hello { window: 32, credits: 32, buffer: 16 << 10, rendezvous_from: 20_000, largest_unit: 1 << 30 };
    /// let mut private_data = [0; 56]; // rdma_cm pads
    /// private_data[..Hello::LEN].copy_from_slice(&hello.encode());
    /// assert_eq!(Hello::parse(&private_data), Ok(hello));
    ///
    /// private_data[4] = 7;
    /// assert_eq!(Hello::parse(&private_data), Err(Refusal::Version { theirs: 7 }));
    /// ```
    ///
    /// # Errors
    /// Why the connection must be refused: the private data of the reject.
    pub fn parse(private_data: &[u8]) -> Result<Self, Refusal> {
        let (layout, _) = Layout::ref_from_prefix(private_data).map_err(|_| Refusal::NotHemi)?;
        if layout.magic != MAGIC {
            return Err(Refusal::NotHemi);
        }
        if layout.version != VERSION {
            return Err(Refusal::Version { theirs: layout.version });
        }
        let hello = Self {
            window: layout.window.get(),
            credits: layout.credits.get(),
            buffer: layout.buffer.get(),
            rendezvous_from: layout.rendezvous_from.get(),
            largest_unit: layout.largest_unit.get(),
        };
        if !(MIN_WINDOW..=MAX_WINDOW).contains(&hello.window) || hello.credits > hello.window {
            return Err(Refusal::Window { theirs: hello.window });
        }
        if hello.buffer < MIN_BUFFER {
            return Err(Refusal::Buffer { theirs: hello.buffer });
        }
        Ok(hello)
    }
}

/// Why a connection is refused: made by the accepting end, told by its reject's private data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The private data is not hemi's.
    NotHemi,
    /// The other end speaks another version.
    Version {
        /// The version that the refused end speaks.
        theirs: u8,
    },
    /// A window outside of [`MIN_WINDOW`] to [`MAX_WINDOW`], or below the credits.
    Window {
        /// What was asked for.
        theirs: u16,
    },
    /// Receive buffers below [`MIN_BUFFER`].
    Buffer {
        /// Their size.
        theirs: u32,
    },
    /// The accepting end has no receive buffers left for another connection.
    NoBuffers,
    /// The accepting end has as many connections waiting to be accepted as it may.
    Backlog,
    /// The accepting end is closing.
    Closing,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RefusalLayout {
    magic: [u8; 4],
    /// Of the end that refuses.
    version: u8,
    code: u8,
    reserved: [u8; 2],
    detail: U32,
}

impl Refusal {
    /// Bytes of private data.
    pub const LEN: usize = size_of::<RefusalLayout>();

    /// As private data of a reject.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let (code, detail) = match *self {
            Self::NotHemi => (1, 0),
            Self::Version { theirs } => (2, theirs.into()),
            Self::Window { theirs } => (3, theirs.into()),
            Self::Buffer { theirs } => (4, theirs),
            Self::NoBuffers => (5, 0),
            Self::Backlog => (6, 0),
            Self::Closing => (7, 0),
        };
        zerocopy::transmute!(RefusalLayout {
            magic: MAGIC,
            version: VERSION,
            code,
            reserved: [0; 2],
            detail: detail.into(),
        })
    }

    /// From private data of a reject; `None` when it is not ours (nobody listens there, or another program does).
    pub fn parse(private_data: &[u8]) -> Option<Self> {
        let (layout, _) = RefusalLayout::ref_from_prefix(private_data).ok()?;
        if layout.magic != MAGIC {
            return None;
        }
        let detail = layout.detail.get();
        Some(match layout.code {
            1 => Self::NotHemi,
            2 => Self::Version { theirs: detail as u8 },
            3 => Self::Window { theirs: detail as u16 },
            4 => Self::Buffer { theirs: detail },
            5 => Self::NoBuffers,
            6 => Self::Backlog,
            7 => Self::Closing,
            // A code of a later version: that it refuses is what we can tell.
            _ => Self::Version { theirs: VERSION },
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHemi => {
                f.write_str("the private data is not hemi's: both ends must be hemi programs on `rdma:`")
            }
            Self::Version { theirs } => {
                write!(f, "the ends speak different versions of the protocol ({theirs} and not {VERSION})")
            }
            Self::Window { theirs } => {
                write!(f, "a window of {theirs} receive buffers is not within {MIN_WINDOW} to {MAX_WINDOW}")
            }
            Self::Buffer { theirs } => {
                write!(f, "receive buffers of {theirs} bytes are below the least of {MIN_BUFFER}")
            }
            Self::NoBuffers => f.write_str(
                "the listener has no receive buffers left for another connection; give it more, or fewer to each",
            ),
            Self::Backlog => f.write_str("too many connections wait to be accepted"),
            Self::Closing => f.write_str("the listener is closing"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: Hello = Hello {
        window: 32,
        credits: 31,
        buffer: 16384,
        rendezvous_from: 16385,
        largest_unit: 0x0102_0304_0506_0708,
    };

    #[test]
    fn the_layout_is_this_one() {
        let wanted = b"hemi\x01\0\0\x20\0\x1f\0\0\0\0\x40\0\0\0\x40\x01\x01\x02\x03\x04\x05\x06\x07\x08";
        assert_eq!(HELLO.encode(), *wanted);
        const { assert!(Hello::LEN <= 56 && Refusal::LEN <= 148, "what rdma_cm carries") };
        assert_eq!(Refusal::Buffer { theirs: 16 }.encode(), *b"hemi\x01\x04\0\0\0\0\0\x10");
    }

    #[test]
    fn what_is_not_a_hello_is_refused_and_says_why() {
        let with = |at: usize, byte: u8| {
            let mut bytes = HELLO.encode();
            bytes[at] = byte;
            Hello::parse(&bytes)
        };
        assert_eq!(with(5, 99), Ok(HELLO), "reserved bytes are for later");
        assert_eq!(with(0, b'H'), Err(Refusal::NotHemi));
        assert_eq!(with(4, 2), Err(Refusal::Version { theirs: 2 }));
        assert_eq!(with(7, 7), Err(Refusal::Window { theirs: 7 }));
        assert_eq!(with(6, 0xff), Err(Refusal::Window { theirs: 0xff20 }));
        assert_eq!(with(9, 33), Err(Refusal::Window { theirs: 32 }), "more credits than window");
        assert_eq!(with(14, 0), Err(Refusal::Buffer { theirs: 0 }));
        for short in 0..Hello::LEN {
            assert_eq!(Hello::parse(&HELLO.encode()[..short]), Err(Refusal::NotHemi));
        }
    }

    #[test]
    fn a_refusal_arrives_as_it_was_meant() {
        let all = [
            Refusal::NotHemi,
            Refusal::Version { theirs: 9 },
            Refusal::Window { theirs: 65535 },
            Refusal::Buffer { theirs: 1 },
            Refusal::NoBuffers,
            Refusal::Backlog,
            Refusal::Closing,
        ];
        for refusal in all {
            let mut padded = [0; 148];
            padded[..Refusal::LEN].copy_from_slice(&refusal.encode());
            assert_eq!(Refusal::parse(&padded), Some(refusal));
            assert!(refusal.to_string().len() > 20);
        }
        assert_eq!((Refusal::parse(b""), Refusal::parse(&[0; 148])), (None, None));
    }
}
