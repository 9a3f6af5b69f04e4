//! [`Pool`]: a core's buffers, in size classes, carved out of large regions, with a bound.

use std::{
    cell::{Cell, RefCell},
    fmt,
    future::Future,
    pin::Pin,
    ptr::NonNull,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use super::{
    BufMut, Region, RegionId, Sga,
    inbox::Inbox,
    slot::{Block, Slot},
};

/// One size class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassConfig {
    /// Bytes per buffer; rounded up to a multiple of 64.
    pub size: usize,
}

/// How a pool is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// Size classes, smallest first. Default: 256 B, 2 KiB, 16 KiB, 64 KiB.
    pub classes: Vec<ClassConfig>,
    /// The most memory the pool maps, in bytes. Default: 256 MiB.
    pub limit: usize,
    /// How much is mapped at a time, in bytes, rounded up to 2 MiB. Default: 2 MiB.
    pub region: usize,
}

impl Default for PoolConfig {
    fn default() -> Self {
        let classes = [256, 2048, 16 << 10, 64 << 10].map(|size| ClassConfig { size }).to_vec();
        Self { classes, limit: 256 << 20, region: 2 << 20 }
    }
}

/// Why a buffer was not to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AllocError {
    /// Larger than the largest class: take several ([`Pool::copy_from`]) or configure a larger class.
    #[error(
        "a buffer of {wanted} bytes is larger than the pool's largest class ({largest}); use several buffers"
    )]
    TooLarge {
        /// Bytes asked for.
        wanted: usize,
        /// The largest class.
        largest: usize,
    },
    /// Every buffer is in use and the pool is at its bound: wait with [`Pool::alloc`], or drop some.
    #[error("the buffer pool is drained (limit {limit} bytes); wait for a buffer or raise the limit")]
    Drained {
        /// The pool's bound in bytes.
        limit: usize,
    },
    /// The operating system gave no memory for another region.
    #[error("the system has no memory for another region of {bytes} bytes")]
    NoMemory {
        /// The region's size.
        bytes: usize,
    },
}

/// What a pool holds, in bytes and buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PoolStats {
    /// Bytes mapped in regions.
    pub mapped: usize,
    /// Slots with a count on this thread.
    pub in_use: usize,
    /// Counts out on other threads, not yet come home.
    pub remote: usize,
    /// Allocations that found the pool drained.
    pub drained: u64,
}

/// A core's buffer pool. A handle: clones share the pool.
///
/// Memory is mapped region by region up to the bound and is never given back before the pool ends; every region outlives
/// every buffer carved from it, on whatever thread.
#[derive(Clone)]
pub struct Pool {
    inner: Rc<PoolInner>,
}

struct Class {
    size: u32,
    free: Cell<*const Slot>,
}

pub(crate) struct PoolInner {
    classes: Vec<Class>,
    region_size: usize,
    limit: usize,
    mapped: Cell<usize>,
    blocks: RefCell<Vec<Arc<Block>>>,
    inbox: Arc<Inbox<Slot>>,
    /// Slots with `refs > 0`.
    out: Cell<usize>,
    remote: Cell<usize>,
    drained: Cell<u64>,
    /// The last handle was dropped with slots out; the inner then owns one count of itself.
    orphan: Cell<bool>,
    waiters: RefCell<Vec<Waker>>,
}

impl Pool {
    /// A pool with the default classes and bound.
    pub fn new() -> Result<Self, AllocError> {
        Self::with(&PoolConfig::default())
    }

