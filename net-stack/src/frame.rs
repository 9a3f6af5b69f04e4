//! Frames: what a device hands up, and what it is handed.
//!
//! A received frame is one [`Buf`] whose tail, the payload, reaches the application without a copy. A frame to send is
//! a short head, written by the stack, and payload buffers that it shares with the retransmission queue: a device that
//! gathers (io_uring `writev`, DPDK chains) copies nothing, one that can't copies once, straight from the queue's slot.

use std::fmt;

use hemi_queue::{Buf, BufMut, Sga};

/// What the device knows of a received frame's transport checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum RxChecksum {
    /// Nothing: the stack sums.
    #[default]
    Unknown,
    /// Verified by hardware, or the frame never left this machine's memory.
    Good,
}

/// A received Ethernet frame, without its frame check sequence.
///
/// Its memory must be private to this process: a frame in memory that another process can write is copied once by the
/// device, before it gets here (DESIGN section 3).
#[derive(Clone, Debug)]
pub struct RxFrame {
    /// The bytes, from the destination MAC address on.
    pub bytes: Buf,
    /// What is known of the checksum.
    pub checksum: RxChecksum,
    /// The rewrite that the device has made to the datagram in it ([`MarkedRewrite`](crate::device::MarkedRewrite)); 0: none.
    pub mark: u32,
}

impl RxFrame {
    /// A frame of which nothing is known.
    pub fn new(bytes: Buf) -> Self {
        Self { bytes, checksum: RxChecksum::Unknown, mark: 0 }
    }
}

/// Where a device must finish a transport checksum: sum from `start` to the end of the frame, write at `start + offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChecksumRequest {
    /// Offset of the transport header in the frame.
    pub start: u8,
    /// Offset of the checksum field in the transport header. It holds the pseudo-header's sum.
    pub offset: u8,
}

/// A frame to send.
#[derive(Clone)]
pub struct TxFrame {
    head: [u8; Self::MAX_HEAD],
    head_len: u16,
    /// The checksum to finish, when the device said that it can ([`Caps::tx_checksum`](crate::device::Caps)).
    pub checksum: Option<ChecksumRequest>,
    /// Cut the TCP payload into segments of this many bytes, each with the head; 0: the frame is one packet. Only for a
    /// device that said that it can ([`Caps::tso`](crate::device::Caps)).
    pub segment_size: u16,
    /// The bytes behind the head.
    pub payload: Sga,
}

impl TxFrame {
    /// The longest head: Ethernet, IPv6, TCP with all options; or with fewer options, and a text that is shorter than it is
    /// worth sharing.
    pub const MAX_HEAD: usize = 256;

    /// A frame with an empty head.
    #[inline]
    pub fn new(payload: Sga) -> Self {
        Self { head: [0; Self::MAX_HEAD], head_len: 0, checksum: None, segment_size: 0, payload }
    }

    /// The headers, and the first bytes behind them if they were copied.
    #[inline]
    pub fn head(&self) -> &[u8] {
        &self.head[..usize::from(self.head_len).min(Self::MAX_HEAD)]
    }

    /// Bytes of the head.
    #[inline]
    pub fn head_len(&self) -> usize {
        usize::from(self.head_len)
    }

    /// All the room of the head, with whatever is behind it: a device that has the room copies blocks of fixed sizes, which is faster than to copy
    /// some bytes.
    #[inline]
    pub fn head_and_room(&self) -> &[u8; Self::MAX_HEAD] {
        &self.head
    }

    /// The head's first `len` bytes (at most [`MAX_HEAD`](Self::MAX_HEAD)), to write; they become the head.
    #[inline]
    pub fn head_mut(&mut self, len: usize) -> &mut [u8] {
        let len = len.min(Self::MAX_HEAD);
        self.head_len = len as u16;
        &mut self.head[..len]
    }

    /// The same with all the room there is, for a writer who knows where everything lies.
    #[inline]
    pub(crate) fn head_array(&mut self, len: usize) -> &mut [u8; Self::MAX_HEAD] {
        self.head_len = len.min(Self::MAX_HEAD) as u16;
        &mut self.head
    }

    /// All the room there is, whatever the head's length.
    #[inline]
    pub(crate) fn head_room(&mut self) -> &mut [u8; Self::MAX_HEAD] {
        &mut self.head
    }

