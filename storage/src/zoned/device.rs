//! [`ZoneDevice`]: the contract between [`Zoned`](super::Zoned) and a device of zones.

use std::io;

use hemi_queue::{Progress, Sga, Wakeup, time::Instant};

use crate::CommandId;

/// What a device of zones is and can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneCaps {
    /// How many zones there are, each of them usable.
    pub zones: u32,
    /// Bytes that each of them holds.
    pub capacity: u64,
    /// The least that can be written.
    pub sector: u32,
    /// The most bytes of one append: a multiple of the sector.
    pub append: u32,
    /// A single append can be made durable by itself.
    pub fua: bool,
    /// A completed append may be lost until a flush has completed.
    pub volatile_cache: bool,
    /// Nothing may be written.
    pub read_only: bool,
}

/// What a device of zones is asked to do.
#[derive(Clone, Debug)]
pub enum ZoneCommand {
    /// Write `data` at the zone's write pointer. Several may be in flight: the device chooses their order, and the completion tells
    /// where the data lies.
    Append {
        /// Which zone.
        zone: u32,
        /// What.
        data: Sga,
        /// Complete only when it is durable.
        fua: bool,
    },
    /// Read `len` bytes at `offset` of a zone, below its write pointer.
    Read {
        /// Which zone.
        zone: u32,
        /// Where, from the zone's first byte.
        offset: u64,
        /// How much.
        len: usize,
    },
    /// Make every append that had completed before this was submitted durable.
    Flush,
    /// Make the zone empty; durable when it completes.
    Reset {
        /// Which zone.
        zone: u32,
    },
    /// Nothing more is written to the zone: the device may forget that it was open.
    Finish {
        /// Which zone.
        zone: u32,
    },
}

/// The outcome of a command.
#[derive(Debug)]
pub struct ZoneDone {
    /// Which one.
    pub id: CommandId,
    /// The bytes read, and where an append lies in its zone; or why it failed.
    pub result: io::Result<(Sga, u64)>,
}

/// A device of zones, polled once per turn. Driven as a [`BlockDevice`](crate::BlockDevice) is.
pub trait ZoneDevice {
    /// What it is and can do. It does not change.
    fn caps(&self) -> ZoneCaps;

    /// Bytes below the zone's write pointer when the device was opened; of a finished zone, all.
    fn written(&self, zone: u32) -> u64;

    /// Begin `command`. Never waits and never fails: errors come as completions.
    fn submit(&mut self, id: CommandId, command: ZoneCommand);

    /// Add what has completed to `done`. Never blocks.
    fn poll(&mut self, now: Instant, done: &mut Vec<ZoneDone>) -> Progress;

    /// When to poll next even if nothing tells of a completion.
    fn deadline(&self) -> Option<Instant>;

    /// How a completion wakes a parked core.
    fn wakeup(&self) -> Wakeup;

    /// A line for people.
    fn describe(&self) -> String;
}
