//! The sum that the Internet checksum is folded from, over memory, as wide as the machine can.
//!
//! It is here and not in the network stack because the machine must be asked what it can, and told to trust the answer, which takes
//! `unsafe`; the stack has none. Folding, pseudo-headers and what to do with the result are the stack's.

/// Two cache lines.
type Block = [u8; 128];

/// The sum of `bytes` as words of memory order, padded with zeroes: a number that is congruent, modulo 2^16 - 1, to the
/// one's-complement sum of RFC 1071, and zero only if all bytes are. At most 4 GiB at a time.
///
/// ```
/// use hemi_queue::sum::memory_order;
///
/// let bytes: Vec<u8> = (0..1500).map(|i| i as u8).collect();
/// let words: u64 = bytes.chunks(2).map(|w| u64::from(u16::from_ne_bytes([w[0], w[1]]))).sum();
/// assert_eq!(memory_order(&bytes) % 0xffff, words % 0xffff);
/// ```
#[inline]
pub fn memory_order(bytes: &[u8]) -> u64 {
    if bytes.len() < size_of::<Block>() { short(bytes) } else { long(bytes) }
}

/// What is too short for blocks: pieces by powers of two, each at most once, and all but the last of a message without the odd ends.
#[inline(never)]
fn short(mut bytes: &[u8]) -> u64 {
    let mut sum = 0;
    if let Some((piece, rest)) = bytes.split_first_chunk::<64>() {
        sum = carried(sum, std::array::from_fn::<_, 8, _>(|i| word(piece, 8 * i)));
        bytes = rest;
    }
    if let Some((piece, rest)) = bytes.split_first_chunk::<32>() {
        sum = carried(sum, std::array::from_fn::<_, 4, _>(|i| word(piece, 8 * i)));
        bytes = rest;
    }
    if let Some((piece, rest)) = bytes.split_first_chunk::<16>() {
        sum = carried(sum, [word(piece, 0), word(piece, 8)]);
        bytes = rest;
    }
    if let Some((piece, rest)) = bytes.split_first_chunk::<8>() {
        sum = carried(sum, [word(piece, 0)]);
        bytes = rest;
    }
    if bytes.is_empty() { sum } else { end_around(sum, tail(bytes)) }
}

/// The sum of words of eight bytes each, as [`memory_order`] has it: each carry added to the next word, and the last one to the whole.
///
/// ```
/// use hemi_queue::sum::{memory_order, of_words};
///
/// let words = [u64::MAX, 7, u64::MAX, u64::MAX];
/// assert_eq!(of_words(words) % 0xffff, memory_order(&words.map(u64::to_ne_bytes).concat()) % 0xffff);
/// ```
#[inline(always)]
pub fn of_words<const N: usize>(words: [u64; N]) -> u64 {
    carried(0, words)
}

#[inline(always)]
fn carried<const N: usize>(mut sum: u64, words: [u64; N]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        let mut carry = 0;
        for word in words {
            carry = std::arch::x86_64::_addcarry_u64(carry, sum, word, &mut sum);
        }
        // After a carry at least one is missing of the most that a word holds: this has none.
        sum.wrapping_add(u64::from(carry))
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        words.into_iter().for_each(|word| sum = end_around(sum, word));
        sum
    }
}

#[inline(never)]
fn long(bytes: &[u8]) -> u64 {
    let (blocks, rest) = bytes.as_chunks();
    let sum = blocks_sum(blocks);
    if rest.is_empty() { sum } else { end_around(sum, short(rest)) }
}

#[inline]
fn blocks_sum(blocks: &[Block]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has what the function asks for.
        return unsafe { vectors(blocks) };
    }
    words(blocks)
}

