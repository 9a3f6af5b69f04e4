//! [`MemDisk`]: the medium, and what a power cut leaves of it.

use std::{
    cell::{Ref, RefCell, RefMut},
    fmt,
    rc::Rc,
    time::Duration,
};

use crate::{Rng, medium::Medium};

/// What a disk is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemConfig {
    /// Bytes at the start.
    pub len: u64,
    /// The largest it can grow to.
    pub max_len: u64,
    /// The unit of tearing.
    pub sector: u32,
    /// Writes can be made durable by themselves.
    pub fua: bool,
    /// Completed writes are lost with the power until a flush.
    pub cache: bool,
    /// Freed space is given back.
    pub discard: bool,
    /// Logs are told that new space is slow to write, so that they fill it with zeros first.
    pub slow_when_new: bool,
    /// How long every command takes at least.
    pub latency: Duration,
    /// And how much longer at most: completions come out of order.
    pub jitter: Duration,
    /// Parts of a write from this size on are not copied together; see `DeviceCaps::gather`.
    pub gather: usize,
    /// Decides jitter.
    pub seed: u64,
}

impl Default for MemConfig {
    fn default() -> Self {
        Self {
            len: 64 << 10,
            max_len: 1 << 30,
            sector: 512,
            fua: true,
            cache: true,
            discard: false,
            slow_when_new: false,
            latency: Duration::ZERO,
            jitter: Duration::ZERO,
            gather: 4096,
            seed: 0,
        }
    }
}

/// What goes wrong, and when: each counts down with every command of its kind, and the one that finds it at zero fails.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Which write fails.
    pub write: Option<u64>,
    /// Which flush fails.
    pub flush: Option<u64>,
    /// Which read fails.
    pub read: Option<u64>,
    /// Every extension fails: the disk is full.
    pub full: bool,
    /// A failed flush loses what it should have made durable, and the next one succeeds without it: as Linux does.
    pub forget: bool,
    /// Commands do not complete.
    pub hang: bool,
}

/// A medium. Clones are handles to the same one.
#[derive(Clone)]
pub struct MemDisk {
    state: Rc<RefCell<State>>,
}

pub(crate) struct State {
    pub(crate) config: MemConfig,
    pub(crate) faults: Faults,
    /// What reads see.
    pub(crate) current: Medium,
    /// What survives for certain; unused without a cache.
    pub(crate) durable: Medium,
    /// Writes that have completed and may be lost, in the order of their completion.
    pub(crate) cached: Vec<Cached>,
    /// Writes in flight: each may be there already.
    pub(crate) flying: Vec<Cached>,
    pub(crate) serial: u64,
    /// A device is open on it.
    pub(crate) open: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Cached {
    pub(crate) serial: u64,
    pub(crate) offset: u64,
    pub(crate) data: Vec<u8>,
}

impl MemDisk {
    /// A disk of zeros.
    pub fn new(config: MemConfig) -> Self {
        let image = Medium::zeros(config.len as usize);
        Self::with(config, image)
    }

    /// A disk with this content.
    pub fn with_image(config: MemConfig, image: Vec<u8>) -> Self {
        Self::with(config, image.into())
    }

    fn with(config: MemConfig, image: Medium) -> Self {
        let durable = if config.cache { image.clone() } else { Medium::default() };
        let state = State {
            config,
            faults: Faults::default(),
            current: image,
            durable,
            cached: Vec::new(),
            flying: Vec::new(),
            serial: 0,
            open: false,
        };
        Self { state: Rc::new(RefCell::new(state)) }
    }

    pub(crate) fn state(&self) -> RefMut<'_, State> {
        self.state.borrow_mut()
    }

    pub(crate) fn look(&self) -> Ref<'_, State> {
        self.state.borrow()
    }

    /// What goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// Change what it is like; sizes only grow.
    pub fn configure(&self, change: impl FnOnce(&mut MemConfig)) {
        change(&mut self.state().config);
    }

    /// Turn one bit over, on the medium and in its cache.
    pub fn flip(&self, byte: usize, bit: u8) {
        let state = &mut *self.state();
        for image in [&mut state.current, &mut state.durable] {
            image.change(byte, |old| old ^ (1 << (bit & 7)));
        }
    }

    /// What reads see.
    pub fn image(&self) -> Vec<u8> {
        self.look().current.to_vec()
    }

    /// Writes that a power cut may lose: completed ones, and those in flight.
    pub fn at_risk(&self) -> (usize, usize) {
        let state = self.look();
        (state.cached.len(), state.flying.len())
    }

    /// The medium as it may be after a power cut now. `rng` decides what becomes of each sector at risk.
    pub fn cut(&self, rng: &mut Rng) -> Vec<u8> {
        let state = self.look();
        if !state.config.cache {
            let mut image = state.current.to_vec();
            state.flying.iter().for_each(|write| tear(&mut image, write, rng, state.config.sector));
            return image;
        }
        let mut image = state.durable.to_vec();
        image.resize(state.current.len(), 0);
        // Some cuts lose everything at risk, some nothing, most something.
        match rng.below(8) {
            0 => {}
            1 => state
                .cached
                .iter()
                .chain(&state.flying)
                .for_each(|write| put(&mut image, write.offset, &write.data)),
            _ => {
                for write in state.cached.iter().chain(&state.flying) {
                    match rng.below(4) {
                        0 => {}
                        1 => put(&mut image, write.offset, &write.data),
                        _ => tear(&mut image, write, rng, state.config.sector),
                    }
                }
            }
        }
        image
    }
}

fn put(image: &mut Vec<u8>, offset: u64, data: &[u8]) {
    let (from, to) = (offset as usize, offset as usize + data.len());
    if image.len() < to {
        image.resize(to, 0);
    }
    image[from..to].copy_from_slice(data);
}

/// Some of the write's sectors: a prefix, a suffix, or any.
fn tear(image: &mut Vec<u8>, write: &Cached, rng: &mut Rng, sector: u32) {
    let sector = sector as usize;
    let sectors = write.data.len().div_ceil(sector) as u64;
    let (how, at) = (rng.below(3), rng.below(sectors + 1));
    for (n, data) in write.data.chunks(sector).enumerate() {
        let there = match how {
            0 => (n as u64) < at,
            1 => (n as u64) >= at,
            _ => rng.one_in(2),
        };
        if there {
            put(image, write.offset + (n * sector) as u64, data);
        }
    }
}

impl fmt::Debug for MemDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemDisk").field("len", &self.look().current.len()).finish_non_exhaustive()
    }
}
