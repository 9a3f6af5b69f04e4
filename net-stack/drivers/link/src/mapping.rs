//! [`Mapping`]: memory that the kernel shares with us.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
    ptr::NonNull,
};

/// A mapping, unmapped when dropped. It gives out addresses, never references: the other side may write at any time.
#[derive(Debug)]
pub struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: an address range; whoever reads or writes there argues for it.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Map `len` bytes of `fd` at `offset`, shared, readable and writable, populated.
    pub fn of(fd: BorrowedFd<'_>, len: usize, offset: i64) -> io::Result<Self> {
        Self::map(len, libc::MAP_SHARED | libc::MAP_POPULATE, fd.as_raw_fd(), offset)
    }

    /// Zeroed memory of our own that stays one and the same to the kernel when the process forks, populated.
    pub fn anonymous(len: usize) -> io::Result<Self> {
        Self::map(len, libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_POPULATE, -1, 0)
    }

    fn map(len: usize, flags: i32, fd: i32, offset: i64) -> io::Result<Self> {
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice aliases nothing of ours.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), len, prot, flags, fd, offset) };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(at.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { base, len })
    }

    /// The first byte.
    #[inline]
    pub fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Length in bytes.
    #[inline]
    #[allow(clippy::len_without_is_empty)] // the kernel maps no empty range
    pub fn len(&self) -> usize {
        self.len
    }

    /// The address `offset` bytes behind the first; `None` when `size` bytes from there are not within the mapping.
    #[inline]
    pub fn at(&self, offset: usize, size: usize) -> Option<NonNull<u8>> {
        let end = offset.checked_add(size)?;
        // SAFETY: within the mapping, or one past its end.
        (end <= self.len).then(|| unsafe { self.base.add(offset) })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped above with this length; addresses given out are not used after this by contract of their users.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_stay_within() {
        let mapping = Mapping::anonymous(4096).unwrap();
        assert_eq!(mapping.at(0, 4096), Some(mapping.base()));
        assert!(mapping.at(4096, 0).is_some());
        assert_eq!(mapping.at(4095, 2), None);
        assert_eq!(mapping.at(usize::MAX, 2), None);
        assert!(Mapping::anonymous(0).is_err());
    }
}
