//! [`Pipe`]: the shortest wire there is, for measuring a stack and nothing else.

use std::{cell::RefCell, rc::Rc};

use hemi_queue::{Buf, Pool, Wakeup, time::Instant};

use crate::{
    device::{Caps, Device, Gone},
    frame::{RxChecksum, RxFrame, TxQueue},
    wire::MacAddr,
};

/// Frames that a direction holds.
const RING: usize = 512;

/// The frames on their way in one direction.
struct Ring {
    slots: Box<[Option<Buf>; RING]>,
    first: usize,
    len: usize,
}

impl Ring {
    fn new() -> Self {
        Self { slots: Box::new([const { None }; RING]), first: 0, len: 0 }
    }

    #[inline(always)]
    fn is_full(&self) -> bool {
        self.len == RING
    }

    /// There is room.
    #[inline(always)]
    fn push(&mut self, frame: Buf) {
        self.slots[(self.first + self.len) % RING] = Some(frame);
        self.len += 1;
    }

    #[inline(always)]
    fn pop(&mut self) -> Option<Buf> {
        let frame = self.slots[self.first % RING].take()?;
        self.first += 1;
        self.len -= 1;
        Some(frame)
    }
}

/// One end of a perfect link without delay: each frame is copied once, as DMA would, into a buffer of the receiver's pool.
///
/// A ring of 512 frames; what does not fit stays with the sender. No virtual time, no faults: [`Wire`](super::Wire) has those.
pub struct Pipe {
    caps: Caps,
    pool: Pool,
    incoming: Rc<RefCell<Ring>>,
    outgoing: Rc<RefCell<Ring>>,
}

impl Pipe {
    /// Both ends of a link with frames from `pool`. With `offload`, checksums are vouched for instead of being computed.
    pub fn pair(mtu: u16, offload: bool, pool: &Pool) -> [Self; 2] {
        let rings: [_; 2] = std::array::from_fn(|_| Rc::new(RefCell::new(Ring::new())));
        std::array::from_fn(|side| Self {
            caps: Caps {
                mtu,
                tx_checksum: offload,
                ..Caps::ethernet(MacAddr([2, 0, 0, 0, 0, side as u8 + 1]))
            },
            pool: pool.clone(),
            incoming: rings[side].clone(),
            outgoing: rings[1 - side].clone(),
        })
    }

    /// The same with segmentation offload: a frame carries up to `bytes` of TCP's text and is handed over whole, as a virtual NIC does
    /// between guests of one host, where nothing needs to be cut.
    #[must_use]
    pub fn with_tso(mut self, bytes: u32) -> Self {
        self.caps.tso = bytes;
        self
    }
}

impl Device for Pipe {
    fn caps(&self) -> Caps {
        self.caps
    }

    #[inline(always)]
    fn rx_burst(&mut self, _: Instant, max: usize, frames: &mut Vec<RxFrame>) -> Result<usize, Gone> {
        let checksum = if self.caps.tx_checksum { RxChecksum::Good } else { RxChecksum::Unknown };
        let mut incoming = self.incoming.borrow_mut();
        let mut n = 0;
        while n < max
            && let Some(bytes) = incoming.pop()
        {
            frames.push(RxFrame { bytes, checksum, mark: 0 });
            n += 1;
        }
        Ok(n)
    }

    #[inline(always)]
    fn tx_burst(&mut self, _: Instant, frames: &mut TxQueue) -> Result<usize, Gone> {
        let mut outgoing = self.outgoing.borrow_mut();
        let mut n = 0;
        while !outgoing.is_full() {
            let Some(frame) = frames.front() else { break };
            let Ok(mut copy) = self.pool.try_alloc(frame.len()) else { break };
            frame.put_into(&mut copy);
            outgoing.push(copy.freeze());
            frames.discard();
            n += 1;
        }
        Ok(n)
    }

    fn wakeup(&self) -> Wakeup {
        Wakeup::Never { at_most_us: 0 }
    }
}
