//! [`RecordHeader`]: one unit, or one fragment of it.

use hemi_queue::{Buf, Sga, crc};
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U16, U32, U64},
};

/// Bytes of a record's header.
pub(crate) const RECORD_HEADER: usize = 40;
/// Records begin at multiples of this.
pub(crate) const ALIGN: usize = 8;

/// A log sequence number: the number of a record, from 0, without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lsn(pub u64);

impl Lsn {
    /// The next record's.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1)) // what a device says may be anything
    }
}

impl std::fmt::Display for Lsn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// An application's unit, or a fragment of it.
    Unit,
    /// Filling, up to the end of a batch's last block.
    Padding,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Layout {
    crc: U32,
    length: U32,
    lsn: U64,
    time: U64,
    epoch: U32,
    behind: U32,
    fragment: U32,
    kind: u8,
    flags: u8,
    zero: U16,
}

/// The header of a record in one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// A unit or padding.
    pub kind: RecordKind,
    /// Which record. Of padding: the next record's.
    pub lsn: Lsn,
    /// When it was appended, nanoseconds since the Unix epoch.
    pub time: u64,
    /// Which opening of the log wrote it. Never less than that of the record before it.
    pub epoch: u32,
    /// How many records before it were not yet durable when it was laid out: all with an LSN below `lsn - behind` were.
    pub behind: u32,
    /// Bytes of payload behind this header.
    pub length: u32,
    /// Which piece of the record this is, from 0.
    pub fragment: u32,
    /// The record goes on in the next segment.
    pub more: bool,
}

/// What every checksum of one segment begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seed(pub(crate) u32);

impl Seed {
    pub(crate) fn new(salt: u64, sequence: u64) -> Self {
        Self(crc::append(crc::crc32c(&salt.to_le_bytes()), &sequence.to_le_bytes()))
    }
}

impl RecordHeader {
    /// Bytes from this header to the next.
    pub(crate) fn footprint(&self) -> usize {
        RECORD_HEADER + (self.length as usize).next_multiple_of(ALIGN)
    }

    /// The header's bytes, its checksum over `payload` included. What fills a padding is not covered: nobody reads it.
    #[inline]
    pub(crate) fn encode(&self, seed: Seed, payload: &Sga) -> [u8; RECORD_HEADER] {
        let mut bytes = self.unsealed();
        let header = crc::append(seed.0, &bytes[4..]);
        let crc = payload.iter().fold(header, |crc, part| crc::append(crc, part));
        bytes[..4].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The whole record: header, payload (`parts`, which are as long as the header says), and what fills it up, to `record`, which
    /// is as long as the footprint.
    #[inline]
    pub(crate) fn complete(&self, seed: Seed, record: &mut [u8], parts: &[Buf]) {
        let end = RECORD_HEADER + self.length as usize;
        if record.len() > end {
            // What fills it up is in the last word; the payload comes over it.
            if let Some(last) = record.last_chunk_mut::<ALIGN>() {
                *last = [0; ALIGN];
            }
        }
        let mut at = RECORD_HEADER;
        for part in parts {
            record[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        if let Ok((place, _)) = Layout::mut_from_prefix(record) {
            *place = self.layout();
        }
        if let Some((crc, covered)) = record[..end].split_first_chunk_mut::<4>() {
            *crc = crc::append(seed.0, covered).to_le_bytes();
        }
    }

    /// The header's bytes without a checksum.
    #[inline]
    pub(crate) fn unsealed(&self) -> [u8; RECORD_HEADER] {
        zerocopy::transmute!(self.layout())
    }

    #[inline]
    fn layout(&self) -> Layout {
        Layout {
            crc: 0.into(),
            length: self.length.into(),
            lsn: self.lsn.0.into(),
            time: self.time.into(),
            epoch: self.epoch.into(),
            behind: self.behind.into(),
            fragment: self.fragment.into(),
            kind: match self.kind {
                RecordKind::Unit => 1,
                RecordKind::Padding => 2,
            },
            flags: u8::from(self.more),
            zero: 0.into(),
        }
    }

    /// What the header says, not yet believed.
    pub(crate) fn peek(bytes: &[u8]) -> Option<Self> {
        let (layout, _) = Layout::ref_from_prefix(bytes).ok()?;
        let kind = match layout.kind {
            1 => RecordKind::Unit,
            2 => RecordKind::Padding,
            _ => return None,
        };
        if layout.flags > 1 || layout.zero.get() != 0 {
            return None;
        }
        Some(Self {
            kind,
            lsn: Lsn(layout.lsn.get()),
            time: layout.time.get(),
            epoch: layout.epoch.get(),
            behind: layout.behind.get(),
            length: layout.length.get(),
            fragment: layout.fragment.get(),
            more: layout.flags == 1,
        })
    }

    /// The checksum of the header's `bytes` so far, and the one that they say it must be with the payload.
    pub(crate) fn checksum(seed: Seed, bytes: &[u8; RECORD_HEADER]) -> (u32, u32) {
        let said = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        (crc::append(seed.0, &bytes[4..]), said)
    }

    /// Whether header and payload, `bytes` from the header's first on, are what was written in this segment.
    pub(crate) fn is_whole(&self, seed: Seed, bytes: &[u8]) -> bool {
        let end = RECORD_HEADER + if self.kind == RecordKind::Unit { self.length as usize } else { 0 };
        let (Some(crc), Some(covered)) = (bytes.first_chunk::<4>(), bytes.get(4..end)) else { return false };
        u32::from_le_bytes(*crc) == crc::append(seed.0, covered)
    }

    /// The LSN below which everything was durable when this was laid out.
    pub(crate) fn durable(&self) -> Lsn {
        Lsn(self.lsn.0.saturating_sub(self.behind.into()))
    }
}
