//! A slot: the header of one buffer, kept apart from its bytes.
//!
//! Who counts what:
//! * `refs`: `Buf`s and `BufMut`s on the home thread. Plain cells.
//! * `remote`: counts lent to other threads (`SendBuf`, `Bytes`). Written by the home thread only: raised when a count
//!   leaves, lowered when the inbox brings it back.
//! * `link`: the only part that other threads write.
//!
//! A slot is free when `refs` and `remote` are zero. Headers are apart from the data so that data is aligned for devices
//! and a stray write into a buffer cannot forge a count.

use std::{cell::Cell, ptr::NonNull, sync::Arc, thread::ThreadId};

use bytes::Bytes;

use super::{
    inbox::{Inbox, Link, Node},
    pool::PoolInner,
    region::{Region, RegionId},
};

pub(crate) struct Slot {
    pub(crate) refs: Cell<u32>,
    pub(crate) remote: Cell<u32>,
    pub(crate) cap: u32,
    pub(crate) class: u8,
    pub(crate) data: NonNull<u8>,
    /// The pool, with the provenance of its `Rc`. For the home thread; null in a foreign slot and when the pool is gone.
    pub(crate) home: Cell<*const PoolInner>,
    /// The block this slot is carved from; null in a foreign slot.
    pub(crate) block: *const Block,
    pub(crate) next_free: Cell<Option<NonNull<Slot>>>,
    link: Link<Slot>,
}

impl Node for Slot {
    fn link(&self) -> &Link<Self> {
        &self.link
    }
}

impl Slot {
    pub(crate) fn new(data: NonNull<u8>, cap: u32, class: u8, block: *const Block) -> Self {
        Self {
            refs: Cell::new(0),
            remote: Cell::new(0),
            cap,
            class,
            data,
            home: Cell::new(std::ptr::null()),
            block,
            next_free: Cell::new(None),
            link: Link::new(),
        }
    }

    #[inline]
    pub(crate) fn is_foreign(&self) -> bool {
        self.block.is_null()
    }

    #[inline]
    pub(crate) fn retain(&self) {
        // As std does: counted first and looked at afterwards, which is two instructions.
        let n = self.refs.get().wrapping_add(1);
        self.refs.set(n);
        // 2^32 counts would take 96 GiB of `Buf`s.
        if n == 0 {
            std::process::abort();
        }
    }

    /// Count one holder on another thread. Home thread only.
    #[inline]
    pub(crate) fn lend(&self) {
        let n = self.remote.get();
        if n == u32::MAX {
            std::process::abort(); // leaked four billion times: as in `retain`
        }
        self.remote.set(n + 1);
    }

    /// Give one count back; the last one frees the slot.
    ///
    /// # Safety
    /// The caller owns one count and does not use it afterwards.
    #[inline]
    pub(crate) unsafe fn release(this: NonNull<Self>) {
        // SAFETY: the caller's count keeps the slot alive.
        let slot = unsafe { this.as_ref() };
        let n = slot.refs.get() - 1;
        slot.refs.set(n);
        if n == 0 {
            // SAFETY: that was the last local count.
            unsafe { Self::last_released(this) };
        }
    }

    #[inline(never)]
    unsafe fn last_released(this: NonNull<Self>) {
        // SAFETY: alive until freed below.
        let slot = unsafe { this.as_ref() };
        if slot.is_foreign() {
            // SAFETY: a foreign slot is made by `leak`, and its last count is gone.
            unsafe { Foreign::free(this) };
        } else {
            // SAFETY: a pool outlives every local count of its slots.
            unsafe { PoolInner::slot_released(slot.home.get(), this) };
        }
    }
}

/// A header for memory that no pool owns, kept alive by a `Bytes`.
#[repr(C)]
pub(crate) struct Foreign {
    pub(crate) slot: Slot,
    pub(crate) owner: Bytes,
}

impl Foreign {
    /// A slot with one count over `owner`'s bytes.
    pub(crate) fn leak(owner: Bytes) -> NonNull<Slot> {
        // Nothing ever writes through it: `try_mut` refuses foreign slots.
        let data = NonNull::new(owner.as_ptr().cast_mut()).unwrap_or(NonNull::dangling());
        let slot = Slot::new(data, 0, u8::MAX, std::ptr::null());
        slot.refs.set(1);
        NonNull::from(Box::leak(Box::new(Self { slot, owner }))).cast()
    }

    /// # Safety
    /// `slot` is from [`leak`](Self::leak) and not used afterwards.
    #[cold]
    #[inline(never)]
    unsafe fn free(slot: NonNull<Slot>) {
        // SAFETY: the slot is the first field of its box, and the pointer has the box's provenance.
        drop(unsafe { Box::from_raw(slot.cast::<Self>().as_ptr()) });
    }
}

/// One region, its slots, and the way home for its counts. Alive while any count of any slot is out.
pub(crate) struct Block {
    pub(crate) region: Region,
    pub(crate) id: RegionId,
    /// The home thread.
    pub(crate) thread: ThreadId,
    pub(crate) inbox: Arc<Inbox<Slot>>,
    pub(crate) slots: Box<[Slot]>,
}

// SAFETY: `slots` holds cells that only the home thread touches; other threads reach a slot through `SendBuf` and use
// its `link` (atomics) and its immutable fields only.
unsafe impl Send for Block {}
// SAFETY: as above.
unsafe impl Sync for Block {}
