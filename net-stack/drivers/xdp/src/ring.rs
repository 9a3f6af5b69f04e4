//! The four rings of a socket (linux/if_xdp.h): in shared memory, one side produces, the other consumes.
//!
//! ```text
//!   offsets (XDP_MMAP_OFFSETS):  producer: u32 │ consumer: u32 │ flags: u32 │ entries, a power of two of them
//! ```
//!
//! Indices run freely and are masked on access. What the kernel's index says is checked: never are there more entries than the ring has. Entries
//! are copied, not referred to.

use std::{
    io,
    os::fd::BorrowedFd,
    ptr::NonNull,
    sync::atomic::{AtomicU32, Ordering},
};

use hemi_link::Mapping;

/// The kernel's index is impossible: it is further from ours than the ring has entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Corrupt;

impl From<Corrupt> for io::Error {
    fn from(_: Corrupt) -> Self {
        Self::new(io::ErrorKind::InvalidData, "an index in a ring shared with the kernel is impossible")
    }
}

/// What both kinds of ring have. `T` is what an entry is: [`libc::xdp_desc`] or a `u64` address, any bits of which are a value.
#[derive(Debug)]
struct Shared<T> {
    _memory: Mapping,
    producer: NonNull<AtomicU32>,
    consumer: NonNull<AtomicU32>,
    flags: NonNull<AtomicU32>,
    entries: NonNull<T>,
    size: u32,
}

impl<T: Copy> Shared<T> {
    /// A ring of `size` entries in `memory`.
    fn new(memory: Mapping, at: &libc::xdp_ring_offset, size: u32) -> io::Result<Self> {
        let outside = || io::Error::other("the kernel's ring offsets lie outside of the ring's memory");
        if !size.is_power_of_two() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let place = |offset: u64, bytes: usize, align: usize| {
            let at = memory.at(usize::try_from(offset).ok()?, bytes)?;
            (at.as_ptr().addr() % align == 0).then_some(at)
        };
        let index = |offset| place(offset, 4, 4).map(NonNull::cast).ok_or_else(outside);
        let entries =
            place(at.desc, size as usize * size_of::<T>(), align_of::<T>()).ok_or_else(outside)?.cast();
        let (producer, consumer, flags) = (index(at.producer)?, index(at.consumer)?, index(at.flags)?);
        Ok(Self { _memory: memory, producer, consumer, flags, entries, size })
    }

    #[inline]
    fn producer(&self) -> &AtomicU32 {
        // SAFETY: in the memory, aligned (both checked), and accessed by both sides with atomic loads and stores only.
        unsafe { self.producer.as_ref() }
    }

    #[inline]
    fn consumer(&self) -> &AtomicU32 {
        // SAFETY: as for the producer.
        unsafe { self.consumer.as_ref() }
    }

    /// XDP_RING_NEED_WAKEUP: the kernel sleeps until it is told that there is something.
    #[inline]
    fn needs_wakeup(&self) -> bool {
        // SAFETY: as for the producer.
        unsafe { self.flags.as_ref() }.load(Ordering::Relaxed) & libc::XDP_RING_NEED_WAKEUP != 0
    }

    #[inline]
    fn entry(&self, index: u32) -> *mut T {
        // SAFETY: the masked index is less than the size, and the entries are in the memory (checked).
        unsafe { self.entries.add((index & (self.size - 1)) as usize) }.as_ptr()
    }
}

/// A ring that we write: fill, transmit.
#[derive(Debug)]
pub(crate) struct Producer<T> {
    shared: Shared<T>,
    /// Entries written, of which the kernel knows those up to the shared index.
    written: u32,
    /// Where the kernel was when we last looked.
    consumed: u32,
}

impl<T: Copy> Producer<T> {
    fn new(shared: Shared<T>) -> Self {
        let (written, consumed) =
            (shared.producer().load(Ordering::Acquire), shared.consumer().load(Ordering::Acquire));
        Self { shared, written, consumed }
    }

    /// How many entries may be written; looks at the kernel's index only when that is less than `wanted`.
    #[inline]
    pub(crate) fn room(&mut self, wanted: u32) -> Result<u32, Corrupt> {
        let room = self.shared.size.saturating_sub(self.written.wrapping_sub(self.consumed));
        if room >= wanted {
            return Ok(room);
        }
        let consumed = self.shared.consumer().load(Ordering::Acquire);
        let used = self.written.wrapping_sub(consumed);
        if used > self.shared.size {
            return Err(Corrupt);
        }
        self.consumed = consumed;
        Ok(self.shared.size - used)
    }

