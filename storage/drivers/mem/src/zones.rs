//! [`MemZones`]: a medium of zones, and what a power cut leaves of it; [`ZoneDriver`]: a driver for it.
//!
//! Appends that are in flight together are placed in any order, complete in any other, and are in a cache until a flush. A power
//! cut may lose any sectors that are not durable, below a write pointer that is anywhere behind those that are.

use std::{cell::RefCell, fmt, io, rc::Rc};

use hemi_queue::{Pool, Progress, Sga, Wakeup, time::Instant};
use hemi_storage::{CommandId, ZoneCaps, ZoneCommand, ZoneDevice, ZoneDone};

use crate::{MemConfig, Rng};

/// One zone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemZone {
    /// The bytes below the write pointer.
    pub bytes: Vec<u8>,
    /// No more can be written, wherever the pointer is.
    pub finished: bool,
    /// By sector: whether it is durable.
    durable: Vec<bool>,
}

impl MemZone {
    /// A zone with this content below its write pointer.
    pub fn new(bytes: Vec<u8>, finished: bool) -> Self {
        Self { bytes, finished, durable: Vec::new() }
    }
}

/// How the medium is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZoneLayout {
    /// How many zones.
    pub zones: u32,
    /// Bytes of each.
    pub capacity: u64,
    /// The most bytes of an append.
    pub append: u32,
    /// How many zones may be written in part.
    pub active: u32,
}

/// A medium of zones. Clones are handles to the same one.
#[derive(Clone)]
pub struct MemZones {
    state: Rc<RefCell<State>>,
}

struct State {
    config: MemConfig,
    layout: ZoneLayout,
    zones: Vec<MemZone>,
    /// Appends that the device has taken and not placed; each may be placed by a power cut.
    unplaced: Vec<(u32, Vec<u8>)>,
    /// Appends that are placed and have not completed, or that a flush must cover.
    rng: Rng,
}

impl MemZones {
    /// Empty zones.
    pub fn new(config: MemConfig, layout: ZoneLayout) -> Self {
        Self::with_zones(config, layout, vec![MemZone::default(); layout.zones as usize])
    }

    /// Zones with this content, all of it durable.
    pub fn with_zones(config: MemConfig, layout: ZoneLayout, mut zones: Vec<MemZone>) -> Self {
        for zone in &mut zones {
            zone.durable = vec![true; zone.bytes.len() / config.sector as usize];
        }
        let rng = Rng::new(config.seed);
        let state = State { config, layout, zones, unplaced: Vec::new(), rng };
        Self { state: Rc::new(RefCell::new(state)) }
    }

    /// How it is cut.
    pub fn layout(&self) -> ZoneLayout {
        self.state.borrow().layout
    }

    /// What it is like.
    pub fn config(&self) -> MemConfig {
        self.state.borrow().config.clone()
    }

    /// The zones as reads see them.
    pub fn zones(&self) -> Vec<MemZone> {
        self.state.borrow().zones.clone()
    }

    /// The zones as they may be after a power cut now. `rng` decides what becomes of everything that is at risk.
    pub fn cut(&self, rng: &mut Rng) -> Vec<MemZone> {
        let state = self.state.borrow();
        let sector = state.config.sector as usize;
        let (lose_all, keep_all) = (rng.below(8) == 0, rng.below(8) == 0);
        let mut zones = state.zones.clone();
        for (zone, data) in &state.unplaced {
            if !lose_all && (keep_all || rng.one_in(2)) {
                let zone = &mut zones[*zone as usize];
                if zone.bytes.len() + data.len() <= state.layout.capacity as usize && !zone.finished {
                    zone.bytes.extend_from_slice(data);
                    zone.durable.resize(zone.bytes.len() / sector, false);
                }
            }
        }
        for zone in &mut zones {
            let sure = zone.durable.iter().rposition(|durable| *durable).map_or(0, |last| last + 1);
            let there = zone.durable.len();
            let pointer = match () {
                () if lose_all => sure,
                () if keep_all || rng.one_in(2) => there,
                () => sure + rng.below((there - sure) as u64 + 1) as usize,
            };
            zone.bytes.truncate(pointer * sector);
            zone.durable.truncate(pointer);
            let how = rng.below(3);
            for (n, durable) in zone.durable.iter().enumerate() {
                if !durable && !keep_all && (how == 0 || (how == 1 && rng.one_in(4))) {
                    zone.bytes[n * sector..(n + 1) * sector].fill(0);
                }
            }
            zone.durable.fill(true);
        }
        zones
    }
}

