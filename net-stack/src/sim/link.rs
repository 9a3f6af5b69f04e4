//! [`Link`]: what one direction of a cable does to frames, and [`Flight`], the frames on their way.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use hemi_queue::{Buf, time::Instant};

use super::Faults;
use crate::util::rng::Rng;

/// One direction of a link: its delay, its bottleneck and its faults.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LinkConfig {
    /// One-way propagation delay.
    pub delay: Duration,
    /// Bits per second; 0: infinitely fast.
    pub rate: u64,
    /// Bytes that may wait for the link; frames beyond are lost, as at a router. 0: no limit.
    pub queue: usize,
    /// Bytes waiting from which on ECN-capable packets are marked instead (RFC 3168); 0: never.
    pub mark: usize,
    /// The largest IP packet that gets through; larger ones vanish without a word (a black hole). 0: no limit.
    pub path_mtu: usize,
    /// What goes wrong.
    pub faults: Faults,
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

/// The state of one direction of a link.
#[derive(Debug, Default)]
pub(crate) struct Link {
    pub(crate) config: LinkConfig,
    pub(crate) stats: WireStats,
    /// When the link is free again.
    free_at: Instant,
    burst_left: u32,
}

impl Link {
    pub(crate) fn new(config: LinkConfig) -> Self {
        Self { config, ..Self::default() }
    }

    /// Put a frame on the link; `arrives` is told when it comes out, once, twice or never. `lose`: it is lost in any case.
    pub(crate) fn pass(
        &mut self,
        now: Instant,
        mut bytes: Buf,
        mut lose: bool,
        rng: &mut Rng,
        mut arrives: impl FnMut(Instant, Buf),
    ) {
        let config = &self.config;
        self.stats.sent += 1;
        self.stats.bytes += bytes.len() as u64;
        // The bottleneck: a queue in front of a link of a certain rate.
        let begin = self.free_at.max(now);
        let mut departs = begin;
        if config.rate > 0 {
            let waiting = ((begin - now).as_nanos() * u128::from(config.rate) / 8_000_000_000) as usize;
            if config.queue > 0 && waiting + bytes.len() > config.queue {
                self.stats.lost += 1;
                return;
            }
            if config.mark > 0
                && waiting > config.mark
                && let Some(marked) = mark(&bytes)
            {
                self.stats.marked += 1;
                bytes = marked;
            }
            // Preamble, frame check sequence and the gap between frames: 24 bytes.
            let bits = (bytes.len() as u64 + 24) * 8;
            departs = begin + Duration::from_nanos(bits.saturating_mul(1_000_000_000) / config.rate);
            self.free_at = departs;
        }
        lose |= config.path_mtu > 0 && bytes.len() > config.path_mtu + 14;
        let f = config.faults;
        if self.burst_left > 0 {
            self.burst_left -= 1;
            lose = true;
        } else if rng.chance(f.loss) {
            self.burst_left = f.burst;
            lose = true;
        }
        if lose {
            self.stats.lost += 1;
            return;
        }
        if rng.chance(f.corrupt) {
            self.stats.corrupted += 1;
            let mut copy = bytes.to_vec();
            let bit = rng.below(copy.len() as u64 * 8) as usize;
            copy[bit / 8] ^= 1 << (bit % 8);
            bytes = Buf::from(copy);
        }
        let mut at = departs + config.delay;
        if f.jitter > Duration::ZERO {
            at += Duration::from_nanos(rng.below(f.jitter.as_nanos() as u64));
        }
        if rng.chance(f.reorder) {
            at += Duration::from_nanos(rng.below(f.reorder_by.as_nanos().max(1) as u64));
        }
        if rng.chance(f.duplicate) {
            self.stats.duplicated += 1;
            arrives(at, bytes.clone());
        }
        arrives(at, bytes);
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

/// Things on their way, each with the time of its arrival. Those that arrive together come in the order of departure.
#[derive(Debug)]
pub(crate) struct Flight<T> {
    flying: BinaryHeap<Reverse<Flying<T>>>,
    number: u64,
}

#[derive(Debug)]
struct Flying<T> {
    at: Instant,
    number: u64,
    thing: T,
}

impl<T> PartialEq for Flying<T> {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl<T> Eq for Flying<T> {}
impl<T> PartialOrd for Flying<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Flying<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl<T> Default for Flight<T> {
    fn default() -> Self {
        Self { flying: BinaryHeap::new(), number: 0 }
    }
}

impl<T> Flight<T> {
    pub(crate) fn push(&mut self, at: Instant, thing: T) {
        let number = self.number;
        self.number += 1;
        self.flying.push(Reverse(Flying { at, number, thing }));
    }

    /// The next thing that has arrived at `now`, and when it did.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<(Instant, T)> {
        if self.next()? > now {
            return None;
        }
        self.flying.pop().map(|Reverse(f)| (f.at, f.thing))
    }

    /// When the next thing arrives.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.flying.peek().map(|f| f.0.at)
    }

    pub(crate) fn len(&self) -> usize {
        self.flying.len()
    }
}
