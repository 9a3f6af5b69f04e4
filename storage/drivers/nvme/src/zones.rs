//! [`NvmeZones`]: a zoned namespace.
//!
//! Its zones are those that require sequential writes. Their state is asked for once, when the device is opened: nobody else writes
//! to them, and what this driver does to them it knows.

use std::{collections::VecDeque, fmt, io, path::Path, rc::Rc};

use hemi_park::Park;
use hemi_queue::{Error, Pool, Progress, Result, Wakeup, time::Instant};
use hemi_storage::{CommandId, LEAST_ZONES, ZoneCaps, ZoneCommand, ZoneDevice, ZoneDone};

use crate::{
    Access, Identity, NvmeOptions, Passthrough, Sync, Tap,
    command::ZoneAction,
    identify::{self, Unsuitable, ZoneEntry},
    queue::Queue,
    sys,
};

/// Bytes of one report: a header and 255 zones.
const REPORT: usize = 16 << 10;

/// A zoned NVMe namespace on this core, for [`Zoned`](hemi_storage::Zoned).
pub struct NvmeZones {
    queue: Queue,
    options: NvmeOptions,
    zones: Vec<ZoneEntry>,
    /// Reads that found no buffer: zone, offset, length.
    waiting: VecDeque<(CommandId, u64, usize)>,
}

/// Zones that are active while a log turns to the next segment: that one, the one before, and one of superblocks.
const ACTIVE: u32 = 3;

/// Zone states (Zoned Namespace Command Set Specification, figure 37).
const READ_ONLY: u8 = 0xd;
const OFFLINE: u8 = 0xf;

impl NvmeZones {
    /// Open the zoned namespace whose character device is `path` (`/dev/ng0n1`); reads go to buffers of `pool`, and completions
    /// wake `park`.
    ///
    /// # Errors
    /// As [`NvmeDevice::open`](crate::NvmeDevice::open); a namespace without zones, a zone that is offline, or read-only where it is to be written.
    pub fn open(
        path: &Path,
        access: Access,
        options: NvmeOptions,
        pool: &Pool,
        park: &Rc<Park>,
    ) -> Result<Self> {
        let queue = Queue::open(path, access, pool, park)?;
        let zones = zones(&queue, access).map_err(|e| Error::io("report the zones of", path.display(), e))?;
        Ok(Self { queue, options, zones, waiting: VecDeque::new() })
    }

    /// What the device says of itself.
    pub fn identity(&self) -> &Identity {
        self.queue.identity()
    }

    /// Tell the device once of the memory that batches are written from.
    pub fn register(&mut self, pool: &Pool) {
        self.queue.register(pool);
    }

    /// Tell `tap` of every command from now on.
    pub fn set_tap(&mut self, tap: Rc<dyn Tap>) {
        self.queue.set_tap(tap);
    }

    /// The zone's first byte.
    fn first(&self, zone: u32) -> u64 {
        self.zones[zone as usize].first * u64::from(self.identity().block)
    }

    fn read(&mut self, id: CommandId, at: u64, len: usize) {
        if !self.queue.read(id, at, len) {
            self.waiting.push_back((id, at, len));
        }
    }
}

/// All zones that are written sequentially.
fn zones(queue: &Queue, access: Access) -> io::Result<Vec<ZoneEntry>> {
    let wrong = |why: String| io::Error::new(io::ErrorKind::Unsupported, why);
    let identity = queue.identity();
    let Some(zoning) = identity.zoned else {
        return Err(wrong("the namespace has no zones".to_owned()));
    };
    if let Some(active) = zoning.active.filter(|active| *active < ACTIVE && access == Access::Write) {
        let why = format!("{active} zones may be active at a time, and a log that is written needs {ACTIVE}");
        return Err(wrong(why));
    }
    let mut all: Vec<ZoneEntry> = Vec::new();
    let mut lba = 0;
    while lba < identity.blocks {
        let mut report = vec![0; REPORT];
        let command = Passthrough::report(queue.target.nsid, lba, REPORT as u32);
        sys::io(&queue.target.file, command, &mut report)?;
        let some = identify::zones(&report).map_err(|e| wrong(e.to_string()))?;
        if some.is_empty() {
            return Err(wrong(format!("the device reports no zone at block {lba}")));
        }
        lba = behind(&some, lba, zoning.size, identity.blocks).map_err(|e| wrong(e.to_string()))?;
        all.extend(some.into_iter().filter(|zone| zone.sequential));
    }
    if (all.len() as u64) < u64::from(LEAST_ZONES) {
        return Err(wrong(format!(
            "{} zones that are written sequentially; a log needs {LEAST_ZONES}",
            all.len()
        )));
    }
    for (n, zone) in all.iter().enumerate() {
        if zone.state == OFFLINE {
            return Err(wrong(format!(
                "zone {n} is offline: the device has lost what was in it; use another device"
            )));
        }
        if zone.state == READ_ONLY && access == Access::Write {
            return Err(wrong(format!(
                "zone {n} can no longer be written: open with `mode=ro`, and copy the log away"
            )));
        }
    }
    Ok(all)
}

