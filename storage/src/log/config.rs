//! What a log is told: [`LogConfig`]; and what opening one tells: [`Recovery`].

use crate::{FormatError, Geometry, Lsn, Survivors};

/// How a log works. What it *is* (sizes, salt) is in its superblock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// The largest unit, in bytes. Default: 16 MiB.
    pub unit_limit: usize,
    /// Bytes that wait to be written from which on a push waits; at twice as many it is refused. Default: 4 MiB.
    pub pending_limit: usize,
    /// A batch is written when it has so many bytes, even if others are being written. Default: 512 KiB.
    pub batch: usize,
    /// Writes in flight at a time. Default: 4.
    pub writes: usize,
    /// Bytes of the newest units that are kept in memory for readers at the tail. Default: 1 MiB.
    pub recent: usize,
    /// Chunks of 64 KiB that a reader reads ahead. Default: 8.
    pub read_ahead: usize,
    /// Refuse pushes when all segments are in use, rather than let them wait for a truncation. Default: false.
    pub fail_when_full: bool,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            unit_limit: 16 << 20,
            pending_limit: 4 << 20,
            batch: 512 << 10,
            writes: 4,
            recent: 1 << 20,
            read_ahead: 8,
            fail_when_full: false,
        }
    }
}

/// How a log is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenMode {
    /// Change nothing, not even the epoch.
    pub read_only: bool,
    /// Go on at the damage where acknowledged records are damaged, and give up what is behind it.
    pub cut: bool,
}

/// What a new log is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewLog {
    /// Its sizes.
    pub geometry: Geometry,
    /// A random number.
    pub salt: u64,
    /// Now, nanoseconds since the Unix epoch.
    pub created: u64,
    /// Whatever is there may be overwritten.
    pub overwrite: bool,
}

/// What opening a log found.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Recovery {
    /// The first record.
    pub head: Lsn,
    /// The LSN of the next record.
    pub tail: Lsn,
    /// Segments that hold records.
    pub segments: u64,
    /// Bytes of the last segment that were walked.
    pub walked: u64,
    /// What lay behind the last whole record, if anything did.
    pub cut: Option<Cut>,
}

/// Where the records end although something follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The segment's sequence.
    pub segment: u64,
    /// Bytes from the segment's first.
    pub offset: u64,
    /// The LSN of the record that would have been there.
    pub lsn: Lsn,
    /// Its header was there, or the first part of it.
    pub torn: bool,
    /// Whole records behind it; what they say of durability.
    pub behind: Survivors,
    /// Segments that are missing between others.
    pub missing: Option<FormatError>,
}

impl std::fmt::Display for Recovery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "records {} to {} in {} segments", self.head, self.tail, self.segments)?;
        let Some(cut) = &self.cut else { return f.write_str(", a clean end") };
        write!(f, ", cut in segment {} at byte {}", cut.segment, cut.offset)?;
        if let Some(missing) = &cut.missing {
            return write!(f, ": {missing}");
        }
        if cut.torn {
            f.write_str(": the next record is torn")?;
        }
        match cut.behind.records {
            0 => Ok(()),
            n => write!(f, "; {n} whole records behind the cut were given up"),
        }
    }
}
