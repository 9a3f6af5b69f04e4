//! The block that direct receives fill, piece by piece, for all sockets of the core.

use std::cell::RefCell;

use hemi_queue::{Buf, BufMut, Pool};

use crate::sys::Errno;

/// Preferred block size; a pool whose largest class is smaller gives what it has.
const BLOCK: usize = 64 << 10;
/// A block with less room than this is replaced, so that a bulk sender is read in large pieces.
const LEAST: usize = 16 << 10;

#[derive(Default)]
pub(crate) struct Fill(RefCell<Option<BufMut>>);

/// What a direct receive brought.
pub(crate) enum Filled {
    /// Data; `all` there was: it did not fill the room.
    Data {
        buf: Buf,
        all: bool,
    },
    End,
    Failed(Errno),
    /// The pool is drained.
    NoMemory,
}

impl Fill {
    /// Let `recv` write into the room there is.
    #[inline]
    pub(crate) fn receive(
        &self,
        pool: &Pool,
        recv: impl FnOnce(&mut [u8]) -> Result<usize, Errno>,
    ) -> Filled {
        let mut block = self.0.borrow_mut();
        if block.as_ref().is_none_or(|b| b.capacity() < LEAST.min(pool.largest() / 4)) {
            match pool.try_alloc(BLOCK.min(pool.largest())) {
                Ok(fresh) => *block = Some(fresh),
                Err(_) if block.as_ref().is_some_and(|b| b.capacity() > 0) => {} // make do with the rest
                Err(_) => return Filled::NoMemory,
            }
        }
        let Some(room) = block.as_mut() else { return Filled::NoMemory };
        match recv(room.spare_mut()) {
            Ok(0) => Filled::End,
            Ok(n) => {
                room.set_len(n);
                let all = n < room.capacity();
                Filled::Data { buf: room.split_frozen(n), all }
            }
            Err(e) => Filled::Failed(e),
        }
    }

    pub(crate) fn clear(&self) {
        self.0.take();
    }
}
