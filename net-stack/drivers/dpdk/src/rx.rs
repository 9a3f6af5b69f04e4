//! From the driver to the stack: the mbuf that was received, as it is.
//!
//! ```text
//!   mempool ──► driver ──receive──► stack, application ──last drop──► free in `chunks`
//!      ▲                    │ few left in the mempool, or a chain, or memory that is not private:          │
//!      ├────────────────────┘ copied to the core's pool                                                    │
//!      └──────────────────────────────── give back, before the next burst ────────────────────────────────┘
//! ```
//!
//! Every mbuf has a number, and its buffer is a slot of the pool `chunks`: while the driver (or the mempool) has the mbuf, its slot is in `lent`;
//! while the application has the slot, nobody has the mbuf. So the driver always has the mbufs that it needs, whatever the application holds.

use std::sync::Arc;

use hemi_net::{RxFrame, RxPool, frame::RxChecksum};
use hemi_queue::{BufMut, Pool, Result};

use crate::{
    counters::Counters,
    mbuf::{Mbuf, Piece},
    mempool::{self, Mempool},
};

/// Packets per call of a driver.
pub(crate) const BURST: usize = 32;

/// The receiving half.
pub(crate) struct RxPath {
    memory: Arc<Mempool>,
    /// The mbufs' buffers.
    chunks: Pool,
    /// Those that the driver or the mempool has, by number.
    lent: Box<[Option<BufMut>]>,
    lent_count: usize,
    /// Fewer than these are not left to the driver; as many as there are, if nothing may be handed up.
    keep: usize,
    copies: RxPool,
    /// Flags of packets whose checksum is good.
    good_checksum: fn(u64) -> bool,
}

impl RxPath {
    /// The receiving half of a queue whose driver allocates from `memory`, and of whose mbufs `keep` stay with it. What has to be copied
    /// goes to `pool`.
    pub(crate) fn new(
        memory: Arc<Mempool>,
        keep: usize,
        pool: &Pool,
        good_checksum: fn(u64) -> bool,
    ) -> Result<Self> {
        let buffers = memory.number();
        let owner = Box::new(Arc::clone(&memory));
        // SAFETY: the mbufs' own buffers, apart from each other in EAL's memory, kept by the owner. A driver writes to those whose slots are
        // lent. Allocated by EAL and zeroed, or written to by it since.
        let chunks = unsafe { Pool::of_pieces(&buffers, memory.room(), owner)? };
        let mut lent: Box<[Option<BufMut>]> = (0..buffers.len()).map(|_| None).collect();
        for _ in 0..lent.len() {
            let mut chunk = chunks.try_alloc(0)?;
            // SAFETY: the buffer of one of the mbufs that have been numbered.
            let number = unsafe { Mbuf::of_buffer(chunk.as_mut_ptr()).number() };
            if let Some(place) = lent.get_mut(number) {
                *place = Some(chunk);
            }
        }
        let keep = if memory.is_private() { keep } else { usize::MAX };
        let lent_count = lent.len();
        Ok(Self { memory, chunks, lent, lent_count, keep, copies: RxPool::new(pool.clone()), good_checksum })
    }

    /// Give the driver back what the application has let go of.
    #[inline]
    pub(crate) fn give_back(&mut self) {
        if self.lent_count == self.lent.len() {
            return;
        }
        self.chunks.collect();
        let stats = self.chunks.stats();
        let mut free = self.lent.len().saturating_sub(stats.in_use + stats.remote);
        while free > 0 {
            let mut mbufs = [Mbuf::NONE; BURST];
            let mut n = 0;
            while n < free.min(BURST)
                && let Ok(mut chunk) = self.chunks.try_alloc(0)
            {
                // SAFETY: the buffer of one of our mbufs, which nobody has.
                let (mbuf, number) = unsafe {
                    let mbuf = Mbuf::of_buffer(chunk.as_mut_ptr());
                    (mbuf, mbuf.number())
                };
                let Some(place) = self.lent.get_mut(number) else { break };
                *place = Some(chunk);
                mbufs[n] = mbuf;
                n += 1;
            }
            if n == 0 {
                return;
            }
            self.lent_count += n;
            free -= n;
            self.memory.put(&mut mbufs[..n]);
        }
    }

