//! From the driver to the stack: the mbuf that was received, as it is.
//!
//! ```text
//!   mempool ──► driver ──receive──► stack, application ──last drop──► free in `chunks`
//!      ▲                    │ few left in the mempool, or a chain, or memory that is not private:          │
//!      ├────────────────────┘ copied to the core's pool                                                    │
//!      └──────────────────────────────── give back, before the next burst ────────────────────────────────┘
//! ```
//!
//! An mbuf's buffer is also a slot of the pool `chunks`. While the driver (or the mempool) has the mbuf, the slot's count is a word in the mbuf's private
//! area; while the application has the slot, nobody has the mbuf. So the driver always has the mbufs that it needs (its descriptors, or what it
//! holds else: see `setup`), whatever the application holds, and what an mbuf says can be checked: no word, no frame.
//!
//! In exposed memory no words are left, and what its mbufs say is believed only as far as their pool's own list goes.

use std::sync::Arc;

use dpdk_sys as sys;
use hemi_net::{RxFrame, RxPool, frame::RxChecksum};
use hemi_queue::{Buf, BufMut, Pool, Result, buf::Lent};

use crate::{
    counters::Counters,
    mbuf::Mbuf,
    mempool::{self, Mempool},
};

/// Packets per call of a driver.
pub(crate) const BURST: usize = 32;

/// The receiving half.
pub(crate) struct RxPath {
    memory: Arc<Mempool>,
    /// All of its mbufs, by address.
    mbufs: Box<[Mbuf]>,
    /// Their buffers.
    chunks: Pool,
    /// Those that the driver or the mempool has.
    lent: usize,
    /// Fewer than these are not left to the driver; as many as there are, if nothing may be handed up.
    keep: usize,
    copies: RxPool,
    checksum: Checksum,
    /// Frames may come marked, by a program before the driver (`filters`).
    pub(crate) marked: bool,
}

/// The flags of packets whose checksum is known to be good.
#[derive(Clone, Copy, Debug)]
struct Checksum {
    verified: bool,
    mask: u64,
    good: u64,
    none: u64,
}

impl Checksum {
    fn new(verified: bool) -> Self {
        // SAFETY: no arguments.
        let (mask, good, none) = unsafe {
            (sys::hemi_dpdk_checksum_mask(), sys::hemi_dpdk_checksum_good(), sys::hemi_dpdk_checksum_none())
        };
        Self { verified, mask, good, none }
    }

    /// # Safety
    /// `mbuf` was received.
    #[inline]
    unsafe fn of(self, mbuf: Mbuf) -> RxChecksum {
        if !self.verified {
            return RxChecksum::Unknown;
        }
        // SAFETY: by contract.
        let known = unsafe { mbuf.flags() } & self.mask;
        if known == self.good || known == self.none { RxChecksum::Good } else { RxChecksum::Unknown }
    }
}

impl RxPath {
    /// The receiving half of a queue whose driver allocates from `memory`, and of whose mbufs `keep` stay with it. What has to be copied
    /// goes to `pool`. The driver verifies checksums, or does not.
    pub(crate) fn new(memory: Arc<Mempool>, keep: usize, pool: &Pool, verified: bool) -> Result<Self> {
        let mut mbufs = memory.list();
        mbufs.sort_unstable_by_key(|mbuf| mbuf.0.addr());
        // SAFETY: mbufs of the pool.
        let buffers: Vec<_> = mbufs.iter().filter_map(|mbuf| unsafe { mbuf.own_buffer() }).collect();
        let owner = Box::new(Arc::clone(&memory));
        // SAFETY: the mbufs' own buffers, apart from each other in EAL's memory, kept by the owner. A driver writes to those whose slots are
        // lent. Zeroed by EAL, or written to since.
        let chunks = unsafe { Pool::of_pieces(&buffers, memory.room(), owner)? };
        let (lent, keep) = if memory.is_private() {
            let lent = chunks.lend(usize::MAX, |lent| {
                // SAFETY: the buffer of one of these mbufs, whose word is nobody else's.
                unsafe { Mbuf::of_buffer(lent.start()).set_word(lent.into_raw()) };
            });
            (lent, keep)
        } else {
            // A word that others can write to would be a pointer of theirs. The slots stay where they are.
            (mbufs.len(), usize::MAX)
        };
        let checksum = Checksum::new(verified);
        Ok(Self {
            memory,
            mbufs,
            chunks,
            lent,
            keep,
            copies: RxPool::new(pool.clone()),
            checksum,
            marked: false,
        })
    }

