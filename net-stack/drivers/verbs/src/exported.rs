//! [`ExportedRegion`]: memory of ours that peers reach into by themselves.

use std::{
    fmt,
    rc::Rc,
    sync::atomic::{AtomicU8, AtomicU64, Ordering},
};

use hemi_queue::{Result, buf::Region};
use hemi_rdma::{RegionDescriptor, RegionError, Rights};

use crate::{
    device::{
        Device,
        memory::{Mr, locked_limit},
    },
    error::VerbsError,
    sys::{
        IBV_ACCESS_LOCAL_WRITE, IBV_ACCESS_REMOTE_ATOMIC, IBV_ACCESS_REMOTE_READ, IBV_ACCESS_REMOTE_WRITE,
    },
};

/// Memory of ours that peers of any connection of its device may reach, as far as its rights go, for as long as it lives. Zeroed at first.
///
/// A peer may write at any time, so there are no references into it: bytes are copied in and out, each by itself
/// ([`read`](Self::read), [`write`](Self::write)): of a word that changes meanwhile, old and new bytes may be seen;
/// [`word`](Self::word) reads one whole. A peer that is told [`descriptor`](Self::descriptor) can use it until
/// this is dropped; what it tries afterwards ends its connection.
pub struct ExportedRegion {
    // Before the memory.
    mr: Mr,
    region: Region,
    length: usize,
    rights: Rights,
}

impl ExportedRegion {
    pub(crate) fn new(device: &Rc<Device>, length: usize, rights: Rights) -> Result<Self> {
        let locked = |source| VerbsError::Locked {
            device: device.name.clone(),
            bytes: length,
            limit: locked_limit(),
            source,
        };
        let region = Region::map(length).map_err(locked)?;
        let mut access = IBV_ACCESS_LOCAL_WRITE;
        for (right, flag) in [
            (Rights::READ, IBV_ACCESS_REMOTE_READ),
            (Rights::WRITE, IBV_ACCESS_REMOTE_WRITE),
            (Rights::ATOMIC, IBV_ACCESS_REMOTE_ATOMIC),
        ] {
            if rights.allow(right) {
                access |= flag;
            }
        }
        // SAFETY: mapped for longer than the registration (field order); nobody holds a reference to its bytes, which are only
        // accessed as atomics.
        let mr = unsafe { Mr::new(device, region.base(), length, access) }.map_err(locked)?;
        Ok(Self { mr, region, length, rights })
    }

    /// What a peer must be told to reach it.
    pub fn descriptor(&self) -> RegionDescriptor {
        RegionDescriptor {
            address: self.region.base().as_ptr().expose_provenance() as u64,
            length: self.length as u64,
            key: self.mr.rkey(),
            rights: self.rights,
        }
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    fn check(&self, offset: usize, length: usize) -> Result<(), RegionError> {
        let outside =
            RegionError::Outside { offset: offset as u64, length: length as u64, region: self.length as u64 };
        if offset.checked_add(length).is_some_and(|end| end <= self.length) { Ok(()) } else { Err(outside) }
    }

    /// Copy bytes at `offset` out. What a peer writes meanwhile may be seen in part.
    ///
    /// # Errors
    /// [`RegionError::Outside`].
    pub fn read(&self, offset: usize, into: &mut [u8]) -> Result<(), RegionError> {
        self.check(offset, into.len())?;
        for (n, byte) in into.iter_mut().enumerate() {
            // SAFETY: within the region, which is mapped and only accessed as atomics.
            let at = unsafe { &*self.region.base().as_ptr().add(offset + n).cast::<AtomicU8>() };
            *byte = at.load(Ordering::Relaxed);
        }
        Ok(())
    }

    /// Copy `bytes` in at `offset`.
    ///
    /// # Errors
    /// [`RegionError::Outside`].
    pub fn write(&self, offset: usize, bytes: &[u8]) -> Result<(), RegionError> {
        self.check(offset, bytes.len())?;
        for (n, byte) in bytes.iter().enumerate() {
            // SAFETY: as above.
            let at = unsafe { &*self.region.base().as_ptr().add(offset + n).cast::<AtomicU8>() };
            at.store(*byte, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The word at `offset`, which peers may add to and swap.
    ///
    /// # Errors
    /// [`RegionError::Outside`], [`RegionError::Unaligned`].
    pub fn word(&self, offset: usize) -> Result<u64, RegionError> {
        self.check(offset, 8)?;
        if !offset.is_multiple_of(8) {
            return Err(RegionError::Unaligned { offset: offset as u64 });
        }
        // SAFETY: as above; the region begins at a page, so the word is aligned.
        #[allow(clippy::cast_ptr_alignment)]
        let at = unsafe { &*self.region.base().as_ptr().add(offset).cast::<AtomicU64>() };
        Ok(at.load(Ordering::Acquire))
    }
}

impl fmt::Debug for ExportedRegion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExportedRegion").field("len", &self.length).field("rights", &self.rights).finish()
    }
}