    /// Hand the packets of a burst up.
    #[inline]
    pub(crate) fn take(&mut self, mbufs: &[Mbuf], frames: &mut Vec<RxFrame>, counters: &mut Counters) {
        let mut used = [Mbuf::NONE; BURST];
        let mut n = 0;
        for &mbuf in mbufs.iter().take(BURST) {
            // SAFETY: received, and nobody else's.
            let (piece, len, flags) = unsafe { (mbuf.piece(), mbuf.packet_len(), mbuf.flags()) };
            let checksum = if (self.good_checksum)(flags) { RxChecksum::Good } else { RxChecksum::Unknown };
            if let Some(mut chunk) = self.whole(mbuf, &piece, len) {
                chunk.set_len(piece.offset + piece.len);
                let mut bytes = chunk.freeze();
                bytes.advance(piece.offset);
                frames.push(RxFrame { bytes, checksum });
                counters.rx_zero_copy += 1;
            } else {
                frames.extend(self.copy(piece, len, counters).map(|bytes| RxFrame { bytes, checksum }));
                used[n] = mbuf;
                n += 1;
            }
        }
        mempool::free(&mut used[..n]);
    }

    /// The slot of a packet that can go up as it is.
    #[inline]
    fn whole(&mut self, mbuf: Mbuf, piece: &Piece, len: usize) -> Option<BufMut> {
        // SAFETY: received.
        let ours = unsafe { mbuf.pool() } == self.memory.raw();
        if self.lent_count <= self.keep || !ours || !piece.next.is_null() || piece.len != len {
            return None;
        }
        // SAFETY: of our pool, so it has been numbered.
        let place = self.lent.get_mut(unsafe { mbuf.number() })?;
        // Its own buffer, not one that it was attached to.
        let own = place.as_mut().is_some_and(|chunk| chunk.as_mut_ptr() == piece.buffer);
        if !own || !piece.is_inside() {
            return None;
        }
        self.lent_count -= 1;
        place.take()
    }

    /// A packet, in however many pieces, in one buffer of the core's pool; `None` when it was dropped (and counted).
    #[cold]
    fn copy(&mut self, first: Piece, len: usize, counters: &mut Counters) -> Option<hemi_queue::Buf> {
        counters.rx_reserve += u64::from(self.lent_count <= self.keep && self.memory.is_private());
        if len > self.copies.pool().largest() {
            counters.rx_bad_packet += 1;
            return None;
        }
        let Some(mut copy) = self.copies.alloc(len) else {
            counters.rx_no_memory += 1;
            return None;
        };
        if !gather(first, len, &mut copy) {
            counters.rx_bad_packet += 1;
            return None;
        }
        counters.rx_copied += 1;
        Some(copy.freeze())
    }
}

impl Drop for RxPath {
    fn drop(&mut self) {
        self.give_back();
        // What the application still holds does not come back to the mempool.
        self.memory.keep(self.lent.len() - self.lent_count);
    }
}

/// Copy the pieces of a packet behind each other; whether they are within their buffers and are `len` bytes in all.
fn gather(first: Piece, len: usize, out: &mut BufMut) -> bool {
    let mut piece = first;
    let mut at = 0;
    loop {
        let Some(room) =
            out.spare_mut()[at..].get_mut(..piece.len).filter(|_| piece.is_inside() && at + piece.len <= len)
        else {
            return false;
        };
        // SAFETY: checked to be within the mbuf's buffer, which is ours until it is freed; copied once, never referred to.
        unsafe {
            std::ptr::copy_nonoverlapping(piece.buffer.add(piece.offset), room.as_mut_ptr(), piece.len);
        }
        at += piece.len;
        if piece.next.is_null() || at == len {
            break;
        }
        // SAFETY: the next of a chain that was received.
        piece = unsafe { Mbuf(piece.next).piece() };
    }
    out.set_len(at);
    at == len
}
