//! [`Fault`]: a device that does to frames what bad networks do.

use hemi_queue::{Buf, Pool, Progress, Wakeup, time::Instant};

use super::{Caps, Device, Gone};
use crate::{
    cores::{Steered, Steering},
    frame::{RxChecksum, RxFrame, TxFrame, TxQueue},
    sim::{
        LinkConfig, WireStats,
        link::{Flight, Link},
    },
    util::rng::Rng,
};

/// Frames that may be held back in each direction; then the device takes no more.
const MOST: usize = 8192;

/// A device with a bad link in front of another: loss in bursts, duplication, reordering, corruption, delay, a bottleneck, a
/// black hole for large packets. Everything random comes from a seed.
///
/// It takes no offloads from the device behind it, because what is held back or damaged must be a whole frame.
pub struct Fault<D> {
    device: D,
    pool: Pool,
    rng: Rng,
    out: Link,
    back: Link,
    leaving: Flight<Buf>,
    coming: Flight<RxFrame>,
    /// Due, and the device had no room.
    ready: TxQueue,
    burst: Vec<RxFrame>,
}

impl<D: Device> Fault<D> {
    /// Put `link` in front of `device`, in both directions, with frames from `pool`.
    pub fn new(device: D, link: LinkConfig, pool: Pool, seed: u64) -> Self {
        Self::with(device, link, link, pool, seed)
    }

    /// The same with a link for each direction: what is sent, what is received.
    pub fn with(device: D, out: LinkConfig, back: LinkConfig, pool: Pool, seed: u64) -> Self {
        Self {
            device,
            pool,
            rng: Rng::new(seed ^ 0x000f_a017_5eed),
            out: Link::new(out),
            back: Link::new(back),
            leaving: Flight::default(),
            coming: Flight::default(),
            ready: TxQueue::new(256),
            burst: Vec::new(),
        }
    }

    /// What was done to frames: sent, received.
    pub fn stats(&self) -> [WireStats; 2] {
        [self.out.stats, self.back.stats]
    }

    /// Hand what is due to the device.
    fn pump(&mut self, now: Instant) -> Result<(), Gone> {
        loop {
            while self.ready.has_room() {
                let Some((_, bytes)) = self.leaving.pop(now) else { break };
                self.ready.push(TxFrame::new(bytes.into()));
            }
            if self.ready.is_empty() || self.device.tx_burst(now, &mut self.ready)? == 0 {
                return Ok(());
            }
        }
    }

    fn copy(&self, frame: &TxFrame) -> Option<Buf> {
        let mut copy = self.pool.try_alloc(frame.len()).ok()?;
        let len = frame.copy_to(copy.spare_mut())?;
        copy.set_len(len);
        Some(copy.freeze())
    }
}

impl<D: Device> Device for Fault<D> {
    fn caps(&self) -> Caps {
        Caps { tx_checksum: false, tso: 0, ..self.device.caps() }
    }

    fn rx_burst(&mut self, now: Instant, max: usize, frames: &mut Vec<RxFrame>) -> Result<usize, Gone> {
        self.pump(now)?;
        let mut more = false;
        if self.coming.len() < MOST {
            more = self.device.rx_burst(now, max, &mut self.burst)? >= max;
            let Self { burst, back, coming, rng, .. } = self;
            for frame in burst.drain(..) {
                let intact = back.stats.corrupted;
                let mut arrived: [Option<(Instant, Buf)>; 2] = [None, None];
                back.pass(now, frame.bytes, false, rng, |at, bytes| {
                    if let Some(free) = arrived.iter_mut().find(|a| a.is_none()) {
                        *free = Some((at, bytes));
                    }
                });
                let damaged = back.stats.corrupted != intact;
                let checksum = if damaged { RxChecksum::Unknown } else { frame.checksum };
                for (at, bytes) in arrived.into_iter().flatten() {
                    coming.push(at, RxFrame { bytes, checksum, mark: frame.mark });
                }
            }
        }
        let mut n = 0;
        while n < max {
            let Some((_, frame)) = self.coming.pop(now) else { break };
            frames.push(frame);
            n += 1;
        }
        // "Fewer than `max` means that no more wait": a full burst of which some were lost must not look like that.
        Ok(if more { max } else { n })
    }

    fn tx_burst(&mut self, now: Instant, frames: &mut TxQueue) -> Result<usize, Gone> {
        let mut n = 0;
        while self.leaving.len() < MOST
            && let Some(copy) = frames.front().and_then(|frame| self.copy(frame))
        {
            let Self { out, leaving, rng, .. } = self;
            out.pass(now, copy, false, rng, |at, bytes| leaving.push(at, bytes));
            frames.discard();
            n += 1;
        }
        self.pump(now)?;
        Ok(n)
    }

    fn register(&mut self, pool: &Pool) {
        self.device.register(pool);
    }

    fn steer(&mut self, rule: &Steering) -> Steered {
        self.device.steer(rule)
    }

    fn wakeup(&self) -> Wakeup {
        self.device.wakeup()
    }

    fn deadline(&self) -> Option<Instant> {
        self.device.deadline().into_iter().chain(self.leaving.next()).chain(self.coming.next()).min()
    }

    fn prepare_park(&mut self) -> Progress {
        if self.ready.is_empty() { self.device.prepare_park() } else { Progress::Busy }
    }

    fn unpark(&mut self) {
        self.device.unpark();
    }

    fn counters(&self, each: &mut dyn FnMut(&str, u64)) {
        for (name, value) in [
            ("fault_tx_lost", self.out.stats.lost),
            ("fault_tx_duplicated", self.out.stats.duplicated),
            ("fault_tx_corrupted", self.out.stats.corrupted),
            ("fault_rx_lost", self.back.stats.lost),
            ("fault_rx_duplicated", self.back.stats.duplicated),
            ("fault_rx_corrupted", self.back.stats.corrupted),
        ] {
            each(name, value);
        }
        self.device.counters(each);
    }

    fn describe(&self) -> String {
        format!("{}, with faults", self.device.describe())
    }
}
