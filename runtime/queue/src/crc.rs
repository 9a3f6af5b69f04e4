//! CRC32C (Castagnoli), the checksum of log records: the processor's own instruction for short inputs, the crate `crc32c` for the rest.
//!
//! It is here and not in the log because the machine must be asked what it can, and told to trust the answer, which takes `unsafe`.
//! The crate runs three chains side by side from 768 bytes on, which nothing beats; below that it takes some four instructions per eight
//! bytes, where one and a quarter will do. A record of 256 bytes is 80 instructions here, and 200 there.

/// From this length on the crate's three chains are faster.
const LONG: usize = 768;

/// The CRC32C of `bytes`.
///
/// ```
/// assert_eq!(hemi_queue::crc::crc32c(b"123456789"), 0xe306_9283);
/// ```
#[inline]
pub fn crc32c(bytes: &[u8]) -> u32 {
    append(0, bytes)
}

/// The CRC32C of what `crc` is the sum of, followed by `bytes`.
///
/// ```
/// use hemi_queue::crc::{append, crc32c};
///
/// assert_eq!(append(crc32c(b"1234"), b"56789"), crc32c(b"123456789"));
/// ```
#[inline]
pub fn append(crc: u32, bytes: &[u8]) -> u32 {
    #[cfg(target_arch = "x86_64")]
    if bytes.len() < LONG && std::arch::is_x86_feature_detected!("sse4.2") {
        // SAFETY: the processor has what the function asks for.
        return unsafe { short(crc, bytes) };
    }
    crc32c::crc32c_append(crc, bytes)
}

/// One chain, without regard to alignment.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse4.2")]
fn short(crc: u32, bytes: &[u8]) -> u32 {
    use std::arch::x86_64::{_mm_crc32_u8, _mm_crc32_u32, _mm_crc32_u64};
    let mut sum = u64::from(!crc);
    let (blocks, rest) = bytes.as_chunks::<128>();
    for block in blocks {
        for word in block.as_chunks::<8>().0 {
            sum = _mm_crc32_u64(sum, u64::from_le_bytes(*word));
        }
    }
    let (blocks, rest) = rest.as_chunks::<32>();
    for block in blocks {
        for word in block.as_chunks::<8>().0 {
            sum = _mm_crc32_u64(sum, u64::from_le_bytes(*word));
        }
    }
    let (words, rest) = rest.as_chunks::<8>();
    for word in words {
        sum = _mm_crc32_u64(sum, u64::from_le_bytes(*word));
    }
    let mut sum = sum as u32;
    let (words, rest) = rest.as_chunks::<4>();
    for word in words {
        sum = _mm_crc32_u32(sum, u32::from_le_bytes(*word));
    }
    for byte in rest {
        sum = _mm_crc32_u8(sum, *byte);
    }
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bit by bit.
    fn plain(crc: u32, bytes: &[u8]) -> u32 {
        let bit = |crc: u32, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        !bytes.iter().fold(!crc, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), bit))
    }

    proptest::proptest! {
        #[test]
        fn every_length_and_place(
            crc: u32,
            bytes in proptest::collection::vec(0_u8.., 0..2000),
            from in 0_usize..70,
        ) {
            let bytes = &bytes[from.min(bytes.len())..];
            proptest::prop_assert_eq!(append(crc, bytes), plain(crc, bytes));
        }
    }

    /// RFC 3720, appendix B.4.
    #[test]
    fn the_examples_of_iscsi() {
        let up: Vec<u8> = (0..32).collect();
        let down: Vec<u8> = (0..32).rev().collect();
        for (bytes, crc) in [
            (vec![0; 32], 0x8a91_36aa),
            (vec![0xff; 32], 0x62a8_ab43),
            (up, 0x46dd_794e),
            (down, 0x113f_db5c),
        ] {
            assert_eq!(crc32c(&bytes), crc);
        }
    }

    #[test]
    fn where_the_ways_meet() {
        let bytes: Vec<u8> = (0..LONG + 9).map(|n| (n * 7) as u8).collect();
        for len in LONG - 9..LONG + 9 {
            assert_eq!(append(7, &bytes[..len]), plain(7, &bytes[..len]));
        }
    }
}
