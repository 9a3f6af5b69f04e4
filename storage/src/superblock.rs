//! [`Superblock`]: what the log is. Two copies; the newest whole one counts.

use hemi_queue::crc;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U16, U32, U64},
};

use crate::{FormatError, Geometry, Lsn};

const MAGIC: [u8; 8] = *b"hemi-log";
const VERSION: u16 = 2;
/// Bytes of the superblock in its block.
pub(crate) const SUPERBLOCK: usize = 80;

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
    tail: U64,
    epoch: U32,
    zero_too: U64,
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
    /// Records below it were durable when this was written: what is found less of is damage, not a torn tail.
    pub tail: Lsn,
    /// Counts the openings for writing. Every record carries the epoch that wrote it.
    pub epoch: u32,
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
            tail: self.tail.0.into(),
            epoch: self.epoch.into(),
            zero_too: 0.into(),
            crc: 0.into(),
        };
        layout.crc = crc::crc32c(&layout.as_bytes()[..SUPERBLOCK - 4]).into();
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
        if layout.crc.get() != crc::crc32c(&layout.as_bytes()[..SUPERBLOCK - 4]) {
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
            tail: Lsn(layout.tail.get()),
            epoch: layout.epoch.get(),
        })
    }

    /// The copy that counts, of the two, and which one it is (0 or 1): the whole one with the higher generation.
    pub fn choose(first: &[u8], second: &[u8]) -> Result<(Self, usize), FormatError> {
        match (Self::decode(first), Self::decode(second)) {
            (Ok(a), Ok(b)) => Ok(if b.generation > a.generation { (b, 1) } else { (a, 0) }),
            (Ok(a), Err(_)) => Ok((a, 0)),
            (Err(_), Ok(b)) => Ok((b, 1)),
            // The more telling of the two errors: anything tells more than "not a log".
            (Err(FormatError::NotALog), Err(e)) | (Err(e), Err(_)) => Err(e),
        }
    }

    /// The same from the first [`DATA_START`](crate::DATA_START) bytes of a device, whose block size is not known: where the
    /// copy lies is told by the first one, and where that is damaged by the copy itself.
    pub fn find(area: &[u8]) -> Result<(Self, usize), FormatError> {
        let at = |offset: usize| area.get(offset..).unwrap_or_default();
        if let Ok(first) = Self::decode(area) {
            return Self::choose(area, at(first.geometry.block() as usize));
        }
        let mut best = Self::choose(area, &[]);
        for shift in 9..16 {
            let offset = 1 << shift;
            match Self::decode(at(offset)) {
                Ok(copy) if copy.geometry.block() as usize == offset => return Ok((copy, 1)),
                Ok(_) | Err(FormatError::NotALog) => {}
                Err(e) => best = best.or(Err(e)),
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn superblock(generation: u64) -> Superblock {
        let geometry = Geometry::new(4096, 1 << 20).unwrap();
        Superblock {
            geometry,
            salt: 0x0123_4567_89ab_cdef,
            generation,
            head: Lsn(7),
            created: 99,
            tail: Lsn(8),
            epoch: 3,
        }
    }

    #[test]
    fn the_newest_whole_copy_counts() {
        let (old, new) = (superblock(4).encode(), superblock(5).encode());
        assert_eq!(Superblock::choose(&old, &new).map(|(s, n)| (s.generation, n)), Ok((5, 1)));
        assert_eq!(Superblock::choose(&new, &old).map(|(s, n)| (s.generation, n)), Ok((5, 0)));
        let mut torn = new;
        torn[33] ^= 1;
        assert_eq!(Superblock::choose(&old, &torn).map(|(s, n)| (s.generation, n)), Ok((4, 0)));
        assert_eq!(Superblock::choose(&torn, &torn), Err(FormatError::SuperblockDamaged));
        assert_eq!(Superblock::choose(&[0; 80], &torn), Err(FormatError::SuperblockDamaged));
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
        let crc = crc::crc32c(&bytes[..76]);
        bytes[76..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(Superblock::decode(&bytes), Err(FormatError::Version { found: 9, known: 2 }));
    }

    #[test]
    fn the_copy_is_found_without_the_first() {
        let mut area = vec![0; 64 << 10];
        area[..80].copy_from_slice(&superblock(7).encode());
        area[4096..4176].copy_from_slice(&superblock(8).encode());
        assert_eq!(Superblock::find(&area).map(|(s, n)| (s.generation, n)), Ok((8, 1)));
        area[..100].fill(0xff);
        assert_eq!(Superblock::find(&area).map(|(s, n)| (s.generation, n)), Ok((8, 1)));
        area[4110] ^= 1;
        assert_eq!(Superblock::find(&area), Err(FormatError::SuperblockDamaged));
        assert_eq!(Superblock::find(&[]), Err(FormatError::NotALog));
    }
}
