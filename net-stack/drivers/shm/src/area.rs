//! [`Area`]: the memory of one link, shared by its two sides, and [`SharedRing`], a ring in it.
//!
//! ```text
//!  the memfd:    │ control page │ ring 0 (to b) │ ring 1 (to a) │
//!  as mapped:    │ control page │ ring 0 │ ring 0 │ ring 1 │ ring 1 │
//! ```
//! Each ring is mapped twice, back to back, so that a frame never wraps. The memfd is sealed against shrinking before
//! it is handed over, and the seal is checked before it is mapped: no peer can make us touch memory that is not there.
//! Every link has a fresh one, so there is nothing to repair after a crash.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    ptr::{self, NonNull},
    rc::Rc,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

use rustix::{
    fs::{MemfdFlags, SealFlags},
    mm::{MapFlags, ProtFlags},
};

use crate::{
    copy,
    ring::{LINE, MIN_RING, Memory, PREFIX},
    role::Role,
};

/// Bytes of the control page.
const CONTROL: usize = 4096;
/// Distance of the words in it: two lines, because processors fetch lines in pairs.
const APART: usize = 128;
/// The largest ring that is agreed to.
pub(crate) const MAX_RING: usize = 64 << 20;

/// Lines prepared for the next frame: those of a small one, and its end mark.
const PREPARED: u64 = 4;

const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

/// A mapping of a link's memory.
#[derive(Debug)]
pub(crate) struct Area {
    base: NonNull<u8>,
    ring: usize,
}

impl Area {
    /// Fresh memory for a link, all zeroes, with rings of `ring` bytes, and what to give to the other side.
    pub(crate) fn create(ring: usize) -> io::Result<(Self, OwnedFd)> {
        let fd = rustix::fs::memfd_create("hemi-shm", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        rustix::fs::ftruncate(&fd, Self::file_len(ring) as u64)?;
        rustix::fs::fcntl_add_seals(&fd, SEALS)?;
        Ok((Self::map(&fd, ring)?, fd))
    }

    /// Map the memory that the other side made. Refuses what could change its size, or has another one than promised.
    pub(crate) fn attach(fd: &OwnedFd, ring: usize) -> io::Result<Self> {
        let refuse = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidData, why.to_owned()));
        if !Self::is_possible(ring) {
            return refuse("the other side's rings have an impossible size");
        }
        // What is no memfd, or has no seals, has an error for an answer here.
        if !rustix::fs::fcntl_get_seals(fd)?.contains(SealFlags::SHRINK) {
            return refuse("the other side could shrink the shared memory: it is not sealed");
        }
        if rustix::fs::fstat(fd)?.st_size != Self::file_len(ring) as i64 {
            return refuse("the shared memory has another size than the other side says");
        }
        Self::map(fd, ring)
    }

    /// Whether rings may have this size.
    pub(crate) fn is_possible(ring: usize) -> bool {
        ring.is_power_of_two() && (MIN_RING..=MAX_RING).contains(&ring)
    }

    const fn file_len(ring: usize) -> usize {
        CONTROL + 2 * ring
    }

    const fn mapped_len(&self) -> usize {
        CONTROL + 4 * self.ring
    }

    fn map(fd: &impl AsFd, ring: usize) -> io::Result<Self> {
        let len = CONTROL + 4 * ring;
        // SAFETY: a new mapping at a place of the kernel's choice touches nothing that exists.
        let base = unsafe {
            rustix::mm::mmap_anonymous(ptr::null_mut(), len, ProtFlags::empty(), MapFlags::PRIVATE)?
        };
        let Some(base) = NonNull::new(base.cast::<u8>()) else {
            return Err(io::ErrorKind::OutOfMemory.into());
        };
        // From here on dropping unmaps.
        let area = Self { base, ring };
        let pieces = [
            (0, CONTROL, 0),
            (CONTROL, ring, CONTROL),
            (CONTROL + ring, ring, CONTROL),
            (CONTROL + 2 * ring, ring, CONTROL + ring),
            (CONTROL + 3 * ring, ring, CONTROL + ring),
        ];
        for (at, len, offset) in pieces {
            let flags = MapFlags::SHARED | MapFlags::FIXED | MapFlags::POPULATE;
            // SAFETY: replaces a part of the reservation just made, which nobody uses yet.
            unsafe {
                let at = base.as_ptr().add(at).cast();
                rustix::mm::mmap(at, len, ProtFlags::READ | ProtFlags::WRITE, flags, fd, offset as u64)?;
            }
        }
        Ok(area)
    }

    /// The ring that `role` writes.
    pub(crate) fn ring_of(self: &Rc<Self>, role: Role) -> SharedRing {
        let number = role as usize;
        // SAFETY: within the mapping: see `map` for the places.
        let (head, data) = unsafe {
            (
                self.base.add(number * APART).cast::<AtomicU64>(),
                self.base.add(CONTROL + number * 2 * self.ring),
            )
        };
        SharedRing { head, data, bytes: self.ring, _area: Rc::clone(self) }
    }

    /// What a hostile peer does: write anything anywhere.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn scribble(&self, at: usize, byte: u8) {
        let at = at % self.mapped_len();
        // SAFETY: within the mapping. Tests have one thread.
        unsafe { self.base.add(at).write_volatile(byte) };
    }

    /// The word in which `role` says that it sleeps.
    pub(crate) fn sleep_of(&self, role: Role) -> &AtomicU32 {
        // SAFETY: within the control page, aligned, mapped while `self` lives; only ever accessed atomically.
        unsafe { self.base.add((2 + role as usize) * APART).cast::<AtomicU32>().as_ref() }
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        // SAFETY: this mapping is ours, and rings in it keep the area alive.
        let _ = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.mapped_len()) };
    }
}