/// The block behind the zones of a report, which begins at `expected`. Each report goes on behind the last, or it would never end.
fn behind(
    some: &[ZoneEntry],
    mut expected: u64,
    size: u64,
    blocks: u64,
) -> std::result::Result<u64, Unsuitable> {
    let nonsense = Unsuitable::Nonsense {
        what: "that its zones lie elsewhere, or hold more, than its own size of a zone allows",
    };
    for zone in some {
        if zone.first != expected || zone.first >= blocks || zone.capacity > size {
            return Err(nonsense);
        }
        expected = zone.first.checked_add(size).ok_or(nonsense.clone())?;
    }
    Ok(expected)
}

impl ZoneDevice for NvmeZones {
    fn caps(&self) -> ZoneCaps {
        let identity = self.queue.identity();
        let block = u64::from(identity.block);
        ZoneCaps {
            zones: self.zones.len() as u32,
            capacity: self.zones.iter().map(|zone| zone.capacity).min().unwrap_or(0).saturating_mul(block),
            sector: identity.block,
            append: identity.zoned.map_or(identity.block, |zoning| zoning.append),
            fua: self.options.sync == Sync::Fua && identity.volatile_cache,
            volatile_cache: identity.volatile_cache,
            read_only: self.queue.target.read_only,
        }
    }

    fn written(&self, zone: u32) -> u64 {
        self.zones[zone as usize].written * u64::from(self.identity().block)
    }

    fn submit(&mut self, id: CommandId, command: ZoneCommand) {
        match command {
            ZoneCommand::Append { zone, data, fua } => self.queue.append(id, self.first(zone), data, fua),
            ZoneCommand::Read { zone, offset, len } => self.read(id, self.first(zone) + offset, len),
            ZoneCommand::Flush => self.queue.flush(id),
            ZoneCommand::Reset { zone } => self.queue.zone(id, self.first(zone), ZoneAction::Reset),
            ZoneCommand::Finish { zone } => self.queue.zone(id, self.first(zone), ZoneAction::Finish),
        }
    }

    fn poll(&mut self, _: Instant, done: &mut Vec<ZoneDone>) -> Progress {
        for _ in 0..self.waiting.len() {
            if let Some((id, at, len)) = self.waiting.pop_front() {
                self.read(id, at, len);
            }
        }
        let before = done.len();
        let block = u64::from(self.identity().block);
        let size = self.identity().zoned.map_or(1, |zoning| zoning.size);
        done.extend(self.queue.poll().map(|finished| {
            // Where an append lies is told in blocks of the namespace, and zones begin at multiples of their size.
            let result = finished.result.map(|(data, lba)| (data, lba % size * block));
            ZoneDone { id: finished.id, result }
        }));
        if done.len() > before { Progress::Busy } else { Progress::Idle }
    }

    fn deadline(&self) -> Option<Instant> {
        // What was submitted after the turn's poll has not reached the device.
        self.queue.is_pending().then_some(Instant::ZERO)
    }

    fn wakeup(&self) -> Wakeup {
        Wakeup::Core // which watches the ring
    }

    fn describe(&self) -> String {
        self.queue.describe()
    }
}

impl fmt::Debug for NvmeZones {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NvmeZones").field(&self.describe()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_that_makes_no_sense_is_refused() {
        let zone = |first, capacity| ZoneEntry { sequential: true, state: 1, capacity, first, written: 0 };
        let behind = |some: &[ZoneEntry], expected| behind(some, expected, 64, 256).ok();
        assert_eq!(behind(&[zone(64, 48), zone(128, 64)], 64), Some(192));
        for wrong in [zone(0, 48), zone(65, 48), zone(64, 65), zone(u64::MAX - 1, 1), zone(u64::MAX, 64)] {
            assert_eq!(behind(&[wrong], 64), None, "{wrong:?}");
        }
        assert_eq!(behind(&[zone(64, 48), zone(64, 48)], 64), None);
        assert_eq!(behind(&[zone(256, 48)], 256), None);
    }
}
