//! [`RegionDescriptor`]: memory of one process that another may reach by itself.

use std::fmt;

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    big_endian::{U32, U64},
};

use crate::Remote;

/// What may be done with a region from afar. Any combination.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Rights(u8);

impl Rights {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// RDMA READ.
    pub const READ: Self = Self(1);
    /// RDMA WRITE.
    pub const WRITE: Self = Self(2);
    /// Fetch-and-add, compare-and-swap.
    pub const ATOMIC: Self = Self(4);
    /// All of them.
    pub const ALL: Self = Self(7);

    /// These and those.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` are among them.
    pub const fn allow(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [(Self::READ, "read"), (Self::WRITE, "write"), (Self::ATOMIC, "atomic")];
        f.debug_set()
            .entries(names.into_iter().filter(|(r, _)| self.allow(*r)).map(|(_, name)| name))
            .finish()
    }
}

/// Names a region to another process: where it is, how long, under which key, and what is allowed.
///
/// It is a capability: whoever has it, and a connection of the owner's, can reach the memory, until the owner withdraws it. How it is told
/// (in a unit, mostly) is the application's.
///
/// ```
/// use hemi_rdma::{RegionDescriptor, Rights};
/// let region = RegionDescriptor { address: 0x7f00_0000_0000, length: 4096, key: 7, rights: Rights::READ };
/// let told = region.encode();
/// assert_eq!(RegionDescriptor::parse(&told), Ok(region));
///
/// assert!(region.at(4000, 96, Rights::READ).is_ok());
/// assert!(region.at(4000, 97, Rights::READ).unwrap_err().to_string().contains("outside"));
/// assert!(region.at(0, 8, Rights::ATOMIC).unwrap_err().to_string().contains("atomic"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionDescriptor {
    /// Its first byte, in the owner's address space.
    pub address: u64,
    /// Bytes.
    pub length: u64,
    /// The key of its registration.
    pub key: u32,
    /// What is allowed.
    pub rights: Rights,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Layout {
    magic: [u8; 4],
    version: u8,
    rights: u8,
    reserved: [u8; 2],
    key: U32,
    address: U64,
    length: U64,
}

const MAGIC: [u8; 4] = *b"hmRG";

impl RegionDescriptor {
    /// Bytes of an encoded descriptor.
    pub const LEN: usize = size_of::<Layout>();

    /// To be told to the peer.
    pub fn encode(&self) -> [u8; Self::LEN] {
        zerocopy::transmute!(Layout {
            magic: MAGIC,
            version: 1,
            rights: self.rights.0,
            reserved: [0; 2],
            key: self.key.into(),
            address: self.address.into(),
            length: self.length.into(),
        })
    }

    /// As it was told.
    ///
    /// # Errors
    /// [`RegionError::NotOne`] for anything that is not exactly a descriptor, or describes what cannot be.
    pub fn parse(bytes: &[u8]) -> Result<Self, RegionError> {
        let layout = Layout::ref_from_bytes(bytes).map_err(|_| RegionError::NotOne)?;
        let region = Self {
            address: layout.address.get(),
            length: layout.length.get(),
            key: layout.key.get(),
            rights: Rights(layout.rights),
        };
        let known = layout.magic == MAGIC && layout.version == 1 && layout.reserved == [0; 2];
        let possible = region.address.checked_add(region.length).is_some() && layout.rights <= Rights::ALL.0;
        if known && possible { Ok(region) } else { Err(RegionError::NotOne) }
    }

    /// Where `length` bytes at `offset` are, for an operation that needs `rights`.
    ///
    /// # Errors
    /// What is not allowed, before anything is posted: a violation found by the peer's device would end the connection.
    pub fn at(&self, offset: u64, length: u64, rights: Rights) -> Result<Remote, RegionError> {
        if !self.rights.allow(rights) {
            return Err(RegionError::Rights { needed: rights, allowed: self.rights });
        }
        let outside = RegionError::Outside { offset, length, region: self.length };
        if offset.checked_add(length).ok_or(outside)? > self.length {
            return Err(outside);
        }
        let address = self.address.checked_add(offset).ok_or(outside)?;
        Ok(Remote { address, key: self.key })
    }

