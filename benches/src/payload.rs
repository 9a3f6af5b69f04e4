//! The bytes that travel, so chosen that a lost, doubled, reordered or damaged message is noticed.
//!
//! Every connection carries one periodic stream; the period is prime, so no message size divides it
//! and equal-looking neighbours do not occur. A byte at offset `n` of the stream is a function of `n`
//! alone: checking needs no memory of what was sent.

/// Bytes until the stream repeats.
const PERIOD: usize = 65_521;
/// The longest slice that can be asked for at once.
pub const LONGEST: usize = 64 * 1024;

/// The stream, laid out so that any slice of up to [`LONGEST`] bytes is contiguous.
#[derive(Debug)]
pub struct Payload {
    bytes: Vec<u8>,
}

impl Payload {
    /// Computes one period and what overlaps its end.
    pub fn new() -> Self {
        let byte = |i: usize| (((i % PERIOD) as u32).wrapping_mul(0x9e37_79b1) >> 24) as u8;
        Self { bytes: (0..PERIOD + LONGEST).map(byte).collect() }
    }

    /// `len` bytes (at most [`LONGEST`]) of the stream, from `offset` on.
    pub fn slice(&self, offset: u64, len: usize) -> &[u8] {
        let at = (offset % PERIOD as u64) as usize;
        &self.bytes[at..at + len]
    }

    /// Where `bytes`, which arrived at `offset`, first differ from the stream.
    pub fn first_difference(&self, offset: u64, bytes: &[u8]) -> Option<u64> {
        let mut at = offset;
        for chunk in bytes.chunks(LONGEST) {
            let due = self.slice(at, chunk.len());
            if chunk != due {
                let wrong = chunk.iter().zip(due).position(|(a, b)| a != b).unwrap_or(0);
                return Some(at + wrong as u64);
            }
            at += chunk.len() as u64;
        }
        None
    }
}

impl Default for Payload {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_agree_with_the_stream() {
        let payload = Payload::new();
        let long = payload.slice(1_000, LONGEST);
        assert_eq!(&long[5_000..5_100], payload.slice(6_000, 100));
        assert_eq!(payload.slice(7, 50), payload.slice(7 + 3 * PERIOD as u64, 50));
    }

    #[test]
    fn a_message_moved_by_its_own_length_is_noticed() {
        let payload = Payload::new();
        for size in [8, 64, 1_000, 16_384] {
            for message in 0..100u64 {
                let (here, next) = (message * size, (message + 1) * size);
                let bytes = payload.slice(next, size as usize);
                assert!(payload.first_difference(here, bytes).is_some(), "size {size}, message {message}");
            }
        }
    }

    #[test]
    fn the_first_wrong_byte_is_named() {
        let payload = Payload::new();
        let mut bytes = payload.slice(123, 1_000).to_vec();
        assert_eq!(payload.first_difference(123, &bytes), None);
        bytes[77] ^= 0x10;
        assert_eq!(payload.first_difference(123, &bytes), Some(200));
    }
}
