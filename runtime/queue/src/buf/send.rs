//! [`SendBuf`]: one count of a buffer that may leave its thread.

use std::{fmt, ops::Deref, ptr::NonNull, sync::Arc, thread};

use bytes::Bytes;

use super::{
    Buf,
    slot::{Block, Slot},
};

/// A buffer on its way to another thread: read-only, `Send` and `Sync`, one count of its slot.
///
/// Dropped anywhere, its count comes home through the home core's inbox; its region stays mapped until then, even when
/// the runtime is gone.
///
/// ```
/// # use hemi_queue::{Buf, Pool};
/// let pool = Pool::new()?;
/// let unit = pool.copy_from(b"across")?.into_single().unwrap();
/// let far = unit.into_send();
/// std::thread::spawn(move || {
///     assert_eq!(&far[..], b"across");
///     let _local: Buf = far.into(); // foreign memory there, still without a copy
/// })
/// .join()
/// .unwrap();
///
/// assert_eq!(pool.stats().remote, 1); // dropped there, but not home yet:
/// pool.collect(); // the runtime does this once per turn
/// assert_eq!(pool.stats().remote, 0);
/// # Ok::<(), hemi_queue::Error>(())
/// ```
pub struct SendBuf(Inner);

enum Inner {
    Pooled(Pooled),
    Foreign(Bytes),
}

struct Pooled {
    block: Arc<Block>,
    slot: NonNull<Slot>,
    ptr: NonNull<u8>,
    len: usize,
}

// SAFETY: the bytes are read-only while this count is out (`try_mut` looks at `remote`); of the slot only the atomics
// and immutable fields are touched off the home thread.
unsafe impl Send for Pooled {}
// SAFETY: as above; `&Pooled` gives only `&[u8]`.
unsafe impl Sync for Pooled {}

impl SendBuf {
    pub(crate) fn new(buf: Buf) -> Self {
        if let Some(bytes) = buf.foreign_bytes() {
            return Self(Inner::Foreign(bytes));
        }
        let (slot, ptr, len) = buf.into_raw();
        // SAFETY: the count taken from `buf` keeps the slot alive; its block is an `Arc<Block>` held by the pool or by
        // another count (`PoolInner::add_region`).
        let block = unsafe {
            let block = slot.as_ref().block;
            Arc::increment_strong_count(block);
            Arc::from_raw(block)
        };
        // SAFETY: alive as above.
        let header = unsafe { slot.as_ref() };
        header.lend();
        // SAFETY: the local count that `buf` had is given up; `remote` keeps the slot from being reused.
        unsafe { Slot::release(slot) };
        Self(Inner::Pooled(Pooled { block, slot, ptr, len }))
    }

    /// Back to a [`Buf`]: the pool's own on the home thread, foreign memory (still without a copy) elsewhere.
    pub fn into_buf(self) -> Buf {
        match self.0 {
            Inner::Foreign(bytes) => Buf::from(bytes),
            Inner::Pooled(p) => {
                if p.block.thread == thread::current().id() && p.revive() {
                    // SAFETY: the count was taken by `revive`; same immutable range. Dropping `p` gives back the other.
                    return unsafe { Buf::from_raw(p.slot, p.ptr, p.len) };
                }
                Buf::from(Bytes::from_owner(Self(Inner::Pooled(p))))
            }
        }
    }

    /// The same bytes as [`Bytes`], without a copy.
    pub fn into_bytes(self) -> Bytes {
        match self.0 {
            Inner::Foreign(bytes) => bytes,
            Inner::Pooled(_) => Bytes::from_owner(self),
        }
    }
}

impl Pooled {
    /// Take a local count, if the pool is alive. On the home thread only.
    fn revive(&self) -> bool {
        // SAFETY: the slot is in `block`; its cells may be used: this is the home thread.
        let slot = unsafe { self.slot.as_ref() };
        // SAFETY: a pool that ends clears `home` in the slots that are still out, on this thread.
        let Some(pool) = (unsafe { slot.home.get().as_ref() }) else { return false };
        if slot.refs.get() > 0 {
            slot.retain();
        } else {
            pool.came_back(slot);
        }
        true
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        // `block` (dropped after this) keeps the node's memory alive for a collector that is already at work; the pool
        // keeps its blocks while it collects.
        self.block.inbox.give(self.slot.as_ptr());
    }
}

impl Deref for SendBuf {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match &self.0 {
            // SAFETY: initialised, in bounds, and not written to while this count is out.
            Inner::Pooled(p) => unsafe { std::slice::from_raw_parts(p.ptr.as_ptr(), p.len) },
            Inner::Foreign(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for SendBuf {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl From<Buf> for SendBuf {
    fn from(buf: Buf) -> Self {
        buf.into_send()
    }
}

impl From<SendBuf> for Buf {
    fn from(buf: SendBuf) -> Self {
        buf.into_buf()
    }
}

impl fmt::Debug for SendBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SendBuf({} bytes)", self.len())
    }
}
