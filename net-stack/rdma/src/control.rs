//! The payloads of control messages: announcements of memory, and how many of them were read.

use hemi_queue::Buf;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    big_endian::{U32, U64},
};

use crate::{Remote, Violation};

/// A stretch of the announcing end's memory.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Segment {
    address: U64,
    key: U32,
    length: U32,
}

impl Segment {
    pub(crate) const LEN: usize = size_of::<Self>();

    pub(crate) fn new(remote: Remote, length: u32) -> Self {
        Self { address: remote.address.into(), key: remote.key.into(), length: length.into() }
    }

    pub(crate) fn remote(&self) -> Remote {
        Remote { address: self.address.get(), key: self.key.get() }
    }

    pub(crate) fn len(&self) -> u32 {
        self.length.get()
    }
}

/// The segments of an announcement that arrived, each checked: none is empty, none wraps around, together at most `limit`.
pub(crate) fn parse_announcement(payload: &Buf, limit: u64) -> Result<u64, Violation> {
    let segments = <[Segment]>::ref_from_bytes(payload).map_err(|_| Violation::Control)?;
    let mut total = 0_u64;
    for segment in segments {
        let wraps = segment.address.get().checked_add(segment.length.get().into()).is_none();
        if segment.len() == 0 || wraps {
            return Err(Violation::Control);
        }
        total += u64::from(segment.len());
        if total > limit {
            return Err(Violation::UnitTooLarge { got: total, limit });
        }
    }
    if segments.is_empty() { Err(Violation::Control) } else { Ok(total) }
}

/// The `index`th segment of a parsed announcement.
pub(crate) fn segment(payload: &Buf, index: usize) -> Option<Segment> {
    <[Segment]>::ref_from_bytes(payload).ok()?.get(index).copied()
}

/// How many of the oldest announcements are done with.
pub(crate) fn encode_done(count: u32) -> [u8; 4] {
    count.to_be_bytes()
}

/// The same from the wire.
pub(crate) fn parse_done(payload: &[u8]) -> Result<u32, Violation> {
    let bytes: [u8; 4] = payload.try_into().map_err(|_| Violation::Control)?;
    match u32::from_be_bytes(bytes) {
        0 => Err(Violation::Control),
        count => Ok(count),
    }
}
