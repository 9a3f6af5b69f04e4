//! From the receive ring to the stack: the buffer that the kernel wrote to, as it is.
//!
//! ```text
//!   free in the UMEM's pool ──lend──► fill ring ──► kernel ──► receive ring ──take──► stack, application ──drop──► free
//!                                        ▲                          │ nothing free, and few left with the kernel:
//!                                        └──────────────────────────┘ copied to another pool, and lent again at once
//! ```
//!
//! So the kernel always has chunks to receive into, whatever the application holds.

use hemi_net::{RxFrame, frame::RxChecksum};
use hemi_queue::{AllocError, BufMut, Pool, PoolConfig, Result, buf::ClassConfig};

use crate::{
    counters::Counters,
    rewrite::{METADATA, take_mark},
    ring::{Consumer, Corrupt, Producer},
    umem::{Umem, UmemShape},
};

/// Bytes of a frame of the reserve: acknowledgements, ARP, neighbour discovery.
const RESERVE_FRAME: usize = 256;
/// Bytes of the reserve.
const RESERVE: usize = 64 << 10;

/// The receiving half.
pub(crate) struct RxPath {
    fill: Producer<u64>,
    ring: Consumer<libc::xdp_desc>,
    shape: UmemShape,
    /// The address of the first chunk.
    base: usize,
    /// The UMEM's receiving part.
    chunks: Pool,
    /// The chunks that are with the kernel, by number.
    lent: Vec<Option<BufMut>>,
    /// How many those are.
    lent_count: usize,
    /// Fewer than these are not left with the kernel.
    keep: usize,
    /// For copies.
    pool: Pool,
    /// For copies of short frames while that is drained: memory comes back when peers acknowledge, and that has to be heard.
    reserve: Pool,
    checksum: RxChecksum,
    /// Frames may come marked (`rewrite.rs`).
    pub(crate) marked: bool,
}

impl RxPath {
    /// The receiving half of a socket whose rings are these; lends the kernel all that there is.
    pub(crate) fn new(
        umem: &Umem,
        fill: Producer<u64>,
        ring: Consumer<libc::xdp_desc>,
        pool: &Pool,
        checksum: RxChecksum,
    ) -> Result<Self> {
        let shape = umem.shape;
        // SAFETY: the only call, for a UMEM that was made for this device.
        let chunks = Pool::of(unsafe { umem.received() }, shape.chunk)?;
        let reserve = Pool::with(&PoolConfig {
            classes: vec![ClassConfig { size: RESERVE_FRAME }],
            limit: RESERVE,
            region: RESERVE,
        })?;
        let mut this = Self {
            fill,
            ring,
            shape,
            base: umem.base().as_ptr().addr(),
            chunks,
            lent: (0..shape.received).map(|_| None).collect(),
            lent_count: 0,
            keep: shape.received / 4,
            pool: pool.clone(),
            reserve,
            checksum,
            marked: false,
        };
        // Half of them: what is up in the stack is replaced at once.
        for _ in 0..shape.received / 2 {
            let chunk = this.chunks.try_alloc(shape.chunk)?;
            this.lend(chunk);
        }
        this.fill.publish();
        Ok(this)
    }

    /// Whether frames wait.
    pub(crate) fn is_waiting(&self) -> bool {
        self.ring.waiting() != Ok(0)
    }

    /// Whether the kernel wants to be told that there is room to receive into.
    pub(crate) fn needs_wakeup(&self) -> bool {
        self.fill.needs_wakeup()
    }

    /// Append at most `max` frames to `frames`.
    pub(crate) fn burst(
        &mut self,
        max: usize,
        frames: &mut Vec<RxFrame>,
        counters: &mut Counters,
    ) -> Result<usize, Corrupt> {
        let waiting = (self.ring.waiting()? as usize).min(max);
        if waiting == 0 {
            return Ok(0);
        }
        // As many as there are chunks, of which none is in the ring twice: there is room for all.
        self.fill.room(waiting as u32)?;
        let before = frames.len();
        for _ in 0..waiting {
            let descriptor = self.ring.read();
            let Some((mut chunk, offset)) = self.take_back(&descriptor) else {
                counters.rx_bad_descriptor += 1;
                continue;
            };
            let end = offset + descriptor.len as usize;
            chunk.set_len(end);
            let mark = if self.marked { mark_before(&mut chunk, offset, counters) } else { 0 };
            if let Ok(other) = self.chunks.try_alloc(self.shape.chunk) {
                self.lend(other);
            } else if self.lent_count < self.keep {
                frames.extend(self.copy(&chunk[offset..end], mark, counters));
                self.lend(chunk);
                continue;
            }
            let mut bytes = chunk.freeze();
            bytes.advance(offset);
            frames.push(RxFrame { bytes, checksum: self.checksum, mark });
        }
        self.ring.release();
        self.fill.publish();
        Ok(frames.len() - before)
    }

    /// The chunk of a descriptor, which is ours again, and where in it the frame begins; `None` when it was not lent, or the frame is not
    /// within it.
    #[inline]
    fn take_back(&mut self, descriptor: &libc::xdp_desc) -> Option<(BufMut, usize)> {
        let (number, offset) = self.shape.place(descriptor.addr, descriptor.len)?;
        let chunk = self.lent.get_mut(number)?.take()?;
        self.lent_count -= 1;
        Some((chunk, offset))
    }

    /// Write a chunk's address to the fill ring. The kernel may write to it from the next `publish` on.
    #[inline]
    fn lend(&mut self, mut chunk: BufMut) {
        chunk.set_len(0);
        let offset = chunk.as_mut_ptr().addr() - self.base;
        if let Some(place) = self.lent.get_mut(offset / self.shape.chunk) {
            *place = Some(chunk);
            self.lent_count += 1;
            self.fill.write(offset as u64);
        }
    }

    #[cold]
    fn copy(&self, frame: &[u8], mark: u32, counters: &mut Counters) -> Option<RxFrame> {
        let room: Result<BufMut, AllocError> = self.pool.try_alloc(frame.len()).or_else(|_| {
            counters.rx_reserve += u64::from(frame.len() <= RESERVE_FRAME);
            self.reserve.try_alloc(frame.len())
        });
        let Ok(mut copy) = room else {
            counters.rx_no_memory += 1;
            return None;
        };
        counters.rx_copied += 1;
        copy.put(frame);
        Some(RxFrame { bytes: copy.freeze(), checksum: self.checksum, mark })
    }
}

/// The mark of a frame that begins at `offset` of its chunk.
#[inline(never)]
fn mark_before(chunk: &mut [u8], offset: usize, counters: &mut Counters) -> u32 {
    let metadata = offset.checked_sub(METADATA).and_then(|start| chunk.get_mut(start..offset));
    let mark = metadata.map_or(0, take_mark);
    counters.rx_rewritten += u64::from(mark != 0);
    mark
}

#[cfg(test)]
mod tests;