    /// The word at `offset`, for an atomic operation.
    ///
    /// # Errors
    /// As [`at`](Self::at); and [`RegionError::Unaligned`].
    pub fn word(&self, offset: u64) -> Result<Remote, RegionError> {
        let remote = self.at(offset, 8, Rights::ATOMIC)?;
        if remote.address % 8 != 0 { Err(RegionError::Unaligned { offset }) } else { Ok(remote) }
    }
}

/// Why a region was not reached for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegionError {
    /// The bytes are not a region descriptor of this version.
    #[error("these bytes are not a region descriptor of this version")]
    NotOne,
    /// Outside of the region.
    #[error("{length} bytes at offset {offset} are outside of the region of {region} bytes")]
    Outside {
        /// Where.
        offset: u64,
        /// How much.
        length: u64,
        /// Bytes of the region.
        region: u64,
    },
    /// The owner does not allow this.
    #[error("the region's owner allows {allowed:?}, and this needs {needed:?}")]
    Rights {
        /// What the operation needs.
        needed: Rights,
        /// What the region allows.
        allowed: Rights,
    },
    /// An atomic operation on a word that is not aligned to 8 bytes.
    #[error("the word at offset {offset} is not aligned to 8 bytes, as atomic operations need it")]
    Unaligned {
        /// Where.
        offset: u64,
    },
    /// Too many one-sided operations are outstanding.
    #[error("{limit} one-sided operations are outstanding; take some of their results first")]
    Busy {
        /// How many there may be.
        limit: usize,
    },
    /// More bytes than one operation moves.
    #[error("one operation moves at most {limit} bytes, not {length}; use several")]
    TooLong {
        /// How much.
        length: u64,
        /// The most.
        limit: u64,
    },
    /// The connection is closing or closed.
    #[error("the connection is closed")]
    Closed,
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGION: RegionDescriptor =
        RegionDescriptor { address: 0x1000, length: 64, key: 0x0102_0304, rights: Rights::ALL };

    #[test]
    fn the_layout_is_this_one() {
        let wanted = b"hmRG\x01\x07\0\0\x01\x02\x03\x04\0\0\0\0\0\0\x10\0\0\0\0\0\0\0\0\x40";
        assert_eq!(REGION.encode(), *wanted);
        for at in 0..8 {
            let mut bytes = REGION.encode();
            bytes[at] ^= 0x80;
            assert_eq!(RegionDescriptor::parse(&bytes), Err(RegionError::NotOne), "byte {at}");
        }
        assert_eq!(RegionDescriptor::parse(&REGION.encode()[1..]), Err(RegionError::NotOne));
        let wraps = RegionDescriptor { address: u64::MAX, ..REGION };
        assert_eq!(RegionDescriptor::parse(&wraps.encode()), Err(RegionError::NotOne));
    }

    #[test]
    fn bounds_rights_and_alignment_are_checked() {
        assert_eq!(REGION.at(60, 4, Rights::READ), Ok(Remote { address: 0x103c, key: 0x0102_0304 }));
        assert_eq!(REGION.at(64, 0, Rights::WRITE), Ok(Remote { address: 0x1040, key: 0x0102_0304 }));
        for (offset, length) in [(61, 4), (65, 0), (u64::MAX, 1), (1, u64::MAX), (0, 65)] {
            let error = REGION.at(offset, length, Rights::READ).unwrap_err();
            assert_eq!(error, RegionError::Outside { offset, length, region: 64 });
        }
        assert_eq!(REGION.word(56).map(|r| r.address), Ok(0x1038));
        assert_eq!(REGION.word(4), Err(RegionError::Unaligned { offset: 4 }));
        assert!(matches!(REGION.word(57), Err(RegionError::Outside { .. })));
        let read_only = RegionDescriptor { rights: Rights::READ, ..REGION };
        let error = read_only.at(0, 1, Rights::WRITE).unwrap_err();
        assert!(error.to_string().contains(r#"allows {"read"}, and this needs {"write"}"#), "{error}");
        assert!(Rights::READ.and(Rights::WRITE).allow(Rights::WRITE) && Rights::ALL.allow(Rights::NONE));
    }
}
