//! A ring of buffers that the kernel takes from when data has arrived (`io_uring_register_buf_ring(3)`), carved from our pool.
//!
//! *Incremental* (Linux 6.12): a receive uses only as much of the first buffer as it has data for, so a few large buffers
//! serve many small messages without pinning more than they need. Otherwise every receive takes a whole buffer; then
//! small data is copied out into a buffer of its size and the ring's goes straight back.

use std::{
    alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error},
    cell::{Cell, RefCell},
    ptr::NonNull,
    sync::atomic::{AtomicU16, Ordering},
};

use hemi_queue::{Buf, BufMut, Error, Pool, Result};
use io_uring::{Submitter, types::BufRingEntry};

/// Buffers, used incrementally.
const LARGE: (u16, usize) = (32, 64 << 10);
/// Buffers, used whole.
const SMALL: (u16, usize) = (256, 16 << 10);
/// `IOU_PBUF_RING_INC`
const INCREMENTAL: u16 = 2;
/// Data up to this length is copied out of a buffer that is used whole.
const COPY: usize = 2048;

pub(super) struct BufRing {
    group: u16,
    entries: u16,
    size: usize,
    incremental: bool,
    /// Shared with the kernel: `entries` descriptors, the first of which carries the tail.
    ring: NonNull<BufRingEntry>,
    tail: Cell<u16>,
    /// What each buffer number names; `None` when the pool had nothing to replace it with.
    buffers: RefCell<Vec<Option<BufMut>>>,
    missing: Cell<u16>,
    registered: Cell<bool>,
}

const fn layout(entries: u16) -> Layout {
    match Layout::from_size_align(entries as usize * size_of::<BufRingEntry>(), 4096) {
        Ok(layout) => layout,
        Err(_) => panic!("65535 entries of 16 bytes fit"),
    }
}

impl BufRing {
    /// A ring filled from `pool`; of buffers used whole where the kernel knows nothing else, or when `whole` says so.
    pub(super) fn new(registrar: &Submitter<'_>, group: u16, pool: &Pool, whole: bool) -> Result<Self> {
        let failed = |e| Error::io("register a buffer ring", "", e);
        if !whole {
            match Self::register(registrar, group, LARGE, INCREMENTAL) {
                Ok(ring) => return ring.filled(pool),
                Err(e) if e.raw_os_error() == Some(libc::EINVAL) => {}
                Err(e) => return Err(failed(e)),
            }
        }
        Self::register(registrar, group, SMALL, 0).map_err(failed)?.filled(pool)
    }

    fn register(
        registrar: &Submitter<'_>,
        group: u16,
        (entries, size): (u16, usize),
        flags: u16,
    ) -> std::io::Result<Self> {
        let layout = layout(entries);
        // SAFETY: the layout has a size; all zeroes is a valid `BufRingEntry`.
        let Some(ring) = NonNull::new(unsafe { alloc_zeroed(layout) }) else { handle_alloc_error(layout) };
        let this = Self {
            group,
            entries,
            size,
            incremental: flags & INCREMENTAL != 0,
            ring: ring.cast(),
            tail: Cell::new(0),
            buffers: RefCell::new((0..entries).map(|_| None).collect()),
            missing: Cell::new(entries),
            registered: Cell::new(false),
        };
        let addr = this.ring.as_ptr().expose_provenance() as u64;
        // SAFETY: `entries` descriptors, page-aligned, alive until `unregister`, which comes before they are freed (`drop`).
        unsafe { registrar.register_buf_ring_with_flags(addr, entries, group, flags) }?;
        this.registered.set(true);
        Ok(this)
    }

    fn filled(mut self, pool: &Pool) -> Result<Self> {
        self.size = self.size.min(pool.largest());
        self.refill(pool);
        if self.missing.get() == self.entries {
            pool.try_alloc(self.size)?; // tells why
        }
        Ok(self)
    }

