//! What the kernel was told of once: the ring's table of files, and its table of memory.
//!
//! An operation on a registered file needs no look-up and no count of a reference; one on registered memory finds its pages looked up and
//! pinned. A ring has one table of each, so they belong to the ring, and drivers are given places in them.

use std::{cell::RefCell, io, os::fd::RawFd};

use io_uring::types;

use crate::Ring;

/// Places for files: what a process may have open where nobody has raised the limit, and the kernel takes no larger table.
const FILES: u32 = 1024;
/// Places for memory: regions of pools, of which there are few.
const BUFFERS: u32 = 64;

/// A table's free places. It is made when the first is wanted.
#[derive(Debug, Default)]
struct Places(Option<Vec<u32>>);

impl Places {
    /// `make` tries a table of so many places; where the kernel refuses there are none.
    fn take(&mut self, count: u32, make: impl FnOnce(u32) -> io::Result<()>) -> Option<u32> {
        let free = self.0.get_or_insert_with(|| match make(count) {
            Ok(()) => (0..count).rev().collect(),
            Err(error) => {
                tracing::debug!(%error, count, "the kernel takes no table of files or memory");
                Vec::new()
            }
        });
        free.pop()
    }

    fn put(&mut self, at: u32) {
        if let Some(free) = &mut self.0 {
            free.push(at);
        }
    }
}

/// The tables of one ring.
#[derive(Debug, Default)]
pub(crate) struct Registered {
    files: RefCell<Places>,
    buffers: RefCell<Places>,
}

impl Ring {
    /// A place in the table of files for `fd`; `None` where the kernel has none. The place keeps the file open, locks on it included, until
    /// [`unregister_file`](Self::unregister_file).
    pub fn register_file(&self, fd: RawFd) -> Option<types::Fixed> {
        let mut files = self.registered().files.borrow_mut();
        let at = files.take(FILES, |count| self.registrar().register_files_sparse(count))?;
        if self.registrar().register_files_update(at, &[fd]).is_err() {
            files.put(at);
            return None;
        }
        Some(types::Fixed(at))
    }

    /// Empty a place. Operations in flight keep what they need.
    pub fn unregister_file(&self, file: types::Fixed) {
        match self.registrar().register_files_update(file.0, &[-1]) {
            Ok(_) => self.registered().files.borrow_mut().put(file.0),
            Err(e) => tracing::error!(error = %e, slot = file.0, "a registered file could not be cleared"),
        }
    }

    /// A place in the table of memory for `memory`, whose pages are pinned until [`unregister_buffer`](Self::unregister_buffer).
    ///
    /// # Errors
    /// Those of the kernel: `ENOMEM` where the limit of locked memory is too low. No place left.
    ///
    /// # Safety
    /// The memory stays mapped, where it is, as long as it is registered.
    pub unsafe fn register_buffer(&self, memory: libc::iovec) -> io::Result<u16> {
        let mut buffers = self.registered().buffers.borrow_mut();
        let at = buffers.take(BUFFERS, |count| self.registrar().register_buffers_sparse(count));
        let at = at.ok_or(io::ErrorKind::StorageFull)?;
        // SAFETY: by contract.
        match unsafe { self.registrar().register_buffers_update(at, &[memory], None) } {
            Ok(()) => Ok(at as u16),
            Err(e) => {
                buffers.put(at);
                Err(e)
            }
        }
    }

    /// Empty a place. Operations in flight keep their pages.
    pub fn unregister_buffer(&self, at: u16) {
        let nothing = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        // SAFETY: no memory is registered.
        match unsafe { self.registrar().register_buffers_update(at.into(), &[nothing], None) } {
            Ok(()) => self.registered().buffers.borrow_mut().put(at.into()),
            Err(e) => tracing::error!(error = %e, slot = at, "registered memory could not be let go of"),
        }
    }
}