    /// Whether what lies before a frame can be believed.
    pub(crate) fn can_read_marks(&self) -> bool {
        self.memory.is_private()
    }

    /// Give the driver back what the application has let go of.
    #[inline]
    pub(crate) fn give_back(&mut self) {
        if self.lent == self.mbufs.len() {
            return;
        }
        self.chunks.collect();
        loop {
            let mut mbufs = [Mbuf::NONE; BURST];
            let mut places = mbufs.iter_mut();
            let n = self.chunks.lend(BURST, |lent| {
                if let Some(place) = places.next() {
                    // SAFETY: the buffer of one of our mbufs, which nobody has.
                    unsafe {
                        *place = Mbuf::of_buffer(lent.start());
                        place.set_word(lent.into_raw());
                    }
                }
            });
            if n > 0 {
                self.lent += n;
                self.memory.put(&mut mbufs[..n]);
            }
            if n < BURST {
                return;
            }
        }
    }

    /// Hand the packets of a burst up.
    #[inline]
    pub(crate) fn take(&mut self, mbufs: &[Mbuf], frames: &mut Vec<RxFrame>, counters: &mut Counters) {
        if self.marked {
            self.take_as::<true>(mbufs, frames, counters);
        } else {
            self.take_as::<false>(mbufs, frames, counters);
        }
    }

    #[inline]
    fn take_as<const MARKED: bool>(
        &mut self,
        mbufs: &[Mbuf],
        frames: &mut Vec<RxFrame>,
        counters: &mut Counters,
    ) {
        // Mbufs that need not stay with the driver.
        let mut spare = self.lent.saturating_sub(self.keep);
        let had = spare;
        let (pool, sums) = (self.memory.raw(), self.checksum);
        for &mbuf in mbufs {
            let mark = if MARKED { mark_before(mbuf, counters) } else { 0 };
            if spare > 0
                && let Some(bytes) = whole(mbuf, pool)
            {
                spare -= 1;
                // SAFETY: received.
                let checksum = unsafe { sums.of(mbuf) };
                frames.push(RxFrame { bytes, checksum, mark });
            } else {
                frames.extend(self.copy(mbuf, mark, spare == 0, counters));
                mempool::free(&mut [mbuf]);
            }
        }
        self.lent -= had - spare;
        counters.rx_zero_copy += (had - spare) as u64;
    }

    /// A packet, in however many pieces, in one buffer of the core's pool; `None` when it was dropped (and counted). `reserve`: because the
    /// application holds the rest of the mbufs.
    #[cold]
    #[inline(never)]
    fn copy(&mut self, mbuf: Mbuf, mark: u32, reserve: bool, counters: &mut Counters) -> Option<RxFrame> {
        if !self.memory.is_private() && !self.is_ours(mbuf) {
            counters.rx_bad_packet += 1;
            return None;
        }
        // SAFETY: received, and in exposed memory one of ours: an mbuf lives there, whatever it says.
        let (len, checksum) = unsafe { (mbuf.packet_len(), self.checksum.of(mbuf)) };
        counters.rx_reserve += u64::from(reserve && self.memory.is_private());
        if len > self.copies.pool().largest() {
            counters.rx_bad_packet += 1;
            return None;
        }
        let Some(mut copy) = self.copies.alloc(len) else {
            counters.rx_no_memory += 1;
            return None;
        };
        if !self.gather(mbuf, len, &mut copy) {
            counters.rx_bad_packet += 1;
            return None;
        }
        counters.rx_copied += 1;
        Some(RxFrame { bytes: copy.freeze(), checksum, mark })
    }

