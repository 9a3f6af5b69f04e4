//! Sizes: blocks, segments, and where segment slots lie.

use crate::FormatError;

/// Where segment slots begin, whatever the block size.
pub const DATA_START: u64 = 64 << 10;

/// Slots that commands can be told apart by.
const MOST_SLOTS: u64 = 1 << 24;

/// The sizes of one log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    block_shift: u8,
    segment: u64,
}

impl Geometry {
    /// Blocks of `block` bytes (a power of two, 512 to 32,768) and segments of `segment` bytes (a multiple of the block,
    /// at least four of them, at most 4 GiB - one block).
    pub fn new(block: u32, segment: u64) -> Result<Self, FormatError> {
        let wrong = |why| Err(FormatError::Geometry { block, segment, why });
        if !block.is_power_of_two() || !(512..=32_768).contains(&block) {
            return wrong("a block is a power of two from 512 to 32768");
        }
        if !segment.is_multiple_of(u64::from(block)) || segment < 4 * u64::from(block) {
            return wrong("a segment is a multiple of the block, and at least four blocks");
        }
        if segment > (1 << 32) - u64::from(block) {
            return wrong("a segment is smaller than 4 GiB");
        }
        Ok(Self { block_shift: block.trailing_zeros() as u8, segment })
    }

    /// Bytes per block.
    pub fn block(self) -> u64 {
        1 << self.block_shift
    }

    /// The block size's logarithm.
    pub(crate) fn block_shift(self) -> u8 {
        self.block_shift
    }

    /// Bytes per segment.
    pub fn segment(self) -> u64 {
        self.segment
    }

    /// The offset of segment slot `slot` in the file or device.
    pub fn slot_offset(self, slot: u64) -> u64 {
        DATA_START + slot * self.segment
    }

    /// How many segment slots `len` bytes have room for: at most 2^24, what is behind them is not used.
    pub fn slots_in(self, len: u64) -> u64 {
        (len.saturating_sub(DATA_START) / self.segment).min(MOST_SLOTS)
    }

    /// `offset` rounded up to a block boundary.
    pub(crate) fn round_up(self, offset: u64) -> u64 {
        // A power of two: no division.
        (offset + (self.block() - 1)) & !(self.block() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::command::{Commands, Owner};

    #[test]
    fn every_slot_has_its_own_number_in_a_command() {
        let geometry = Geometry::new(512, 2048).unwrap();
        assert_eq!(geometry.slots_in(geometry.slot_offset(9)), 9);
        let last = geometry.slots_in(1 << 60) as u32 - 1;
        let id = Commands::default().push(Owner::Discard(last), crate::Command::Flush);
        assert_eq!(Owner::of(id), Some(Owner::Discard(last)));
    }
}
