//! The bottom crate of hemi: memory, units, names and the traits that every queue and every device meets at.
//!
//! | what | where |
//! |---|---|
//! | [`Buf`], [`BufMut`], [`Pool`], [`Sga`], [`SendBuf`] | [`buf`]: reference-counted memory that devices can carry |
//! | [`Qd`], [`Token`] | names: a queue, an operation in flight |
//! | [`Pop`], [`Push`] | what a queue can do, as two small traits |
//! | [`Reactor`] | what the executor polls once per turn |
//! | [`transport`] | the contract of a transport: streams, acceptors, datagrams |
//! | [`Uri`] | how a transport is named at run time |
//! | [`time`] | the turn's clock as a plain number |
//! | [`wheel`] | timers on that clock |
//! | [`sum`] | the sum under the Internet checksum |
//! | [`crc`] | CRC32C, the checksum of log records |
//!
//! It depends on nothing above it: no executor, no device, no clock, no random source. What drives these types
//! (the turn) is in the `hemi` crate; what completes them is in the drivers.

mod assemble;
pub mod buf;
pub mod crc;
mod error;
mod op;
mod pop;
pub mod program;
mod push;
mod qd;
mod reactor;
pub mod sum;
mod sync;
pub mod time;
mod token;
pub mod transport;
mod uri;
mod waiter;
pub mod wheel;

pub use assemble::{Assembler, PopWaiter};
pub use buf::{AllocError, Buf, BufMut, Pool, PoolConfig, PoolStats, SendBuf, Sga};
pub use error::{Error, IoFailure, Malformed, Result, Unsupported, WrongKind};
pub use op::{Completion, Op};
pub use pop::{Pop, PopNext};
pub use push::{Finish, Push, PushError, PushUnit, Ticket};
pub use qd::Qd;
pub use reactor::{Progress, Reactor, Wakeup};
pub use token::Token;
pub use uri::{Span, Uri, UriError};
pub use waiter::Waiter;
