//! The byte stream that every connection carries: periodic, with a period that no batch size divides,
//! so that a lost, doubled or reordered message shows as a difference.

use super::MESSAGE;

/// Messages until the stream repeats: prime.
const PERIOD: usize = 61 * MESSAGE;
/// The longest slice that can be asked for.
pub const LONGEST: usize = 64 * 1024;

/// The stream, laid out so that any slice of it is contiguous.
pub struct Pattern {
    bytes: Vec<u8>,
}

impl Pattern {
    /// Computes the bytes once.
    pub fn new() -> Self {
        let bytes = (0..PERIOD + LONGEST).map(|i| {
            let at = (i % PERIOD) as u32;
            (at.wrapping_mul(0x9e37_79b1) >> 24) as u8
        });
        Self { bytes: bytes.collect() }
    }

    /// `len` bytes of the stream from `offset` on; at most [`LONGEST`].
    pub fn slice(&self, offset: u64, len: usize) -> &[u8] {
        let at = (offset % PERIOD as u64) as usize;
        &self.bytes[at..at + len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_messages_differ() {
        let pattern = Pattern::new();
        for message in 0..61 {
            let at = message * MESSAGE as u64;
            assert_ne!(pattern.slice(at, MESSAGE), pattern.slice(at + MESSAGE as u64, MESSAGE));
        }
    }

    #[test]
    fn slices_agree_with_the_stream() {
        let pattern = Pattern::new();
        let long = pattern.slice(1_000, LONGEST);
        assert_eq!(&long[5_000..5_100], pattern.slice(6_000, 100));
        assert_eq!(pattern.slice(7, 50), pattern.slice(7 + 3 * PERIOD as u64, 50));
    }
}
