//! The command line of the lab, shared by everything that runs it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::contestants::FLOOR;
use crate::error::Error;
use crate::scenario::{Pace, Scenario, Transport};

/// What to measure, of whom, and where the results go.
#[derive(Clone, Debug, Args)]
#[allow(clippy::doc_markdown)] // these comments are the help text
pub struct Options {
    /// Server and client here, or only one of them.
    #[arg(long, value_enum, default_value_t = Role::Both)]
    pub role: Role,

    /// An echo server to drive, run by anybody: then only it is measured, unless --contestants adds
    /// others.
    #[arg(long, value_name = "ADDR")]
    pub peer: Option<SocketAddr>,

    /// Who is compared, separated by commas: floor, epoll, hemi-busy, hemi,
    /// hemi-shm (user-level TCP and UDP at both ends, over shared memory; closed loops only),
    /// hemi-dpdk (the same over a DPDK memif between two processes; with the feature `dpdk`).
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub contestants: Vec<String>,

    /// Transports, separated by commas; `units` is the portable connection, which RDMA has too, and wants --client hemi.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Transport::Tcp, Transport::Udp])]
    pub transport: Vec<Transport>,

    /// The network of hemi's contestants, as a URI; by default what HEMI_NET says, or kernel:
    #[arg(long, value_name = "URI")]
    pub net: Option<String>,

    /// Who drives: the same plain kernel client for all, or hemi at both ends.
    #[arg(long, value_enum, default_value_t = Client::Kernel)]
    pub client: Client,

    /// Message sizes in bytes, separated by commas.
    #[arg(long, value_delimiter = ',', default_values_t = [64], value_name = "BYTES")]
    pub sizes: Vec<usize>,

    /// Numbers of connections, separated by commas.
    #[arg(long, value_delimiter = ',', default_values_t = [1], value_name = "N")]
    pub connections: Vec<usize>,

    /// Messages in flight per connection, separated by commas.
    #[arg(long, value_delimiter = ',', default_values_t = [1], value_name = "N")]
    pub depth: Vec<usize>,

    /// Open loop: so many messages per second, each latency counted from when the message was due.
    #[arg(long, value_name = "PER_SECOND")]
    pub rate: Option<f64>,

    /// Interleaved rounds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,

    /// Seconds measured per sample.
    #[arg(long, default_value = "0.5", value_parser = seconds, value_name = "SECONDS")]
    pub duration: Duration,

    /// Seconds driven before each sample.
    #[arg(long, default_value = "0.1", value_parser = seconds, value_name = "SECONDS")]
    pub warm_up: Duration,

    /// The server's core; by default the first that this process may use.
    #[arg(long, value_name = "CORE")]
    pub server_cpu: Option<usize>,

    /// The client's core; by default the next.
    #[arg(long, value_name = "CORE")]
    pub client_cpu: Option<usize>,

    /// With --role server: where to listen.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7000")]
    pub bind: SocketAddr,

    /// Write every sample to this file.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Draw the percentiles into this file.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,

    /// Write a page with plots, distributions and tables to this file.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// Which side this process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Both, on two pinned threads.
    Both,
    /// An echo server of the first of --contestants, until it is killed.
    Server,
    /// The client, against --peer.
    Client,
}

/// What drives the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Client {
    /// Busy-polled kernel sockets.
    Kernel,
    /// A busy hemi runtime on the network that HEMI_NET names; closed loop only.
    Hemi,
}

/// Who is compared when nobody is named.
pub const DEFAULT_CONTESTANTS: [&str; 4] = [FLOOR, "hemi-busy", "hemi", "hemi-shm"];

impl Options {
    /// The names of those who take part; never none when this process serves.
    pub fn names(&self) -> Vec<String> {
        if self.contestants.is_empty() && (self.role == Role::Server || self.peer.is_none()) {
            let dpdk = cfg!(feature = "dpdk").then_some("hemi-dpdk");
            DEFAULT_CONTESTANTS.into_iter().chain(dpdk).map(str::to_owned).collect()
        } else {
            self.contestants.clone()
        }
    }

    /// Every combination that was asked for.
    ///
    /// # Errors
    /// The first combination that cannot be run.
    pub fn scenarios(&self) -> Result<Vec<Scenario>, Error> {
        let pace = self.rate.map_or(Pace::Closed, |rate| Pace::Open { rate });
        let mut scenarios = Vec::new();
        for &transport in &self.transport {
            for &size in &self.sizes {
                for &connections in &self.connections {
                    for &depth in &self.depth {
                        let (warm_up, measure) = (self.warm_up, self.duration);
                        let scenario =
                            Scenario { transport, size, connections, depth, pace, warm_up, measure };
                        scenario.check()?;
                        scenarios.push(scenario);
                    }
                }
            }
        }
        Ok(scenarios)
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("{text:?} is no number of seconds"))?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if seconds <= 3_600.0 => Ok(duration),
        _ => Err("between 0 and 3600 seconds".to_owned()),
    }
}
