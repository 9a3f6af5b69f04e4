//! [`SegmentHeader`]: one stretch of the log.

use hemi_queue::crc;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U32, U64},
};

use crate::Lsn;

const MAGIC: [u8; 8] = *b"hemi-seg";
/// Bytes of a segment header in its block.
pub(crate) const SEGMENT_HEADER: usize = 56;

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Layout {
    magic: [u8; 8],
    salt: U64,
    sequence: U64,
    first: U64,
    continues: U32,
    epoch: U32,
    time: U64,
    zero: U32,
    crc: U32,
}

/// The first block of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// This is the n-th segment of the log's life, from 0.
    pub sequence: u64,
    /// The first record that begins here or later.
    pub first: Lsn,
    /// It opens with the rest of the record before `first`.
    pub continues: bool,
    /// Which opening of the log began it: no record in it has an earlier one, and no later segment does.
    pub epoch: u32,
    /// When it was begun, nanoseconds since the Unix epoch: no record in it is older.
    pub time: u64,
}

impl SegmentHeader {
    /// The bytes at the start of the segment's first block; the rest of the block is zero.
    pub fn encode(&self, salt: u64) -> [u8; SEGMENT_HEADER] {
        let mut layout = Layout {
            magic: MAGIC,
            salt: salt.into(),
            sequence: self.sequence.into(),
            first: self.first.0.into(),
            continues: u32::from(self.continues).into(),
            epoch: self.epoch.into(),
            time: self.time.into(),
            zero: 0.into(),
            crc: 0.into(),
        };
        layout.crc = crc::crc32c(&layout.as_bytes()[..SEGMENT_HEADER - 4]).into();
        let mut bytes = [0; SEGMENT_HEADER];
        bytes.copy_from_slice(layout.as_bytes());
        bytes
    }

    /// Read a segment's first block; `None` when it is not a segment of the log with this `salt`.
    pub fn decode(bytes: &[u8], salt: u64) -> Option<Self> {
        let (layout, _) = Layout::ref_from_prefix(bytes).ok()?;
        let whole = layout.crc.get() == crc::crc32c(&layout.as_bytes()[..SEGMENT_HEADER - 4]);
        if layout.magic != MAGIC || layout.salt.get() != salt || !whole {
            return None;
        }
        Some(Self {
            sequence: layout.sequence.get(),
            first: Lsn(layout.first.get()),
            continues: layout.continues.get() == 1,
            epoch: layout.epoch.get(),
            time: layout.time.get(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_another_log_or_damaged_it_is_nothing() {
        let header = SegmentHeader { sequence: 3, first: Lsn(40), continues: true, epoch: 2, time: 5 };
        let bytes = header.encode(11);
        assert_eq!(SegmentHeader::decode(&bytes, 11), Some(header));
        assert_eq!(SegmentHeader::decode(&bytes, 12), None);
        assert_eq!(SegmentHeader::decode(&bytes[..40], 11), None);
        for bit in 0..SEGMENT_HEADER * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&bad, 11), None, "bit {bit}");
        }
    }
}
