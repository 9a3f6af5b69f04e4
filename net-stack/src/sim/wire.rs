//! [`Wire`]: a full-duplex link in memory, and [`SimDevice`], the interface at each of its ends.

use std::{cell::RefCell, rc::Rc, time::Duration};

use hemi_queue::{Buf, Pool, Wakeup, time::Instant};

use super::{
    Faults, LinkConfig,
    link::{Flight, Link, WireStats},
};
use crate::{
    device::{Caps, Device, Gone},
    frame::{RxChecksum, RxFrame, TxFrame, TxQueue},
    util::rng::Rng,
    wire::MacAddr,
};

/// A link's properties, the same in both directions unless said otherwise.
#[derive(Clone, Copy, Debug)]
pub struct WireConfig {
    /// The largest IP packet.
    pub mtu: u16,
    /// One-way propagation delay.
    pub delay: Duration,
    /// Bits per second; 0: infinitely fast.
    pub rate: u64,
    /// Bytes that may wait for the link in each direction; frames beyond are lost, as at a router. 0: no limit.
    pub queue: usize,
    /// Bytes waiting from which on ECN-capable packets are marked instead (RFC 3168); 0: never.
    pub mark: usize,
    /// Frames that a device's ring takes per burst; the rest stays with the stack. 0: no limit.
    pub ring: usize,
    /// Faults from the first host to the second, and back.
    pub faults: [Faults; 2],
    /// The devices finish checksums, and vouch for those they receive.
    pub checksum_offload: bool,
    /// The devices cut TCP frames; the largest they take.
    pub tso: u32,
    /// Everything random on the link.
    pub seed: u64,
}

impl Default for WireConfig {
    fn default() -> Self {
        Self {
            mtu: 1500,
            delay: Duration::ZERO,
            rate: 0,
            queue: 0,
            mark: 0,
            ring: 0,
            faults: [Faults::NONE; 2],
            checksum_offload: false,
            tso: 0,
            seed: 1,
        }
    }
}

struct Direction {
    link: Link,
    flying: Flight<Buf>,
    /// A frame observer for tests: called with every frame as it is put on the wire, before faults.
    tap: Option<Tap>,
}

/// Sees each frame with the time and the direction (0: from the first host).
type Tap = Box<dyn FnMut(Instant, &[u8]) -> bool>;

struct Inner {
    config: WireConfig,
    directions: [Direction; 2],
    rng: Rng,
    pool: Pool,
    down: bool,
}

/// The link itself, to look at and to change while a simulation runs. A handle: clones are the same link.
#[derive(Clone)]
pub struct Wire(Rc<RefCell<Inner>>);

impl Wire {
    /// A link with memory from `pool`, and the two devices at its ends.
    pub fn new(config: WireConfig, pool: Pool) -> (Self, [SimDevice; 2]) {
        let WireConfig { delay, rate, queue, mark, .. } = config;
        let direction = |faults| Direction {
            link: Link::new(LinkConfig { delay, rate, queue, mark, path_mtu: 0, faults }),
            flying: Flight::default(),
            tap: None,
        };
        let inner = Inner {
            directions: config.faults.map(direction),
            rng: Rng::new(config.seed ^ 0x5eed_0fa1_1f01),
            pool,
            down: false,
            config,
        };
        let wire = Self(Rc::new(RefCell::new(inner)));
        let device = |side: u8| {
            let mac = MacAddr([2, 0, 0, 0, 0, side + 1]);
            let tx_checksum = config.checksum_offload;
            let caps = Caps { mac, mtu: config.mtu, tx_checksum, tso: config.tso };
            SimDevice { wire: wire.clone(), side: usize::from(side), caps }
        };
        (wire.clone(), [device(0), device(1)])
    }

    /// Change the faults of one direction (0: from the first host).
    pub fn set_faults(&self, direction: usize, faults: Faults) {
        self.0.borrow_mut().directions[direction & 1].link.config.faults = faults;
    }

