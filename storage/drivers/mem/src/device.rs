//! [`MemDevice`]: a driver for a [`MemDisk`].

use std::{cell::RefCell, collections::HashMap, io, time::Duration};

use hemi_queue::{BufMut, Error, Pool, Progress, Result, Sga, Uri, Wakeup, time::Instant};
use hemi_storage::{BlockDevice, ByteSize, Command, CommandId, Delay, DeviceCaps, Done};

use crate::{
    MemConfig, MemDisk, Rng,
    disk::{Cached, State},
};

/// A device on a [`MemDisk`]; one at a time, as a lock has it.
pub struct MemDevice {
    disk: MemDisk,
    pool: Pool,
    rng: Rng,
    now: Instant,
    flying: Vec<Flying>,
}

struct Flying {
    id: CommandId,
    due: Instant,
    what: What,
}

enum What {
    /// Its data, where it is not with the disk's writes in flight.
    Write {
        serial: u64,
        offset: u64,
        data: Option<Sga>,
        fua: bool,
    },
    Read {
        offset: u64,
        len: usize,
    },
    /// Covers cached writes with a lower serial.
    Flush {
        covers: u64,
        failed: bool,
    },
    Extend {
        len: u64,
    },
    Discard {
        offset: u64,
        len: u64,
    },
    Fail(i32),
}

impl MemDevice {
    /// Open `disk`; reads go to buffers of `pool`.
    ///
    /// # Errors
    /// A second device on one disk is refused, as a second process on one file is.
    pub fn open(disk: &MemDisk, pool: &Pool) -> Result<Self> {
        if std::mem::replace(&mut disk.state().open, true) {
            let taken = io::Error::new(io::ErrorKind::ResourceBusy, "another log has it open");
            return Err(Error::io("open", "mem disk", taken));
        }
        let seed = disk.look().config.seed;
        Ok(Self {
            disk: disk.clone(),
            pool: pool.clone(),
            rng: Rng::new(seed),
            now: Instant::ZERO,
            flying: Vec::new(),
        })
    }

    /// The medium.
    pub fn disk(&self) -> &MemDisk {
        &self.disk
    }

    fn due(&mut self, config: &MemConfig) -> Instant {
        let jitter = self.rng.below(config.jitter.as_nanos() as u64 + 1);
        self.now + config.latency + Duration::from_nanos(jitter)
    }

    fn finish(&self, what: What) -> io::Result<Sga> {
        let state = &mut *self.disk.state();
        match what {
            What::Fail(errno) => return Err(io::Error::from_raw_os_error(errno)),
            What::Write { data: Some(data), offset, .. } => state.current.write_all(offset as usize, &data),
            What::Write { serial, fua, .. } => finish_write(state, serial, fua),
            What::Read { offset, len } => return self.read(state, offset, len),
            What::Flush { covers, failed } => finish_flush(state, covers, failed)?,
            What::Extend { len } => {
                state.current.grow(len as usize);
                if state.config.cache {
                    state.durable.grow(len as usize);
                }
            }
            What::Discard { offset, len } => {
                let (from, to) = (offset as usize, (offset + len) as usize);
                for image in [&mut state.current, &mut state.durable] {
                    if to <= image.len() {
                        image.write(from, &vec![0xdd; to - from]); // whatever it was, it is not that any more
                    }
                }
            }
        }
        Ok(Sga::new())
    }

    fn read(&self, state: &State, offset: u64, len: usize) -> io::Result<Sga> {
        let mut from = offset as usize;
        let to = from.saturating_add(len).min(state.current.len());
        let mut unit = Sga::new();
        while from < to {
            let part = (to - from).min(self.pool.largest());
            let mut buffer: BufMut =
                self.pool.try_alloc(part).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
            state.current.read(from, from + part, |piece, len| {
                match piece {
                    Some(piece) => buffer.put(piece),
                    None => buffer.put(&vec![0; len]),
                };
            });
            unit.push(buffer.freeze());
            from += part;
        }
        Ok(unit)
    }
}

fn finish_write(state: &mut State, serial: u64, fua: bool) {
    let Some(at) = state.flying.iter().position(|w| w.serial == serial) else { return };
    let done = state.flying.remove(at);
    state.current.write(done.offset as usize, &done.data);
    if !state.config.cache {
        return;
    }
    if fua {
        // What is cached of the same place is older.
        let end = done.offset + done.data.len() as u64;
        state.cached.retain(|w| w.offset >= end || w.offset + w.data.len() as u64 <= done.offset);
        state.durable.write(done.offset as usize, &done.data);
    } else {
        // Covered by flushes that are submitted from now on.
        state.serial += 1;
        state.cached.push(Cached { serial: state.serial, ..done });
    }
}

