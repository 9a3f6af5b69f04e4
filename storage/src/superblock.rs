//! [`Superblock`]: what the log is. Two copies; the newest whole one counts.

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U16, U32, U64},
};

use crate::{FormatError, Geometry, Lsn};

const MAGIC: [u8; 8] = *b"hemi-log";
const VERSION: u16 = 1;
/// Bytes of the superblock in its block.
pub(crate) const SUPERBLOCK: usize = 64;

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Layout {
    magic: [u8; 8],
    version: U16,
    block_shift: u8,
    zero: [u8; 5],
    segment: U64,
    salt: U64,
    generation: U64,
    head: U64,
    created: U64,
    zero_too: U32,
    crc: U32,
}

/// What a log is: its sizes, its salt, its head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// Block and segment size.
    pub geometry: Geometry,
    /// Random per log: what another log has left on the device never passes for this one's.
    pub salt: u64,
    /// Counts the writes of the superblock.
    pub generation: u64,
    /// Records below it were truncated.
    pub head: Lsn,
    /// Nanoseconds since the Unix epoch.
    pub created: u64,
}

impl Superblock {
    /// The bytes at the start of either superblock's block; the rest of the block is zero.
    pub fn encode(&self) -> [u8; SUPERBLOCK] {
        let mut layout = Layout {
            magic: MAGIC,
            version: VERSION.into(),
            block_shift: self.geometry.block_shift(),
            zero: [0; 5],
            segment: self.geometry.segment().into(),
            salt: self.salt.into(),
            generation: self.generation.into(),
            head: self.head.0.into(),
            created: self.created.into(),
            zero_too: 0.into(),
            crc: 0.into(),
        };
        layout.crc = crc32c::crc32c(&layout.as_bytes()[..SUPERBLOCK - 4]).into();
        let mut bytes = [0; SUPERBLOCK];
        bytes.copy_from_slice(layout.as_bytes());
        bytes
    }

    /// Read one copy.
    ///
    /// # Errors
    /// [`FormatError::NotALog`] without the magic, [`FormatError::SuperblockDamaged`] with a bad checksum,
    /// [`FormatError::Version`] for another version, [`FormatError::Impossible`] for what this crate never writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let (layout, _) = Layout::ref_from_prefix(bytes).map_err(|_| FormatError::NotALog)?;
        if layout.magic != MAGIC {
            return Err(FormatError::NotALog);
        }
        if layout.crc.get() != crc32c::crc32c(&layout.as_bytes()[..SUPERBLOCK - 4]) {
            return Err(FormatError::SuperblockDamaged);
        }
        if layout.version.get() != VERSION {
            return Err(FormatError::Version { found: layout.version.get(), known: VERSION });
        }
        let block = 1_u32.checked_shl(layout.block_shift.into()).unwrap_or(0);
        let geometry = Geometry::new(block, layout.segment.get())
            .map_err(|_| FormatError::Impossible { what: "sizes that do not fit together" })?;
        Ok(Self {
            geometry,
            salt: layout.salt.get(),
            generation: layout.generation.get(),
            head: Lsn(layout.head.get()),
            created: layout.created.get(),
        })
    }

    /// The copy that counts, of the two.
    pub fn choose(first: &[u8], second: &[u8]) -> Result<Self, FormatError> {
        match (Self::decode(first), Self::decode(second)) {
            (Ok(a), Ok(b)) => Ok(if b.generation > a.generation { b } else { a }),
            (Ok(one), Err(_)) | (Err(_), Ok(one)) => Ok(one),
            // The more telling of the two errors: anything tells more than "not a log".
            (Err(FormatError::NotALog), Err(e)) | (Err(e), Err(_)) => Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn superblock(generation: u64) -> Superblock {
        let geometry = Geometry::new(4096, 1 << 20).unwrap();
        Superblock { geometry, salt: 0x0123_4567_89ab_cdef, generation, head: Lsn(7), created: 99 }
    }

    #[test]
    fn the_newest_whole_copy_counts() {
        let (old, new) = (superblock(4).encode(), superblock(5).encode());
        assert_eq!(Superblock::choose(&old, &new).unwrap().generation, 5);
        assert_eq!(Superblock::choose(&new, &old).unwrap().generation, 5);
        let mut torn = new;
        torn[33] ^= 1;
        assert_eq!(Superblock::choose(&old, &torn).unwrap().generation, 4);
        assert_eq!(Superblock::choose(&torn, &torn), Err(FormatError::SuperblockDamaged));
        assert_eq!(Superblock::choose(&[0; 64], &torn), Err(FormatError::SuperblockDamaged));
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let good = superblock(1).encode();
        for bit in 0..SUPERBLOCK * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Superblock::decode(&bad).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn foreign_and_short_bytes_are_not_a_log() {
        assert_eq!(Superblock::decode(b"short"), Err(FormatError::NotALog));
        assert_eq!(Superblock::choose(&[0; 4096], &[0xff; 4096]), Err(FormatError::NotALog));
    }

    #[test]
    fn another_version_says_so() {
        let mut bytes = superblock(1).encode();
        bytes[8] = 9;
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(Superblock::decode(&bytes), Err(FormatError::Version { found: 9, known: 1 }));
    }
}
