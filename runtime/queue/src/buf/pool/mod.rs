//! [`Pool`]: a core's buffers, in size classes, carved out of large regions, with a bound.
//!
//! `inner.rs` is what the handles share, `alloc.rs` the waiting at the bound, `config.rs` what is set and told.

mod alloc;
mod config;
mod inner;
#[cfg(all(test, not(loom)))]
mod tests;

use std::{any::Any, fmt, ptr::NonNull, rc::Rc};

pub use alloc::Alloc;
pub use config::{AllocError, ClassConfig, PoolConfig, PoolStats};
pub(crate) use inner::PoolInner;

use super::{BufMut, Lent, Region, RegionId, Sga, slot::Slot};

/// The most size classes of one pool.
const MAX_CLASSES: usize = 16;

/// A core's buffer pool. A handle: clones share the pool.
///
/// Memory is mapped region by region up to the bound and is never given back before the pool ends; every region outlives
/// every buffer carved from it, on whatever thread. A pool may be dropped before its buffers.
///
/// ```
/// use hemi_queue::{Pool, PoolConfig, AllocError};
///
/// let pool = Pool::with(&PoolConfig { limit: 1 << 20, ..PoolConfig::default() })?;
/// let mut held = Vec::new();
/// let drained = loop {
///     match pool.try_alloc(16_000) {
///         Ok(buffer) => held.push(buffer),
///         Err(error) => break error,
///     }
/// };
/// assert_eq!(drained, AllocError::Drained { limit: 1 << 20 }); // at the bound: no panic, no growth
/// assert!(pool.stats().mapped <= 1 << 20);
///
/// held.pop(); // `pool.alloc(16_000).await` would have waited for this
/// assert!(pool.try_alloc(16_000).is_ok());
/// # Ok::<(), hemi_queue::Error>(())
/// ```
pub struct Pool {
    inner: Rc<PoolInner>,
}

impl Pool {
    /// A pool with the default classes and bound.
    pub fn new() -> Result<Self, AllocError> {
        Self::with(&PoolConfig::default())
    }

    /// A pool made as `config` says. Maps a first region at once (of the second class, where there are two), so that a
    /// system without memory says so here.
    pub fn with(config: &PoolConfig) -> Result<Self, AllocError> {
        let inner = PoolInner::new(config)?;
        inner.grow(1.min(inner.last_class()))?;
        Ok(Self { inner })
    }

    /// A pool of nothing but `region`, memory that a driver provides, carved into buffers of `size` bytes (rounded up to a multiple of
    /// 64): its bound is what there is, and every buffer that it gives is one that the device knows.
    ///
    /// # Errors
    /// [`TooLarge`](AllocError::TooLarge) when the region has no room for one buffer.
    pub fn of(region: Region, size: usize) -> Result<Self, AllocError> {
        let inner = PoolInner::closed(size, region.len());
        if inner.largest() > region.len() {
            return Err(AllocError::TooLarge { wanted: inner.largest(), largest: region.len() });
        }
        inner.add_region(region, 0);
        Ok(Self { inner })
    }

    /// A pool of nothing but `pieces`, buffers of `size` bytes that a driver has laid out itself (DPDK's mbufs have a header between each two).
    ///
    /// Its [region](Self::regions) reaches from the first piece to the last, whatever lies in between, which may be several allocations, memory
    /// that is none of the pool's, or none at all: it must not be registered with a device, nor read or written as a whole.
    ///
    /// # Errors
    /// [`TooLarge`](AllocError::TooLarge) when there is no piece, or they are of less than 64 bytes.
    ///
    /// # Safety
    /// As for [`Region::provided`], for each piece: `size` bytes, initialised, that do not overlap another's, are valid until `owner` is
    /// dropped, and are accessed by nobody else but a device to which they were lent. They need not lie in one allocation.
    pub unsafe fn of_pieces(
        pieces: &[NonNull<u8>],
        size: usize,
        owner: Box<dyn Any + Send + Sync>,
    ) -> Result<Self, AllocError> {
        let size = size / 64 * 64;
        let (Some(first), Some(last)) = (pieces.iter().min(), pieces.iter().max()) else {
            return Err(AllocError::TooLarge { wanted: size, largest: 0 });
        };
        if size == 0 {
            return Err(AllocError::TooLarge { wanted: 64, largest: 0 });
        }
        let len = last.addr().get() - first.addr().get() + size;
        let inner = PoolInner::closed(size, pieces.len() * size);
        // SAFETY: by contract for the pieces; nothing else of the region is used: it is an address and a length, which nobody follows.
        let region = unsafe { Region::provided(*first, len, owner) };
        inner.add_block(region, 0, pieces.iter().copied());
        Ok(Self { inner })
    }

