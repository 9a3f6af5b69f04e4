//! Why bytes are not a log.

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
    #[error("both superblocks are damaged (bad checksum); records may be intact, read them with `logcat`")]
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
    /// A unit that no log can hold.
    #[error("a unit of {got} bytes is over the log's limit of {limit}")]
    UnitTooLarge {
        /// Its length.
        got: u64,
        /// The limit.
        limit: u64,
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
