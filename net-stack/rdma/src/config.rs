//! [`Config`]: what a connection is made with.

use std::time::Duration;

use crate::hello::{Hello, MAX_WINDOW, MIN_BUFFER, MIN_WINDOW};

/// How a connection is made: what the device can do, and what its user allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The size of the receive buffers in bytes; every one is posted whole. Default: 16 KiB.
    pub buffer: u32,
    /// Receive buffers wanted for this connection. Default: 32.
    pub window: u16,
    /// Work requests that the send queue holds. Default: 128.
    pub send_depth: u16,
    /// Elements of a gather list. Default: 4.
    pub max_sge: u8,
    /// Bytes that a SEND can carry inline. Default: 64. Control messages (up to [`Work::MAX_CONTROL`](crate::Work::MAX_CONTROL) bytes)
    /// are the driver's to carry, also where this is less.
    pub inline: u16,
    /// RDMA READs at a time, for units that are read out of the peer's memory. 0: never read, let the peer send pieces.
    /// Default: 16.
    pub reads: u16,
    /// The smallest unit in bytes that is read out of the peer's memory. Default: units that do not fit a receive buffer.
    pub rendezvous_from: u32,
    /// The largest unit in bytes, in both directions. Default: 1 GiB.
    pub largest_unit: u64,
    /// Pushes wait when this many bytes are accepted and not yet with the device or, announced, with the peer. Default: 256 KiB.
    pub send_limit: usize,
    /// No unit is read out of the peer's memory while this many received bytes wait to be popped. Default: 256 KiB.
    pub recv_limit: usize,
    /// Ask for a sign of life after so long without one, and take a peer for dead that gives none for so long again. Default: never.
    pub keep_alive: Option<Duration>,
    /// How long a close waits for the peer to get on: to take a unit, to read an announcement, to answer. Default: 30 s.
    pub close_timeout: Duration,
    /// How long a close may take in all. Default: as long as it gets on.
    pub close_limit: Option<Duration>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            buffer: 16 << 10,
            window: 32,
            send_depth: 128,
            max_sge: 4,
            inline: 64,
            reads: 16,
            rendezvous_from: (16 << 10) + 1,
            largest_unit: 1 << 30,
            send_limit: 256 << 10,
            recv_limit: 256 << 10,
            keep_alive: None,
            close_timeout: Duration::from_secs(30),
            close_limit: None,
        }
    }
}

impl Config {
    /// The fewest work requests of a send queue.
    pub const MIN_SEND_DEPTH: u16 = 8;
    /// The most elements of a gather list that are used.
    pub const MAX_SGE: u8 = 16;

    /// With every value brought into the range that the protocol has for it.
    #[must_use]
    pub(crate) fn clamped(mut self) -> Self {
        self.buffer = self.buffer.max(MIN_BUFFER);
        self.window = self.window.clamp(MIN_WINDOW, MAX_WINDOW);
        self.send_depth = self.send_depth.max(Self::MIN_SEND_DEPTH);
        self.max_sge = self.max_sge.clamp(1, Self::MAX_SGE);
        self
    }

    pub(crate) fn hello(&self, window: u16, credits: u16) -> Hello {
        Hello {
            window,
            credits,
            buffer: self.buffer,
            rendezvous_from: if self.reads == 0 { u32::MAX } else { self.rendezvous_from },
            largest_unit: self.largest_unit,
        }
    }
}
