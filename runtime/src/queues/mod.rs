//! The queue types: in memory, TCP, UDP, Unix, and the portable ones.

pub mod memory;
