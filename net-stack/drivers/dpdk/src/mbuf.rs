//! [`Mbuf`]: DPDK's packet buffers, read and written field by field where they are.
//!
//! No reference to an mbuf is ever made: drivers and other cores may count it at the same time.

use std::{
    ptr::NonNull,
    sync::atomic::{AtomicU16, Ordering},
};

use dpdk_sys as sys;

/// A pointer to an mbuf, as bursts are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Mbuf(pub(crate) *mut sys::rte_mbuf);

impl Mbuf {
    pub(crate) const NONE: Self = Self(std::ptr::null_mut());

    /// # Safety
    /// An mbuf lives there, whose field at `offset` is a `T`.
    #[inline]
    unsafe fn field<T: Copy>(self, offset: u32) -> T {
        // SAFETY: within the mbuf, aligned as the C compiler laid it out. Volatile: read once, where others may write to it.
        unsafe { self.0.byte_add(offset as usize).cast::<T>().read_volatile() }
    }

    /// # Safety
    /// As for `field`; nobody else uses the mbuf.
    #[inline]
    unsafe fn set<T: Copy>(self, offset: u32, value: T) {
        // SAFETY: as for `field`.
        unsafe { self.0.byte_add(offset as usize).cast::<T>().write(value) }
    }

    /// What is said of a piece of a packet.
    ///
    /// # Safety
    /// An mbuf that was received, or the next of its chain.
    #[inline]
    pub(crate) unsafe fn piece(self) -> Piece {
        // SAFETY: by contract; the offsets and types are those of `struct rte_mbuf`.
        unsafe {
            Piece {
                buffer: self.field(sys::HEMI_MBUF_BUF_ADDR),
                room: self.field::<u16>(sys::HEMI_MBUF_BUF_LEN).into(),
                offset: self.field::<u16>(sys::HEMI_MBUF_DATA_OFF).into(),
                len: self.field::<u16>(sys::HEMI_MBUF_DATA_LEN).into(),
                next: self.field(sys::HEMI_MBUF_NEXT),
            }
        }
    }

    /// Bytes of the whole packet, in its first piece.
    ///
    /// # Safety
    /// An mbuf that was received.
    #[inline]
    pub(crate) unsafe fn packet_len(self) -> usize {
        // SAFETY: by contract.
        unsafe { self.field::<u32>(sys::HEMI_MBUF_PKT_LEN) as usize }
    }

    /// # Safety
    /// An mbuf that was received.
    #[inline]
    pub(crate) unsafe fn flags(self) -> u64 {
        // SAFETY: by contract.
        unsafe { self.field(sys::HEMI_MBUF_OL_FLAGS) }
    }

    /// The pool that it belongs to.
    ///
    /// # Safety
    /// An mbuf lives there.
    #[inline]
    pub(crate) unsafe fn pool(self) -> *mut sys::rte_mempool {
        // SAFETY: by contract.
        unsafe { self.field(sys::HEMI_MBUF_POOL) }
    }

    /// The word of ours in its private area, which is zero at first; nothing is left there.
    ///
    /// # Safety
    /// An mbuf of `Mempool::new`, which nobody else has.
    #[inline]
    pub(crate) unsafe fn take_word(self) -> Option<NonNull<()>> {
        // SAFETY: the private area is right behind the mbuf. No driver touches it.
        unsafe {
            let word = self.field::<*mut ()>(sys::HEMI_MBUF_SIZE);
            self.set(sys::HEMI_MBUF_SIZE, std::ptr::null_mut::<()>());
            NonNull::new(word)
        }
    }

    /// Leave a word there.
    ///
    /// # Safety
    /// As for `take_word`.
    #[inline]
    pub(crate) unsafe fn set_word(self, word: NonNull<()>) {
        // SAFETY: as above.
        unsafe { self.set(sys::HEMI_MBUF_SIZE, word.as_ptr()) }
    }

    /// Its own buffer.
    ///
    /// # Safety
    /// An mbuf of `Mempool::new`.
    pub(crate) unsafe fn own_buffer(self) -> Option<NonNull<u8>> {
        // SAFETY: mbuf, private area, buffer, in one element of the pool.
        NonNull::new(
            unsafe { self.0.byte_add(sys::HEMI_MBUF_SIZE as usize + super::mempool::PRIVATE) }.cast(),
        )
    }

