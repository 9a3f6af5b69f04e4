//! Memory regions: what the device can carry.
//!
//! The core's pool maps memory region by region, and keeps it until it ends; each region is registered when a buffer of it
//! is first met (or with [`Registry::register_all`], at the start). What the device cannot carry, because it is foreign memory
//! or because the locked-memory limit refused its region, is copied into memory that it can: a counted copy, never an error.

use std::{
    cell::{Cell, RefCell},
    io,
    ptr::NonNull,
    rc::Rc,
};

use hemi_queue::{AllocError, Buf, BufMut, Pool, buf::Region};
use hemi_rdma::{Keys, Memory};

use super::Device;
use crate::{
    error::VerbsError,
    sys::{IBV_ACCESS_LOCAL_WRITE, IBV_ACCESS_REMOTE_READ, ibv_mr},
};

/// A memory region: registered until it is dropped.
pub(crate) struct Mr {
    device: Rc<Device>,
    mr: NonNull<ibv_mr>,
}

impl Mr {
    /// Register `len` bytes at `base`.
    ///
    /// # Safety
    /// The range is mapped, readable and writable, and what a device does to it (as `access` allows) breaks no rule about it: nobody
    /// holds a reference to bytes that the device may write, except as agreed with the peer.
    pub(crate) unsafe fn new(
        device: &Rc<Device>,
        base: NonNull<u8>,
        len: usize,
        access: i32,
    ) -> io::Result<Self> {
        // SAFETY: the caller's promise; a live protection domain.
        let mr = unsafe { (device.rdma.verbs.reg_mr)(device.pd(), base.as_ptr().cast(), len, access) };
        let mr = NonNull::new(mr).ok_or_else(io::Error::last_os_error)?;
        Ok(Self { device: Rc::clone(device), mr })
    }

    pub(crate) fn lkey(&self) -> u32 {
        // SAFETY: a live region.
        unsafe { self.mr.as_ref() }.lkey
    }

    pub(crate) fn rkey(&self) -> u32 {
        // SAFETY: a live region.
        unsafe { self.mr.as_ref() }.rkey
    }
}

impl Drop for Mr {
    fn drop(&mut self) {
        // SAFETY: ours; requests that use it are over, or the device answers them with an error.
        unsafe { (self.device.rdma.verbs.dereg_mr)(self.mr.as_ptr()) };
    }
}

/// A registered range of memory.
struct Entry {
    base: usize,
    len: usize,
    keys: Keys,
    _mr: Mr,
}

impl Entry {
    fn new(device: &Rc<Device>, region: &Region) -> io::Result<Self> {
        // A peer that was told the key may read the whole region: it is told when it fetches a unit by RDMA READ. It can never
        // write. Peers must be trusted with that (the crate's documentation).
        let access = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ;
        // SAFETY: memory of a pool, mapped for as long as the pool or a buffer of it lives; the device writes only into buffers
        // that are in the receive queue or the target of a read, which nobody else holds.
        let mr = unsafe { Mr::new(device, region.base(), region.len(), access)? };
        let keys = Keys { local: mr.lkey(), remote: mr.rkey() };
        Ok(Self { base: region.base().addr().get(), len: region.len(), keys, _mr: mr })
    }
}

/// The regions of a pool that the device knows.
pub(crate) struct Registry {
    device: Rc<Device>,
    /// The core's.
    pool: Pool,
    /// Ours, of one region that is registered for certain: receive buffers, and copies where the pool's memory was refused.
    own: Pool,
    entries: RefCell<Vec<Entry>>,
    /// The entry that was found last.
    last: Cell<usize>,
    /// Pool regions below this number were tried.
    tried: Cell<u32>,
    refused: Cell<bool>,
}

impl Registry {
    /// A registry of `pool`, with memory of its own for `buffers` of `size` bytes.
    pub(crate) fn new(
        device: &Rc<Device>,
        pool: Pool,
        buffers: usize,
        size: usize,
    ) -> Result<Self, VerbsError> {
        let bytes = buffers.saturating_mul(size.next_multiple_of(64));
        let locked =
            |source| VerbsError::Locked { device: device.name.clone(), bytes, limit: locked_limit(), source };
        let region = Region::map(bytes).map_err(locked)?;
        let entry = Entry::new(device, &region).map_err(locked)?;
        let own = Pool::of(region, size).map_err(|e| locked(io::Error::other(e)))?;
        let (last, tried, refused) = Default::default();
        let entries = RefCell::new(vec![entry]);
        Ok(Self { device: Rc::clone(device), pool, own, entries, last, tried, refused })
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    fn register(&self, region: &Region) -> io::Result<()> {
        let entry = Entry::new(&self.device, region)?;
        self.entries.borrow_mut().push(entry);
        Ok(())
    }

    /// Memory that is registered for certain.
    pub(crate) fn own(&self) -> &Pool {
        &self.own
    }

    /// Register what the pool has mapped since the last time.
    pub(crate) fn register_all(&self) {
        self.pool.regions(|id, region| {
            if id.0 < self.tried.get() {
                return;
            }
            self.tried.set(id.0 + 1);
            let Err(error) = self.register(region) else { return };
            if self.refused.replace(true) {
                tracing::debug!(target: "hemi::rdma", %error, "another memory region was refused");
                return;
            }
            tracing::warn!(
                target: "hemi::rdma", %error, device = %self.device.name, bytes = region.len(), limit = %locked_limit(),
                "a memory region was refused: units in such memory are copied; raise the locked-memory limit (ulimit -l)"
            );
        });
    }

    /// The keys of memory at `at`, which is of the pool or our own.
    #[inline]
    pub(crate) fn keys_at(&self, at: usize) -> Option<Keys> {
        let entries = self.entries.borrow();
        let holds = |entry: &Entry| at.wrapping_sub(entry.base) < entry.len;
        if let Some(entry) = entries.get(self.last.get()).filter(|entry| holds(entry)) {
            return Some(entry.keys);
        }
        let found = entries.iter().position(holds)?;
        self.last.set(found);
        Some(entries[found].keys)
    }
}

impl Memory for Registry {
    #[inline]
    fn keys(&self, buf: &Buf) -> Option<Keys> {
        // Foreign memory may lie where a region of another pool once was: only pooled memory is looked for.
        let (region, _) = buf.region()?;
        if region.0 >= self.tried.get() {
            self.register_all();
        }
        self.keys_at(buf.as_ptr().addr())
    }

    fn alloc(&self, len: usize) -> Result<(BufMut, Keys), AllocError> {
        let mut buf = self.pool.try_alloc(len.min(self.pool.largest()))?;
        let at = buf.as_mut_ptr().addr();
        if let Some(keys) = self.keys_at(at) {
            return Ok((buf, keys));
        }
        self.register_all();
        if let Some(keys) = self.keys_at(at) {
            return Ok((buf, keys));
        }
        // Of a region that was refused: what is registered for receiving serves.
        let mut buf = self.own.try_alloc(len.min(self.own.largest()))?;
        let keys = self.keys_at(buf.as_mut_ptr().addr()).ok_or(AllocError::Drained { limit: 0 })?;
        Ok((buf, keys))
    }
}

/// `RLIMIT_MEMLOCK`, for people.
pub(crate) fn locked_limit() -> String {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: room for the answer.
    if unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) } != 0 {
        return "unknown".to_owned();
    }
    match limit.rlim_cur {
        libc::RLIM_INFINITY => "unlimited".to_owned(),
        bytes => format!("{} KiB", bytes >> 10),
    }
}
