//! hemi: an async runtime in which all I/O is a queue.

pub mod framing;
#[cfg(test)]
mod scripted;
