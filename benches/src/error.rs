//! What can go wrong in the lab: each error names its cause and, where there is one, the cure.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::scenario::Transport;

/// An experiment that could not be made, or whose result cannot be trusted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The process may run on one core only.
    #[error(
        "the lab needs two cores, one for the server and one for the client; this process may use {allowed:?}"
    )]
    TooFewCores {
        /// The cores the process may use.
        allowed: Vec<usize>,
    },

    /// Server and client were given the same core.
    #[error("server and client would share core {0}: choose two with --server-cpu and --client-cpu")]
    SameCore(usize),

    /// A core that does not exist, or is not ours.
    #[error("cannot pin a thread to core {cpu}: choose one of {allowed:?}")]
    Pin {
        /// The core asked for.
        cpu: usize,
        /// The cores the process may use.
        allowed: Vec<usize>,
        /// What the kernel said.
        source: io::Error,
    },

    /// A message size that the transport cannot carry.
    #[error("{transport} messages are {smallest} to {largest} bytes long, not {size}")]
    Size {
        /// The transport.
        transport: Transport,
        /// The size asked for.
        size: usize,
        /// The least.
        smallest: usize,
        /// The most.
        largest: usize,
    },

    /// Nothing to drive.
    #[error("at least one connection and one message in flight are needed")]
    Zero,

    /// A rate that is no rate.
    #[error("{0} messages per second is no rate for an open loop")]
    Rate(f64),

    /// A contestant nobody knows.
    #[error("no contestant is called {name:?}; there are {known}")]
    Contestant {
        /// The name asked for.
        name: String,
        /// Those there are.
        known: String,
    },

    /// `--role client` without `--peer`.
    #[error("--role client needs --peer ADDR, the echo server to drive")]
    NoPeer,

    /// The client could not open a socket to the server.
    #[error("cannot reach the echo server at {server}")]
    Connect {
        /// Where it should be.
        server: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },

    /// A send or a receive failed.
    #[error("the connection to the echo server failed while {doing}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the kernel said.
        source: io::Error,
    },

    /// The server hung up.
    #[error("the echo server closed the connection after {received} bytes")]
    Closed {
        /// Bytes echoed so far on that connection.
        received: u64,
    },

    /// The echo is not what was sent.
    #[error("the echo differs from what was sent, at byte {offset} of the connection")]
    Corrupt {
        /// Where the first wrong byte is; for UDP counted in whole messages.
        offset: u64,
    },

    /// A server came up too late or not at all.
    #[error("{contestant} did not start listening within {seconds} s")]
    NotReady {
        /// Whose server.
        contestant: String,
        /// How long the lab waited.
        seconds: u64,
    },

    /// A contestant's server failed.
    #[error("the server of {contestant} failed")]
    Server {
        /// Whose server.
        contestant: String,
        /// What it said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// hemi as the client knows no open loop.
    #[error("an open loop needs the kernel client: leave out --client hemi or --rate")]
    ClosedLoopOnly,

    /// The kernel client knows no units.
    #[error("units are hemi's own: add --client hemi")]
    HemiOnly,

    /// Nothing came back.
    #[error("no message was echoed in the measured time: is there an echo server?")]
    Silence,

    /// A report could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },

    /// A plot could not be drawn.
    #[error("cannot draw the plot: {0}")]
    Plot(String),
}

impl Error {
    /// The error and everything below it, on one line.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut next = std::error::Error::source(self);
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        text
    }
}