    pub(super) fn is_incremental(&self) -> bool {
        self.incremental
    }

    pub(super) fn len(&self) -> u16 {
        self.entries
    }

    pub(super) fn is_short(&self) -> bool {
        self.missing.get() > 0
    }

    pub(super) fn has_some(&self) -> bool {
        self.missing.get() < self.entries
    }

    /// Put new buffers where some are missing, as far as the pool has any.
    #[cold]
    pub(super) fn refill(&self, pool: &Pool) {
        for bid in 0..self.entries {
            let is_missing = self.buffers.borrow()[usize::from(bid)].is_none();
            if is_missing {
                let Ok(buffer) = pool.try_alloc(self.size) else { return };
                self.missing.set(self.missing.get() - 1);
                self.give(bid, buffer);
            }
        }
    }

    /// Hand a buffer to the kernel under the number `bid`.
    fn give(&self, bid: u16, mut buffer: BufMut) {
        buffer.set_len(0);
        let tail = self.tail.get();
        let at = usize::from(tail & (self.entries - 1));
        // SAFETY: `at < entries`; the kernel reads this descriptor only after the tail has passed it. The fields are written
        // one by one because the first descriptor's last field is the tail.
        unsafe {
            let entry = self.ring.as_ptr().add(at);
            (*entry).set_addr(buffer.as_mut_ptr().expose_provenance() as u64);
            (*entry).set_len(buffer.capacity() as u32);
            (*entry).set_bid(bid);
        }
        self.tail.set(tail.wrapping_add(1));
        // SAFETY: the tail lies within the first descriptor; it is aligned, and written by us only.
        let shared = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.ring.as_ptr()).cast_mut()) };
        shared.store(tail.wrapping_add(1), Ordering::Release);
        self.buffers.borrow_mut()[usize::from(bid)] = Some(buffer);
    }

    /// The kernel wrote `n` bytes into buffer `bid`, and will write `more` into the same. `None` when there was nothing.
    #[inline]
    pub(super) fn take(&self, pool: &Pool, bid: u16, n: usize, more: bool) -> Option<Buf> {
        let mut buffers = self.buffers.borrow_mut();
        let place = buffers.get_mut(usize::from(bid))?;
        let buffer = place.as_mut()?;
        if self.incremental {
            if n == 0 {
                return None; // an empty receive consumes nothing
            }
            buffer.set_len(n);
            let data = buffer.split_frozen(n);
            if !more {
                *place = None;
                drop(buffers);
                self.replace(pool, bid);
            }
            return Some(data);
        }
        buffer.set_len(n);
        let copy = if n <= COPY { pool.try_alloc(n).ok() } else { None };
        let data = if let Some(mut copy) = copy {
            copy.put(buffer);
            let same = place.take()?;
            drop(buffers);
            self.give(bid, same);
            copy.freeze()
        } else {
            let whole = place.take()?.freeze();
            drop(buffers);
            self.replace(pool, bid);
            whole
        };
        (n > 0).then_some(data)
    }

    fn replace(&self, pool: &Pool, bid: u16) {
        match pool.try_alloc(self.size) {
            Ok(fresh) => self.give(bid, fresh),
            Err(_) => self.missing.set(self.missing.get() + 1),
        }
    }

    /// Nothing is in flight any more that could write into the buffers.
    pub(super) fn unregister(&self, registrar: &Submitter<'_>) {
        if self.registered.get() && registrar.unregister_buf_ring(self.group).is_ok() {
            self.registered.set(false);
        }
    }
}

impl Drop for BufRing {
    fn drop(&mut self) {
        if self.registered.get() {
            // The kernel may still read the descriptors: leave them, and the buffers they name, to it.
            std::mem::forget(self.buffers.take());
            return;
        }
        // SAFETY: allocated in `register` with this layout; the kernel does not know it any more.
        unsafe { dealloc(self.ring.as_ptr().cast(), layout(self.entries)) };
    }
}
