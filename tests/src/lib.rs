//! Whole-system tests of hemi: worlds, suites over real devices, misuse.

pub mod suite;
