//! [`Wire`]: a full-duplex link in memory, and [`SimDevice`], the interface at each of its ends.

use std::{cell::RefCell, cmp::Reverse, collections::BinaryHeap, rc::Rc, time::Duration};

use hemi_queue::{Buf, Pool, Wakeup, time::Instant};

use super::Faults;
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

/// What a direction of a link has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WireStats {
    /// Frames put on the wire.
    pub sent: u64,
    /// Bytes put on the wire.
    pub bytes: u64,
    /// Frames lost, by chance or because the queue was full.
    pub lost: u64,
    /// Frames delivered twice.
    pub duplicated: u64,
    /// Frames with a flipped bit.
    pub corrupted: u64,
    /// Packets marked.
    pub marked: u64,
}

/// A frame on its way. Ordered by arrival, then by departure.
struct Flying {
    at: Instant,
    number: u64,
    bytes: Buf,
}

impl PartialEq for Flying {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl Eq for Flying {}
impl PartialOrd for Flying {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Flying {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

struct Direction {
    faults: Faults,
    flying: BinaryHeap<Reverse<Flying>>,
    /// When the link is free again.
    free_at: Instant,
    burst_left: u32,
    stats: WireStats,
    /// A frame observer for tests: called with every frame as it is put on the wire, before faults.
    tap: Option<Tap>,
}

/// Sees each frame with the time and the direction (0: from the first host).
type Tap = Box<dyn FnMut(Instant, &[u8]) -> bool>;

struct Inner {
    config: WireConfig,
    directions: [Direction; 2],
    rng: Rng,
    number: u64,
    pool: Pool,
    down: bool,
}

/// The link itself, to look at and to change while a simulation runs. A handle: clones are the same link.
#[derive(Clone)]
pub struct Wire(Rc<RefCell<Inner>>);

impl Wire {
    /// A link with memory from `pool`, and the two devices at its ends.
    pub fn new(config: WireConfig, pool: Pool) -> (Self, [SimDevice; 2]) {
        let direction = |faults| Direction {
            faults,
            flying: BinaryHeap::new(),
            free_at: Instant::ZERO,
            burst_left: 0,
            stats: WireStats::default(),
            tap: None,
        };
        let inner = Inner {
            directions: config.faults.map(direction),
            rng: Rng::new(config.seed ^ 0x5eed_0fa1_1f01),
            number: 0,
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
        self.0.borrow_mut().directions[direction & 1].faults = faults;
    }

    /// Cut the link (frames are lost), or mend it.
    pub fn set_down(&self, down: bool) {
        self.0.borrow_mut().down = down;
    }

    /// What a direction has done.
    pub fn stats(&self, direction: usize) -> WireStats {
        self.0.borrow().directions[direction & 1].stats
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
        let config = self.config;
        let direction = &mut self.directions[side];
        direction.stats.sent += 1;
        direction.stats.bytes += bytes.len() as u64;
        let passes = direction.tap.as_mut().is_none_or(|tap| tap(now, &bytes));
        // The bottleneck: a queue in front of a link of a certain rate.
        let begin = direction.free_at.max(now);
        let (mut departs, mut bytes) = (begin, bytes);
        if config.rate > 0 {
            let per_second =
                |n: usize| Duration::from_nanos((n as u64 * 8).saturating_mul(1_000_000_000) / config.rate);
            let waiting = ((begin - now).as_nanos() * u128::from(config.rate) / 8_000_000_000) as usize;
            if config.queue > 0 && waiting + bytes.len() > config.queue {
                direction.stats.lost += 1;
                return;
            }
            if config.mark > 0
                && waiting > config.mark
                && let Some(marked) = mark(&bytes)
            {
                direction.stats.marked += 1;
                bytes = marked;
            }
            departs = begin + per_second(bytes.len() + 24);
            direction.free_at = departs;
        }
        let f = direction.faults;
        let mut lose = self.down || !passes;
        if direction.burst_left > 0 {
            direction.burst_left -= 1;
            lose = true;
        } else if self.rng.chance(f.loss) {
            direction.burst_left = f.burst;
            lose = true;
        }
        if lose {
            direction.stats.lost += 1;
            return;
        }
        if self.rng.chance(f.corrupt) {
            direction.stats.corrupted += 1;
            let mut copy = bytes.to_vec();
            let bit = self.rng.below(copy.len() as u64 * 8) as usize;
            copy[bit / 8] ^= 1 << (bit % 8);
            bytes = Buf::from(copy);
        }
        let mut at = departs + config.delay;
        if f.jitter > Duration::ZERO {
            at += Duration::from_nanos(self.rng.below(f.jitter.as_nanos() as u64));
        }
        if self.rng.chance(f.reorder) {
            at += Duration::from_nanos(self.rng.below(f.reorder_by.as_nanos().max(1) as u64));
        }
        if self.rng.chance(f.duplicate) {
            direction.stats.duplicated += 1;
            let number = self.number;
            self.number += 1;
            direction.flying.push(Reverse(Flying { at, number, bytes: bytes.clone() }));
        }
        let number = self.number;
        self.number += 1;
        direction.flying.push(Reverse(Flying { at, number, bytes }));
    }
}

/// Set "congestion experienced" in a packet that is ECN-capable.
fn mark(frame: &[u8]) -> Option<Buf> {
    let mut copy = frame.to_vec();
    match u16::from_be_bytes([*copy.get(12)?, *copy.get(13)?]) {
        0x0800 if copy.get(15)? & 3 != 0 => {
            let old = u16::from_be_bytes([copy[14], copy[15]]);
            copy[15] |= 3;
            let new = u16::from_be_bytes([copy[14], copy[15]]);
            let sum = u16::from_be_bytes([*copy.get(24)?, *copy.get(25)?]);
            copy[24..26].copy_from_slice(&crate::wire::checksum::update(sum, old, new).to_be_bytes());
        }
        0x86dd if copy.get(15)? & 0x30 != 0 => copy[15] |= 0x30,
        _ => return None,
    }
    Some(Buf::from(copy))
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
            let Some(Reverse(first)) = direction.flying.peek() else { break };
            if first.at > now {
                break;
            }
            let Some(Reverse(first)) = direction.flying.pop() else { break };
            let checksum = if offload { RxChecksum::Good } else { RxChecksum::Unknown };
            frames.push(RxFrame { bytes: first.bytes, checksum });
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
            frames.pop();
            n += 1;
        }
        Ok(n)
    }

    fn wakeup(&self) -> Wakeup {
        Wakeup::Never { at_most_us: 0 }
    }

    fn deadline(&self) -> Option<Instant> {
        self.wire.0.borrow().directions[1 - self.side].flying.peek().map(|f| f.0.at)
    }
}
