//! hemi: an async runtime in which all I/O is a queue.
//!
//! One single-threaded, cooperative executor per core runs `!Send` tasks and polls the devices once per *turn*:
//!
//! ```text
//!        ┌───────────────────────────── one turn ─────────────────────────────┐
//! clock ─► run one batch of ready tasks ─► poll each reactor ─► wakes ─► timers ─► idle? spin, then park
//! ```
//!
//! ```
//! let runtime = hemi::Runtime::builder().build()?;
//! let sum = runtime.block_on(async {
//!     let a = hemi::spawn(async { 20 });
//!     let b = hemi::spawn(async { 22 });
//!     a.await.unwrap() + b.await.unwrap()
//! });
//! assert_eq!(sum, 42);
//! # Ok::<(), hemi::Error>(())
//! ```
//!
//! All I/O is a queue: a program [`Push`]es units of data into queues and [`Pop`]s units out of them, and moves from kernel
//! sockets to another transport by changing one URI ([`net`]).
//!
//! | what | where |
//! |---|---|
//! | taking and putting units | [`Pop`], [`Push`] |
//! | memory: shared, read-only, never copied | [`Buf`], [`BufMut`], [`Sga`], [`Pool`] |
//! | queues: in memory, connections, datagrams | [`queues`], [`Options`] |
//! | logs and files: durable queues | [`storage`], [`LogQueue`], [`FileQueue`] |
//! | whole units over byte streams | [`framing`] |
//! | merge, filter, sort, map, qconnect | [`algebra`] |
//! | `Stream`, `Sink`, `AsyncRead`, `AsyncWrite` | [`adapters`] |
//! | operations with names; many at once | [`token`] |
//! | the bare calls of the paper | [`qd`] |
//! | tasks, their names and their life | [`spawn`], [`JoinHandle`], `exec` |
//! | the runtime and its options | [`Runtime`], [`Builder`], [`Idle`] |
//! | clocks and timers | [`time`] |
//! | work that blocks | [`spawn_blocking`] |
//! | several cores, and queues between them | [`Builder::run`], [`cross`] |
//! | ending well | [`shutdown`], [`signal`] |
//! | simulation | [`Builder::simulated`], [`rand`] |

#![deny(unsafe_code)]

extern crate self as hemi; // the attributes name `::hemi`, also in here

#[doc(hidden)]
pub mod __macro_support;
pub mod adapters;
pub mod algebra;
mod builder;
mod clock;
pub(crate) mod context;
mod cores;
pub mod cross;
mod exec;
pub mod framing;
mod memory;
pub(crate) mod names;
pub mod net;
pub mod qd;
pub mod queues;
pub mod rand;
mod runtime;
#[cfg(test)]
mod scripted;
pub mod shutdown;
pub mod signal;
pub mod storage;
pub mod time;
pub mod token;
mod turn;

pub use builder::Builder;
pub use cores::{core_count, core_index};
pub use exec::{Idle, JoinError, JoinHandle, YieldNow, spawn, spawn_blocking, yield_now};
pub use hemi_macros::{main, test};
pub use hemi_queue::transport;
pub use hemi_queue::{
    AllocError, Buf, BufMut, Completion, Error, IoFailure, Malformed, Op, Pool, PoolConfig, PoolStats, Pop,
    Push, PushError, Qd, Result, SendBuf, Sga, Ticket, Unsupported, WrongKind,
};
pub use memory::pool;
pub use queues::{
    Conn, ExportedRegion, Listener, Options, PopHalf, PushHalf, RdmaQueue, RegionError, RemoteRegion, Rights,
    TcpListener, TcpQueue, UdpQueue, UnixDatagram, UnixListener, UnixQueue,
    memory::{Queue, queue, queue_unbounded},
};
pub use runtime::Runtime;
pub use storage::{FileQueue, LogCursor, LogQueue, Lsn};
