//! The storage log, sans-IO: what the bytes mean, how they are laid out, and how a log is recovered from them.
//!
//! A log is a queue on a device: records with log sequence numbers ([`Lsn`]), appended in batches that are made durable
//! together. This crate knows no file, no device, no clock and no executor; drivers read and write what it says. The
//! format is in `storage/FORMAT.md`, to the byte.
//!
//! | what | where |
//! |---|---|
//! | [`Log`]: the engine: group commit, order, segments, readers | `log/` |
//! | [`Opening`]: creating a log, and recovery | `log/opening.rs` |
//! | [`BlockDevice`]: what a driver is | `device.rs` |
//! | [`Zoned`]: a device of zones as one | `zoned/` |
//! | [`Superblock`]: what the log is, twice | `superblock.rs` |
//! | [`SegmentHeader`]: one stretch of it | `segment.rs` |
//! | [`RecordHeader`]: one unit, or a fragment of one | `record.rs` |
//! | [`Appender`]: units to bytes | `append.rs` |
//! | [`Walker`]: bytes to records, and where the log ends | `walk.rs` |
//! | [`index`]: segments in order | `index.rs` |
//!
//! It deliberately leaves out: waiting, and telling tasks. That is the runtime's (`hemi::storage`).

#![forbid(unsafe_code)]

mod append;
mod device;
mod error;
mod geometry;
pub mod index;
mod log;
mod quantity;
mod record;
mod segment;
mod superblock;
mod walk;
mod zoned;

pub use append::{Appender, Filled};
pub use device::{BlockDevice, Command, CommandId, DeviceCaps, Done};
pub use error::{FormatError, LogError};
pub use geometry::{DATA_START, Geometry};
pub use log::{CursorId, Cut, Log, LogConfig, NewLog, OpenMode, Opening, Popped, Record, Recovery, Stats};
pub use quantity::{ByteSize, Delay};
pub use record::{Lsn, RecordHeader, RecordKind};
pub use segment::SegmentHeader;
pub use superblock::Superblock;
pub use walk::{Ending, Step, Survivors, Walker};
pub use zoned::{LEAST_ZONES, ZoneCaps, ZoneCommand, ZoneDevice, ZoneDone, Zoned};
