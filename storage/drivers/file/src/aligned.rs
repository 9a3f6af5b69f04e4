//! [`Aligned`]: memory for direct I/O that no pool gave.

use std::{
    alloc::{Layout, alloc_zeroed, dealloc},
    io,
    ptr::NonNull,
};

/// Bytes at a multiple of 4 KiB, which suits every device.
pub(crate) struct Aligned {
    at: NonNull<u8>,
    layout: Layout,
}

/// What suits every device.
pub(crate) const ALIGNMENT: usize = 4096;

impl Aligned {
    /// `len` zeros; at least one.
    ///
    /// # Errors
    /// `InvalidInput` for a length that no memory has, `OutOfMemory` when there is no such memory now.
    pub(crate) fn zeroed(len: usize) -> io::Result<Self> {
        let layout = Layout::from_size_align(len.max(1), ALIGNMENT)
            .map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
        // SAFETY: the size is not zero.
        let at = unsafe { alloc_zeroed(layout) };
        let at = NonNull::new(at).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { at, layout })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: allocated with this size, initialised to zeros, and ours.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr(), self.layout.size()) }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.at.as_ptr(), self.layout.size()) }
    }
}

impl Drop for Aligned {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout.
        unsafe { dealloc(self.at.as_ptr(), self.layout) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_that_no_memory_has_are_errors() {
        assert_eq!(Aligned::zeroed(0).unwrap().bytes(), [0]);
        for len in [usize::MAX, isize::MAX as usize] {
            assert_eq!(Aligned::zeroed(len).map(drop).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
    }
}