fn finish_flush(state: &mut State, covers: u64, failed: bool) -> io::Result<()> {
    let forget = failed && state.faults.forget;
    if failed && !forget {
        return Err(io::Error::from_raw_os_error(5));
    }
    let (durable, cached) = (&mut state.durable, &mut state.cached);
    cached.retain(|write| {
        let covered = write.serial <= covers;
        if covered && !forget {
            durable.write(write.offset as usize, &write.data);
        }
        !covered
    });
    if failed { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
}

/// Whether the countdown is over; it never is twice.
fn strikes(count: &mut Option<u64>) -> bool {
    match count {
        Some(0) => {
            *count = None;
            true
        }
        Some(n) => {
            *n -= 1;
            false
        }
        None => false,
    }
}

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

impl BlockDevice for MemDevice {
    fn caps(&self) -> DeviceCaps {
        let state = self.disk.look();
        let len = state.current.len() as u64;
        DeviceCaps {
            len,
            max_len: state.config.max_len.max(len),
            sector: state.config.sector,
            fua: state.config.fua,
            volatile_cache: state.config.cache,
            discard: state.config.discard,
            slow_when_new: state.config.slow_when_new,
            append_only: false,
            gather: state.config.gather,
            read_only: false,
        }
    }

    fn submit(&mut self, id: CommandId, command: Command) {
        let disk = self.disk.clone();
        let state = &mut *disk.state();
        let config = &state.config;
        let due = self.due(config);
        let what = match command {
            Command::Write { .. } if strikes(&mut state.faults.write) => What::Fail(EIO),
            Command::Read { .. } if strikes(&mut state.faults.read) => What::Fail(EIO),
            Command::Extend { len } if state.faults.full || len > config.max_len => What::Fail(ENOSPC),
            Command::Write { offset, data, fua } => {
                state.serial += 1;
                let serial = state.serial;
                // Nothing can cut between submission and completion where there is no cache and no latency.
                let at_once = !config.cache && config.latency.is_zero() && config.jitter.is_zero();
                if !at_once {
                    state.flying.push(Cached { serial, offset, data: data.to_vec() });
                }
                What::Write { serial, offset, data: at_once.then_some(data), fua: fua && config.fua }
            }
            Command::Read { offset, len } => What::Read { offset, len },
            Command::Flush => {
                let failed = strikes(&mut state.faults.flush);
                What::Flush { covers: state.serial, failed }
            }
            Command::Extend { len } => What::Extend { len },
            Command::Discard { offset, len } => What::Discard { offset, len },
        };
        self.flying.push(Flying { id, due, what });
    }

    fn poll(&mut self, now: Instant, done: &mut Vec<Done>) -> Progress {
        self.now = now;
        if self.flying.is_empty() || self.disk.look().faults.hang {
            return Progress::Idle;
        }
        let before = done.len();
        // The earliest first, one submitted earlier before one submitted later.
        while let Some(at) = (0..self.flying.len()).min_by_key(|at| self.flying[*at].due)
            && self.flying[at].due <= now
        {
            let Flying { id, what, .. } = self.flying.remove(at);
            let result = self.finish(what);
            done.push(Done { id, result });
        }
        if done.len() > before { Progress::Busy } else { Progress::Idle }
    }

    fn deadline(&self) -> Option<Instant> {
        if self.disk.look().faults.hang {
            return None;
        }
        self.flying.iter().map(|f| f.due).min()
    }

    fn wakeup(&self) -> Wakeup {
        Wakeup::Core // by its deadline
    }

    fn describe(&self) -> String {
        let state = self.disk.look();
        format!("memory, {} bytes", state.current.len())
    }
}

impl Drop for MemDevice {
    fn drop(&mut self) {
        let state = &mut *self.disk.state();
        state.open = false;
        // The process is gone, the machine is not: what it had written is in the device, in flight or not.
        for write in std::mem::take(&mut state.flying) {
            state.current.write(write.offset as usize, &write.data);
            if state.config.cache {
                state.cached.push(write);
            }
        }
    }
}

impl std::fmt::Debug for MemDevice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemDevice").field("disk", &self.disk).finish_non_exhaustive()
    }
}

thread_local! {
    static DISKS: RefCell<HashMap<String, MemDisk>> = RefCell::default();
}

/// The disk that `uri` names, made if it is not there and `create` says so. Takes the parameters of the module's
/// documentation; the caller takes its own and finishes the URI.
///
/// # Errors
/// A parameter that does not parse; a disk that is not there; one that a log has open.
pub fn open(uri: &Uri, pool: &Pool, seed: u64, create: bool) -> Result<MemDevice> {
    let mut config = MemConfig { seed, cache: false, ..MemConfig::default() };
    if let Some(ByteSize(size)) = uri.take("size")? {
        config.max_len = size;
    }
    if let Some(Delay(latency)) = uri.take("latency")? {
        config.latency = latency;
    }
    if let Some(Delay(jitter)) = uri.take("jitter")? {
        config.jitter = jitter;
    }
    config.sector = uri.take("sector")?.unwrap_or(config.sector);
    config.fua = uri.take("fua")?.unwrap_or(config.fua);
    config.cache = uri.take("cache")?.unwrap_or(config.cache);
    config.seed = uri.take("seed")?.unwrap_or(config.seed);
    if !config.sector.is_power_of_two() {
        return Err(uri.error("`sector` is a power of two").into());
    }
    let disk = DISKS.with_borrow_mut(|disks| {
        if !disks.contains_key(uri.path()) && create {
            disks.insert(uri.path().to_owned(), MemDisk::new(config));
        }
        disks.get(uri.path()).cloned()
    });
    let Some(disk) = disk else {
        let missing =
            io::Error::new(io::ErrorKind::NotFound, "no disk of this name in this thread; create it");
        return Err(Error::io("open", uri, missing));
    };
    MemDevice::open(&disk, pool)
}

/// Forget the disk called `name` of this thread; what is open on it goes on. Returns it.
pub fn remove(name: &str) -> Option<MemDisk> {
    DISKS.with_borrow_mut(|disks| disks.remove(name))
}
