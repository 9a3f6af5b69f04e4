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

/// What is too short for blocks: words of eight bytes into 128 bits, which is an addition and one with carry for each.
#[inline]
fn short(mut bytes: &[u8]) -> u64 {
    let mut sum = 0_u128;
    while let Some((block, rest)) = bytes.split_first_chunk::<32>() {
        sum += word(block, 0) + word(block, 8) + word(block, 16) + word(block, 24);
        bytes = rest;
    }
    // What is left, by powers of two: all but the last piece of a message are multiples of four.
    if let Some((block, rest)) = bytes.split_first_chunk::<16>() {
        sum += word(block, 0) + word(block, 8);
        bytes = rest;
    }
    if let Some((block, rest)) = bytes.split_first_chunk::<8>() {
        sum += word(block, 0);
        bytes = rest;
    }
    if !bytes.is_empty() {
        sum += u128::from(tail(bytes));
    }
    end_around(sum as u64, (sum >> 64) as u64)
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

/// Lanes of 64 bits, without carries between them: each adds up its words modulo 2^64, and beside them their upper halves, of which
/// there is no overflow. What is missing of the one the other tells.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
#[allow(clippy::cast_ptr_alignment)] // loads and stores for any alignment
fn vectors(blocks: &[Block]) -> u64 {
    use std::arch::x86_64::{
        __m256i, _mm256_add_epi64, _mm256_loadu_si256, _mm256_setzero_si256, _mm256_slli_epi64,
        _mm256_srli_epi64, _mm256_storeu_si256, _mm256_sub_epi64,
    };
    let (mut sums, mut uppers) = ([_mm256_setzero_si256(); 4], [_mm256_setzero_si256(); 4]);
    for block in blocks {
        let (quarters, _) = block.as_chunks::<32>();
        for (quarter, (sum, upper)) in quarters.iter().zip(sums.iter_mut().zip(&mut uppers)) {
            // SAFETY: 32 bytes, of any alignment.
            let words = unsafe { _mm256_loadu_si256(quarter.as_ptr().cast::<__m256i>()) };
            *sum = _mm256_add_epi64(*sum, words);
            *upper = _mm256_add_epi64(*upper, _mm256_srli_epi64::<32>(words));
        }
    }
    let all = |v: [__m256i; 4]| _mm256_add_epi64(_mm256_add_epi64(v[0], v[1]), _mm256_add_epi64(v[2], v[3]));
    let (sum, upper) = (all(sums), all(uppers));
    // Σ word = 2^32 Σ upper + Σ lower, and 2^32 leaves 1.
    let total = _mm256_add_epi64(_mm256_sub_epi64(sum, _mm256_slli_epi64::<32>(upper)), upper);
    let mut lanes = [0_u64; 4];
    // SAFETY: 32 bytes, of any alignment.
    unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast::<__m256i>(), total) };
    lanes.iter().sum()
}

/// Words of 64 bits, in two chains that do not wait for each other.
fn words(blocks: &[Block]) -> u64 {
    let (mut even, mut odd) = (0_u128, 0_u128);
    for block in blocks {
        for at in (0..size_of::<Block>()).step_by(16) {
            even += word(block, at);
            odd += word(block, at + 8);
        }
    }
    let sum = even + odd;
    end_around(sum as u64, (sum >> 64) as u64)
}

/// Eight bytes of a block.
#[inline(always)]
fn word<const N: usize>(block: &[u8; N], at: usize) -> u128 {
    u128::from(u64::from_ne_bytes(std::array::from_fn(|i| block[at + i])))
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
