//! From the stack's queue to the driver: a header mbuf, and behind it the payload where it is.
//!
//! ```text
//!   head: copied into an mbuf of `heads` ──next──► carrier ──next──► carrier       one packet, freed by the driver when it is sent
//!                                                  points at a Buf's bytes
//! ```
//!
//! A carrier has two holders, the driver and us: when only we are left, the driver has let it go, and the `Buf` is released. Drivers finish in the order
//! in which they were given packets, so carriers are a ring whose oldest is looked at. (A callback of DPDK's would come on any thread.)
//!
//! Short payloads, such as lie in memory that the driver cannot read, and all payloads where chains do not arrive whole, are copied behind their headers.

use std::{
    ops::Range,
    sync::{Arc, atomic::Ordering},
};

use dpdk_sys as sys;
use hemi_net::{TxFrame, TxQueue};
use hemi_queue::Buf;

use crate::{
    counters::Counters,
    exposure::Reach,
    mbuf::Mbuf,
    mempool::{self, Mempool},
    rx::BURST,
};

/// Payloads of up to this many bytes are copied: that is cheaper than a second mbuf.
const SHORT: usize = 256;
/// The most pieces of one packet: what a frame of 64 KiB needs.
pub(crate) const MOST_PIECES: u16 = 40;

/// How a port sends.
#[derive(Clone, Debug)]
pub(crate) struct TxShape {
    pub(crate) port: u16,
    pub(crate) queue: u16,
    /// Chains are offered, and arrive whole.
    pub(crate) chains: bool,
    /// The most pieces of a chain.
    pub(crate) most_pieces: usize,
    pub(crate) reach: Reach,
    /// Where memory lies that a driver of [`Reach::Eal`] can read.
    pub(crate) memory: Vec<Range<usize>>,
    /// Packets with offloads go through the driver's preparation.
    pub(crate) prepare: bool,
}

/// The sending half.
pub(crate) struct TxPath {
    shape: TxShape,
    heads: Arc<Mempool>,
    carriers: Carriers,
}

/// Packets that are ready for the driver, oldest first, and new mbufs behind them.
struct Built {
    mbufs: [Mbuf; BURST],
    /// Carriers in each.
    carriers: [u8; BURST],
}

/// Why there is no packet.
#[derive(Clone, Copy)]
enum NotBuilt {
    /// Mbufs come back as the driver sends.
    NoMbufs,
    /// The port cannot send this.
    Never,
}

impl TxPath {
    pub(crate) fn new(shape: TxShape, heads: Arc<Mempool>, carriers: Option<Arc<Mempool>>) -> Self {
        Self { shape, heads, carriers: Carriers::new(carriers) }
    }

    /// Take frames from the front of `frames` while the driver has room; returns how many.
    pub(crate) fn burst(&mut self, frames: &mut TxQueue, counters: &mut Counters) -> usize {
        let mut taken = 0;
        while !frames.is_empty() {
            self.carriers.release();
            let wanted = frames.len().min(BURST);
            let mut built = Built { mbufs: [Mbuf::NONE; BURST], carriers: [0; BURST] };
            if !self.heads.take(&mut built.mbufs[..wanted]) {
                counters.tx_no_mbufs += 1; // they come back as the driver sends
                return taken;
            }
            let (mut filled, mut offloads, mut carrying, mut problem) = (0, false, 0, None);
            for frame in frames.iter().take(wanted) {
                match self.build(built.mbufs[filled], frame) {
                    Ok(0) => {}
                    Ok(n) => {
                        built.carriers[filled] = n;
                        carrying += 1;
                    }
                    Err(why) => {
                        problem = Some(why);
                        break;
                    }
                }
                offloads |= frame.segment_size > 0;
                filled += 1;
            }
            let (sent, refused) = self.send(&mut built.mbufs[..filled], offloads && self.shape.prepare);
            (0..sent).for_each(|_| frames.discard());
            taken += sent;
            if sent < wanted {
                carrying -= self.take_apart(&built, sent, filled, wanted);
            }
            counters.tx_zero_copy += carrying as u64;
            counters.tx_copied += (sent - carrying) as u64;
            match problem {
                _ if sent < filled && !refused => {
                    counters.tx_full += 1;
                    return taken;
                }
                Some(NotBuilt::NoMbufs) if !refused => {
                    counters.tx_no_mbufs += 1;
                    return taken;
                }
                None if !refused => {}
                _ => {
                    // The stack keeps to the MTU and to what was offered, so this is nothing that can be sent.
                    counters.tx_refused += 1;
                    frames.discard();
                    taken += 1;
                }
            }
        }
        taken
    }

