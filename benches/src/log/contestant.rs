//! Who appends.

use std::{net::SocketAddr, path::Path, time::Duration};

use super::Failure;
use crate::{recorder::Recorder, stop::Stop};

/// Units that are appended, each made durable before it counts.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Bytes per unit.
    pub size: usize,
    /// Appends that wait at a time.
    pub waiting: usize,
    /// How long.
    pub time: Duration,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Appended {
    /// Units that are durable.
    pub units: u64,
    /// The time it took.
    pub elapsed: Duration,
    /// From asking to durable, in nanoseconds.
    pub latencies: Recorder,
}

impl Appended {
    /// Units per second.
    pub fn rate(&self) -> f64 {
        self.units as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }
}

/// Someone who can append durably, and echo behind it. One small file each.
pub trait Contestant: Sync {
    /// What the table calls it.
    fn name(&self) -> &str;

    /// Append to a new file at `path`.
    ///
    /// # Errors
    /// Whatever keeps it from that.
    fn append(&self, path: &Path, load: &Load) -> Result<Appended, Failure>;

    /// Serve TCP on the calling thread until `stop` is set: what comes is appended to a new file at `path`, made durable, and sent
    /// back. `ready` hears where it listens. `None`: it has no such server.
    fn echo(
        &self,
        path: &Path,
        ready: &mut dyn FnMut(SocketAddr),
        stop: &Stop,
    ) -> Option<Result<(), Failure>>;
}