impl fmt::Debug for MemZones {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemZones").field("layout", &self.layout()).finish_non_exhaustive()
    }
}

/// A device of zones on [`MemZones`].
pub struct ZoneDriver {
    medium: MemZones,
    pool: Pool,
    now: Instant,
    flying: Vec<Flying>,
    serial: u64,
}

struct Flying {
    id: CommandId,
    due: Instant,
    what: What,
}

enum What {
    /// To be placed.
    Place {
        serial: u64,
        zone: u32,
        data: Vec<u8>,
        fua: bool,
    },
    /// Placed; to be told.
    Placed {
        zone: u32,
        at: u64,
        len: usize,
        fua: bool,
    },
    Read {
        zone: u32,
        offset: u64,
        len: usize,
    },
    /// The sectors that had completed when it was asked for.
    Flush {
        covers: Vec<Vec<bool>>,
    },
    Reset {
        zone: u32,
    },
    Finish {
        zone: u32,
    },
}

impl ZoneDriver {
    /// Open `medium`; reads go to buffers of `pool`.
    pub fn open(medium: &MemZones, pool: &Pool) -> Self {
        let pool = pool.clone();
        Self { medium: medium.clone(), pool, now: Instant::ZERO, flying: Vec::new(), serial: 0 }
    }

    fn due(&self) -> Instant {
        let state = &mut *self.medium.state.borrow_mut();
        let jitter = state.rng.below(state.config.jitter.as_nanos() as u64 + 1);
        self.now + state.config.latency / 2 + std::time::Duration::from_nanos(jitter)
    }

    /// Sectors of completed appends, by zone.
    fn completed(&self) -> Vec<Vec<bool>> {
        let state = self.medium.state.borrow();
        let sector = state.config.sector as usize;
        let mut covers: Vec<Vec<bool>> = state.zones.iter().map(|z| vec![true; z.durable.len()]).collect();
        for flying in &self.flying {
            if let What::Placed { zone, at, len, .. } = flying.what {
                let from = at as usize / sector;
                covers[zone as usize][from..from + len / sector].fill(false);
            }
        }
        covers
    }

    /// Put an append's bytes at the write pointer.
    fn place(&mut self, id: CommandId, (serial, zone): (u64, u32), data: &[u8], fua: bool) -> io::Result<()> {
        let due = self.due();
        let state = &mut *self.medium.state.borrow_mut();
        let active = state.zones.iter().filter(|z| is_active(z, &state.layout)).count() as u32;
        let place = &mut state.zones[zone as usize];
        if let Some(at) = state.unplaced.iter().position(|(z, bytes)| *z == zone && bytes == data) {
            state.unplaced.remove(at);
        }
        if place.finished || place.bytes.len() + data.len() > state.layout.capacity as usize {
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                format!("zone {zone} is full ({serial})"),
            ));
        }
        if place.bytes.is_empty() && active >= state.layout.active {
            return Err(io::Error::other("too many zones are active"));
        }
        let at = place.bytes.len() as u64;
        place.bytes.extend_from_slice(data);
        place.durable.resize(place.bytes.len() / state.config.sector as usize, !state.config.cache);
        self.flying.push(Flying { id, due, what: What::Placed { zone, at, len: data.len(), fua } });
        Ok(())
    }

    fn finish(&mut self, what: What) -> io::Result<(Sga, u64)> {
        let state = &mut *self.medium.state.borrow_mut();
        let sector = state.config.sector as usize;
        let none = Sga::new();
        match what {
            What::Place { .. } => Ok((none, 0)),
            What::Placed { zone, at, len, fua } => {
                if fua && state.config.fua {
                    let from = at as usize / sector;
                    state.zones[zone as usize].durable[from..from + len / sector].fill(true);
                }
                Ok((none, at))
            }
            What::Read { zone, offset, len } => {
                let bytes = &state.zones[zone as usize].bytes;
                let mut unit = Sga::new();
                let (from, to) = (offset as usize, offset as usize + len);
                for part in (from..to).step_by(self.pool.largest()) {
                    let len = self.pool.largest().min(to - part);
                    let mut buffer = self.pool.try_alloc(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
                    let there = bytes.get(part..(part + len).min(bytes.len())).unwrap_or_default();
                    buffer.put(there);
                    buffer.put(&vec![0; len - there.len()]);
                    unit.push(buffer.freeze());
                }
                Ok((unit, 0))
            }
            What::Flush { covers } => {
                for (zone, covers) in state.zones.iter_mut().zip(covers) {
                    for (durable, covered) in zone.durable.iter_mut().zip(covers) {
                        *durable |= covered;
                    }
                }
                Ok((none, 0))
            }
            What::Reset { zone } => {
                state.zones[zone as usize] = MemZone::default();
                Ok((none, 0))
            }
            What::Finish { zone } => {
                let zone = &mut state.zones[zone as usize];
                if zone.bytes.is_empty() {
                    return Err(io::Error::other("an empty zone is not finished here"));
                }
                zone.finished = true;
                Ok((none, 0))
            }
        }
    }
}

