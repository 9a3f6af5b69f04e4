//! How a test of hemi measures what is held and what is allocated.
//!
//! | question | where |
//! |---|---|
//! | Does an operation allocate, in steady state? | [`Counting`], [`Steady`] |
//! | How much does this process hold? | [`process`] |
//!
//! A dev-dependency of whoever needs it. Left out on purpose: time (tests have no timing in them), and bytes (one
//! allocation too many is a bug, whatever its size).

mod counting;
pub mod process;
mod steady;

pub use counting::{Counting, allocations};
pub use steady::{Steady, Verdict};
