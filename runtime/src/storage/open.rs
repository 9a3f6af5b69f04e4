//! From a URI to a device and what to do with it.

use std::{path::Path, rc::Rc, time::SystemTime};

use hemi_log_file::{Access, FileDevice, FileOptions};
use hemi_log_nvme::{self as nvme, NvmeDevice, NvmeOptions, NvmeZones};
use hemi_queue::{Error, Pool, PoolConfig, Result, Uri, UriError};
use hemi_storage::{
    BlockDevice, ByteSize, DATA_START, Geometry, LogConfig, NewLog, OpenMode, Opening, ZoneDevice as _, Zoned,
};

use crate::context::Core;

/// Memory that the batches of one log are gathered in.
const BATCH_MEMORY: usize = 8 << 20;
/// What a segment has where nothing else is said: small enough to be walked in milliseconds.
const SEGMENT: u64 = 16 << 20;

/// What is to be done at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Open,
    Create,
}

/// A device, and the opening of the log on it.
pub(super) struct Place {
    pub(super) device: Box<dyn BlockDevice>,
    pub(super) opening: Opening,
}

/// What a log's URI says.
struct Said {
    config: LogConfig,
    mode: OpenMode,
    overwrite: bool,
    block: u32,
    segment: Option<u64>,
    size: Option<u64>,
}

impl Said {
    fn of(uri: &Uri) -> Result<Self> {
        let mut config = LogConfig::default();
        let bytes = |key| uri.take::<ByteSize>(key).map(|size| size.map(|size| size.0));
        if let Some(unit) = bytes("unit")? {
            config.unit_limit = unit.min(1 << 31) as usize;
        }
        if let Some(recent) = bytes("recent")? {
            config.recent = recent as usize;
        }
        config.fail_when_full = match uri.take::<String>("full")?.as_deref() {
            None | Some("wait") => false,
            Some("fail") => true,
            Some(_) => return Err(uri.error("`full` is `wait` or `fail`").into()),
        };
        let read_only = match uri.take::<String>("mode")?.as_deref() {
            None | Some("rw") => false,
            Some("ro") => true,
            Some(_) => return Err(uri.error("`mode` is `rw` or `ro`").into()),
        };
        let mode = OpenMode { read_only, cut: uri.take("cut")?.unwrap_or(false) };
        let block = bytes("block")?.unwrap_or(4096);
        Ok(Self {
            config,
            mode,
            overwrite: uri.take("overwrite")?.unwrap_or(false),
            block: u32::try_from(block).map_err(|_| uri.error("`block` is from 512 to 32768"))?,
            segment: bytes("segment")?,
            size: bytes("size")?,
        })
    }

    /// Block and segment of a new log that may have `limit` bytes.
    fn geometry(&self, uri: &Uri, limit: u64) -> Result<Geometry> {
        // A small log has small segments, so that truncation can give some back.
        let share = limit.saturating_sub(DATA_START) / 8 / u64::from(self.block) * u64::from(self.block);
        let segment = self.segment.unwrap_or(SEGMENT.min(share.max(8 * u64::from(self.block))));
        Geometry::new(self.block, segment).map_err(|e| uri.error(e.to_string()).into())
    }
}

/// Open the device that `uri` names, and begin to open or create the log on it.
pub(super) fn place(core: &Core, uri: &Uri, wanted: Wanted) -> Result<Place> {
    match uri.scheme() {
        "log" => file(core, uri, wanted),
        "mem" => memory(core, uri, wanted),
        "nvme" => nvme(core, uri, wanted),
        _ => Err(unknown(uri)),
    }
}

pub(super) fn unknown(uri: &Uri) -> Error {
    UriError::new(
        uri.to_string(),
        "unknown kind of storage; this build knows: log:PATH, nvme:/dev/ngXnY, mem:NAME",
    )
    .into()
}

fn file(core: &Core, uri: &Uri, wanted: Wanted) -> Result<Place> {
    let said = Said::of(uri)?;
    let mut options = FileOptions::from_uri(uri)?;
    uri.finish()?;
    let Some(park) = &core.park else {
        let why = "a simulation has no files; use `mem:NAME`";
        return Err(uri.error(why).into());
    };
    if uri.path().is_empty() {
        return Err(uri.error("names no file; write `log:PATH`").into());
    }
    let limit = said.size.unwrap_or(u64::MAX);
    let geometry = said.geometry(uri, limit)?;
    let access = match wanted {
        Wanted::Create if said.overwrite => Access::Overwrite,
        Wanted::Create => Access::Create,
        Wanted::Open if said.mode.read_only => Access::Read,
        Wanted::Open => Access::Write,
    };
    options.len = (geometry.slot_offset(2).min(limit), limit);
    let device = FileDevice::open(Path::new(uri.path()), access, &options, &core.pool, park)?;
    // A block device's length decides.
    let geometry = said.geometry(uri, device.caps().max_len)?;
    let pool = batch_pool()?;
    device.register(&pool);
    Ok(begin_with(core, Box::new(device), said, geometry, wanted, pool))
}

