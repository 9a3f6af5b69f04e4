//! The receive ring (TPACKET_V2), mapped: slots that the kernel fills and we give back.
//!
//! ```text
//!   slot:  tpacket2_hdr │ sockaddr_ll │ ... │ virtio_net_hdr │ frame (tp_snaplen bytes at tp_mac) │ ...
//!
//!   kernel's (tp_status 0) ── kernel fills, release ──► ours (TP_STATUS_USER) ── we copy, release ──► kernel's
//! ```
//!
//! The kernel does not write to a slot that is ours. All the same nothing in it is believed: every offset is checked against the slot, every field
//! is read once, and no reference is made to the memory.

use std::{
    marker::PhantomData,
    mem::offset_of,
    ptr::NonNull,
    sync::atomic::{AtomicU32, Ordering},
};

use hemi_link::Mapping;
use libc::tpacket2_hdr;

use crate::vnet::VnetHeader;

/// The receive ring of a socket.
#[derive(Debug)]
pub(crate) struct RxRing {
    memory: Mapping,
    slot: usize,
    slots: usize,
    /// The next slot that the kernel fills.
    next: usize,
}

/// A filled slot, as its header says, with the promises that were checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filled<'a> {
    /// The bytes that are in the slot: `stored` of them can be read while the slot is not released.
    start: NonNull<u8>,
    _slot: PhantomData<&'a RxRing>,
    /// How many bytes of the frame are in the slot.
    pub(crate) stored: usize,
    /// How long the frame is.
    pub(crate) len: usize,
    /// The whole frame waits in the socket's queue, because it is larger than a slot.
    pub(crate) queued: bool,
    /// What the kernel said of the checksum, and of several packets in one frame.
    pub(crate) vnet: VnetHeader,
    /// `TP_STATUS_CSUMNOTREADY` or `TP_STATUS_CSUM_VALID`.
    pub(crate) checksum_good: bool,
    /// The VLAN tag that was taken out of the frame: protocol and control information, as on the wire.
    pub(crate) vlan: Option<[u8; 4]>,
}

/// Why a slot that is ours holds no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadSlot {
    /// A frame waits in the socket's queue all the same.
    pub(crate) queued: bool,
}

impl RxRing {
    /// A ring of `slots` slots of `slot` bytes in `memory`, which holds them all.
    pub(crate) fn new(memory: Mapping, slot: usize, slots: usize) -> Self {
        let slots = slots.min(memory.len() / slot.max(1));
        Self { memory, slot, slots, next: 0 }
    }

    #[inline]
    fn base(&self) -> NonNull<u8> {
        // SAFETY: `next` is less than `slots`, which are in the memory.
        unsafe { self.memory.base().add(self.next * self.slot) }
    }

    #[inline]
    fn status(&self) -> &AtomicU32 {
        let at = offset_of!(tpacket2_hdr, tp_status);
        // SAFETY: in the slot, aligned (slots are at multiples of 2 KiB of a page), and accessed by the kernel as by us with atomic loads
        // and stores only.
        unsafe { self.base().add(at).cast::<AtomicU32>().as_ref() }
    }

    /// Whether the kernel has filled the next slot.
    #[inline]
    pub(crate) fn is_filled(&self) -> bool {
        self.status().load(Ordering::Acquire) & libc::TP_STATUS_USER != 0
    }

    /// What is in the next slot; `None` while it is the kernel's. When it was looked at, [`release`](Self::release) it.
    #[inline]
    pub(crate) fn filled(&self) -> Option<Result<Filled<'_>, BadSlot>> {
        let status = self.status().load(Ordering::Acquire);
        if status & libc::TP_STATUS_USER == 0 {
            return None;
        }
        // SAFETY: the header is in the slot, which is ours by its status (acquired above); it is copied once, as integers.
        let header = unsafe { self.base().cast::<tpacket2_hdr>().read_volatile() };
        Some(self.check(status, &header))
    }

    #[inline]
    fn check(&self, status: u32, header: &tpacket2_hdr) -> Result<Filled<'_>, BadSlot> {
        let (at, stored) = (usize::from(header.tp_mac), header.tp_snaplen as usize);
        let is = |bit| status & bit != 0;
        let queued = is(libc::TP_STATUS_COPY);
        let least = size_of::<tpacket2_hdr>() + VnetHeader::LEN;
        if at < least || at.checked_add(stored).is_none_or(|end| end > self.slot) {
            return Err(BadSlot { queued });
        }
        // SAFETY: checked above, `at` is in the slot behind a header and a VnetHeader.
        let start = unsafe { self.base().add(at) };
        // SAFETY: as above; any ten bytes are a VnetHeader, read without asking for alignment.
        let vnet = unsafe { start.sub(VnetHeader::LEN).cast::<VnetHeader>().as_ptr().read_unaligned() };
        let vlan = is(libc::TP_STATUS_VLAN_VALID).then(|| {
            let tpid = if is(libc::TP_STATUS_VLAN_TPID_VALID) { header.tp_vlan_tpid } else { 0x8100 };
            let ([a, b], [c, d]) = (tpid.to_be_bytes(), header.tp_vlan_tci.to_be_bytes());
            [a, b, c, d]
        });
        Ok(Filled {
            start,
            _slot: PhantomData,
            stored,
            len: header.tp_len as usize,
            queued,
            vnet,
            checksum_good: is(libc::TP_STATUS_CSUMNOTREADY | libc::TP_STATUS_CSUM_VALID),
            vlan,
        })
    }

    /// Give the slot that was looked at back to the kernel, and go on to the next.
    #[inline]
    pub(crate) fn release(&mut self) {
        self.status().store(libc::TP_STATUS_KERNEL, Ordering::Release);
        let next = self.next + 1;
        self.next = if next == self.slots { 0 } else { next };
    }

    /// Give back whatever is there; `skip` is called for each frame that waits in the socket's queue, which belongs to its slot.
    pub(crate) fn discard_all(&mut self, mut skip: impl FnMut()) {
        for _ in 0..self.slots {
            let queued = match self.filled() {
                None => return,
                Some(Ok(Filled { queued, .. }) | Err(BadSlot { queued })) => queued,
            };
            if queued {
                skip();
            }
            self.release();
        }
    }
}

impl Filled<'_> {
    /// Copy the bytes from `from` on in the slot to the front of `out`, as many as there are and fit; returns how many.
    #[inline]
    pub(crate) fn copy(&self, from: usize, out: &mut [u8]) -> usize {
        let n = self.stored.saturating_sub(from).min(out.len());
        let from = from.min(self.stored);
        // SAFETY: `from..from + n` is within the slot's stored bytes, and the slot is ours until it is released; `out` is other memory.
        unsafe { self.start.add(from).copy_to_nonoverlapping(NonNull::from(out).cast(), n) };
        n
    }
}

#[cfg(test)]
mod tests;
