//! Why bytes are not a log, and why a log refuses.

use std::{io, sync::Arc};

use crate::Lsn;

/// What is wrong with bytes that should be part of a log, and what can be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// No `hemi-log` where it must be.
    #[error("not a hemi log: no superblock; check the path, or create a log here (nothing was overwritten)")]
    NotALog,
    /// A log of another version.
    #[error(
        "the log has format version {found}, this build reads version {known}; use a build that knows it"
    )]
    Version {
        /// The version found.
        found: u16,
        /// The version that this build knows.
        known: u16,
    },
    /// Both superblocks are damaged.
    #[error(
        "both superblocks are damaged (bad checksum); nothing was changed: restore the first 64 KiB from a copy"
    )]
    SuperblockDamaged,
    /// A superblock with a good checksum says something impossible.
    #[error("the superblock says {what}, which no log has; it was not written by hemi")]
    Impossible {
        /// What it says.
        what: &'static str,
    },
    /// Segments are missing between two that are there.
    #[error(
        "segment {missing} of the log is missing or its header is damaged; records from LSN {from} on are cut off"
    )]
    SegmentMissing {
        /// The first missing sequence.
        missing: u64,
        /// The first LSN that may be lost.
        from: u64,
    },
    /// Sizes that do not fit together.
    #[error("block size {block} and segment size {segment} do not fit: {why}")]
    Geometry {
        /// The block size asked for.
        block: u32,
        /// The segment size asked for.
        segment: u64,
        /// What would.
        why: &'static str,
    },
}

/// Why a log cannot be opened, or refuses what it is asked for.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The bytes are no log that this build can use.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The device failed while the log was being opened or read; nothing was written.
    #[error("{what}: {source}")]
    Device {
        /// What was attempted.
        what: &'static str,
        /// The device's answer.
        source: Arc<io::Error>,
    },
    /// A write or a flush failed. Whether it reached the device cannot be known, and a second flush that succeeds proves nothing
    /// (the kernel may have dropped the pages): so nothing after it is ever acknowledged.
    #[error(
        "{what} failed ({source}): records below LSN {durable} are durable, what was pushed after them may be lost; \
         mend the device, then close this log and open it again: recovery finds what is whole"
    )]
    Poisoned {
        /// What failed.
        what: &'static str,
        /// The device's answer.
        source: Arc<io::Error>,
        /// Below it, everything is durable.
        durable: Lsn,
    },
    /// Records that were acknowledged are missing or damaged.
    #[error(
        "records from LSN {from} on were acknowledged and are damaged ({whole_behind} whole ones lie behind the damage); \
         nothing was changed: read the rest with `logcat`, then open with `cut=true` to give up what is behind, \
         for good with the next push"
    )]
    Damaged {
        /// The first damaged one.
        from: Lsn,
        /// Below it were the records that had been acknowledged.
        acknowledged: Lsn,
        /// How many whole ones were found behind.
        whole_behind: u64,
    },
    /// Records in the middle of the log cannot be read; reading goes on behind them.
    #[error("records {from} to {to} (not included) are damaged; reading goes on at {to}")]
    Unreadable {
        /// The first damaged one.
        from: Lsn,
        /// Where reading goes on.
        to: Lsn,
    },
    /// A log is here already, or something else is.
    #[error(
        "{what} is here already: nothing was overwritten; open it, choose another place, or create with `overwrite=true`"
    )]
    NotEmpty {
        /// What was found.
        what: &'static str,
    },
    /// The device is smaller than a log must be.
    #[error("{len} bytes are too few for a log with these segments: {needed} or more are needed")]
    TooSmall {
        /// Its length.
        len: u64,
        /// What is needed.
        needed: u64,
    },
    /// The device's sectors are larger than the log's blocks.
    #[error(
        "the log has blocks of {block} bytes, the device writes {sector} at least; copy the log to another device"
    )]
    Sector {
        /// The log's block.
        block: u64,
        /// The device's sector.
        sector: u32,
    },
    /// Opened for reading only.
    #[error("the log is open for reading only: {why}")]
    ReadOnly {
        /// Why, and what to do.
        why: &'static str,
    },
    /// All segments are in use.
    #[error(
        "the log is full: {segments} segments of {segment} bytes are in use{}; truncate_head gives space back", 
        .cause.as_ref().map(|e| format!(" and the device does not grow ({e})")).unwrap_or_default()
    )]
    Full {
        /// How many segments.
        segments: u64,
        /// Their size.
        segment: u64,
        /// Why there are no more.
        cause: Option<Arc<io::Error>>,
    },
    /// Too many bytes wait to be written.
    #[error("{waiting} bytes wait to be written already; wait for pushes to complete")]
    Busy {
        /// How many.
        waiting: usize,
    },
    /// A unit that the log cannot hold.
    #[error("a unit of {got} bytes is over the log's limit of {limit}; raise `unit=` or push smaller units")]
    UnitTooLarge {
        /// Its length.
        got: u64,
        /// The limit.
        limit: u64,
    },
    /// What the reader wanted is not there any more.
    #[error("record {wanted} was truncated: the log begins at {head}, where reading goes on")]
    Truncated {
        /// What was wanted.
        wanted: Lsn,
        /// Where the log begins.
        head: Lsn,
    },
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}

impl LogError {
    pub(crate) fn device(what: &'static str, error: io::Error) -> Self {
        Self::Device { what, source: Arc::new(error) }
    }
}

impl From<LogError> for hemi_queue::Error {
    fn from(error: LogError) -> Self {
        match error {
            LogError::UnitTooLarge { got, limit } => Self::UnitTooLarge { got, limit },
            LogError::Busy { .. } => Self::Busy,
            LogError::Closed => Self::Closed,
            other => Self::Other(Box::new(other)),
        }
    }
}
