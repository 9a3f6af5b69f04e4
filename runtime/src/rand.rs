//! Random numbers from the runtime's seed: the same in every run of a simulation with the same seed.
//!
//! Not for secrets: ports, initial sequence numbers and keys come from the operating system.

use std::hash::{BuildHasher, RandomState};

use crate::context;

/// xoshiro256++ (Blackman and Vigna, 2019), seeded through SplitMix64.
#[derive(Clone, Debug)]
pub struct Rng([u64; 4]);

impl Rng {
    /// The generator of `seed`.
    pub fn new(seed: u64) -> Self {
        let mut state = seed;
        Self([(); 4].map(|()| split_mix(&mut state)))
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        let s = &mut self.0;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// A number below `bound`, each equally likely (Lemire's multiplication); 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        loop {
            let product = u128::from(self.next_u64()) * u128::from(bound);
            let low = product as u64;
            if low >= bound || low >= bound.wrapping_neg() % bound.max(1) {
                return (product >> 64) as u64;
            }
        }
    }
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A seed that differs from run to run.
pub(crate) fn fresh_seed() -> u64 {
    RandomState::new().hash_one(0_u8)
}

/// The seed of core `index` of a program with `seed`.
pub(crate) fn core_seed(seed: u64, index: usize) -> u64 {
    let mut state = seed ^ (index as u64).wrapping_mul(0xd134_2543_de82_ef95);
    split_mix(&mut state)
}

/// 64 random bits from the generator of this thread's runtime.
///
/// ```
/// let draw = |seed| hemi::Runtime::builder().simulated(seed).build()?.try_block_on(async { hemi::rand::u64() });
/// assert_eq!(draw(7)?, draw(7)?);
/// # Ok::<(), hemi::Error>(())
/// ```
///
/// # Panics
/// When no runtime runs on this thread.
pub fn u64() -> u64 {
    with(Rng::next_u64)
}

/// A number below `bound` from the generator of this thread's runtime; 0 when `bound` is 0.
///
/// # Panics
/// When no runtime runs on this thread.
pub fn below(bound: u64) -> u64 {
    with(|rng| rng.below(bound))
}

fn with<R>(f: impl FnOnce(&mut Rng) -> R) -> R {
    context::with(|core| f(&mut core.rng.borrow_mut())).unwrap_or_else(|e| panic!("hemi::rand: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_first_outputs() {
        // SplitMix64 from seed 0, as in the authors' reference.
        let mut state = 0;
        assert_eq!(split_mix(&mut state), 0xe220_a839_7b1d_cdaf);
        assert_eq!(split_mix(&mut state), 0x6e78_9e6a_a1b9_65f4);
    }

    #[test]
    fn below_is_below_and_reaches_everything() {
        let mut rng = Rng::new(3);
        let mut seen = [false; 7];
        for _ in 0..1000 {
            seen[rng.below(7) as usize] = true;
        }
        assert_eq!(seen, [true; 7]);
        assert_eq!(rng.below(0), 0);
        assert_eq!(rng.below(1), 0);
    }
}
