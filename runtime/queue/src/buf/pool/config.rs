//! What a pool is told and what it answers: its configuration, its errors, its statistics.

/// One size class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassConfig {
    /// Bytes per buffer; rounded up to a multiple of 64.
    pub size: usize,
}

/// How a pool is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// Size classes, in any order, at most 16 different ones. Default: 256 B, 2 KiB, 16 KiB, 64 KiB.
    pub classes: Vec<ClassConfig>,
    /// The most memory the pool maps, in bytes. Every class is sure of a share of it. Default: 256 MiB.
    pub limit: usize,
    /// How much is mapped at a time, in bytes, rounded up to 2 MiB; less where the limit leaves less. Default: 2 MiB.
    pub region: usize,
}

impl Default for PoolConfig {
    fn default() -> Self {
        let classes = [256, 2048, 16 << 10, 64 << 10].map(|size| ClassConfig { size }).to_vec();
        Self { classes, limit: 256 << 20, region: 2 << 20 }
    }
}

/// Why a buffer was not to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AllocError {
    /// Larger than the largest class: take several ([`Pool::copy_from`](super::Pool::copy_from)) or configure a
    /// larger class.
    #[error(
        "a buffer of {wanted} bytes is larger than the pool's largest class ({largest}); use several buffers"
    )]
    TooLarge {
        /// Bytes asked for.
        wanted: usize,
        /// The largest class.
        largest: usize,
    },
    /// Every buffer is in use and the pool is at its bound: wait with [`Pool::alloc`](super::Pool::alloc), or drop some.
    #[error("the buffer pool is drained (limit {limit} bytes); wait for a buffer or raise the limit")]
    Drained {
        /// The pool's bound in bytes.
        limit: usize,
    },
    /// The operating system gave no memory for another region.
    #[error("the system has no memory for another region of {bytes} bytes")]
    NoMemory {
        /// The region's size.
        bytes: usize,
    },
    /// A pool's limit has no room for one buffer of every class.
    #[error(
        "a pool limit of {limit} bytes has no room for one buffer of each class; raise it to {needed} or more"
    )]
    LimitTooSmall {
        /// The limit that was configured.
        limit: usize,
        /// The least that the classes need.
        needed: usize,
    },
}

/// What a pool holds, in bytes and buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PoolStats {
    /// Bytes mapped in regions by the pool itself; never over the limit.
    pub mapped: usize,
    /// Buffers with a count on this thread.
    pub in_use: usize,
    /// Buffers whose last counts are on other threads, or came home and were not yet [collected](super::Pool::collect).
    pub remote: usize,
    /// Allocations that found the pool drained.
    pub drained: u64,
}
