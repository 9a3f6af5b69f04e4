//! A look inside of a running stack from another process: `stats=PATH` on any URI of the user-level stack.
//!
//! The stack listens on a Unix socket at `PATH` and writes one [`Sample`], a line of JSON, to everyone who is connected, four
//! times a second. The example `stacktop` shows them in a terminal; `nc -U PATH` and `jq` will do too. Several cores, or
//! several transports with one path, take `PATH`, `PATH.1`, `PATH.2` and so on.
//!
//! # How it is driven
//! `StatsSocket::turn` is called in the reactor's turn and does nothing until `StatsSocket::deadline`, so a parked core wakes
//! up four times a second while this is on. Nothing blocks: a viewer that does not read misses samples.
//!
//! What it deliberately leaves out: commands. Whoever can open the socket can look, and nothing else.

mod sample;
mod socket;

pub use sample::{Row, Sample};
pub(crate) use socket::StatsSocket;
