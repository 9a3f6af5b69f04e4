//! [`BlockDevice`]: the whole contract between a log and what it lies on.

use std::{io, time::Duration};

use hemi_queue::{Progress, Sga, Wakeup, time::Instant};

/// What a device is and can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceCaps {
    /// Bytes that there are.
    pub len: u64,
    /// The largest [`Command::Extend`] may make it; `len` where it cannot grow.
    pub max_len: u64,
    /// The least that can be written, and the unit in which a write may be torn: a power of two.
    pub sector: u32,
    /// A single write can be made durable by itself ([`Command::Write::fua`]).
    pub fua: bool,
    /// A completed write may be lost until a flush has completed.
    pub volatile_cache: bool,
    /// Freed space can be given back ([`Command::Discard`]).
    pub discard: bool,
    /// A place that was never written, or was discarded, is slower to write durably than one that was written before: a file
    /// system has to note that it holds data now.
    pub slow_when_new: bool,
    /// What was written is not written over before it was discarded, and what lies behind a log's end is in its way: a log begins a
    /// new segment there.
    pub append_only: bool,
    /// Parts of a write of at least so many bytes are better written from where they are than copied together. `usize::MAX`:
    /// the device needs aligned memory, so all is copied, once.
    pub gather: usize,
    /// Nothing may be written.
    pub read_only: bool,
}

/// Names a command until its completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandId(pub u64);

/// What a device is asked to do. Offsets and lengths are multiples of the log's block.
#[derive(Clone, Debug)]
pub enum Command {
    /// Write `data` at `offset`. Complete when all of it can be read back.
    Write {
        /// Where.
        offset: u64,
        /// What.
        data: Sga,
        /// Complete only when it is durable, whatever else is not. Only where the device can.
        fua: bool,
    },
    /// Read `len` bytes at `offset`. What lies behind the device's end is not there: fewer come.
    Read {
        /// Where.
        offset: u64,
        /// How much.
        len: usize,
    },
    /// Make every write that had completed before this was submitted durable.
    Flush,
    /// Grow to `len` bytes; what is new reads as zeros or anything else.
    Extend {
        /// The new length.
        len: u64,
    },
    /// What lies here is not needed any more.
    Discard {
        /// Where.
        offset: u64,
        /// How much.
        len: u64,
    },
}

/// The outcome of a command.
#[derive(Debug)]
pub struct Done {
    /// Which one.
    pub id: CommandId,
    /// The bytes read, none for other commands; or why it failed.
    pub result: io::Result<Sga>,
}

/// A block device, polled once per turn.
///
/// # How it is driven
/// [`submit`](Self::submit) any number of commands, then [`poll`](Self::poll) for what has completed, in any order. Every
/// submitted command completes exactly once. Writes to the same place are never in flight together. The memory of a
/// write is held until it has completed, whatever becomes of the caller.
pub trait BlockDevice {
    /// What it is and can do, now: `len` follows [`Command::Extend`].
    fn caps(&self) -> DeviceCaps;

    /// Begin `command`. Never waits and never fails: errors come as completions.
    fn submit(&mut self, id: CommandId, command: Command);

    /// Add what has completed to `done`. Never blocks.
    fn poll(&mut self, now: Instant, done: &mut Vec<Done>) -> Progress;

    /// When to poll next even if nothing tells of a completion.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// How a completion wakes a parked core.
    fn wakeup(&self) -> Wakeup {
        Wakeup::Never { at_most_us: Duration::from_millis(1).as_micros() as u32 }
    }

    /// A thread of this machine works on a command: a core that spins until it completes may keep it from running.
    fn is_served_by_thread(&self) -> bool {
        false
    }

    /// A line for people.
    fn describe(&self) -> String;
}

impl<D: BlockDevice + ?Sized> BlockDevice for Box<D> {
    fn caps(&self) -> DeviceCaps {
        (**self).caps()
    }
    fn submit(&mut self, id: CommandId, command: Command) {
        (**self).submit(id, command);
    }
    fn poll(&mut self, now: Instant, done: &mut Vec<Done>) -> Progress {
        (**self).poll(now, done)
    }
    fn deadline(&self) -> Option<Instant> {
        (**self).deadline()
    }
    fn wakeup(&self) -> Wakeup {
        (**self).wakeup()
    }
    fn is_served_by_thread(&self) -> bool {
        (**self).is_served_by_thread()
    }
    fn describe(&self) -> String {
        (**self).describe()
    }
}
