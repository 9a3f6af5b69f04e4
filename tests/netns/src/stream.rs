//! Bytes that both sides of a transfer can make: each position has its own, so that nothing lost, doubled or moved goes unseen.

/// The bytes from position `at` on.
pub(crate) fn fill(seed: u64, at: u64, out: &mut [u8]) {
    let mut done = 0;
    while done < out.len() {
        let from = at + done as u64;
        let word = &word_at(seed, from / 8)[(from % 8) as usize..];
        let n = word.len().min(out.len() - done);
        out[done..done + n].copy_from_slice(&word[..n]);
        done += n;
    }
}

/// Whether `bytes` are those from position `at` on; if not, the first position that is wrong.
pub(crate) fn check(seed: u64, at: u64, bytes: &[u8]) -> Result<(), u64> {
    let mut right = vec![0; bytes.len()];
    fill(seed, at, &mut right);
    if right == bytes {
        return Ok(());
    }
    let wrong = right.iter().zip(bytes).position(|(a, b)| a != b).unwrap_or_default();
    Err(at + wrong as u64)
}

/// The finalizer of splitmix64.
fn word_at(seed: u64, number: u64) -> [u8; 8] {
    let mut z = (seed ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_cut_gives_the_same_bytes_and_a_change_is_seen() {
        let mut whole = [0; 100];
        fill(7, 1000, &mut whole);
        for cut in 0..100 {
            assert_eq!(check(7, 1000, &whole[..cut]), Ok(()));
            assert_eq!(check(7, 1000 + cut as u64, &whole[cut..]), Ok(()));
        }
        whole[42] ^= 1;
        assert_eq!(check(7, 1000, &whole), Err(1042));
    }
}
