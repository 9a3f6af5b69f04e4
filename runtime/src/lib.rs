//! hemi: an async runtime in which all I/O is a queue.

#[doc(hidden)]
pub mod __macro_support;
pub mod framing;