    /// The mbuf whose own buffer begins at `buffer`.
    ///
    /// # Safety
    /// It is of a pool of `Mempool::new`: mbuf, private area, buffer.
    #[inline]
    pub(crate) unsafe fn of_buffer(buffer: NonNull<u8>) -> Self {
        // SAFETY: by contract, within the element.
        Self(
            unsafe { buffer.byte_sub(sys::HEMI_MBUF_SIZE as usize + super::mempool::PRIVATE) }
                .cast()
                .as_ptr(),
        )
    }

    /// Whether its buffer is its own, not one that it was attached to.
    /// (Of a pool of `Mempool::new`.)
    #[inline]
    pub(crate) fn has_own_buffer(self, piece: &Piece) -> bool {
        let own = self.0.addr() + sys::HEMI_MBUF_SIZE as usize + super::mempool::PRIVATE;
        piece.buffer.addr() == own
    }

    /// Where a new packet's bytes are written: behind the headroom of its own buffer. (Of a pool of `Mempool::new`.)
    #[inline]
    pub(crate) fn fresh_data(self) -> *mut u8 {
        const BEFORE: usize =
            sys::HEMI_MBUF_SIZE as usize + super::mempool::PRIVATE + super::mempool::HEADROOM;
        self.0.wrapping_byte_add(BEFORE).cast()
    }

    /// Say what is in it: a piece of `len` bytes.
    ///
    /// # Safety
    /// An mbuf of ours with so much in it.
    #[inline]
    pub(crate) unsafe fn set_len(self, len: usize) {
        // SAFETY: by contract.
        unsafe { self.set(sys::HEMI_MBUF_DATA_LEN, len as u16) }
    }

    /// Say what the packet is that begins here.
    ///
    /// # Safety
    /// An mbuf of ours, with so many pieces behind each other.
    #[inline]
    pub(crate) unsafe fn set_packet(self, len: usize, pieces: usize) {
        // SAFETY: by contract.
        unsafe {
            self.set(sys::HEMI_MBUF_PKT_LEN, len as u32);
            self.set(sys::HEMI_MBUF_NB_SEGS, pieces as u16);
        }
    }

    /// # Safety
    /// Mbufs of ours.
    #[inline]
    pub(crate) unsafe fn set_next(self, next: Self) {
        // SAFETY: by contract.
        unsafe { self.set(sys::HEMI_MBUF_NEXT, next.0) }
    }

    /// Let it carry `len` bytes of other memory.
    ///
    /// # Safety
    /// A carrier of ours (`hemi_dpdk_carry`) that no driver has; the memory stays as it is until no driver has the carrier any more.
    #[inline]
    pub(crate) unsafe fn point_at(self, bytes: *const u8, len: usize) {
        // SAFETY: by contract. The address is also the device's: IOVA as virtual addresses.
        unsafe {
            self.set(sys::HEMI_MBUF_BUF_ADDR, bytes);
            self.set(sys::HEMI_MBUF_BUF_IOVA, bytes.expose_provenance() as u64);
            self.set(sys::HEMI_MBUF_BUF_LEN, len as u16);
            self.set(sys::HEMI_MBUF_DATA_LEN, len as u16);
            self.set(sys::HEMI_MBUF_NEXT, std::ptr::null_mut::<sys::rte_mbuf>());
        }
    }

    /// The counts of its holders.
    ///
    /// # Safety
    /// An mbuf lives there for as long as the answer is used.
    #[inline]
    pub(crate) unsafe fn holders<'a>(self) -> &'a AtomicU16 {
        // SAFETY: by contract; DPDK, too, writes to it atomically when there are several holders.
        unsafe { AtomicU16::from_ptr(self.0.byte_add(sys::HEMI_MBUF_REFCNT as usize).cast()) }
    }

    /// Whether only one holder is left.
    ///
    /// # Safety
    /// As for `holders`.
    #[inline]
    pub(crate) unsafe fn is_ours_alone(self) -> bool {
        // SAFETY: by contract. Acquire: what the driver did with it is over.
        unsafe { self.holders() }.load(Ordering::Acquire) == 1
    }
}

/// A piece of a packet, as its mbuf says: nothing of it is believed yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    /// The whole buffer,
    pub(crate) buffer: *mut u8,
    /// its length,
    pub(crate) room: usize,
    /// where in it the data begins,
    pub(crate) offset: usize,
    /// and how much that is.
    pub(crate) len: usize,
    pub(crate) next: *mut sys::rte_mbuf,
}

impl Piece {
    /// Whether the data is within the buffer.
    #[inline]
    pub(crate) fn is_inside(&self) -> bool {
        self.offset + self.len <= self.room
    }
}
