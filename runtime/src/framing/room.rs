//! [`Room`]: pooled memory for the few bytes that a framing adds to a unit.

use hemi_queue::{Buf, BufMut, Pool, Sga};

/// Bytes taken from the pool at a time for headers; many share one buffer.
const CHUNK: usize = 2048;

/// A writer of small byte strings into pooled memory.
///
/// One pool buffer serves many headers, so a header costs a bounds check and a copy, not an allocation. When the
/// pool is drained (or there is none) the heap serves: a header of a unit that was already accepted must not fail.
#[derive(Debug, Default)]
pub struct Room {
    pool: Option<Pool>,
    chunk: Option<BufMut>,
    chunk_size: usize,
}

impl Room {
    /// Memory from the heap.
    pub fn new() -> Self {
        Self::default()
    }

    /// Memory from `pool`.
    pub fn with_pool(pool: Pool) -> Self {
        Self { pool: Some(pool), chunk: None, chunk_size: CHUNK }
    }

    /// The same, taking more from the pool at a time.
    pub(super) fn with_chunks_of(pool: Pool, chunk_size: usize) -> Self {
        Self { pool: Some(pool), chunk: None, chunk_size }
    }

    /// A buffer with a copy of `bytes`.
    ///
    /// ```
    /// # use hemi::framing::Room;
    /// # use hemi_queue::Pool;
    /// let mut room = Room::with_pool(Pool::new()?);
    /// assert_eq!(room.copy(b"+OK\r\n"), b"+OK\r\n");
    /// # Ok::<(), hemi_queue::Error>(())
    /// ```
    #[inline]
    pub fn copy(&mut self, bytes: &[u8]) -> Buf {
        match self.copy_pooled(bytes) {
            Some(buf) => buf,
            None => Buf::from(bytes.to_vec()),
        }
    }

    /// The same, only from the pool.
    #[inline]
    pub(super) fn copy_pooled(&mut self, bytes: &[u8]) -> Option<Buf> {
        if let Some(chunk) = &mut self.chunk
            && chunk.capacity() >= bytes.len()
        {
            return Some(chunk_copy(chunk, bytes));
        }
        self.copy_slow(bytes)
    }

    /// Append a copy of `bytes` to `unit`. Consecutive calls make one buffer as long as the chunk lasts.
    #[inline]
    pub fn put(&mut self, unit: &mut Sga, bytes: &[u8]) {
        unit.push(self.copy(bytes));
    }

    #[cold]
    fn copy_slow(&mut self, bytes: &[u8]) -> Option<Buf> {
        let chunk = self.pool.as_ref()?.try_alloc(bytes.len().max(self.chunk_size)).ok()?;
        Some(chunk_copy(self.chunk.insert(chunk), bytes))
    }
}

/// `chunk` has no content between calls (`split_frozen` takes all of it), so its capacity is its room.
#[inline]
fn chunk_copy(chunk: &mut BufMut, bytes: &[u8]) -> Buf {
    let n = chunk.put(bytes);
    chunk.split_frozen(n)
}
