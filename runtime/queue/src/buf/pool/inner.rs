//! What the handles of a pool and the slots carved for it share: free lists, regions, counters.
//!
//! # Who keeps it alive
//! Every handle holds a count. A slot points here without one, so when the last handle goes while slots are out
//! ([`Pool`]'s drop), the inner is given one count of itself, the orphan's count, which the last slot to come back
//! takes away (`attend`). A slot whose last counts are on another thread needs the inner no more: its count goes to the
//! inbox, and its memory belongs to the block.

use std::{
    cell::{Cell, RefCell},
    ptr::NonNull,
    rc::Rc,
    sync::{Arc, Weak},
    thread::{self, ThreadId},
};

use super::{AllocError, MAX_CLASSES, Pool, PoolConfig, PoolStats, alloc::Waiters};
use crate::buf::{
    Region, RegionId,
    inbox::Inbox,
    slot::{Block, Slot},
};

const PAGE: usize = 4096;
const HUGE: usize = 2 << 20;

#[derive(Default)]
struct Class {
    /// Bytes per buffer.
    size: usize,
    /// What is kept free under the limit for the class's first region; 0 from then on.
    reserved: Cell<usize>,
    free: Cell<Option<NonNull<Slot>>>,
}

pub(crate) struct PoolInner {
    classes: [Class; MAX_CLASSES],
    class_count: usize,
    /// Slots with `refs > 0`.
    out: Cell<usize>,
    /// Somebody waits for a buffer, or this is an orphan: a slot that comes home has something to do.
    pub(super) attention: Cell<bool>,
    orphan: Cell<bool>,
    pub(super) waiters: Waiters,
    inbox: Arc<Inbox<Slot>>,
    blocks: RefCell<Vec<Arc<Block>>>,
    remote: Cell<usize>,
    drained: Cell<u64>,
    mapped: Cell<usize>,
    limit: usize,
    region: usize,
    thread: ThreadId,
    /// This, with the provenance of its `Rc`: what slots point to.
    this: Cell<*const PoolInner>,
}

impl PoolInner {
    /// A pool with no regions.
    pub(super) fn new(config: &PoolConfig) -> Result<Rc<Self>, AllocError> {
        let mut sizes: Vec<usize> =
            config.classes.iter().map(|c| c.size.clamp(64, 1 << 30).next_multiple_of(64)).collect();
        sizes.sort_unstable();
        sizes.dedup();
        if sizes.is_empty() {
            sizes.push(2048);
        }
        // Of more classes than there may be, the largest are kept: they can serve the small ones.
        sizes.drain(..sizes.len().saturating_sub(MAX_CLASSES));

        let limit = config.limit;
        let region = config.region.clamp(1, 1 << 40).next_multiple_of(HUGE);
        let least = |size: usize| size.next_multiple_of(PAGE);
        let needed: usize = sizes.iter().map(|&s| least(s)).sum();
        let Some(spare) = limit.checked_sub(needed) else {
            return Err(AllocError::LimitTooSmall { limit, needed });
        };
        let share = spare / sizes.len() / PAGE * PAGE;
        let mut classes: [Class; MAX_CLASSES] = Default::default();
        for (class, &size) in classes.iter_mut().zip(&sizes) {
            class.size = size;
            class.reserved.set((least(size) + share).min(region.max(least(size))));
        }

        Ok(Self::from_classes(classes, sizes.len(), limit, region))
    }

    /// A pool of one class, with no regions, that maps none: one of `bytes` is to be added.
    pub(super) fn closed(size: usize, bytes: usize) -> Rc<Self> {
        let mut classes: [Class; MAX_CLASSES] = Default::default();
        classes[0].size = size.clamp(64, 1 << 30).next_multiple_of(64);
        let inner = Self::from_classes(classes, 1, bytes, 0);
        inner.mapped.set(bytes);
        inner
    }

    fn from_classes(
        classes: [Class; MAX_CLASSES],
        class_count: usize,
        limit: usize,
        region: usize,
    ) -> Rc<Self> {
        let inner = Rc::new(Self {
            classes,
            class_count,
            out: Cell::new(0),
            attention: Cell::new(false),
            orphan: Cell::new(false),
            waiters: Waiters::default(),
            inbox: Arc::new(Inbox::new()),
            blocks: RefCell::default(),
            remote: Cell::new(0),
            drained: Cell::new(0),
            mapped: Cell::new(0),
            limit,
            region,
            thread: thread::current().id(),
            this: Cell::new(std::ptr::null()),
        });
        inner.this.set(Rc::as_ptr(&inner));
        inner
    }