    /// Release what the driver has let go of.
    #[inline]
    pub(crate) fn release(&mut self) {
        self.carriers.release();
    }

    /// Ask a driver that is lazy about it to let go of what is sent.
    pub(crate) fn hurry(&mut self) {
        if self.carriers.used > 0 {
            // SAFETY: numbers; the queue is this core's alone. Drivers that cannot do so say so.
            unsafe { sys::rte_eth_tx_done_cleanup(self.shape.port, self.shape.queue, 0) };
            self.carriers.release();
        }
    }

    /// The buffers that the driver still has.
    pub(crate) fn in_flight(&mut self) -> impl Iterator<Item = Buf> {
        self.carriers.held.iter_mut().filter_map(Option::take)
    }

    /// Hand packets to the driver; how many it took, and whether it will never take the first.
    #[inline]
    fn send(&self, mbufs: &mut [Mbuf], prepare: bool) -> (usize, bool) {
        let (port, queue) = (self.shape.port, self.shape.queue);
        let mut ready = mbufs.len() as u16;
        if ready == 0 {
            return (0, false);
        }
        if prepare {
            // SAFETY: so many packets of ours; the queue is this core's alone.
            ready = unsafe { sys::hemi_dpdk_tx_prepare(port, queue, mbufs.as_mut_ptr().cast(), ready) };
            if ready == 0 {
                return (0, true);
            }
        }
        // SAFETY: so many packets; those that are taken are the driver's from then on. The queue is this core's alone.
        let sent = unsafe { sys::hemi_dpdk_tx_burst(port, queue, mbufs.as_mut_ptr().cast(), ready) };
        (usize::from(sent).min(mbufs.len()), false)
    }

    /// Free packets that were not sent, and mbufs that were not used; how many of the packets had carriers. Those of the latest come
    /// back first.
    #[cold]
    #[inline(never)]
    fn take_apart(&mut self, built: &Built, sent: usize, filled: usize, wanted: usize) -> usize {
        let mut carrying = 0;
        for n in (sent..wanted).rev() {
            let mbuf = built.mbufs[n];
            let carriers = if n < filled { built.carriers[n] } else { 0 };
            if carriers > 0 {
                carrying += 1;
                self.carriers.take_back(carriers.into());
                // SAFETY: ours again; without the carriers it is a single mbuf.
                unsafe {
                    mbuf.set_next(Mbuf::NONE);
                    mbuf.set_packet(0, 1);
                }
            }
            mempool::free(&mut [mbuf]);
        }
        carrying
    }

    /// Make a packet of a frame, with `head` in front; how many carriers are in it. When that fails, `head` is still to be freed.
    #[inline]
    fn build(&mut self, head: Mbuf, frame: &TxFrame) -> Result<u8, NotBuilt> {
        let (at, room) = (head.fresh_data(), self.heads.data_room());
        let mut carriers = 0;
        let parts = frame.payload.parts();
        if parts == 0 {
            // SAFETY: a new mbuf of ours, with more room than any head needs.
            unsafe {
                copy_head(frame, at);
                head.set_len(frame.head_len());
                head.set_packet(frame.head_len(), 1);
            }
        } else if self.can_carry(frame) {
            self.chain(head, at, frame);
            carriers = parts as u8;
        } else {
            let len = frame.len();
            if len > room {
                self.spread(head, at, room, frame)?;
            } else {
                // SAFETY: room for so many bytes, which nobody else has.
                frame.copy_to(unsafe { std::slice::from_raw_parts_mut(at, len) });
                // SAFETY: a new mbuf of ours.
                unsafe {
                    head.set_len(len);
                    head.set_packet(len, 1);
                }
            }
        }
        if frame.checksum.is_some() {
            ask(head, frame);
        }
        Ok(carriers)
    }

