//! The rows, the contestants, and which of them meet.

use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::peer::{Link, Peer, Queues, Timers};
use crate::peers::bare::{Bare, Inline};
use crate::peers::{
    compio::Compio, glommio::Glommio, hemi::Hemi, hemi_net::HemiNet, local_pool::Futures, monoio::Monoio,
    smol::Smol, smoltcp::Smoltcp, tokio::Tokio,
};
use crate::rows::{net, queue, spawn, timer, tokens, wake, yielding};

/// One line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum, Serialize, Deserialize)]
pub enum Row {
    /// Spawn a task that is done at its first poll, and join it.
    Spawn,
    /// The same, 1,000 tasks alive at once.
    SpawnBatch,
    /// A task wakes itself and is polled again.
    Yield,
    /// The same with 100 tasks taking turns.
    #[value(name = "yield-100")]
    Yield100,
    /// Two tasks wake each other; 1 other task idles.
    #[value(name = "wake-1")]
    Wake1,
    /// Two tasks wake each other; 100 others idle.
    #[value(name = "wake-100")]
    Wake100,
    /// Two tasks wake each other; 10,000 others idle.
    #[value(name = "wake-10k")]
    Wake10k,
    /// Two tasks wake each other; 100,000 others idle.
    #[value(name = "wake-100k")]
    Wake100k,
    /// Units of 64 bytes through an unbounded queue, in bursts of 64.
    Queue,
    /// Units of 64 bytes through a queue bounded at 16.
    #[value(name = "queue-16")]
    Queue16,
    /// Arm a timer and cancel it.
    Timer,
    /// Arm a timer and cancel it while 10,000 others are armed.
    #[value(name = "timer-10k")]
    Timer10k,
    /// The same with a turn of the executor between arming and cancelling.
    #[value(name = "timer-10k-turn")]
    Timer10kTurn,
    /// TokenSet::next while 1 operation is pending.
    #[value(name = "token-set-1")]
    TokenSet1,
    /// TokenSet::next while 10,000 operations are pending.
    #[value(name = "token-set-10k")]
    TokenSet10k,
    /// User-level TCP: 64 bytes there and back.
    NetRequest,
    /// The same beside 10,000 idle connections.
    #[value(name = "net-request-10k")]
    NetRequest10k,
    /// The same beside 100,000 idle connections.
    #[value(name = "net-request-100k")]
    NetRequest100k,
    /// User-level TCP: a connection opened and closed.
    NetSetup,
    /// User-level TCP: 64 KiB one way, MTU 1500.
    NetBulk,
    /// User-level TCP: 64 KiB one way, MTU 9000.
    #[value(name = "net-bulk-9000")]
    NetBulk9000,
    /// User-level TCP: 64 KiB one way, checksums vouched for, the largest frames there can be.
    NetOffload,
    /// TCP echo of 64 bytes, one at a time: the median round trip.
    TcpPingPong,
    /// TCP echo over 64 connections, 16 messages of 64 bytes in flight on each: messages per second.
    #[value(name = "tcp-64x16")]
    Tcp64x16,
}

/// Which of a contestant's abilities a row needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Tasks.
    Executor,
    /// Tasks and queues between them.
    Queues,
    /// Timers.
    Timers,
    /// qtokens and sets of them.
    Tokens,
    /// A user-level TCP stack.
    Stack,
    /// One that leaves work to the device, or none at all.
    Offload,
    /// A TCP echo server.
    Echo,
}

