//! [`Pipe`]: the shortest wire there is, for measuring a stack and nothing else.

use std::{cell::RefCell, collections::VecDeque, rc::Rc};

use hemi_queue::{Buf, Pool, Wakeup, time::Instant};

use crate::{
    device::{Caps, Device, Gone},
    frame::{RxChecksum, RxFrame, TxQueue},
    wire::MacAddr,
};

type Fifo = Rc<RefCell<VecDeque<Buf>>>;

/// One end of a perfect link without delay: each frame is copied once, as DMA would, into a buffer of the receiver's pool.
///
/// A ring of 512 frames; what does not fit stays with the sender. No virtual time, no faults: [`Wire`](super::Wire) has those.
pub struct Pipe {
    caps: Caps,
    pool: Pool,
    incoming: Fifo,
    outgoing: Fifo,
}

const RING: usize = 512;

impl Pipe {
    /// Both ends of a link with frames from `pool`. With `offload`, checksums are vouched for instead of being computed.
    pub fn pair(mtu: u16, offload: bool, pool: &Pool) -> [Self; 2] {
        let fifos: [Fifo; 2] = std::array::from_fn(|_| Rc::new(RefCell::new(VecDeque::with_capacity(RING))));
        std::array::from_fn(|side| Self {
            caps: Caps {
                mtu,
                tx_checksum: offload,
                ..Caps::ethernet(MacAddr([2, 0, 0, 0, 0, side as u8 + 1]))
            },
            pool: pool.clone(),
            incoming: fifos[side].clone(),
            outgoing: fifos[1 - side].clone(),
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

    #[inline]
    fn rx_burst(&mut self, _: Instant, max: usize, frames: &mut Vec<RxFrame>) -> Result<usize, Gone> {
        let checksum = if self.caps.tx_checksum { RxChecksum::Good } else { RxChecksum::Unknown };
        let mut incoming = self.incoming.borrow_mut();
        let mut n = 0;
        while n < max
            && let Some(bytes) = incoming.pop_front()
        {
            frames.push(RxFrame { bytes, checksum, mark: 0 });
            n += 1;
        }
        Ok(n)
    }

    #[inline]
    fn tx_burst(&mut self, _: Instant, frames: &mut TxQueue) -> Result<usize, Gone> {
        let mut outgoing = self.outgoing.borrow_mut();
        let mut n = 0;
        while outgoing.len() < RING {
            let Some(frame) = frames.front() else { break };
            let Ok(mut copy) = self.pool.try_alloc(frame.len()) else { break };
            if let Some(len) = frame.copy_to(copy.spare_mut()) {
                copy.set_len(len);
                outgoing.push_back(copy.freeze());
            }
            frames.discard();
            n += 1;
        }
        Ok(n)
    }

    fn wakeup(&self) -> Wakeup {
        Wakeup::Never { at_most_us: 0 }
    }
}