fn memory(core: &Core, uri: &Uri, wanted: Wanted) -> Result<Place> {
    let device = hemi_log_mem::open(uri, &core.pool, core.seed, wanted == Wanted::Create)?;
    let said = Said::of(uri)?;
    uri.finish()?;
    let geometry = said.geometry(uri, device.caps().max_len)?;
    begin(core, Box::new(device), said, geometry, wanted)
}

fn nvme(core: &Core, uri: &Uri, wanted: Wanted) -> Result<Place> {
    let mut said = Said::of(uri)?;
    let mut options = NvmeOptions::from_uri(uri)?;
    options.limit = said.size.unwrap_or(u64::MAX);
    uri.finish()?;
    let Some(park) = &core.park else {
        return Err(uri.error("a simulation has no devices; use `mem:NAME`").into());
    };
    if uri.path().is_empty() {
        return Err(uri.error("names no device; write `nvme:/dev/ng0n1`").into());
    }
    let access = if said.mode.read_only { nvme::Access::Read } else { nvme::Access::Write };
    let (path, pool) = (Path::new(uri.path()), batch_pool()?);
    if !nvme::is_zoned(path)? {
        let mut device = NvmeDevice::open(path, access, options, &core.pool, park)?;
        device.register(&pool);
        let geometry = said.geometry(uri, device.caps().max_len)?;
        return Ok(begin_with(core, Box::new(device), said, geometry, wanted, pool));
    }
    let mut zones = NvmeZones::open(path, access, options, &core.pool, park)?;
    zones.register(&pool);
    let append = zones.caps().append as usize;
    let device = Zoned::new(zones);
    if said.size.is_some() || said.segment.replace(device.segment()).is_some() {
        return Err(uri
            .error("zones take no `size` and no `segment`: a segment is a zone, and all are used")
            .into());
    }
    // A batch that one append holds can be in flight beside others.
    said.config.batch = said.config.batch.min(append / 2);
    let geometry = said.geometry(uri, device.caps().max_len)?;
    Ok(begin_with(core, Box::new(device), said, geometry, wanted, pool))
}

/// A pool of a log's own: units that wait to be pushed may hold all of the core's.
fn batch_pool() -> Result<Pool> {
    let class = hemi_queue::buf::ClassConfig { size: 64 << 10 };
    Ok(Pool::with(&PoolConfig { classes: vec![class], limit: BATCH_MEMORY, region: 2 << 20 })?)
}

fn begin(
    core: &Core,
    device: Box<dyn BlockDevice>,
    said: Said,
    geometry: Geometry,
    wanted: Wanted,
) -> Result<Place> {
    Ok(begin_with(core, device, said, geometry, wanted, batch_pool()?))
}

fn begin_with(
    core: &Core,
    device: Box<dyn BlockDevice>,
    said: Said,
    geometry: Geometry,
    wanted: Wanted,
    pool: Pool,
) -> Place {
    let caps = device.caps();
    let opening = match wanted {
        Wanted::Open => Opening::open(said.config, caps, pool, said.mode),
        Wanted::Create => {
            let salt = core.rng.borrow_mut().next_u64();
            let created = Wall::new(core).at(core);
            let new = NewLog { geometry, salt, created, overwrite: said.overwrite };
            Opening::create(said.config, caps, pool, new)
        }
    };
    Place { device, opening }
}

/// Nanoseconds since the Unix epoch, from the core's clock; in a simulation both begin at zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wall {
    /// At the core's zero.
    epoch: u64,
}

impl Wall {
    pub(super) fn new(core: &Core) -> Self {
        if core.is_simulated() {
            return Self { epoch: 0 };
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { epoch: (now.as_nanos() as u64).saturating_sub(core.now().as_nanos()) }
    }

    #[inline]
    pub(super) fn at(self, core: &Core) -> u64 {
        self.epoch + core.now().as_nanos()
    }
}

/// The device of a plain file.
pub(super) fn plain(core: &Rc<Core>, uri: &Uri, access: Access) -> Result<FileDevice> {
    let mut options = FileOptions::from_uri(uri)?;
    uri.finish()?;
    options.lock = false;
    let Some(park) = &core.park else {
        return Err(uri.error("a simulation has no files").into());
    };
    FileDevice::open(Path::new(uri.path()), access, &options, &core.pool, park)
}