impl Row {
    /// What the table calls it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Spawn => "spawn + join",
            Self::SpawnBatch => "spawn + join, 1,000 at once",
            Self::Yield => "yield",
            Self::Yield100 => "yield, 100 tasks",
            Self::Wake1 => "wake round trip, 1 idle task",
            Self::Wake100 => "wake round trip, 100 idle",
            Self::Wake10k => "wake round trip, 10,000 idle",
            Self::Wake100k => "wake round trip, 100,000 idle",
            Self::Queue => "queue, bursts of 64, per unit",
            Self::Queue16 => "queue bounded at 16, per unit",
            Self::Timer => "timer insert + cancel",
            Self::Timer10k => "timer insert + cancel, 10,000 others",
            Self::Timer10kTurn => "timer insert, turn, cancel, 10,000 others",
            Self::TokenSet1 => "TokenSet::next, 1 pending",
            Self::TokenSet10k => "TokenSet::next, 10,000 pending",
            Self::NetRequest => "user-level TCP, 64 B there and back",
            Self::NetRequest10k => "the same, 10,000 idle connections",
            Self::NetRequest100k => "the same, 100,000 idle connections",
            Self::NetSetup => "user-level TCP, open + close",
            Self::NetBulk => "user-level TCP, 64 KiB, MTU 1500",
            Self::NetBulk9000 => "user-level TCP, 64 KiB, MTU 9000",
            Self::NetOffload => "user-level TCP, 64 KiB, offloaded",
            Self::TcpPingPong => "TCP echo 64 B, one at a time",
            Self::Tcp64x16 => "TCP echo 64 B, 64 connections x 16",
        }
    }

    /// What it needs of a contestant.
    pub fn needs(self) -> Needs {
        match self {
            Self::Queue | Self::Queue16 => Needs::Queues,
            Self::Timer | Self::Timer10k | Self::Timer10kTurn => Needs::Timers,
            Self::TokenSet1 | Self::TokenSet10k => Needs::Tokens,
            Self::NetRequest
            | Self::NetRequest10k
            | Self::NetRequest100k
            | Self::NetSetup
            | Self::NetBulk
            | Self::NetBulk9000 => Needs::Stack,
            Self::NetOffload => Needs::Offload,
            Self::TcpPingPong | Self::Tcp64x16 => Needs::Echo,
            _ => Needs::Executor,
        }
    }

    /// Operations per timed sample: some ten milliseconds' worth.
    pub fn timed_ops(self) -> u64 {
        match self {
            Self::Spawn | Self::SpawnBatch | Self::Timer | Self::Timer10k => 100_000,
            Self::NetRequest | Self::NetSetup => 50_000,
            // smoltcp walks all its sockets in every poll: a millisecond and more per request.
            Self::NetRequest10k => 1_000,
            Self::NetRequest100k => 200,
            Self::NetBulk | Self::NetBulk9000 | Self::NetOffload => 5_000,
            Self::Timer10kTurn | Self::Wake10k | Self::Wake100k => 64_000,
            _ => 256_000,
        }
    }

    /// N of `(Ir(3N) - Ir(N)) / 2N`; a multiple of every batch size above.
    pub fn counted_ops(self) -> u64 {
        match self {
            Self::NetRequest10k => 200,
            Self::NetRequest100k => 20,
            Self::NetBulk | Self::NetBulk9000 | Self::NetOffload => 500,
            Self::NetSetup => 2_000,
            _ => 8_000,
        }
    }
}

/// One column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum, Serialize, Deserialize)]
pub enum Runtime {
    /// hemi as it comes: adaptive idling.
    Hemi,
    /// TCP rows only: hemi that never sleeps.
    HemiBusy,
    /// tokio, current_thread with a `LocalSet`.
    Tokio,
    /// monoio on io_uring with DEFER_TASKRUN.
    Monoio,
    /// glommio.
    Glommio,
    /// compio.
    Compio,
    /// smol with a `LocalExecutor`.
    Smol,
    /// User-level TCP rows only: smoltcp.
    Smoltcp,
    /// The row of offloaded bulk only: the bytes are copied and read, and nothing else is done. The memory's limit.
    Memory,
    /// `futures::executor::LocalPool`: no timers, no sockets.
    LocalPool,
    /// TCP rows only: an epoll loop written by hand.
    Epoll,
    /// TCP rows only: busy polling of std sockets written by hand.
    Spin,
    /// The harness alone; its instructions are subtracted in the brackets.
    #[value(hide = true)]
    Harness,
}

impl Runtime {
    /// What the table calls it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Hemi => "hemi",
            Self::HemiBusy => "hemi busy",
            Self::Tokio => "tokio",
            Self::Monoio => "monoio",
            Self::Glommio => "glommio",
            Self::Compio => "compio",
            Self::Smol => "smol",
            Self::Smoltcp => "smoltcp",
            Self::Memory => "memory",
            Self::LocalPool => "LocalPool",
            Self::Epoll => "bare epoll",
            Self::Spin => "bare spin",
            Self::Harness => "harness",
        }
    }

    /// Our own columns, which are compared with the best of the others.
    pub fn is_hemi(self) -> bool {
        matches!(self, Self::Hemi | Self::HemiBusy)
    }

    /// Written by hand for one row, so no runtime anybody would program on.
    pub fn is_floor(self) -> bool {
        matches!(self, Self::Epoll | Self::Spin | Self::Memory | Self::Harness)
    }

    /// Whether it can take part in rows that need `needs`.
    pub fn offers(self, needs: Needs) -> bool {
        match self {
            Self::Hemi => true,
            Self::LocalPool => matches!(needs, Needs::Executor | Needs::Queues),
            Self::HemiBusy | Self::Epoll | Self::Spin => needs == Needs::Echo,
            Self::Smoltcp => matches!(needs, Needs::Stack | Needs::Offload),
            Self::Memory => needs == Needs::Offload,
            Self::Harness => !matches!(needs, Needs::Echo | Needs::Tokens | Needs::Stack | Needs::Offload),
            _ => !matches!(needs, Needs::Tokens | Needs::Stack | Needs::Offload),
        }
    }
}