    /// Add memory that a driver provides, carved into buffers of the smallest class of `class_size` bytes or more,
    /// counted towards no bound. Returns the region's number. What is left over at its end stays unused.
    pub fn add_region(&self, region: Region, class_size: usize) -> Result<RegionId, AllocError> {
        let Some(class) = self.inner.class_for(class_size) else {
            return Err(AllocError::TooLarge { wanted: class_size, largest: self.largest() });
        };
        let id = self.inner.add_region(region, class);
        self.inner.wake_all_that_fit();
        Ok(id)
    }

    /// A buffer of at least `len` bytes of room, now.
    #[inline]
    pub fn try_alloc(&self, len: usize) -> Result<BufMut, AllocError> {
        let inner = &*self.inner;
        if let Some(slot) = inner.class_for(len).and_then(|class| inner.take(class)) {
            return Ok(Self::own(slot));
        }
        self.alloc_slowly(len)
    }

    #[cold]
    #[inline(never)]
    fn alloc_slowly(&self, len: usize) -> Result<BufMut, AllocError> {
        match self.inner.class_for(len) {
            Some(class) => self.inner.refill(class).map(Self::own),
            None => Err(AllocError::TooLarge { wanted: len, largest: self.largest() }),
        }
    }

    #[inline]
    fn own(slot: &Slot) -> BufMut {
        // SAFETY: from `take` or `refill`: nobody else has a count, and the one they set is handed over.
        unsafe { BufMut::from_raw(NonNull::from(slot), slot.data, 0, slot.cap) }
    }

    /// Up to `max` free buffers of the smallest class for a device, without growing the pool; how many there were. Their content is whatever was
    /// there before.
    #[inline]
    pub fn lend(&self, max: usize, mut each: impl FnMut(Lent)) -> usize {
        let mut lent = 0;
        while lent < max
            && let Some(slot) = self.inner.take(0)
        {
            // SAFETY: from `take`: nobody else has a count, and the one it set is handed over.
            each(unsafe { Lent::new(NonNull::from(slot)) });
            lent += 1;
        }
        lent
    }

    /// A buffer of at least `len` bytes of room, as soon as there is one: the back-pressure of memory.
    ///
    /// Cancel-safe. Waiters are served in the order in which they came, except that a [`try_alloc`](Self::try_alloc) may be
    /// faster. Fails only where waiting does not help: [`TooLarge`](AllocError::TooLarge), [`NoMemory`](AllocError::NoMemory).
    pub fn alloc(&self, len: usize) -> Alloc {
        Alloc::new(self.clone(), len)
    }

    /// A copy of `bytes` in as many buffers as it takes.
    pub fn copy_from(&self, bytes: &[u8]) -> Result<Sga, AllocError> {
        let largest = self.largest();
        let mut sga = Sga::new();
        for part in bytes.chunks(largest) {
            let mut b = self.try_alloc(part.len())?;
            b.put(part);
            sga.push(b.freeze());
        }
        Ok(sga)
    }

    /// The largest buffer that one allocation can give.
    pub fn largest(&self) -> usize {
        self.inner.largest()
    }

    /// Bring home the counts that other threads have dropped. The turn does it once; costs a load when there are none.
    #[inline]
    pub fn collect(&self) {
        if self.inner.has_returns() {
            self.inner.collect();
        }
    }

    /// Whether somebody waits for a buffer ([`alloc`](Self::alloc)). A core that sleeps meanwhile must look again by itself: what
    /// other threads give back ([`collect`](Self::collect)) does not wake it.
    pub fn is_waited_for(&self) -> bool {
        !self.inner.waiters.is_empty()
    }

    /// What the pool holds.
    pub fn stats(&self) -> PoolStats {
        self.inner.stats()
    }

    /// Call `each` with every region the pool has, to register them with a device. Regions added later have higher
    /// numbers: ask again when a buffer's [`region`](super::Buf::region) is unknown.
    pub fn regions(&self, mut each: impl FnMut(RegionId, &Region)) {
        let mut n = 0;
        while let Some(block) = self.inner.block(n) {
            each(block.id, &block.region);
            n += 1;
        }
    }
}

impl Clone for Pool {
    fn clone(&self) -> Self {
        Self { inner: Rc::clone(&self.inner) }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if Rc::strong_count(&self.inner) == 1 {
            PoolInner::last_handle_dropped(&self.inner);
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