fn is_active(zone: &MemZone, layout: &ZoneLayout) -> bool {
    !zone.finished && !zone.bytes.is_empty() && zone.bytes.len() < layout.capacity as usize
}

impl ZoneDevice for ZoneDriver {
    fn caps(&self) -> ZoneCaps {
        let state = self.medium.state.borrow();
        ZoneCaps {
            zones: state.layout.zones,
            capacity: state.layout.capacity,
            sector: state.config.sector,
            append: state.layout.append,
            fua: state.config.fua,
            volatile_cache: state.config.cache,
            read_only: false,
        }
    }

    fn written(&self, zone: u32) -> u64 {
        let state = self.medium.state.borrow();
        let zone = &state.zones[zone as usize];
        if zone.finished { state.layout.capacity } else { zone.bytes.len() as u64 }
    }

    fn submit(&mut self, id: CommandId, command: ZoneCommand) {
        let due = self.due();
        let what = match command {
            ZoneCommand::Append { zone, data, fua } => {
                self.serial += 1;
                let data = data.to_vec();
                assert!(data.len() <= self.medium.layout().append as usize, "an append over the limit");
                self.medium.state.borrow_mut().unplaced.push((zone, data.clone()));
                What::Place { serial: self.serial, zone, data, fua }
            }
            ZoneCommand::Read { zone, offset, len } => What::Read { zone, offset, len },
            ZoneCommand::Flush => What::Flush { covers: self.completed() },
            ZoneCommand::Reset { zone } => What::Reset { zone },
            ZoneCommand::Finish { zone } => What::Finish { zone },
        };
        self.flying.push(Flying { id, due, what });
    }

    fn poll(&mut self, now: Instant, done: &mut Vec<ZoneDone>) -> Progress {
        self.now = now;
        let before = done.len();
        while let Some(at) = (0..self.flying.len()).min_by_key(|at| self.flying[*at].due)
            && self.flying[at].due <= now
        {
            let Flying { id, what, .. } = self.flying.remove(at);
            if let What::Place { serial, zone, data, fua } = &what {
                if let Err(error) = self.place(id, (*serial, *zone), data, *fua) {
                    done.push(ZoneDone { id, result: Err(error) });
                }
                continue;
            }
            let result = self.finish(what);
            done.push(ZoneDone { id, result });
        }
        if done.len() > before { Progress::Busy } else { Progress::Idle }
    }

    fn deadline(&self) -> Option<Instant> {
        self.flying.iter().map(|f| f.due).min()
    }

    fn wakeup(&self) -> Wakeup {
        Wakeup::Core // by its deadline
    }

    fn describe(&self) -> String {
        "zones in memory".to_owned()
    }
}

impl Drop for ZoneDriver {
    fn drop(&mut self) {
        // The process is gone, the machine is not: what it had handed over is placed.
        let state = &mut *self.medium.state.borrow_mut();
        let sector = state.config.sector as usize;
        for (zone, data) in std::mem::take(&mut state.unplaced) {
            let zone = &mut state.zones[zone as usize];
            if !zone.finished && zone.bytes.len() + data.len() <= state.layout.capacity as usize {
                zone.bytes.extend_from_slice(&data);
                zone.durable.resize(zone.bytes.len() / sector, false);
            }
        }
    }
}

impl fmt::Debug for ZoneDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZoneDriver").field("medium", &self.medium).finish_non_exhaustive()
    }
}
