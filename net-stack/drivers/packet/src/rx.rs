//! From a slot of the ring to a frame of the stack: one copy.

use std::{collections::VecDeque, os::fd::AsRawFd};

use hemi_net::{RxFrame, frame::RxChecksum};
use hemi_queue::{AllocError, Buf, BufMut, Pool, PoolConfig, buf::ClassConfig};

use crate::{counters::Counters, ring::Filled, socket::Socket, uso, vnet::VnetHeader};

/// Bytes of a frame of the reserve: acknowledgements, ARP, neighbour discovery.
const RESERVE_FRAME: usize = 256;
/// Bytes of the reserve.
const RESERVE: usize = 64 << 10;
/// Where a VLAN tag stands in a frame: behind the two addresses.
const TAG_AT: usize = 12;

/// What receives: memory, and frames that came out of one slot together.
#[derive(Debug)]
pub(crate) struct RxPath {
    pool: Pool,
    /// For short frames while the pool is drained: memory comes back when peers acknowledge, and that has to be heard.
    reserve: Pool,
    /// The rest of a frame that held several packets.
    pub(crate) pending: VecDeque<RxFrame>,
    /// Where such a frame is cut.
    scratch: Vec<u8>,
}

impl RxPath {
    pub(crate) fn new(pool: &Pool) -> Result<Self, AllocError> {
        let reserve = Pool::with(&PoolConfig {
            classes: vec![ClassConfig { size: RESERVE_FRAME }],
            limit: RESERVE,
            region: RESERVE,
        })?;
        Ok(Self { pool: pool.clone(), reserve, pending: VecDeque::new(), scratch: Vec::new() })
    }

    /// The frame of a filled slot; `None` when it was dropped (and counted), or when its packets are `pending`.
    #[inline]
    pub(crate) fn take(
        &mut self,
        filled: &Filled<'_>,
        socket: &Socket,
        counters: &mut Counters,
    ) -> Option<RxFrame> {
        if filled.queued || filled.vnet.datagrams().is_some() || filled.vlan.is_some() {
            return self.take_unusual(filled, socket, counters);
        }
        if filled.stored != filled.len {
            counters.rx_truncated += 1;
            return None;
        }
        let mut buf = self.room(filled.len, counters)?;
        let n = filled.copy(0, buf.spare_mut());
        buf.set_len(n);
        Some(RxFrame { bytes: buf.freeze(), checksum: checksum(filled), mark: 0 })
    }

    #[cold]
    fn take_unusual(
        &mut self,
        filled: &Filled<'_>,
        socket: &Socket,
        counters: &mut Counters,
    ) -> Option<RxFrame> {
        counters.rx_large += u64::from(filled.queued);
        counters.rx_vlan += u64::from(filled.vlan.is_some());
        if let Some(size) = filled.vnet.datagrams() {
            let mut frame = std::mem::take(&mut self.scratch);
            frame.resize(filled.len, 0);
            if fetch(filled, socket, &mut frame) == Some(filled.len) {
                counters.rx_cut += 1;
                self.cut(filled, &frame, size, counters);
            } else {
                counters.rx_truncated += 1;
            }
            self.scratch = frame;
            return self.pending.pop_front();
        }
        let wanted = filled.len + filled.vlan.map_or(0, |tag| tag.len());
        if wanted > self.pool.largest() {
            // A frame larger than any buffer, by a few bytes, once in a while: on the heap.
            let mut frame = vec![0; wanted];
            let bytes = fetch(filled, socket, &mut frame)?;
            frame.truncate(bytes);
            return Some(RxFrame { bytes: Buf::from(frame), checksum: checksum(filled), mark: 0 });
        }
        let Some(mut buf) = self.room(wanted, counters) else {
            if filled.queued {
                skip(socket);
            }
            return None;
        };
        let spare = &mut buf.spare_mut()[..wanted];
        if fetch(filled, socket, spare) != Some(wanted) {
            counters.rx_truncated += 1;
            return None;
        }
        buf.set_len(wanted);
        Some(RxFrame { bytes: buf.freeze(), checksum: checksum(filled), mark: 0 })
    }

    fn cut(&mut self, filled: &Filled<'_>, frame: &[u8], size: usize, counters: &mut Counters) {
        let Some(datagrams) = uso::cut(frame, size) else {
            counters.rx_bad_gso += 1;
            return;
        };
        for datagram in datagrams {
            let Some(mut buf) = self.room(datagram.len(), counters) else { continue };
            datagram.write(&mut buf.spare_mut()[..datagram.len()]);
            buf.set_len(datagram.len());
            self.pending.push_back(RxFrame { bytes: buf.freeze(), checksum: checksum(filled), mark: 0 });
        }
    }

    #[inline]
    fn room(&self, len: usize, counters: &mut Counters) -> Option<BufMut> {
        match self.pool.try_alloc(len) {
            Ok(buf) => Some(buf),
            Err(_) => self.room_in_reserve(len, counters),
        }
    }

    #[cold]
    fn room_in_reserve(&self, len: usize, counters: &mut Counters) -> Option<BufMut> {
        let buf = self.reserve.try_alloc(len).ok();
        if buf.is_some() {
            counters.rx_reserve += 1;
        } else {
            counters.rx_no_memory += 1;
        }
        buf
    }
}

fn checksum(filled: &Filled<'_>) -> RxChecksum {
    if filled.checksum_good { RxChecksum::Good } else { filled.vnet.checksum() }
}

/// The frame to `out`, with its VLAN tag back in place, from the slot or from the socket; its length, or `None` when only a part of it
/// was kept or fits.
fn fetch(filled: &Filled<'_>, socket: &Socket, out: &mut [u8]) -> Option<usize> {
    let tag = filled.vlan;
    let hole = tag.map_or(0, |tag| tag.len());
    let (addresses, rest) = out.split_at_mut(TAG_AT.min(out.len()));
    let (middle, rest) = rest.split_at_mut(hole.min(rest.len()));
    let stored = if filled.queued {
        receive(socket, addresses, rest)?
    } else {
        filled.copy(0, addresses) + filled.copy(TAG_AT, rest)
    };
    if stored != filled.len || middle.len() != hole || stored > addresses.len() + rest.len() {
        return None;
    }
    if let Some(tag) = tag {
        middle.copy_from_slice(&tag);
    }
    Some(stored + hole)
}

/// Drop the next frame of the socket's queue: that of a slot which is dropped must not be taken for the next slot's.
#[cold]
pub(crate) fn skip(socket: &Socket) {
    receive(socket, &mut [], &mut []);
}

/// The next frame of the socket's queue into two pieces of memory; its whole length.
fn receive(socket: &Socket, first: &mut [u8], second: &mut [u8]) -> Option<usize> {
    let mut vnet = [0_u8; VnetHeader::LEN];
    let mut pieces = [&mut vnet[..], first, second]
        .map(|piece| libc::iovec { iov_base: piece.as_mut_ptr().cast(), iov_len: piece.len() });
    // SAFETY: all zeroes is a valid msghdr: null pointers with zero lengths.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = pieces.as_mut_ptr();
    message.msg_iovlen = pieces.len();
    // SAFETY: the message names locals and exclusive slices, of the lengths given.
    let n =
        unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT | libc::MSG_TRUNC) };
    usize::try_from(n).ok()?.checked_sub(VnetHeader::LEN)
}
