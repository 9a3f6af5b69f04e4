//! The log lab.
pub mod hemi;
