//! A region: one large, pre-faulted piece of memory that a device can be told of once.

use std::{any::Any, fmt, io, ptr::NonNull};

/// The number of a region within its pool, stable for its life: the index of a registered buffer or memory key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegionId(pub u32);

/// Memory that pools are made from: mapped here, or provided by a driver.
pub struct Region {
    base: NonNull<u8>,
    len: usize,
    /// Keeps provided memory alive; dropped with the region, on whichever thread holds the last count.
    owner: Option<Box<dyn Any + Send + Sync>>,
}

// SAFETY: a region is an address range and an owner that is itself Send + Sync; access to the bytes is governed by
// the slots carved from it.
unsafe impl Send for Region {}
// SAFETY: as above; `&Region` gives out only the address and the length.
unsafe impl Sync for Region {}

impl Region {
    /// Map `len` bytes (rounded up to 2 MiB) of private zeroed memory, on huge pages where the system has some,
    /// and touch every page so that the data path never faults.
    pub fn map(len: usize) -> io::Result<Self> {
        const HUGE: usize = 2 << 20;
        let len = len.max(1).checked_next_multiple_of(HUGE).ok_or(io::ErrorKind::OutOfMemory)?;
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE;
        // SAFETY: an anonymous private mapping at an address of the kernel's choice aliases nothing.
        let mut p = unsafe { libc::mmap(std::ptr::null_mut(), len, prot, flags | libc::MAP_HUGETLB, -1, 0) };
        if p == libc::MAP_FAILED {
            // SAFETY: as above.
            p = unsafe { libc::mmap(std::ptr::null_mut(), len, prot, flags, -1, 0) };
        }
        if p == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(p.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { base, len, owner: None })
    }

    /// Memory that a driver provides: EAL memory, an XDP UMEM, a registered memory region.
    ///
    /// # Safety
    /// `base..base + len` must be initialised, readable and writable, valid until `owner` is dropped, and accessed by
    /// nobody else except a device doing what it was told with slots that were lent to it.
    pub unsafe fn provided(base: NonNull<u8>, len: usize, owner: Box<dyn Any + Send + Sync>) -> Self {
        Self { base, len, owner: Some(owner) }
    }

    /// The first byte.
    pub fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Length in bytes.
    #[allow(clippy::len_without_is_empty)] // a region is never empty
    pub fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        if self.owner.is_none() {
            // SAFETY: mapped by `map` with this length; no slot of it is in use any more (blocks own regions).
            unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
        }
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region").field("len", &self.len).field("provided", &self.owner.is_some()).finish()
    }
}
