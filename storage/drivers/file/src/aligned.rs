//! [`Aligned`]: memory for direct I/O that no pool gave.

use std::{
    alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error},
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
    pub(crate) fn zeroed(len: usize) -> Self {
        let layout = Layout::from_size_align(len.max(1), ALIGNMENT).unwrap_or_else(|_| Layout::new::<u8>());
        // SAFETY: the size is not zero.
        let at = unsafe { alloc_zeroed(layout) };
        let Some(at) = NonNull::new(at) else { handle_alloc_error(layout) };
        Self { at, layout }
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
