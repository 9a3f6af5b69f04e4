//! A region: one large, pre-faulted piece of memory that a device can be told of once.

use std::{any::Any, fmt, io, ptr::NonNull};

/// The number of a region within its pool, stable for its life: the index of a registered buffer or memory key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegionId(pub u32);

const PAGE: usize = 4096;
const HUGE: usize = 2 << 20;

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
    /// Map `len` bytes (rounded up to 4 KiB pages) of private zeroed memory, and touch every page so that the data path
    /// never faults. A whole number of 2 MiB goes on huge pages where the system has some.
    pub fn map(len: usize) -> io::Result<Self> {
        let len = len.max(1).checked_next_multiple_of(PAGE).ok_or(io::ErrorKind::OutOfMemory)?;
        let base = if len % HUGE == 0 {
            map(len, libc::MAP_HUGETLB | libc::MAP_POPULATE).or_else(|_| map_for_huge_pages(len))?
        } else {
            map(len, libc::MAP_POPULATE)?
        };
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

fn map(len: usize, flags: i32) -> io::Result<NonNull<u8>> {
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    let flags = flags | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: an anonymous private mapping at an address of the kernel's choice aliases nothing.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), len, prot, flags, -1, 0) };
    if at == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(at.cast()).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

/// A mapping that begins at a multiple of 2 MiB, so that the kernel can make huge pages of it by itself, populated after
/// it was told to.
fn map_for_huge_pages(len: usize) -> io::Result<NonNull<u8>> {
    let whole = map(len.checked_add(HUGE).ok_or(io::ErrorKind::OutOfMemory)?, 0)?;
    let before = whole.as_ptr().align_offset(HUGE);
    // SAFETY: the mapping is `HUGE` longer than `len`, and `before` is less than `HUGE`; the ends are nobody's.
    let base = unsafe {
        let base = whole.add(before);
        if before > 0 {
            libc::munmap(whole.as_ptr().cast(), before);
        }
        libc::munmap(base.add(len).as_ptr().cast(), HUGE - before);
        base
    };
    let at = base.as_ptr().cast();
    // SAFETY: advice about a mapping of our own; it changes no content.
    let populated = unsafe {
        libc::madvise(at, len, libc::MADV_HUGEPAGE); // refused by a kernel without them: then small pages do
        libc::madvise(at, len, libc::MADV_POPULATE_WRITE) == 0
    };
    if !populated {
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::EINVAL) {
            // SAFETY: mapped above, given to nobody.
            unsafe { libc::munmap(at, len) };
            return Err(error);
        }
        // Linux before 5.14.
        for page in (0..len).step_by(PAGE) {
            // SAFETY: within the mapping, which is ours alone. Volatile, so that it is not left out.
            unsafe { base.add(page).write_volatile(0) };
        }
    }
    Ok(base)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_region_is_zero_writable_and_whole_pages() {
        for (asked, got) in [(0, PAGE), (1, PAGE), (PAGE + 1, 2 * PAGE), (HUGE, HUGE), (3 * HUGE, 3 * HUGE)] {
            let region = Region::map(asked).unwrap();
            assert_eq!(region.len(), got);
            // SAFETY: mapped, zeroed, and ours alone until the region is dropped.
            let bytes = unsafe { std::slice::from_raw_parts_mut(region.base().as_ptr(), region.len()) };
            assert!(bytes.iter().all(|&b| b == 0));
            bytes.fill(0xa5);
            assert_eq!(bytes[got - 1], 0xa5);
        }
    }

    #[test]
    fn huge_pages_are_possible_where_they_are_asked_for() {
        let base = map_for_huge_pages(2 * HUGE).unwrap();
        assert_eq!(base.as_ptr().align_offset(HUGE), 0);
        let region = Region { base, len: 2 * HUGE, owner: None };
        assert_eq!(format!("{region:?}"), format!("Region {{ len: {}, provided: false }}", 2 * HUGE));
    }

    #[test]
    fn what_cannot_be_mapped_is_an_error() {
        assert!(Region::map(usize::MAX).is_err());
        assert!(Region::map(1 << 60).is_err());
        assert!(map_for_huge_pages(usize::MAX / HUGE * HUGE).is_err());
    }
}
