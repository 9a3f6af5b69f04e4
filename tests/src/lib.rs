//! Whole-system tests of hemi: worlds, suites over real devices, misuse.
//!
//! | what a test needs | where |
//! |---|---|
//! | the portable suite, run on any transport | [`suite`] |
//! | hosts on one simulated network, in virtual time, from many seeds | [`network`] |
//! | a runtime on each backend of the kernel's sockets | [`kernels`] |
//! | plain `std` sockets as the peers, threads that do not know hemi | [`foreign`] |
//! | to wait for something that has no future | [`until`](mod@until) |
//! | a process of its own, for what belongs to a process: limits, descriptors, signals, the log | [`alone`](mod@alone) |
//! | an example as a program beside the test | [`guest`] |
//! | how much is held: descriptors, memory | [`meter`] |
#![forbid(unsafe_code)]

pub mod alone;
pub mod foreign;
pub mod guest;
pub mod kernels;
pub mod network;
pub mod suite;
pub mod until;

pub use hemi_meter::process as meter;
pub use until::until;

/// The README's program compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
