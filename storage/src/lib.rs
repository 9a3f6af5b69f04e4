//! The storage log, sans-IO: what the bytes mean, how they are laid out, and how a log is recovered from them.
//!
//! A log is a queue on a device: records with log sequence numbers ([`Lsn`]), appended in batches that are made durable
//! together. This crate knows no file, no device, no clock and no executor; drivers read and write what it says. The
//! format is in `storage/FORMAT.md`, to the byte.
//!
//! | what | where |
//! |---|---|
//! | [`Superblock`]: what the log is, twice | `superblock.rs` |
//! | [`SegmentHeader`]: one stretch of it | `segment.rs` |
//! | [`RecordHeader`]: one unit, or a fragment of one | `record.rs` |
//! | [`Appender`]: units to bytes | `append.rs` |
//! | [`Walker`]: bytes to records, and where the log ends | `walk.rs` |
//! | [`index`]: segments in order | `index.rs` |
//!
//! It deliberately leaves out: when to flush, which slot to use next, readers and their cursors. Those are the log
//! driver's.

#![forbid(unsafe_code)]

mod append;
mod error;
mod geometry;
pub mod index;
mod record;
mod segment;
mod superblock;
mod walk;

pub use append::Appender;
pub use error::FormatError;
pub use geometry::Geometry;
pub use record::{Lsn, RecordHeader, RecordKind};
pub use segment::SegmentHeader;
pub use superblock::Superblock;
pub use walk::{Ending, Step, Walker};
