//! One-sided access: this end reaches into the peer's memory, and lets the peer reach into its own.

use std::{
    fmt,
    ptr::NonNull,
    sync::atomic::{AtomicU8, AtomicU64, Ordering},
    task::{Context, Poll},
};

use hemi_queue::{Error, Result, Sga, buf::Region};
use hemi_rdma::{Failure, OneSided, Outcome, RegionDescriptor, RegionError, Rights};

use super::{Handle, Phase, Stream};
use crate::{
    device::memory::Mr,
    error::VerbsError,
    sys::{
        IBV_ACCESS_LOCAL_WRITE, IBV_ACCESS_REMOTE_ATOMIC, IBV_ACCESS_REMOTE_READ, IBV_ACCESS_REMOTE_WRITE,
    },
};

/// Memory of this process that a peer may reach by itself, as long as this lives. Dropping it withdraws it: an operation that
/// comes later ends the connection that it came on.
///
/// There is no `&[u8]` of it: a peer may write at any time. Copies are made of whole words where they are aligned.
pub struct ExposedRegion {
    // Before the memory: the device must have let go of it.
    mr: Mr,
    region: Region,
    len: usize,
    rights: Rights,
}

impl ExposedRegion {
    /// What a peer needs to reach it: to be told it in a unit, by [`RegionDescriptor::encode`].
    pub fn descriptor(&self) -> RegionDescriptor {
        RegionDescriptor {
            address: self.region.base().as_ptr().expose_provenance() as u64,
            length: self.len as u64,
            key: self.mr.rkey(),
            rights: self.rights,
        }
    }

    /// Where `len` bytes at `offset` begin.
    fn at(&self, offset: usize, len: usize) -> Result<NonNull<u8>, RegionError> {
        let inside = offset.checked_add(len).is_some_and(|end| end <= self.len);
        let outside =
            RegionError::Outside { offset: offset as u64, length: len as u64, region: self.len as u64 };
        // SAFETY: within the region.
        if inside { Ok(unsafe { self.region.base().add(offset) }) } else { Err(outside) }
    }

    /// Copy bytes at `offset` out.
    ///
    /// # Errors
    /// [`RegionError::Outside`].
    pub fn read(&self, offset: usize, out: &mut [u8]) -> Result<(), RegionError> {
        let from = self.at(offset, out.len())?;
        let head = from.align_offset(8).min(out.len());
        let (first, rest) = out.split_at_mut(head);
        for (n, byte) in first.iter_mut().enumerate() {
            *byte = self.byte(offset + n).load(Ordering::Relaxed);
        }
        let mut at = offset + head;
        let mut words = rest.chunks_exact_mut(8);
        for word in &mut words {
            word.copy_from_slice(&self.word(at).load(Ordering::Relaxed).to_ne_bytes());
            at += 8;
        }
        for (n, byte) in words.into_remainder().iter_mut().enumerate() {
            *byte = self.byte(at + n).load(Ordering::Relaxed);
        }
        Ok(())
    }