    /// Whether the payload can ride in the memory it is in.
    #[inline]
    fn can_carry(&self, frame: &TxFrame) -> bool {
        let payload = &frame.payload;
        if !self.shape.chains {
            return false;
        }
        let reaches = |part: &Buf| match self.shape.reach {
            Reach::Any => true,
            Reach::Eal => {
                let at = part.as_ptr().addr();
                self.shape.memory.iter().any(|m| m.start <= at && at + part.len() <= m.end)
            }
            Reach::None => false,
        };
        payload.len() > SHORT
            && payload.parts() < self.shape.most_pieces
            && payload.parts() <= self.carriers.free()
            && payload.iter().all(|part| u16::try_from(part.len()).is_ok() && reaches(part))
    }

    /// The head in `head`, and a carrier for each buffer of the payload. Asked before: there are so many.
    fn chain(&mut self, head: Mbuf, at: *mut u8, frame: &TxFrame) {
        // SAFETY: a head is shorter than any mbuf's room; the mbufs are ours.
        unsafe {
            copy_head(frame, at);
            head.set_len(frame.head_len());
            head.set_packet(frame.len(), 1 + frame.payload.parts());
        }
        let mut last = head;
        for part in &frame.payload {
            let carrier = self.carriers.carry(part.clone());
            // SAFETY: as above.
            unsafe { last.set_next(carrier) };
            last = carrier;
        }
    }

    /// Copy a frame that is longer than one mbuf into several.
    #[cold]
    #[inline(never)]
    fn spread(&mut self, head: Mbuf, mut at: *mut u8, room: usize, frame: &TxFrame) -> Result<(), NotBuilt> {
        let len = frame.len();
        let pieces = len.div_ceil(room);
        if !self.shape.chains || pieces > self.shape.most_pieces {
            return Err(NotBuilt::Never);
        }
        let mut more = [Mbuf::NONE; MOST_PIECES as usize];
        let more = &mut more[..pieces - 1];
        if !self.heads.take(more) {
            return Err(NotBuilt::NoMbufs);
        }
        // SAFETY: new mbufs of ours.
        unsafe { head.set_packet(len, pieces) };
        let (mut last, mut used, mut more) = (head, 0, more.iter());
        for part in std::iter::once(frame.head()).chain(frame.payload.iter().map(|part| &**part)) {
            let mut rest = part;
            while !rest.is_empty() {
                if used == room
                    && let Some(&next) = more.next()
                {
                    // SAFETY: new mbufs of ours; the last one is full.
                    unsafe {
                        last.set_len(used);
                        last.set_next(next);
                    }
                    (last, at, used) = (next, next.fresh_data(), 0);
                }
                let n = rest.len().min(room - used);
                // SAFETY: within the room of the last mbuf, which is ours.
                unsafe { at.add(used).copy_from_nonoverlapping(rest.as_ptr(), n) };
                used += n;
                rest = &rest[n..];
            }
        }
        // SAFETY: ours.
        unsafe { last.set_len(used) };
        Ok(())
    }
}

/// Copy a frame's head, and some bytes more.
///
/// # Safety
/// There is room for [`TxFrame::MAX_HEAD`] bytes at `at`, which nobody else has.
#[inline]
unsafe fn copy_head(frame: &TxFrame, at: *mut u8) {
    const BLOCK: usize = 64;
    let from = frame.head_and_room().as_ptr();
    let len = frame.head_len();
    // SAFETY: within the most that a head can be.
    unsafe {
        at.copy_from_nonoverlapping(from, BLOCK);
        if len > BLOCK {
            at.add(BLOCK).copy_from_nonoverlapping(from.add(BLOCK), BLOCK);
        }
        if len > 2 * BLOCK {
            let rest = TxFrame::MAX_HEAD - 2 * BLOCK;
            at.add(2 * BLOCK).copy_from_nonoverlapping(from.add(2 * BLOCK), rest);
        }
    }
}