    /// A pool made as `config` says. Maps the first region of the second class at once, so that a system without memory
    /// says so here.
    pub fn with(config: &PoolConfig) -> Result<Self, AllocError> {
        let mut sizes: Vec<usize> =
            config.classes.iter().map(|c| c.size.clamp(64, 1 << 30).next_multiple_of(64)).collect();
        sizes.sort_unstable();
        sizes.dedup();
        if sizes.is_empty() {
            sizes.push(2048);
        }
        let classes = sizes
            .iter()
            .take(usize::from(u8::MAX))
            .map(|&s| Class { size: s as u32, free: Cell::new(std::ptr::null()) })
            .collect();
        let pool = Self {
            inner: Rc::new(PoolInner {
                classes,
                region_size: config.region.max(1).next_multiple_of(2 << 20),
                limit: config.limit,
                mapped: Cell::new(0),
                blocks: RefCell::default(),
                inbox: Arc::new(Inbox::new()),
                out: Cell::new(0),
                remote: Cell::new(0),
                drained: Cell::new(0),
                orphan: Cell::new(false),
                waiters: RefCell::default(),
            }),
        };
        Ok(pool)
    }

    /// Add memory that a driver provides, carved into buffers of `size` bytes (rounded to the next class that fits in
    /// it), counted towards no bound. Returns the region's number.
    pub fn add_region(&self, region: Region, class_size: usize) -> Result<RegionId, AllocError> {
        let class = self.inner.class_for(class_size)?;
        Ok(self.inner.add_region(region, class))
    }

    /// A buffer of at least `len` bytes of room, now.
    #[inline]
    pub fn try_alloc(&self, len: usize) -> Result<BufMut, AllocError> {
        let inner = &*self.inner;
        let class = inner.class_for(len)?;
        let slot = match inner.take(class) {
            Some(slot) => slot,
            None => inner.refill(class)?,
        };
        // SAFETY: a free slot: nobody else has a count; the count set by `take`/`refill` is handed over.
        Ok(unsafe { BufMut::from_raw(NonNull::from(slot), slot.data, 0, slot.cap) })
    }

    /// A buffer of at least `len` bytes of room, as soon as there is one: the back-pressure of memory. Cancel-safe.
    pub fn alloc(&self, len: usize) -> Alloc {
        Alloc { pool: self.clone(), len }
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
        self.inner.classes.last().map_or(0, |c| c.size as usize)
    }

    /// Bring home the counts that other threads have dropped. The turn does it once; costs a load when there are none.
    #[inline]
    pub fn collect(&self) {
        if !self.inner.inbox.is_empty() {
            self.inner.collect();
        }
    }

    /// What the pool holds.
    pub fn stats(&self) -> PoolStats {
        let i = &self.inner;
        PoolStats {
            mapped: i.mapped.get(),
            in_use: i.out.get(),
            remote: i.remote.get(),
            drained: i.drained.get(),
        }
    }

    /// Call `each` with every region the pool has, to register them with a device. Regions added later have higher
    /// numbers: ask again when a buffer's [`region`](super::Buf::region) is unknown.
    pub fn regions(&self, mut each: impl FnMut(RegionId, &Region)) {
        for block in self.inner.blocks.borrow().iter() {
            each(block.id, &block.region);
        }
    }
}

impl PoolInner {
    #[inline]
    fn class_for(&self, len: usize) -> Result<usize, AllocError> {
        match self.classes.iter().position(|c| c.size as usize >= len) {
            Some(class) => Ok(class),
            None => Err(AllocError::TooLarge {
                wanted: len,
                largest: self.classes.last().map_or(0, |c| c.size as usize),
            }),
        }
    }

    /// A free slot of the class, with one count.
    #[inline]
    fn take(&self, class: usize) -> Option<&Slot> {
        let class = &self.classes[class];
        let slot = class.free.get();
        if slot.is_null() {
            return None;
        }
        // SAFETY: slots on a free list are in blocks that this pool holds.
        let slot = unsafe { &*slot };
        class.free.set(slot.next_free.get());
        slot.refs.set(1);
        self.out.set(self.out.get() + 1);
        Some(slot)
    }