/// A ring in an [`Area`].
pub(crate) struct SharedRing {
    head: NonNull<AtomicU64>,
    /// Mapped twice: `2 * bytes` can be addressed.
    data: NonNull<u8>,
    /// A power of two.
    bytes: usize,
    _area: Rc<Area>,
}

impl SharedRing {
    #[inline]
    fn at(&self, line: u64) -> NonNull<u8> {
        let offset = (line as usize * LINE) & (self.bytes - 1);
        // SAFETY: less than `bytes`.
        unsafe { self.data.add(offset) }
    }

    #[inline]
    fn word(&self, line: u64) -> &AtomicU64 {
        // SAFETY: the beginning of a line is aligned and mapped while the area lives. Its first word is accessed by this
        // function, and as a part of a frame by copies that the protocol orders; a peer that does otherwise is
        // another process, whose writes are as good as a device's.
        unsafe { self.at(line).cast::<AtomicU64>().as_ref() }
    }
}

impl Memory for SharedRing {
    #[inline]
    fn lines(&self) -> u64 {
        (self.bytes / LINE) as u64
    }

    #[inline]
    fn load(&self, line: u64) -> u64 {
        self.word(line).load(Ordering::Acquire)
    }

    #[inline]
    fn store(&self, line: u64, word: u64) {
        self.word(line).store(word, Ordering::Release);
    }

    #[inline]
    fn load_head(&self) -> u64 {
        // SAFETY: in the control page, aligned, mapped while the area lives, only ever accessed atomically.
        unsafe { self.head.as_ref() }.load(Ordering::Acquire)
    }

    #[inline]
    fn store_head(&self, head: u64) {
        // SAFETY: as above.
        unsafe { self.head.as_ref() }.store(head, Ordering::Release);
    }

    #[inline]
    fn prepare(&self, line: u64) {
        for next in line..line + PREPARED {
            copy::prefetch_for_write(self.at(next).as_ptr());
        }
    }

    #[inline]
    fn write(&self, line: u64, at: usize, bytes: &[u8]) {
        if PREFIX + at + bytes.len() <= self.bytes {
            // SAFETY: a place in the first mapping plus less than a ring ends in the second one.
            unsafe { copy::copy_in(bytes, self.at(line).as_ptr().add(PREFIX + at)) };
        }
    }

    #[inline]
    fn read(&self, line: u64, len: usize, out: &mut [u8]) {
        if PREFIX + len <= self.bytes && len <= out.len() {
            // SAFETY: as above; a line's beginning plus the header.
            unsafe { copy::copy_out(self.at(line).as_ptr().add(PREFIX), len, out) };
        }
    }
}