/// What of a frame's checksums, and of its cutting up, the device has to do.
fn ask(mbuf: Mbuf, frame: &TxFrame) {
    let Some(request) = frame.checksum else { return };
    let v4 = frame.head().get(12..14) == Some(&[8, 0]);
    let ip_len = u16::from(request.start).saturating_sub(14);
    if frame.segment_size > 0 {
        let offset = frame.head().get(usize::from(request.start) + 12).map_or(20, |b| u16::from(b >> 4) * 4);
        // SAFETY: a packet of ours.
        unsafe { sys::hemi_dpdk_ask_segments(mbuf.0, v4.into(), ip_len, offset, frame.segment_size) };
    } else {
        let tcp = request.offset == 16;
        // SAFETY: a packet of ours.
        unsafe { sys::hemi_dpdk_ask_checksum(mbuf.0, tcp.into(), v4.into(), ip_len) };
    }
}

/// Mbufs that point at buffers, and the buffers that the driver has: a ring.
struct Carriers {
    mbufs: Box<[Mbuf]>,
    held: Box<[Option<Buf>]>,
    /// The oldest that the driver has.
    first: usize,
    /// How many the driver has.
    used: usize,
    pool: Option<Arc<Mempool>>,
    /// What DPDK counts the holders of carried memory with. It is always held by us.
    _shared: Box<sys::rte_mbuf_ext_shared_info>,
}

impl Carriers {
    fn new(pool: Option<Arc<Mempool>>) -> Self {
        let mut mbufs = vec![Mbuf::NONE; pool.as_ref().map_or(0, |pool| pool.count())];
        if let Some(pool) = &pool
            && !pool.take(&mut mbufs)
        {
            mbufs.clear();
        }
        let mut shared = Box::new(sys::rte_mbuf_ext_shared_info::default());
        for mbuf in &mbufs {
            // SAFETY: new mbufs, ours alone; the shared information lives as long as this.
            unsafe { sys::hemi_dpdk_carry(mbuf.0, &raw mut *shared) };
        }
        let held = mbufs.iter().map(|_| None).collect();
        Self { mbufs: mbufs.into(), held, first: 0, used: 0, pool, _shared: shared }
    }

    #[inline]
    fn free(&self) -> usize {
        self.mbufs.len() - self.used
    }

    /// The place of the `n`th from the oldest.
    #[inline]
    fn place(&self, n: usize) -> usize {
        let at = self.first + n;
        if at >= self.mbufs.len() { at - self.mbufs.len() } else { at }
    }

    /// A carrier of `part`, with a count for the driver. Asked before: one is free.
    #[inline]
    fn carry(&mut self, part: Buf) -> Mbuf {
        let at = self.place(self.used);
        let mbuf = self.mbufs[at];
        // SAFETY: no driver has it; `held` keeps the bytes as they are until none has.
        unsafe {
            mbuf.point_at(part.as_ptr(), part.len());
            mbuf.holders().store(2, Ordering::Relaxed);
        }
        self.held[at] = Some(part);
        self.used += 1;
        mbuf
    }

    /// The last `count` were not given to the driver after all.
    fn take_back(&mut self, count: usize) {
        for _ in 0..count {
            self.used -= 1;
            let at = self.place(self.used);
            self.held[at] = None;
        }
    }

    /// Let go of what the driver has let go of.
    #[inline]
    fn release(&mut self) {
        while self.used > 0 {
            // SAFETY: one of our carriers.
            if !unsafe { self.mbufs[self.first].is_ours_alone() } {
                return;
            }
            self.held[self.first] = None;
            self.first = self.place(1);
            self.used -= 1;
        }
    }
}

impl Drop for Carriers {
    fn drop(&mut self) {
        self.release();
        for n in self.used..self.mbufs.len() {
            // SAFETY: ours alone.
            unsafe { sys::hemi_dpdk_uncarry(self.mbufs[self.place(n)].0) };
        }
        if let Some(pool) = &self.pool {
            // What a driver has is lost to the pool, whose memory goes when the port is closed.
            pool.keep(self.used);
        }
    }
}
