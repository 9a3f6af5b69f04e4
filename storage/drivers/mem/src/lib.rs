//! A block device in memory, for simulation: latency, completions out of order, a cache that is lost with the power, torn
//! writes, errors and flipped bits, all from one seed and in virtual time.
//!
//! A [`MemDisk`] is the medium; it survives its [`MemDevice`]s, and [`MemDisk::cut`] gives the medium as it may be after a
//! power cut at this moment. [`MemZones`] and [`ZoneDriver`] are the same for a device of zones. [`Lying`] is a device that breaks its word, to prove that tests would notice.
//!
//! # What the power cut leaves
//! Everything that a completed flush covered, or that was written with FUA and completed, is there. Of every other write,
//! completed or in flight, any subset of its sectors may be there. A sector is never torn.
//!
//! # URI
//! `mem:NAME?size=1GiB&latency=80us&jitter=20us&sector=512&fua=true&cache=true&seed=7`: disks are found by name within the
//! thread, so that a log can be opened again.

#![forbid(unsafe_code)]

mod device;
mod disk;
mod lying;
mod medium;
mod rng;
mod zones;

pub use device::{MemDevice, open, remove};
pub use disk::{Faults, MemConfig, MemDisk};
pub use lying::{Lie, Lying};
pub use rng::Rng;
pub use zones::{MemZone, MemZones, ZoneDriver, ZoneLayout};