    #[cold]
    fn refill(&self, class: usize) -> Result<&Slot, AllocError> {
        self.collect();
        if let Some(slot) = self.take(class) {
            return Ok(slot);
        }
        let size = self.region_size.max((self.classes[class].size as usize).next_multiple_of(2 << 20));
        if self.mapped.get() + size <= self.limit {
            let region = Region::map(size).map_err(|_| AllocError::NoMemory { bytes: size })?;
            self.mapped.set(self.mapped.get() + region.len());
            self.add_region(region, class);
            if let Some(slot) = self.take(class) {
                return Ok(slot);
            }
        }
        // A buffer of a larger class is better than none.
        for larger in class + 1..self.classes.len() {
            if let Some(slot) = self.take(larger) {
                return Ok(slot);
            }
        }
        self.drained.set(self.drained.get() + 1);
        Err(AllocError::Drained { limit: self.limit })
    }

    fn add_region(&self, region: Region, class: usize) -> RegionId {
        let size = self.classes[class].size;
        let base = region.base();
        let count = region.len() / size as usize;
        let id = RegionId(self.blocks.borrow().len() as u32);
        let block = Arc::new_cyclic(|weak: &std::sync::Weak<Block>| {
            let slots = (0..count)
                .map(|i| {
                    // SAFETY: i * size + size <= region.len().
                    let data = unsafe { base.add(i * size as usize) };
                    Slot::new(data, size, class as u8, weak.as_ptr())
                })
                .collect();
            Block { region, id, inbox: Arc::clone(&self.inbox), slots }
        });
        let free = &self.classes[class].free;
        for slot in block.slots.iter().rev() {
            slot.home.set(std::ptr::from_ref(self));
            slot.next_free.set(free.get());
            free.set(slot);
        }
        self.blocks.borrow_mut().push(block);
        id
    }

    /// The last local count of a slot is gone.
    ///
    /// # Safety
    /// `this` is the slot's pool, alive (it has this slot in `out`); not used by the caller afterwards.
    pub(crate) unsafe fn slot_released(this: *const Self, slot: &Slot) {
        // SAFETY: alive by contract.
        let pool = unsafe { &*this };
        pool.out.set(pool.out.get() - 1);
        if slot.remote.get() == 0 {
            pool.put_free(slot);
        } else {
            pool.remote_left();
        }
        if pool.orphan.get() && pool.out.get() == 0 {
            // SAFETY: the count that `Pool::drop` left behind for the slots that were out; none is any more.
            drop(unsafe { Rc::from_raw(this) });
        }
    }

    #[inline]
    fn put_free(&self, slot: &Slot) {
        let class = &self.classes[usize::from(slot.class)];
        slot.next_free.set(class.free.get());
        class.free.set(slot);
        self.wake_waiters();
    }

    fn remote_left(&self) {
        self.remote.set(self.remote.get() + 1);
    }

    #[inline]
    fn wake_waiters(&self) {
        if !self.waiters.borrow().is_empty() {
            self.wake_all();
        }
    }

    #[cold]
    fn wake_all(&self) {
        for w in self.waiters.take() {
            w.wake();
        }
    }

    #[cold]
    fn collect(&self) {
        self.inbox.collect(|slot, counts| {
            // SAFETY: the slot is in a block that this pool holds.
            let slot = unsafe { &*slot };
            slot.remote.set(slot.remote.get() - counts);
            if slot.remote.get() == 0 && slot.refs.get() == 0 {
                self.remote.set(self.remote.get() - 1);
                self.put_free(slot);
            }
        });
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let inner = &self.inner;
        if Rc::strong_count(inner) == 1 && inner.out.get() > 0 && !inner.orphan.get() {
            inner.orphan.set(true);
            std::mem::forget(Rc::clone(inner)); // taken back in `slot_released`
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// The future of [`Pool::alloc`].
#[must_use = "an allocation does nothing until it is awaited"]
#[derive(Debug)]
pub struct Alloc {
    pool: Pool,
    len: usize,
}

impl Future for Alloc {
    type Output = Result<BufMut, AllocError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.pool.try_alloc(self.len) {
            Err(AllocError::Drained { .. }) => {
                let mut waiters = self.pool.inner.waiters.borrow_mut();
                if !waiters.iter().any(|w| w.will_wake(cx.waker())) {
                    waiters.push(cx.waker().clone());
                }
                Poll::Pending
            }
            other => Poll::Ready(other),
        }
    }
}
