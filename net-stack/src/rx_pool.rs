//! [`RxPool`]: private memory for received frames, with a reserve that no application can hold.

use hemi_queue::{BufMut, Pool};

/// Buffers kept back.
const RESERVE: usize = 32;
/// Bytes of each.
const SMALL: usize = 256;

/// Where a device that copies puts received frames.
///
/// Buffers come from the pool. While that is drained, frames of up to 256 bytes come from a reserve of 32: acknowledgements must
/// get through, or the send buffers that drained the pool would never be released. What the stack lets go of refills the
/// reserve first. Larger frames are dropped meanwhile, and counted, as by a NIC without descriptors: what waited for memory would keep the
/// acknowledgements behind it waiting too.
///
/// ```
/// use hemi_net::RxPool;
/// use hemi_queue::Pool;
///
/// let pool = Pool::new()?;
/// let mut rx = RxPool::new(pool.clone());
/// let mut hoard = Vec::new();
/// for size in [64 << 10, 16 << 10, 2048, 256] {
///     while let Ok(buffer) = pool.try_alloc(size) {
///         hoard.push(buffer);
///     }
/// }
/// assert!(rx.alloc(66).is_some() && rx.alloc(1514).is_none());
/// # Ok::<(), hemi_queue::Error>(())
/// ```
#[derive(Debug)]
pub struct RxPool {
    pool: Pool,
    reserve: Vec<BufMut>,
}

impl RxPool {
    /// Memory from `pool`; the reserve is taken from it now.
    pub fn new(pool: Pool) -> Self {
        let mut rx = Self { pool, reserve: Vec::with_capacity(RESERVE) };
        rx.refill();
        rx
    }

    /// An empty buffer with room for a frame of `len` bytes; `None` while there is none.
    #[inline]
    pub fn alloc(&mut self, len: usize) -> Option<BufMut> {
        if self.reserve.len() < RESERVE {
            self.refill();
        }
        match self.pool.try_alloc(len) {
            Ok(buffer) => Some(buffer),
            Err(_) if len <= SMALL => self.reserve.pop(),
            Err(_) => None,
        }
    }

    /// The pool.
    pub fn pool(&self) -> &Pool {
        &self.pool
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
