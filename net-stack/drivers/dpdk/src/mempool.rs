//! [`Mempool`]: memory of EAL's, as mbufs.

use std::{
    ffi::CString,
    ops::Range,
    ptr::NonNull,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use dpdk_sys as sys;

use crate::{exposure::Private, mbuf::Mbuf};

/// Bytes between an mbuf and its buffer: a word of ours.
pub(crate) const PRIVATE: usize = 8;
/// Bytes of a buffer before a new packet's data.
pub(crate) const HEADROOM: usize = sys::RTE_PKTMBUF_HEADROOM as usize;
/// Mbufs that each core keeps for itself.
const CACHE: u32 = 256;

/// A pool of mbufs. Freed with its last holder: the port, the path that uses it, or the last buffer that the application holds of it.
#[derive(Debug)]
pub(crate) struct Mempool {
    raw: NonNull<sys::rte_mempool>,
    count: u32,
    /// Bytes of a buffer.
    room: usize,
    /// How many are at home when no driver has any.
    at_home: AtomicU32,
    /// While this memory may be handed to the application.
    private: Option<Private>,
}

// SAFETY: a DPDK mempool is made for several threads.
unsafe impl Send for Mempool {}
// SAFETY: as above.
unsafe impl Sync for Mempool {}

impl Mempool {
    /// `count` mbufs with buffers of `room` bytes; else an errno.
    pub(crate) fn new(count: u32, room: usize, private: Option<Private>) -> Result<Arc<Self>, i32> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = CString::new(format!("hemi{}_{number}", std::process::id())).unwrap_or_default();
        // SAFETY: the name lives for the call. -1: memory of any socket.
        let raw = unsafe {
            sys::rte_pktmbuf_pool_create(name.as_ptr(), count, CACHE, PRIVATE as u16, room as u16, -1)
        };
        // SAFETY: no arguments.
        let raw = NonNull::new(raw).ok_or_else(|| unsafe { sys::hemi_dpdk_errno() })?;
        Ok(Arc::new(Self { raw, count, room, at_home: AtomicU32::new(count), private }))
    }

    #[inline]
    pub(crate) fn raw(&self) -> *mut sys::rte_mempool {
        self.raw.as_ptr()
    }

    /// How many mbufs there are.
    pub(crate) fn count(&self) -> usize {
        self.count as usize
    }

    /// Bytes of each mbuf's buffer.
    pub(crate) fn room(&self) -> usize {
        self.room
    }

    /// Bytes of each for data.
    #[inline]
    pub(crate) fn data_room(&self) -> usize {
        self.room.saturating_sub(HEADROOM)
    }

    /// Whether its memory is this process's alone, so that what was received into it may be handed up.
    pub(crate) fn is_private(&self) -> bool {
        self.private.is_some()
    }

    /// All mbufs of the new pool.
    pub(crate) fn list(&self) -> Box<[Mbuf]> {
        let mut mbufs = vec![Mbuf::NONE; self.count()];
        // SAFETY: room for each mbuf; `Mbuf` is a pointer.
        let n = unsafe { sys::hemi_dpdk_list(self.raw(), mbufs.as_mut_ptr().cast(), self.count) };
        mbufs.truncate(n as usize);
        mbufs.into()
    }

    /// The addresses of its buffers, from the first to the last.
    pub(crate) fn span(&self) -> Range<usize> {
        let mbufs = self.list();
        // SAFETY: mbufs of the pool.
        let starts =
            || mbufs.iter().filter_map(|mbuf| unsafe { mbuf.own_buffer() }).map(|at| at.addr().get());
        starts().min().unwrap_or(0)..starts().max().map_or(0, |last| last + self.room)
    }

    /// Take as many mbufs as `mbufs` has places, or none.
    #[inline]
    pub(crate) fn take(&self, mbufs: &mut [Mbuf]) -> bool {
        // SAFETY: room for so many; `Mbuf` is a pointer.
        unsafe { sys::hemi_dpdk_alloc_bulk(self.raw(), mbufs.as_mut_ptr().cast(), mbufs.len() as u32) == 0 }
    }

    /// Put single mbufs back that are whole, as they were received.
    #[inline]
    pub(crate) fn put(&self, mbufs: &mut [Mbuf]) {
        // SAFETY: mbufs of this pool that nobody has.
        unsafe { sys::hemi_dpdk_put_bulk(self.raw(), mbufs.as_mut_ptr().cast(), mbufs.len() as u32) };
    }

    /// So many fewer will ever come home.
    pub(crate) fn keep(&self, count: usize) {
        self.at_home.fetch_sub(count as u32, Ordering::Relaxed);
    }
}

impl Drop for Mempool {
    fn drop(&mut self) {
        // SAFETY: nobody has the pool any more, unless a driver kept mbufs: then it stays.
        unsafe {
            if sys::rte_mempool_avail_count(self.raw()) == self.at_home.load(Ordering::Relaxed) {
                sys::rte_mempool_free(self.raw());
            } else {
                tracing::warn!("a DPDK driver kept buffers: their pool stays");
            }
        }
    }
}

/// Free packets, whole chains of mbufs.
pub(crate) fn free(mbufs: &mut [Mbuf]) {
    if !mbufs.is_empty() {
        // SAFETY: packets of ours, used no more.
        unsafe { sys::rte_pktmbuf_free_bulk(mbufs.as_mut_ptr().cast(), mbufs.len() as u32) };
    }
}

/// Memory from EAL's heap, for buffers that a NIC is to read.
#[derive(Debug)]
pub(crate) struct Heap {
    base: NonNull<u8>,
    len: usize,
    /// Buffers in it are the application's: nobody else may write to them.
    _private: Private,
}

// SAFETY: an address range.
unsafe impl Send for Heap {}
// SAFETY: as above.
unsafe impl Sync for Heap {}

impl Heap {
    /// `len` bytes of it, whole pages; `None` when there is no more, or when it is exposed.
    pub(crate) fn new(len: usize) -> Option<Self> {
        const PAGE: u32 = 4096;
        let private = Private::new()?;
        // SAFETY: numbers and a null name. Zeroed, so initialised.
        let base = unsafe { sys::rte_zmalloc(std::ptr::null(), len, PAGE) };
        NonNull::new(base.cast()).map(|base| Self { base, len, _private: private })
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        // SAFETY: from `rte_zmalloc`; the last buffer in it is gone.
        unsafe { sys::rte_free(self.base.as_ptr().cast()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{eal, exposure};

    #[test]
    fn heap_in_a_pool_is_never_exposed() {
        eal::start("net_null0", None).unwrap();
        let heap = Heap::new(8192).unwrap();
        assert!(!exposure::expose(), "while it lives");
        drop(heap);
        assert!(exposure::expose());
        assert!(Heap::new(8192).is_none(), "exposed for ever");
    }
}
