//! The log lab: how fast is a durable append, against what `fio` gets out of the same device with the same pattern?
//!
//! | what | where |
//! |---|---|
//! | the rows and what is hoped for | [`rows`] |
//! | who appends: a [`Contestant`](contestant::Contestant); hemi is one, peers bring their own | [`contestant`], [`hemi`] |
//! | `fio` | [`fio`] |
//! | on a file, on a loop device | [`place`] |
//! | instructions, by callgrind | [`count`] |
//! | recovery of logs of any size | [`recovery`] |
//!
//! Samples of one row take turns (A B A B ...), a ratio is formed within each round, and the median over the rounds counts.
//! It leaves out plots and percentiles beyond the median.

pub mod cli;
pub mod contestant;
pub mod count;
pub mod fio;
pub mod hemi;
pub mod place;
pub mod recovery;
pub mod rows;
mod run;

pub use run::run;

/// What a part of the lab failed of.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
