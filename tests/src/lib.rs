//! Whole-system tests of hemi: worlds, suites over real devices, misuse.

pub mod suite;

/// The README's program compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
