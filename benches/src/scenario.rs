//! What is asked of every contestant: how many bytes, over how many connections, how fast.

use std::fmt;
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

use crate::error::Error;

/// The kind of socket the client speaks over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// A byte stream, echoed as it arrives.
    Tcp,
    /// One datagram per message.
    Udp,
    /// One unit of the portable `Conn` per message, on what `HEMI_NET` names, RDMA included: hemi at both ends.
    Units,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Units => "units",
        })
    }
}

/// When the next message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Pace {
    /// When an answer has come: latency under no more load than `depth` allows.
    Closed,
    /// Every `1 / rate` seconds, whether or not answers have come. Latency counts from the moment a
    /// message was *due*, so a server that stalls is charged for all it kept waiting (no coordinated
    /// omission).
    Open {
        /// Messages per second, over all connections.
        rate: f64,
    },
}

/// One experiment, the same for all contestants.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scenario {
    /// TCP or UDP.
    pub transport: Transport,
    /// Bytes per message.
    pub size: usize,
    /// Connections (for UDP: client sockets).
    pub connections: usize,
    /// Messages in flight per connection; with an open loop there is no such bound.
    pub depth: usize,
    /// Closed or open loop.
    pub pace: Pace,
    /// Driven but not recorded.
    pub warm_up: Duration,
    /// Recorded.
    pub measure: Duration,
}

/// The largest datagram that IPv4 carries.
pub const LARGEST_DATAGRAM: usize = 65_507;
/// What one buffer of a pool holds, and one pooled unit of the client.
pub const LARGEST_UNIT: usize = 64 * 1024;
/// A datagram's first bytes are its number.
pub const SMALLEST_DATAGRAM: usize = 8;

impl Scenario {
    /// Refuses what cannot be run, before anything is started.
    pub fn check(&self) -> Result<(), Error> {
        let (smallest, largest) = match self.transport {
            Transport::Tcp => (1, 1 << 30),
            Transport::Udp => (SMALLEST_DATAGRAM, LARGEST_DATAGRAM),
            Transport::Units => (1, LARGEST_UNIT),
        };
        if !(smallest..=largest).contains(&self.size) {
            return Err(Error::Size { transport: self.transport, size: self.size, smallest, largest });
        }
        if self.connections == 0 || self.depth == 0 {
            return Err(Error::Zero);
        }
        match self.pace {
            Pace::Open { rate } if !(rate.is_finite() && rate > 0.0) => Err(Error::Rate(rate)),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} B", self.transport, self.size)?;
        if self.connections > 1 {
            write!(f, ", {} connections", self.connections)?;
        }
        match self.pace {
            Pace::Closed if self.depth > 1 => write!(f, ", {} in flight", self.depth),
            Pace::Closed => Ok(()),
            Pace::Open { rate } => write!(f, ", {rate:.0}/s open loop"),
        }
    }
}