    /// Copy `bytes` in at `offset`.
    ///
    /// # Errors
    /// [`RegionError::Outside`].
    pub fn write(&self, offset: usize, bytes: &[u8]) -> Result<(), RegionError> {
        let to = self.at(offset, bytes.len())?;
        let head = to.align_offset(8).min(bytes.len());
        let (first, rest) = bytes.split_at(head);
        for (n, byte) in first.iter().enumerate() {
            self.byte(offset + n).store(*byte, Ordering::Relaxed);
        }
        let mut at = offset + head;
        let (words, last) = rest.as_chunks::<8>();
        for word in words {
            self.word(at).store(u64::from_ne_bytes(*word), Ordering::Relaxed);
            at += 8;
        }
        for (n, byte) in last.iter().enumerate() {
            self.byte(at + n).store(*byte, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The word at `offset`, as atomic operations see it.
    ///
    /// # Errors
    /// [`RegionError::Outside`], [`RegionError::Unaligned`].
    pub fn load(&self, offset: usize) -> Result<u64, RegionError> {
        if self.at(offset, 8)?.align_offset(8) != 0 {
            return Err(RegionError::Unaligned { offset: offset as u64 });
        }
        Ok(self.word(offset).load(Ordering::Acquire))
    }

    fn byte(&self, offset: usize) -> &AtomicU8 {
        // SAFETY: the callers have checked that the byte is within the region, which lives as long as `self`; it is only ever accessed
        // atomically by this process.
        unsafe { AtomicU8::from_ptr(self.region.base().as_ptr().add(offset)) }
    }

    #[allow(clippy::cast_ptr_alignment)] // the callers have aligned it
    fn word(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: as above, and aligned to eight.
        unsafe { AtomicU64::from_ptr(self.region.base().as_ptr().add(offset).cast()) }
    }
}

impl fmt::Debug for ExposedRegion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExposedRegion")
            .field("len", &self.len)
            .field("rights", &self.rights)
            .finish_non_exhaustive()
    }
}

/// A refusal before anything was posted.
#[cold]
fn refused(error: RegionError) -> Error {
    match error {
        RegionError::Busy { .. } => Error::Busy,
        RegionError::Closed => Error::Closed,
        other => Error::Other(Box::new(other)),
    }
}

/// One-sided access. What is begun goes out in order with what is pushed; [`poll_outcome`](Self::poll_outcome) waits for it. One task may
/// wait at a time.
impl Handle {
    /// Let the peer reach `len` bytes of new, zeroed memory, as `rights` say. Any peer on this device that is told the descriptor
    /// can: it is a capability.
    ///
    /// # Errors
    /// No memory; the locked-memory limit (the error says how to raise it).
    pub fn expose(&self, len: usize, rights: Rights) -> Result<ExposedRegion> {
        let device = &self.0.inner.device;
        let locked = |source| VerbsError::Locked {
            device: device.name.clone(),
            bytes: len,
            limit: crate::device::memory::locked_limit(),
            source,
        };
        let mut access = IBV_ACCESS_LOCAL_WRITE;
        for (right, bit) in [
            (Rights::READ, IBV_ACCESS_REMOTE_READ),
            (Rights::WRITE, IBV_ACCESS_REMOTE_WRITE),
            (Rights::ATOMIC, IBV_ACCESS_REMOTE_ATOMIC),
        ] {
            if rights.allow(right) {
                access |= bit;
            }
        }
        let region = Region::map(len.max(1)).map_err(locked)?;
        // SAFETY: a mapping of our own, which outlives the registration; nobody ever has a reference to its bytes other than to atomics.
        let mr = unsafe { Mr::new(device, region.base(), len.max(1), access) }.map_err(locked)?;
        Ok(ExposedRegion { mr, region, len, rights })
    }

    fn begin(
        &self,
        with: impl FnOnce(&mut hemi_rdma::Connection) -> Result<OneSided, RegionError>,
    ) -> Result<OneSided> {
        self.0.check()?;
        let mut conn = self.0.conn.borrow_mut();
        let name = with(&mut conn).map_err(refused);
        self.0.touched(&conn);
        name
    }

    /// Begin to read `length` bytes at `offset` of the peer's region.
    ///
    /// # Errors
    /// A [`RegionError`] for what the region does not allow; [`Error::Busy`] when too many are outstanding.
    pub fn begin_read(&self, region: &RegionDescriptor, offset: u64, length: u64) -> Result<OneSided> {
        self.begin(|conn| conn.read_at(region, offset, length))
    }

    /// Begin to write `data` at `offset` of the peer's region.
    ///
    /// # Errors
    /// As [`begin_read`](Self::begin_read).
    pub fn begin_write(&self, region: &RegionDescriptor, offset: u64, data: Sga) -> Result<OneSided> {
        self.begin(|conn| conn.write_at(region, offset, data))
    }

    /// Begin to add to the word at `offset` of the peer's region.
    ///
    /// # Errors
    /// As [`begin_read`](Self::begin_read).
    pub fn begin_fetch_add(&self, region: &RegionDescriptor, offset: u64, add: u64) -> Result<OneSided> {
        self.begin(|conn| conn.fetch_add(region, offset, add))
    }

    /// Begin to set the word at `offset` of the peer's region to `swap`, if it is `expect`.
    ///
    /// # Errors
    /// As [`begin_read`](Self::begin_read).
    pub fn begin_compare_swap(
        &self,
        region: &RegionDescriptor,
        offset: u64,
        expect: u64,
        swap: u64,
    ) -> Result<OneSided> {
        self.begin(|conn| conn.compare_swap(region, offset, expect, swap))
    }

    /// What the operation brought. To be asked until it is ready; then it is forgotten.
    pub fn poll_outcome(&self, name: OneSided, cx: &mut Context<'_>) -> Poll<Result<Outcome>> {
        let Stream { conn, phase, peer, one_sided_waiter, .. } = &*self.0;
        if let Some(outcome) = conn.borrow_mut().take_done(name) {
            let told = |failure: Failure| failure.error("one-sided access", peer);
            return Poll::Ready(outcome.map_err(told));
        }
        if phase.get() == Phase::Gone {
            return Poll::Ready(Err(Error::StaleToken));
        }
        one_sided_waiter.register(cx.waker());
        Poll::Pending
    }
}
