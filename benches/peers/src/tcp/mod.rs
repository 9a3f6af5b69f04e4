//! The TCP rows: one load generator for every echo server, each in a process pinned to a core of its
//! own, so that no runtime's threads or allocator state meet another's.

pub mod floor;
pub mod load;
pub mod pattern;

/// Bytes per message.
pub const MESSAGE: usize = 64;