    /// Bytes in all.
    #[inline]
    pub fn len(&self) -> usize {
        usize::from(self.head_len) + self.payload.len()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Append the whole frame to a buffer, or as much of it as fits.
    #[inline]
    pub fn put_into(&self, out: &mut BufMut) {
        out.put(self.head());
        if self.payload.parts() > 0 {
            for part in &self.payload {
                out.put(part);
            }
        }
    }

    /// Copy the whole frame to the front of `out`; returns its length, or `None` when it does not fit.
    #[inline]
    pub fn copy_to(&self, out: &mut [u8]) -> Option<usize> {
        let len = self.len();
        let (head, rest) = out.get_mut(..len)?.split_at_mut(usize::from(self.head_len));
        head.copy_from_slice(self.head());
        if !rest.is_empty() {
            self.payload.copy_to(rest);
        }
        Some(len)
    }
}

impl fmt::Debug for TxFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TxFrame")
            .field("head", &self.head_len)
            .field("payload", &self.payload.len())
            .field("segment_size", &self.segment_size)
            .finish_non_exhaustive()
    }
}

/// Frames that wait for the device, oldest first, with a bound.
///
/// The stack pushes, the device takes from the front what it has room for; what it does not take stays (never drop
/// your own frame because a ring is full). Producers ask [`has_room`](Self::has_room) first and keep their segments when
/// there is none: that is the back-pressure of a slow device.
///
/// A ring of slots that are written and read in place: a frame is 340 bytes, and on the fast path it is never moved.
#[derive(Debug)]
pub struct TxQueue {
    /// As many as a power of two.
    slots: Vec<TxFrame>,
    first: usize,
    len: usize,
    limit: usize,
}

impl TxQueue {
    /// An empty queue for `limit` frames.
    pub fn new(limit: usize) -> Self {
        Self { slots: Vec::new(), first: 0, len: 0, limit }
    }

    /// Frames waiting.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether a frame may be pushed.
    #[inline]
    pub fn has_room(&self) -> bool {
        self.len < self.limit
    }

    /// Append a frame. Ask [`has_room`](Self::has_room) first: the fragments of one datagram, and control frames, may exceed the
    /// bound by a little.
    pub fn push(&mut self, frame: TxFrame) {
        *self.claim() = frame;
    }

    /// Append a frame to be written in place. It still has an old head; its payload is empty.
    #[inline]
    pub(crate) fn claim(&mut self) -> &mut TxFrame {
        if self.len == self.slots.len() {
            self.grow();
        }
        let at = (self.first + self.len) & (self.slots.len() - 1);
        self.len += 1;
        &mut self.slots[at]
    }

    #[cold]
    fn grow(&mut self) {
        self.slots.rotate_left(self.first);
        self.first = 0;
        let size = (self.slots.len() * 2).max(16);
        self.slots.resize_with(size, || TxFrame::new(Sga::new()));
    }

    /// The oldest frame, which the device may copy from in place.
    #[inline]
    pub fn front(&self) -> Option<&TxFrame> {
        if self.len == 0 { None } else { self.slots.get(self.first) }
    }

    /// All that wait, oldest first, in place: for a device that sends several by one call and then
    /// [`discard`](Self::discard)s as many as were taken.
    pub fn iter(&self) -> impl Iterator<Item = &TxFrame> {
        let mask = self.slots.len().wrapping_sub(1);
        (0..self.len).filter_map(move |n| self.slots.get((self.first + n) & mask))
    }

    /// Let go of the oldest frame, which the device has copied.
    #[inline]
    pub fn discard(&mut self) {
        if self.len > 0 {
            if let Some(slot) = self.slots.get_mut(self.first)
                && slot.payload.parts() > 0
            {
                drop(std::mem::take(&mut slot.payload).into_single());
            }
            self.first = (self.first + 1) & self.slots.len().wrapping_sub(1);
            self.len -= 1;
        }
    }

    /// Take the oldest frame, for a device that keeps it until it is sent.
    pub fn pop(&mut self) -> Option<TxFrame> {
        let frame = self.front()?.clone();
        self.discard();
        Some(frame)
    }
}