    /// Whether it is one of the pool's mbufs.
    fn is_ours(&self, mbuf: Mbuf) -> bool {
        self.mbufs.binary_search_by_key(&mbuf.0.addr(), |ours| ours.0.addr()).is_ok()
    }

    /// Copy the pieces of a packet behind each other; whether they are within their buffers and are `len` bytes in all.
    ///
    /// In private memory only drivers of this process write to mbufs: what these say of memory (which may be another pool's, or the driver's
    /// own) holds. In exposed memory a piece must be an mbuf of ours with its own buffer, whose length we know.
    fn gather(&self, first: Mbuf, len: usize, out: &mut BufMut) -> bool {
        let private = self.memory.is_private();
        let mut mbuf = first;
        let mut at = 0;
        for _ in 0..self.mbufs.len() {
            if !private && !self.is_ours(mbuf) {
                return false;
            }
            // SAFETY: received, or the next of its chain, as a driver of ours says; in exposed memory one of ours. Read once, then checked.
            let piece = unsafe { mbuf.piece() };
            let inside = if private {
                piece.is_inside()
            } else {
                mbuf.has_own_buffer(&piece) && piece.offset + piece.len <= self.memory.room()
            };
            let Some(room) =
                out.spare_mut()[at..].get_mut(..piece.len).filter(|_| inside && at + piece.len <= len)
            else {
                return false;
            };
            // SAFETY: checked to be within the mbuf's buffer, which is there until the pool is gone; copied once, never referred to. (Who
            // writes to exposed memory meanwhile changes what is copied, and nothing else.)
            unsafe {
                std::ptr::copy_nonoverlapping(piece.buffer.add(piece.offset), room.as_mut_ptr(), piece.len);
            }
            at += piece.len;
            if piece.next.is_null() || at == len {
                break;
            }
            mbuf = Mbuf(piece.next);
        }
        out.set_len(at);
        at == len
    }
}

impl Drop for RxPath {
    fn drop(&mut self) {
        if !self.memory.is_private() {
            return;
        }
        self.give_back();
        // What the application still holds does not come back to the mempool.
        self.memory.keep(self.mbufs.len() - self.lent);
        for mbuf in &self.mbufs {
            // SAFETY: an mbuf of our pool, whose word is ours whoever has the rest of it.
            if let Some(word) = unsafe { mbuf.take_word() } {
                // SAFETY: left there by us, and taken once.
                drop(unsafe { Lent::from_raw(word) });
            }
        }
    }
}

/// The mark that a program before the driver has left in front of a frame (in private memory).
#[inline(never)]
fn mark_before(mbuf: Mbuf, counters: &mut Counters) -> u32 {
    const METADATA: usize = 8;
    // SAFETY: received into private memory.
    let piece = unsafe { mbuf.piece() };
    if !piece.is_inside() || piece.offset < METADATA {
        return 0;
    }
    // SAFETY: within the mbuf's buffer, before its data; nobody else has it.
    let metadata =
        unsafe { std::slice::from_raw_parts_mut(piece.buffer.add(piece.offset - METADATA), METADATA) };
    let mark = hemi_xdp::take_mark(metadata);
    counters.rx_rewritten += u64::from(mark != 0);
    mark
}

/// A packet that can go up as it is: one piece in an mbuf of our pool, where it should be. (Never called for exposed memory.)
#[inline]
fn whole(mbuf: Mbuf, pool: *mut sys::rte_mempool) -> Option<Buf> {
    // SAFETY: received into private memory: it says what the driver of this process wrote.
    let (ours, piece, len) = unsafe { (mbuf.pool() == pool, mbuf.piece(), mbuf.packet_len()) };
    if !ours || !mbuf.has_own_buffer(&piece) || !piece.next.is_null() || piece.len != len {
        return None;
    }
    // SAFETY: of our pool, and with us.
    let word = unsafe { mbuf.take_word() }?;
    // SAFETY: left there by us, and taken once.
    match unsafe { Lent::from_raw(word) }.received(piece.offset, piece.len) {
        Ok(bytes) => Some(bytes),
        Err(lent) => {
            // SAFETY: as above.
            unsafe { mbuf.set_word(lent.into_raw()) };
            None
        }
    }
}
