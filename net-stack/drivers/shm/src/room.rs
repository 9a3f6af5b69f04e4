//! [`Room`]: private memory for received frames, with a reserve that no application can hold.

use hemi_queue::{BufMut, Pool};

/// Small buffers kept back for when the pool is drained: acknowledgements must get through, or the send buffers that drained
/// it would never be released.
const RESERVE: usize = 32;
/// Bytes of each.
const SMALL: usize = 256;

/// Where received frames go.
pub(crate) struct Room {
    pool: Pool,
    reserve: Vec<BufMut>,
}

impl Room {
    pub(crate) fn new(pool: Pool) -> Self {
        let mut room = Self { pool, reserve: Vec::with_capacity(RESERVE) };
        room.refill();
        room
    }

    /// A buffer for a frame of `len` bytes; `None` while there is none, and the frame waits in the ring.
    #[inline]
    pub(crate) fn buffer(&mut self, len: usize) -> Option<BufMut> {
        if self.reserve.len() < RESERVE {
            self.refill();
        }
        match self.pool.try_alloc(len) {
            Ok(buffer) => Some(buffer),
            Err(_) if len <= SMALL => self.reserve.pop(),
            Err(_) => None,
        }
    }

    #[cold]
    fn refill(&mut self) {
        while self.reserve.len() < RESERVE
            && let Ok(buffer) = self.pool.try_alloc(SMALL)
        {
            self.reserve.push(buffer);
        }
    }
}
