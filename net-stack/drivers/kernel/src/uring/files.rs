//! Registered files: a stream that keeps using the ring gets a slot in its file table, so that an operation need not look
//! the descriptor up and count a reference.
//!
//! The slot is *beside* the descriptor, not instead of it: a direct descriptor alone could neither be tried directly nor be
//! asked for options. A slot keeps the file open, so it is cleared before the descriptor is closed.

use std::{
    cell::{Cell, RefCell},
    os::fd::RawFd,
};

use hemi_park::Ring;
use io_uring::types;

/// Operations on the ring after which a stream is worth a slot: a short connection never pays for one.
const WORTH: u32 = 64;

/// A stream's place in the table.
#[derive(Default)]
pub(crate) struct Slot {
    uses: Cell<u32>,
    at: Cell<Option<u32>>,
}

pub(super) struct Files {
    free: RefCell<Vec<u32>>,
}

impl Files {
    /// A table of `size` empty slots; of none where the kernel refuses.
    pub(super) fn new(ring: &Ring, size: u32) -> Self {
        let size = if size > 0 && ring.registrar().register_files_sparse(size).is_ok() { size } else { 0 };
        Self { free: RefCell::new((0..size).rev().collect()) }
    }

    /// The slot for one more operation on `fd`, when it is worth one and there is one.
    #[inline]
    pub(super) fn slot(&self, slot: &Slot, ring: &Ring, fd: RawFd) -> Option<types::Fixed> {
        if slot.at.get().is_none() {
            let uses = slot.uses.get().saturating_add(1);
            slot.uses.set(uses);
            if uses == WORTH {
                self.register(slot, ring, fd);
            }
        }
        slot.at.get().map(types::Fixed)
    }

    #[cold]
    fn register(&self, slot: &Slot, ring: &Ring, fd: RawFd) {
        let Some(at) = self.free.borrow_mut().pop() else { return };
        match ring.registrar().register_files_update(at, &[fd]) {
            Ok(_) => slot.at.set(Some(at)),
            Err(_) => self.free.borrow_mut().push(at),
        }
    }

    /// The descriptor is about to be closed, and nothing is in flight on it.
    pub(super) fn clear(&self, slot: &Slot, ring: &Ring) {
        let Some(at) = slot.at.take() else { return };
        match ring.registrar().register_files_update(at, &[-1]) {
            Ok(_) => self.free.borrow_mut().push(at),
            Err(e) => tracing::error!(error = %e, slot = at, "a registered file could not be cleared"),
        }
    }
}

/// A descriptor or its slot, for the builders of operations.
macro_rules! on {
    ($slot:expr, $fd:expr, |$target:ident| $build:expr) => {
        match $slot {
            Some($target) => $build,
            None => {
                let $target = types::Fd($fd);
                $build
            }
        }
    };
}
pub(super) use on;
