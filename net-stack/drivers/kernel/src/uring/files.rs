//! Registered files: a stream that keeps using the ring gets a slot in its file table, so that an operation need not look
//! the descriptor up and count a reference.
//!
//! The slot is *beside* the descriptor, not instead of it: a direct descriptor alone could neither be tried directly nor be
//! asked for options. A slot keeps the file open, so it is cleared before the descriptor is closed.

use std::{cell::Cell, os::fd::RawFd};

use hemi_park::Ring;
use io_uring::types;

/// Operations on the ring after which a stream is worth a slot: a short connection never pays for one.
const WORTH: u32 = 64;

/// A stream's place in the table.
#[derive(Default)]
pub(crate) struct Slot {
    uses: Cell<u32>,
    at: Cell<Option<types::Fixed>>,
}

pub(super) struct Files {
    /// Streams that may still get one.
    left: Cell<u32>,
}

impl Files {
    /// At most `most` of the ring's places.
    pub(super) fn new(most: u32) -> Self {
        Self { left: Cell::new(most) }
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
        slot.at.get()
    }

    #[cold]
    fn register(&self, slot: &Slot, ring: &Ring, fd: RawFd) {
        if self.left.get() > 0 {
            slot.at.set(ring.register_file(fd));
            self.left.set(self.left.get() - u32::from(slot.at.get().is_some()));
        }
    }

    /// The descriptor is about to be closed, and nothing is in flight on it.
    pub(super) fn clear(&self, slot: &Slot, ring: &Ring) {
        let Some(at) = slot.at.take() else { return };
        ring.unregister_file(at);
        self.left.set(self.left.get() + 1);
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