    fn classes(&self) -> &[Class] {
        &self.classes[..self.class_count]
    }

    pub(super) fn largest(&self) -> usize {
        self.classes().last().map_or(0, |c| c.size)
    }

    pub(super) fn last_class(&self) -> usize {
        self.class_count - 1
    }

    pub(super) fn stats(&self) -> PoolStats {
        PoolStats {
            mapped: self.mapped.get(),
            in_use: self.out.get(),
            remote: self.remote.get(),
            drained: self.drained.get(),
        }
    }

    pub(super) fn block(&self, n: usize) -> Option<Arc<Block>> {
        self.blocks.borrow().get(n).cloned()
    }

    pub(super) fn has_returns(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// The smallest class of `len` bytes or more.
    #[inline]
    pub(super) fn class_for(&self, len: usize) -> Option<usize> {
        // Classes beyond `class_count` have size 0, and the first serves a length of 0.
        self.classes.iter().position(|c| len <= c.size)
    }

    /// A free slot of the class, with one count.
    #[inline]
    pub(super) fn take(&self, class: usize) -> Option<&Slot> {
        let free = &self.classes[class].free;
        // SAFETY: slots on a free list are in blocks that this pool holds.
        let slot = unsafe { free.get()?.as_ref() };
        free.set(slot.next_free.get());
        slot.refs.set(1);
        self.out.set(self.out.get() + 1);
        Some(slot)
    }

    /// The same when the free list is empty.
    pub(super) fn refill(&self, class: usize) -> Result<&Slot, AllocError> {
        self.collect();
        if let Some(slot) = self.take(class) {
            return Ok(slot);
        }
        if self.grow(class)?
            && let Some(slot) = self.take(class)
        {
            return Ok(slot);
        }
        // A buffer of a larger class is better than none.
        if let Some(slot) = (class + 1..self.class_count).find_map(|larger| self.take(larger)) {
            return Ok(slot);
        }
        self.drained.set(self.drained.get() + 1);
        Err(AllocError::Drained { limit: self.limit })
    }

    /// Map another region for the class if the limit allows.
    pub(super) fn grow(&self, class: usize) -> Result<bool, AllocError> {
        let own = &self.classes[class];
        let reserved: usize = self.classes().iter().map(|c| c.reserved.get()).sum();
        let room = self.limit.saturating_sub(self.mapped.get() + reserved - own.reserved.get());
        let bytes = self.region.max(own.size.next_multiple_of(PAGE)).min(room / PAGE * PAGE);
        let whole = bytes / HUGE * HUGE;
        let bytes = if whole >= own.size { whole } else { bytes };
        if bytes < own.size {
            return Ok(false);
        }
        let region = Region::map(bytes).map_err(|_| AllocError::NoMemory { bytes })?;
        self.mapped.set(self.mapped.get() + region.len());
        own.reserved.set(0);
        self.add_region(region, class);
        Ok(true)
    }

    /// Carve a region into slots of the class.
    pub(super) fn add_region(&self, region: Region, class: usize) -> RegionId {
        let size = self.classes[class].size;
        let base = region.base();
        let count = region.len() / size;
        // SAFETY: i * size + size <= region.len().
        self.add_block(region, class, (0..count).map(|i| unsafe { base.add(i * size) }))
    }

    /// Make buffers of the class of these pieces of a region, which have its size each.
    pub(super) fn add_block(
        &self,
        region: Region,
        class: usize,
        pieces: impl Iterator<Item = NonNull<u8>>,
    ) -> RegionId {
        let size = self.classes[class].size;
        let id = RegionId(self.blocks.borrow().len() as u32);
        let block = Arc::new_cyclic(|weak: &Weak<Block>| {
            // `Weak::as_ptr` has the provenance of the `Arc` to be: `SendBuf` makes counts from it.
            let slots = pieces.map(|data| Slot::new(data, size as u32, class as u8, weak.as_ptr())).collect();
            Block { region, id, thread: self.thread, inbox: Arc::clone(&self.inbox), slots }
        });
        for slot in block.slots.iter().rev() {
            slot.home.set(self.this.get());
            self.put_free(slot);
        }
        self.blocks.borrow_mut().push(block);
        id
    }

    #[inline]
    fn put_free(&self, slot: &Slot) {
        let free = &self.classes[usize::from(slot.class) % MAX_CLASSES].free;
        slot.next_free.set(free.get());
        free.set(Some(NonNull::from(slot)));
    }

    /// A slot that was out on other threads only is used on this one again.
    pub(crate) fn came_back(&self, slot: &Slot) {
        slot.refs.set(1);
        self.out.set(self.out.get() + 1);
        self.remote.set(self.remote.get() - 1);
    }

    /// The last local count of a slot is gone.
    ///
    /// # Safety
    /// `this` is the slot's pool, alive because it has this slot in `out`, with the provenance of its `Rc`; neither `this`
    /// nor `slot` is used by the caller afterwards.
    #[inline]
    pub(crate) unsafe fn slot_released(this: *const Self, slot: NonNull<Slot>) {
        // SAFETY: both alive by contract. (Not passed by reference: they may be freed before this returns.)
        let (pool, slot) = unsafe { (&*this, slot.as_ref()) };
        pool.out.set(pool.out.get() - 1);
        if slot.remote.get() == 0 {
            pool.put_free(slot);
        } else {
            pool.remote.set(pool.remote.get() + 1);
        }
        if pool.attention.get() {
            // SAFETY: alive as above.
            unsafe { Self::attend(this, usize::from(slot.class)) };
        }
    }

    /// # Safety
    /// As for `slot_released`.
    #[cold]
    #[inline(never)]
    unsafe fn attend(this: *const Self, class: usize) {
        // Waking may drop the last handle: hold one meanwhile.
        // SAFETY: alive by contract, with the provenance of the `Rc`.
        let keep = unsafe {
            Rc::increment_strong_count(this);
            Pool { inner: Rc::from_raw(this) }
        };
        if keep.inner.classes[class].free.get().is_some() {
            keep.inner.wake_for(class);
        }
        if keep.inner.orphan.get() && keep.inner.out.get() == 0 {
            keep.inner.orphan.set(false);
            // SAFETY: the orphan's count, given in `last_handle_dropped`.
            unsafe { Rc::decrement_strong_count(this) };
        }
    }

    /// The last handle is being dropped: while slots are out, they keep the pool.
    pub(super) fn last_handle_dropped(this: &Rc<Self>) {
        if this.out.get() > 0 && !this.orphan.get() {
            this.orphan.set(true);
            this.attention.set(true);
            std::mem::forget(Rc::clone(this)); // taken back in `attend`
        }
    }

    /// A buffer of `class` is free: wake the longest waiter that it fits.
    pub(super) fn wake_for(&self, class: usize) {
        let waker = self.waiters.oldest(class);
        self.attention.set(self.orphan.get() || !self.waiters.is_empty());
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Wake one waiter for every class that has a buffer free.
    #[cold]
    pub(super) fn wake_all_that_fit(&self) {
        for class in (0..self.class_count).rev() {
            if self.classes[class].free.get().is_some() {
                self.wake_for(class);
            }
        }
    }

    /// Bring home what other threads have given back.
    #[cold]
    pub(super) fn collect(&self) {
        self.inbox.collect(|slot, counts| {
            // SAFETY: the slot is in a block that this pool holds.
            let slot = unsafe { &*slot };
            slot.remote.set(slot.remote.get() - counts);
            if slot.remote.get() == 0 && slot.refs.get() == 0 {
                self.remote.set(self.remote.get() - 1);
                self.put_free(slot);
                if self.attention.get() {
                    self.wake_for(usize::from(slot.class));
                }
            }
        });
    }
}

impl Drop for PoolInner {
    fn drop(&mut self) {
        for block in self.blocks.get_mut() {
            // What is out on other threads must find no pool when it comes back to this one.
            if Arc::strong_count(block) > 1 {
                block.slots.iter().for_each(|slot| slot.home.set(std::ptr::null()));
            }
        }
    }
}
