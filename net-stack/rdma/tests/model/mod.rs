//! Two devices, queue pairs between them, programs on both: everything that a network card and a scheduler may do with a
//! [`Connection`](hemi_rdma::Connection), by dice.
//!
//! `duo.rs` is one connection without dice, for tests that read as a trace. `device.rs` is the device and its driver, `program.rs` who pushes and pops, `world.rs` puts them together and asks in the end
//! what must hold.

#![allow(unreachable_pub, dead_code, unused_imports)] // several test programs include it, and each needs a part

mod device;
mod duo;
mod program;
mod world;

pub use device::{Device, State, transmit};
pub use duo::Duo;
pub use program::{Leaving, Program, unit_bytes};
pub use world::{Plan, Trouble, World};

/// Random numbers from a seed (splitmix64).
#[derive(Clone, Debug)]
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In `0..n`; 0 when `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    /// Once in `n`.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}