    /// Write an entry, for which there is [`room`](Self::room).
    #[inline]
    pub(crate) fn write(&mut self, entry: T) {
        // SAFETY: the entry is ours: the kernel reads none from the shared producer index on.
        unsafe { self.shared.entry(self.written).write_volatile(entry) };
        self.written = self.written.wrapping_add(1);
    }

    /// Let the kernel have what was written.
    #[inline]
    pub(crate) fn publish(&self) {
        self.shared.producer().store(self.written, Ordering::Release);
    }

    /// Whether the kernel has not taken everything yet.
    #[inline]
    pub(crate) fn is_waiting(&self) -> bool {
        self.shared.consumer().load(Ordering::Relaxed) != self.written
    }

    #[inline]
    pub(crate) fn needs_wakeup(&self) -> bool {
        self.shared.needs_wakeup()
    }
}

/// A ring that we read: receive, completion.
#[derive(Debug)]
pub(crate) struct Consumer<T> {
    shared: Shared<T>,
    /// Entries read, of which the kernel knows those up to the shared index.
    read: u32,
}

impl<T: Copy> Consumer<T> {
    fn new(shared: Shared<T>) -> Self {
        let read = shared.consumer().load(Ordering::Acquire);
        Self { shared, read }
    }

    /// How many entries wait.
    #[inline]
    pub(crate) fn waiting(&self) -> Result<u32, Corrupt> {
        let waiting = self.shared.producer().load(Ordering::Acquire).wrapping_sub(self.read);
        if waiting > self.shared.size { Err(Corrupt) } else { Ok(waiting) }
    }

    /// The next entry, of those that are [`waiting`](Self::waiting).
    #[inline]
    pub(crate) fn read(&mut self) -> T {
        // SAFETY: in the ring; any bits are an entry. The kernel has written it before the index that `waiting` acquired.
        let entry = unsafe { self.shared.entry(self.read).read_volatile() };
        self.read = self.read.wrapping_add(1);
        entry
    }

    /// Give what was read back to the kernel.
    #[inline]
    pub(crate) fn release(&self) {
        self.shared.consumer().store(self.read, Ordering::Release);
    }
}

/// A socket's rings.
#[derive(Debug)]
pub(crate) struct Rings {
    /// Addresses of chunks to receive into.
    pub(crate) fill: Producer<u64>,
    /// Received frames.
    pub(crate) rx: Consumer<libc::xdp_desc>,
    /// Frames to send.
    pub(crate) tx: Producer<libc::xdp_desc>,
    /// Addresses of chunks that were sent.
    pub(crate) completion: Consumer<u64>,
}

/// How many entries the rings have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Fill and receive.
    pub(crate) receive: u32,
    /// Transmit and completion.
    pub(crate) transmit: u32,
}

impl Rings {
    /// Map the rings of `socket`.
    pub(crate) fn map(
        socket: BorrowedFd<'_>,
        offsets: &libc::xdp_mmap_offsets,
        sizes: Sizes,
    ) -> io::Result<Self> {
        fn map<T: Copy>(
            socket: BorrowedFd<'_>,
            at: &libc::xdp_ring_offset,
            size: u32,
            page: u64,
        ) -> io::Result<Shared<T>> {
            let len =
                usize::try_from(at.desc).unwrap_or(usize::MAX).saturating_add(size as usize * size_of::<T>());
            Shared::new(Mapping::of(socket, len, page as i64)?, at, size)
        }
        let Sizes { receive, transmit } = sizes;
        Ok(Self {
            fill: Producer::new(map(socket, &offsets.fr, receive, libc::XDP_UMEM_PGOFF_FILL_RING)?),
            rx: Consumer::new(map(socket, &offsets.rx, receive, libc::XDP_PGOFF_RX_RING as u64)?),
            tx: Producer::new(map(socket, &offsets.tx, transmit, libc::XDP_PGOFF_TX_RING as u64)?),
            completion: Consumer::new(map(
                socket,
                &offsets.cr,
                transmit,
                libc::XDP_UMEM_PGOFF_COMPLETION_RING,
            )?),
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
