//! Networks in memory and in virtual time: wires with faults, and two hosts as one object.
//!
//! Everything random comes from one seed; nothing reads a clock. A run is a function of its seed, so a failing seed *is* the bug
//! report. [`Pair::step`] jumps to the next time at which something can happen; when there is none, everything waits for
//! everything else, and that is an error, not a hang.
//!
//! `link.rs` is what one direction of a cable does to frames, `faults.rs` what goes wrong on it; `wire.rs` is a cable with a device at
//! each end, `pair.rs` two hosts on one, `switch.rs` a network of any number of hosts, `spread.rs` a NIC with several queues. `tso.rs` cuts large frames as an offloading device does; `pipe.rs` is a wire without any of this, for benchmarks.

mod faults;
pub(crate) mod link;
mod pair;
mod pipe;
mod spread;
mod switch;
mod tso;
mod wire;

pub use faults::Faults;
pub use link::{LinkConfig, WireStats};
pub use pair::{Deadlock, Pair, Side};
pub use pipe::Pipe;
pub use spread::{Spread, Spreading};
pub use switch::{Switch, SwitchDevice, WeakSwitch};
pub use tso::cut;
pub use wire::{SimDevice, Wire, WireConfig};