/// Words of 16 bits, as signed ones that are 2^15 less, added up in pairs and in lanes of 32 bits: three instructions for 32 bytes.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
#[allow(clippy::cast_ptr_alignment)] // loads and stores for any alignment
fn vectors(blocks: &[Block]) -> u64 {
    use std::arch::x86_64::{
        __m256i, _mm256_add_epi32, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_set1_epi16,
        _mm256_setzero_si256, _mm256_storeu_si256, _mm256_xor_si256,
    };
    /// Blocks after which a lane, of which four are added, can't have overflown: each adds less than 2^17.
    const MOST: usize = 1 << 12;
    const WORDS: i64 = (size_of::<Block>() / 2) as i64;
    let (less, one) = (_mm256_set1_epi16(i16::MIN), _mm256_set1_epi16(1));
    let mut total = (blocks.len() as i64 * WORDS) << 15;
    for blocks in blocks.chunks(MOST) {
        let mut sums = [_mm256_setzero_si256(); 4];
        for block in blocks {
            let (quarters, _) = block.as_chunks::<32>();
            for (quarter, sum) in quarters.iter().zip(&mut sums) {
                // SAFETY: 32 bytes, of any alignment.
                let words = unsafe { _mm256_loadu_si256(quarter.as_ptr().cast::<__m256i>()) };
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(_mm256_xor_si256(words, less), one));
            }
        }
        let [a, b, c, d] = sums;
        let all = _mm256_add_epi32(_mm256_add_epi32(a, b), _mm256_add_epi32(c, d));
        let mut lanes = [0_i32; 8];
        // SAFETY: 32 bytes, of any alignment.
        unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast::<__m256i>(), all) };
        total += lanes.into_iter().map(i64::from).sum::<i64>();
    }
    total as u64
}

/// Words of 64 bits, in two chains that do not wait for each other.
fn words(blocks: &[Block]) -> u64 {
    let (mut even, mut odd) = (0_u128, 0_u128);
    for block in blocks {
        for at in (0..size_of::<Block>()).step_by(16) {
            even += u128::from(word(block, at));
            odd += u128::from(word(block, at + 8));
        }
    }
    let sum = even + odd;
    end_around(sum as u64, (sum >> 64) as u64)
}

/// Eight bytes of a block.
#[inline(always)]
fn word<const N: usize>(block: &[u8; N], at: usize) -> u64 {
    u64::from_ne_bytes(std::array::from_fn(|i| block[at + i]))
}

/// Fewer than eight bytes, padded with zeroes on the right.
#[inline]
fn tail(mut bytes: &[u8]) -> u64 {
    let mut sum = 0;
    if let Some((word, rest)) = bytes.split_first_chunk::<4>() {
        sum += u64::from(u32::from_ne_bytes(*word));
        bytes = rest;
    }
    match *bytes {
        [] => sum,
        [a] => sum + u64::from(u16::from_ne_bytes([a, 0])),
        [a, b] => sum + u64::from(u16::from_ne_bytes([a, b])),
        [a, b, c, ..] => sum + u64::from(u32::from_ne_bytes([a, b, c, 0])),
    }
}

#[inline]
fn end_around(a: u64, b: u64) -> u64 {
    let (sum, carry) = a.overflowing_add(b);
    sum + u64::from(carry)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 1071, word by word.
    fn plain(bytes: &[u8]) -> u64 {
        let pair = |w: &[u8]| u64::from(u16::from_ne_bytes([w[0], *w.get(1).unwrap_or(&0)]));
        bytes.chunks(2).map(pair).sum()
    }

    proptest::proptest! {
        #[test]
        fn every_length_and_place(bytes in proptest::collection::vec(0_u8.., 0..4000), from in 0_usize..130) {
            let bytes = &bytes[from.min(bytes.len())..];
            proptest::prop_assert_eq!(memory_order(bytes) % 0xffff, plain(bytes) % 0xffff);
            let (blocks, _) = bytes.as_chunks();
            proptest::prop_assert_eq!(words(blocks) % 0xffff, blocks_sum(blocks) % 0xffff);
        }
    }

    #[test]
    fn ones_and_zeroes() {
        for len in [0, 1, 127, 128, 129, 65_535, 1 << 20] {
            assert_eq!(memory_order(&vec![0; len]), 0);
            let ones = vec![0xff; len];
            assert_eq!(memory_order(&ones) % 0xffff, plain(&ones) % 0xffff);
            assert_eq!(memory_order(&ones) == 0, len == 0);
        }
    }
}
