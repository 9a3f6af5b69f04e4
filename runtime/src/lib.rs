//! hemi: an async runtime in which all I/O is a queue.

pub mod queues;

pub use hemi_queue::{Buf, Error, Pop, Push, Result, Sga};
pub use queues::memory::{Queue, queue, queue_unbounded};
