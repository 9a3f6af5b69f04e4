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
    /// New mbufs for heads.
    stock: [Mbuf; BURST],
    stocked: usize,
    carriers: Carriers,
}

/// A packet that is ready for the driver.
#[derive(Clone, Copy)]
struct Built {
    mbuf: Mbuf,
    /// Carriers in it.
    carriers: usize,
}

/// Why there is no packet.
enum NotBuilt {
    /// Mbufs come back as the driver sends.
    NoMbufs,
    /// The port cannot send this.
    Never,
}

impl TxPath {
    pub(crate) fn new(shape: TxShape, heads: Arc<Mempool>, carriers: Option<Arc<Mempool>>) -> Self {
        let carriers = Carriers::new(carriers);
        Self { shape, heads, stock: [Mbuf::NONE; BURST], stocked: 0, carriers }
    }

    /// Take frames from the front of `frames` while the driver has room; returns how many.
    pub(crate) fn burst(&mut self, frames: &mut TxQueue, counters: &mut Counters) -> usize {
        let mut taken = 0;
        while !frames.is_empty() {
            self.carriers.release();
            let mut built = [Built { mbuf: Mbuf::NONE, carriers: 0 }; BURST];
            let (mut filled, mut offloads, mut never) = (0, false, false);
            for frame in frames.iter().take(BURST) {
                match self.build(frame) {
                    Ok(packet) => built[filled] = packet,
                    Err(NotBuilt::Never) => {
                        never = true;
                        break;
                    }
                    Err(NotBuilt::NoMbufs) => {
                        counters.tx_no_mbufs += 1;
                        break;
                    }
                }
                offloads |= frame.segment_size > 0;
                filled += 1;
            }
            let (sent, refused) = self.send(&built[..filled], offloads && self.shape.prepare);
            for packet in &built[..sent] {
                if packet.carriers > 0 {
                    counters.tx_zero_copy += 1;
                } else {
                    counters.tx_copied += 1;
                }
                frames.discard();
            }
            taken += sent;
            self.take_apart(&built[sent..filled]);
            if refused || never && sent == filled {
                // The stack keeps to the MTU and to what was offered, so this is nothing that can be sent.
                counters.tx_refused += 1;
                frames.discard();
                taken += 1;
            } else if sent < filled {
                counters.tx_full += 1;
                break;
            } else if filled == 0 {
                break;
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
    fn send(&self, built: &[Built], prepare: bool) -> (usize, bool) {
        let mut mbufs = [Mbuf::NONE; BURST];
        for (mbuf, packet) in mbufs.iter_mut().zip(built) {
            *mbuf = packet.mbuf;
        }
        let (port, queue) = (self.shape.port, self.shape.queue);
        let mut ready = built.len() as u16;
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
        (usize::from(sent).min(built.len()), false)
    }

    /// Free packets that were not sent; carriers of the latest packets first.
    #[cold]
    fn take_apart(&mut self, built: &[Built]) {
        for packet in built.iter().rev() {
            if packet.carriers > 0 {
                self.carriers.take_back(packet.carriers);
                // SAFETY: ours again; without the carriers it is a single mbuf.
                unsafe {
                    packet.mbuf.set_next(Mbuf::NONE);
                    packet.mbuf.set_packet(0, 1);
                }
            }
            mempool::free(&mut [packet.mbuf]);
        }
    }

    /// A new mbuf of one empty piece.
    #[inline]
    fn new_mbuf(&mut self) -> Result<Mbuf, NotBuilt> {
        if self.stocked == 0 {
            if !self.heads.take(&mut self.stock) {
                return Err(NotBuilt::NoMbufs);
            }
            self.stocked = BURST;
        }
        self.stocked -= 1;
        Ok(self.stock[self.stocked])
    }

    #[inline]
    fn build(&mut self, frame: &TxFrame) -> Result<Built, NotBuilt> {
        let len = frame.len();
        let head = self.new_mbuf()?;
        // SAFETY: new, so ours alone.
        let (at, room) = unsafe { head.tail() };
        let carriers = if self.can_carry(frame) {
            self.chain(head, at, frame);
            frame.payload.parts()
        } else if len <= room {
            // SAFETY: room for so many bytes, which nobody else has.
            let written = frame.copy_to(unsafe { std::slice::from_raw_parts_mut(at, len) });
            debug_assert_eq!(written, Some(len));
            // SAFETY: as above.
            unsafe {
                head.set_len(len);
                head.set_packet(len, 1);
            }
            0
        } else {
            self.spread(head, at, room, frame)?;
            0
        };
        if frame.checksum.is_some() {
            ask(head, frame);
        }
        Ok(Built { mbuf: head, carriers })
    }

    /// Whether the payload can ride in the memory it is in.
    #[inline]
    fn can_carry(&self, frame: &TxFrame) -> bool {
        let payload = &frame.payload;
        if payload.parts() == 0 || !self.shape.chains {
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
        let bytes = frame.head();
        // SAFETY: a head is shorter than any mbuf's room; the mbufs are ours.
        unsafe {
            at.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            head.set_len(bytes.len());
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
    fn spread(
        &mut self,
        head: Mbuf,
        mut at: *mut u8,
        mut room: usize,
        frame: &TxFrame,
    ) -> Result<(), NotBuilt> {
        let len = frame.len();
        if !self.shape.chains || len > usize::from(u16::MAX) + 1 {
            mempool::free(&mut [head]);
            return Err(NotBuilt::Never);
        }
        let (mut last, mut used, mut pieces) = (head, 0, 1);
        for part in std::iter::once(frame.head()).chain(frame.payload.iter().map(|part| &**part)) {
            let mut rest = part;
            while !rest.is_empty() {
                if used == room {
                    // SAFETY: full, and ours.
                    unsafe { last.set_len(used) };
                    let next = match self.new_mbuf() {
                        Ok(next) if pieces < self.shape.most_pieces => next,
                        Ok(next) => {
                            mempool::free(&mut [next, head]);
                            return Err(NotBuilt::Never);
                        }
                        Err(why) => {
                            mempool::free(&mut [head]);
                            return Err(why);
                        }
                    };
                    // SAFETY: both ours.
                    unsafe {
                        last.set_next(next);
                        (at, room) = next.tail();
                        head.set_packet(len, pieces + 1);
                    }
                    (last, used, pieces) = (next, 0, pieces + 1);
                }
                let n = rest.len().min(room - used);
                // SAFETY: within the room of the last mbuf, which is ours.
                unsafe { at.add(used).copy_from_nonoverlapping(rest.as_ptr(), n) };
                used += n;
                rest = &rest[n..];
            }
        }
        // SAFETY: ours.
        unsafe {
            last.set_len(used);
            head.set_packet(len, pieces);
        }
        Ok(())
    }
}

impl Drop for TxPath {
    fn drop(&mut self) {
        mempool::free(&mut self.stock[..self.stocked]);
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