    /// Cut the link (frames are lost), or mend it.
    pub fn set_down(&self, down: bool) {
        self.0.borrow_mut().down = down;
    }

    /// What a direction has done.
    pub fn stats(&self, direction: usize) -> WireStats {
        self.0.borrow().directions[direction & 1].link.stats
    }

    /// Watch the frames of a direction; a frame for which `tap` says `false` is lost.
    pub fn tap(&self, direction: usize, tap: impl FnMut(Instant, &[u8]) -> bool + 'static) {
        self.0.borrow_mut().directions[direction & 1].tap = Some(Box::new(tap));
    }

    /// Put a frame on the wire as if a host had sent it, faults and all.
    pub fn inject(&self, direction: usize, now: Instant, frame: &[u8]) {
        let mut inner = self.0.borrow_mut();
        if let Ok(mut buf) = inner.pool.try_alloc(frame.len()) {
            buf.put(frame);
            inner.send(direction & 1, now, buf.freeze());
        }
    }

    /// Frames on their way.
    pub fn in_flight(&self) -> usize {
        self.0.borrow().directions.iter().map(|d| d.flying.len()).sum()
    }
}

impl Inner {
    fn send(&mut self, side: usize, now: Instant, bytes: Buf) {
        let Direction { link, flying, tap } = &mut self.directions[side];
        let passes = tap.as_mut().is_none_or(|tap| tap(now, &bytes));
        link.pass(now, bytes, self.down || !passes, &mut self.rng, |at, bytes| flying.push(at, bytes));
    }
}

/// An interface at one end of a [`Wire`]. Sending copies a frame once, as DMA would.
pub struct SimDevice {
    wire: Wire,
    side: usize,
    caps: Caps,
}

impl SimDevice {
    /// The other end's way of this end's frames: 0 or 1.
    pub fn direction(&self) -> usize {
        self.side
    }

    fn transmit(&self, now: Instant, frame: &TxFrame) -> bool {
        let mut inner = self.wire.0.borrow_mut();
        if frame.segment_size > 0 {
            for packet in super::tso::cut(frame) {
                inner.send(self.side, now, Buf::from(packet));
            }
            return true;
        }
        let Ok(mut copy) = inner.pool.try_alloc(frame.len()) else { return false };
        let Some(len) = frame.copy_to(copy.spare_mut()) else { return true };
        copy.set_len(len);
        inner.send(self.side, now, copy.freeze());
        true
    }
}

impl Device for SimDevice {
    fn caps(&self) -> Caps {
        self.caps
    }

    fn rx_burst(&mut self, now: Instant, max: usize, frames: &mut Vec<RxFrame>) -> Result<usize, Gone> {
        let mut inner = self.wire.0.borrow_mut();
        let offload = inner.config.checksum_offload;
        let direction = &mut inner.directions[1 - self.side];
        let mut n = 0;
        while n < max {
            let Some((_, bytes)) = direction.flying.pop(now) else { break };
            let checksum = if offload { RxChecksum::Good } else { RxChecksum::Unknown };
            frames.push(RxFrame { bytes, checksum, mark: 0 });
            n += 1;
        }
        Ok(n)
    }

    fn tx_burst(&mut self, now: Instant, frames: &mut TxQueue) -> Result<usize, Gone> {
        let ring = self.wire.0.borrow().config.ring;
        let limit = if ring == 0 { usize::MAX } else { ring };
        let mut n = 0;
        while n < limit {
            let Some(frame) = frames.front() else { break };
            if !self.transmit(now, frame) {
                break;
            }
            frames.discard();
            n += 1;
        }
        Ok(n)
    }

    fn wakeup(&self) -> Wakeup {
        Wakeup::Never { at_most_us: 0 }
    }

    fn deadline(&self) -> Option<Instant> {
        self.wire.0.borrow().directions[1 - self.side].flying.next()
    }
}
