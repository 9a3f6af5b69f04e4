//! [`Umem`]: the one piece of memory that all frames of a socket are in, cut into chunks.
//!
//! ```text
//!   chunk 0 ... received                      │ received.. ... to send
//!   a Pool's buffers: lent to the fill ring,   │ free, or with the kernel between the
//!   with the stack and the application, free   │ transmit and the completion ring
//! ```
//!
//! It is mapped MAP_SHARED, so that a fork does not part it from the kernel's view of it. No other process of ours writes to it: the
//! memory has no name, and children of `fork` that go on without `exec` are not supported anywhere in hemi.

use std::{io, ptr::NonNull, sync::Arc};

use hemi_link::Mapping;
use hemi_queue::buf::Region;

/// How a UMEM is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UmemShape {
    /// Bytes per chunk, a power of two.
    pub(crate) chunk: usize,
    /// Chunks to receive into.
    pub(crate) received: usize,
    /// Chunks to send from.
    pub(crate) sent: usize,
}

impl UmemShape {
    /// The kernel leaves these bytes free at the front of a chunk that it receives into (XDP_PACKET_HEADROOM).
    const HEADROOM: usize = 256;
    /// Bytes of a frame beside the packet: the Ethernet header and a VLAN tag.
    const AROUND: usize = 18;
    /// The largest chunk is a page.
    const PAGE: usize = 4096;
    /// The largest packet that is received in one chunk.
    pub(crate) const MAX_MTU: u32 = (Self::PAGE - Self::HEADROOM - Self::AROUND) as u32;

    /// For packets of up to `mtu`, with `bytes` to receive into; `None` for an unreasonable amount.
    pub(crate) fn new(mtu: u16, bytes: usize) -> Option<Self> {
        if !(2 << 20..=1 << 30).contains(&bytes) {
            return None;
        }
        let frame = usize::from(mtu) + Self::AROUND + Self::HEADROOM;
        let chunk = if frame <= 2048 { 2048 } else { Self::PAGE };
        let received = bytes / chunk;
        Some(Self { chunk, received, sent: (received / 4).clamp(256, 2048) })
    }

    /// Bytes in all.
    pub(crate) fn bytes(self) -> usize {
        self.chunk * (self.received + self.sent)
    }

    /// The chunk that `address` is in, and where in it, when `len` bytes from there are within the chunk.
    #[inline]
    pub(crate) fn place(self, address: u64, len: u32) -> Option<(usize, usize)> {
        let address = usize::try_from(address).ok()?;
        let (number, offset) = (address / self.chunk, address % self.chunk);
        let fits = offset.checked_add(len as usize)? <= self.chunk;
        (fits && number < self.received + self.sent).then_some((number, offset))
    }
}

/// The memory. Shared by the device and the pool that its first part is; unmapped when both are gone, and the pool's last buffer.
#[derive(Clone, Debug)]
pub(crate) struct Umem {
    pub(crate) memory: Arc<Mapping>,
    pub(crate) shape: UmemShape,
}

impl Umem {
    pub(crate) fn new(shape: UmemShape) -> io::Result<Self> {
        Ok(Self { memory: Arc::new(Mapping::anonymous(shape.bytes())?), shape })
    }

    /// The first byte.
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.memory.base()
    }

    /// The chunks to receive into, as memory of a pool.
    ///
    /// # Safety
    /// To be called once.
    pub(crate) unsafe fn received(&self) -> Region {
        let len = self.shape.received * self.shape.chunk;
        // SAFETY: mapped, zeroed, writable, kept by the owner; a pool's alone by the caller's promise, except for what the kernel writes to
        // chunks that are lent to the fill ring. (The transmit chunks are behind it.)
        unsafe { Region::provided(self.base(), len, Box::new(Arc::clone(&self.memory))) }
    }

    /// The address of a chunk to send from, `n` of `shape.sent`.
    pub(crate) fn sent(&self, n: usize) -> Option<NonNull<u8>> {
        self.memory.at((self.shape.received + n) * self.shape.chunk, self.shape.chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_hold_a_frame_of_the_mtu() {
        let shape = |mtu| UmemShape::new(mtu, 8 << 20).unwrap();
        assert_eq!((shape(1500).chunk, shape(1500).received, shape(1500).sent), (2048, 4096, 1024));
        assert_eq!((shape(1774).chunk, shape(1775).chunk), (2048, 4096));
        assert_eq!(shape(UmemShape::MAX_MTU as u16).chunk, 4096);
        assert_eq!(UmemShape::new(1500, 1 << 20), None);
        assert_eq!(UmemShape::new(1500, 2 << 30), None);
    }

    #[test]
    fn places_are_checked() {
        let shape = UmemShape { chunk: 2048, received: 4, sent: 2 };
        assert_eq!(shape.place(256, 1500), Some((0, 256)));
        assert_eq!(shape.place(2048 * 5 + 2047, 1), Some((5, 2047)));
        assert_eq!(shape.place(2048 * 5 + 2047, 2), None);
        assert_eq!(shape.place(2048 * 6, 0), None);
        assert_eq!(shape.place(u64::MAX, u32::MAX), None);
        assert_eq!(shape.place(0, 2049), None);
        assert_eq!(shape.place(2048, 2048), Some((1, 0)));
    }
}