/// Runs `ops` operations of a micro row in this process; `None` where the two do not meet.
pub fn run_micro(row: Row, runtime: Runtime, ops: u64) -> Option<Duration> {
    match runtime {
        Runtime::Hemi => {
            full::<Hemi>(row, ops).or_else(|| tokens(row, ops)).or_else(|| stack::<HemiNet>(row, ops))
        }
        Runtime::Smoltcp => stack::<Smoltcp>(row, ops),
        Runtime::Memory => (row == Row::NetOffload).then(|| net::memory(ops)),
        Runtime::Tokio => full::<Tokio>(row, ops),
        Runtime::Monoio => full::<Monoio>(row, ops),
        Runtime::Glommio => full::<Glommio>(row, ops),
        Runtime::Compio => full::<Compio>(row, ops),
        Runtime::Smol => full::<Smol>(row, ops),
        Runtime::LocalPool => executor::<Futures>(row, ops).or_else(|| queues::<Futures>(row, ops)),
        Runtime::Harness => match row {
            Row::Spawn | Row::SpawnBatch => executor::<Inline>(row, ops),
            // Polling idle tasks is the bare executor's folly, not the harness's share.
            Row::Wake1 | Row::Wake100 | Row::Wake10k | Row::Wake100k => {
                Some(wake::round_trip::<Bare>(0, ops))
            }
            _ => full::<Bare>(row, ops),
        },
        Runtime::HemiBusy | Runtime::Epoll | Runtime::Spin => None,
    }
}

fn full<P: Queues + Timers>(row: Row, ops: u64) -> Option<Duration> {
    executor::<P>(row, ops).or_else(|| queues::<P>(row, ops)).or_else(|| timers::<P>(row, ops))
}

fn executor<P: Peer>(row: Row, ops: u64) -> Option<Duration> {
    Some(match row {
        Row::Spawn => spawn::single::<P>(ops),
        Row::SpawnBatch => spawn::batches::<P>(ops),
        Row::Yield => yielding::with_tasks::<P>(1, ops),
        Row::Yield100 => yielding::with_tasks::<P>(100, ops),
        Row::Wake1 => wake::round_trip::<P>(1, ops),
        Row::Wake100 => wake::round_trip::<P>(100, ops),
        Row::Wake10k => wake::round_trip::<P>(10_000, ops),
        Row::Wake100k => wake::round_trip::<P>(100_000, ops),
        _ => return None,
    })
}

fn queues<P: Queues>(row: Row, ops: u64) -> Option<Duration> {
    Some(match row {
        Row::Queue => queue::bursts::<P>(ops),
        Row::Queue16 => queue::bounded::<P>(ops),
        _ => return None,
    })
}

fn tokens(row: Row, ops: u64) -> Option<Duration> {
    Some(match row {
        Row::TokenSet1 => tokens::next(1, ops),
        Row::TokenSet10k => tokens::next(10_000, ops),
        _ => return None,
    })
}

fn stack<L: Link>(row: Row, ops: u64) -> Option<Duration> {
    Some(match row {
        Row::NetRequest => net::request::<L>(0, ops),
        Row::NetRequest10k => net::request::<L>(10_000, ops),
        Row::NetRequest100k => net::request::<L>(100_000, ops),
        Row::NetSetup => net::setup::<L>(ops),
        Row::NetBulk => net::bulk::<L>(1500, ops),
        Row::NetBulk9000 => net::bulk::<L>(9000, ops),
        Row::NetOffload => net::offloaded::<L>(ops),
        _ => return None,
    })
}

fn timers<P: Timers>(row: Row, ops: u64) -> Option<Duration> {
    Some(match row {
        Row::Timer => timer::insert_cancel::<P>(0, ops),
        Row::Timer10k => timer::insert_cancel::<P>(10_000, ops),
        Row::Timer10kTurn => timer::insert_turn_cancel::<P>(10_000, ops),
        _ => return None,
    })
}
