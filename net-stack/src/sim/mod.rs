//! Networks in memory and in virtual time: wires with faults, and two hosts as one object.
//!
//! Everything random comes from one seed; nothing reads a clock. A run is a function of its seed, so a failing seed *is* the bug
//! report. [`Pair::step`] jumps to the next time at which something can happen; when there is none, everything waits for
//! everything else, and that is an error, not a hang.
//!
//! `wire.rs` is the link and the device at each of its ends, `faults.rs` what goes wrong on it, `pair.rs` the two hosts;
//! `tso.rs` cuts large frames as an offloading device does; `pipe.rs` is a wire without any of this, for benchmarks.

mod faults;
mod pair;
mod pipe;
mod tso;
mod wire;

pub use faults::Faults;
pub use pair::{Deadlock, Pair, Side};
pub use pipe::Pipe;
pub use tso::cut;
pub use wire::{SimDevice, Wire, WireConfig, WireStats};
