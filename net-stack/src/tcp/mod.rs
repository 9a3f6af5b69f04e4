//! TCP.
//!
//! Read `state.rs` for the life of a connection, `conn/mod.rs` for how one is driven, and this file for how many live together.
//!
//! | part | files |
//! |---|---|
//! | who a segment is for | `demux.rs`, `layer.rs` (segments), `calls.rs` (the application); short ways: `predicted.rs`, `opening.rs` |
//! | a connection | `conn/`: input, acknowledgement, loss, text, output, timers |
//! | what it sends | `send_buffer.rs`, `flight.rs` (scoreboard), `rack.rs`, `recovery.rs`, `rtt.rs`, `cc/` |
//! | what it receives | `assembler.rs`, `sack_report.rs`, `ack_policy.rs`, `recv_window.rs` |
//! | before and after | `listen/` (half-open, cookies), `fast_open/`, `isn.rs`, `time_wait.rs`, `reset.rs` |
//! | looking in | `snapshot.rs` |
//!
//! Cost does not grow with the number of connections: a segment finds its connection by one hash, timers are deadlines in a
//! connection and one appointment in the wheel, and only connections on the dirty list are asked for output.
//!
//! Deliberately absent: urgent data out of line (RFC 6093 advises against it), MD5 and AO signatures,
//! the reuse of cached metrics between connections (RFC 9040).

mod ack_policy;
mod assembler;
mod calls;
pub mod cc;
mod config;
mod conn;
mod demux;
mod fast_open;
mod flight;
mod isn;
mod layer;
mod listen;
mod opening;
mod predicted;
mod rack;
mod recovery;
mod recv_window;
mod reset;
mod rtt;
mod sack_report;
mod send_buffer;
mod signals;
mod snapshot;
mod state;
mod time_wait;

pub use cc::Algorithm;
pub use config::{TcpConfig, TcpOptionsConfig};
pub(crate) use conn::{Connection, Events};
pub(crate) use demux::Tuple;
pub use fast_open::FastOpenKey;
pub(crate) use fast_open::{FastOpenPeers, Keys};
pub use layer::{ConnId, ListenerId};
pub(crate) use layer::{Tcp, TcpEvent};
pub use recovery::Phase;
pub use snapshot::Snapshot;
pub use state::State;

/// Why a connection ended, or can't be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ConnError {
    /// The peer reset it.
    #[error("the peer reset the connection")]
    Reset,
    /// The peer has nobody listening there.
    #[error("the peer refused the connection: nobody listens there")]
    Refused,
    /// The peer does not answer.
    #[error("the peer does not answer")]
    TimedOut,
    /// The way to the peer can't be found.
    #[error("the peer can't be reached")]
    Unreachable,
    /// This side aborted it, or closed with data unread.
    #[error("the connection was aborted on this side")]
    Aborted,
    /// This side has closed it, or finished sending.
    #[error("the connection is closed on this side")]
    Closed,
    /// The send buffer is over twice its limit; wait until it is writable.
    #[error("the send buffer is full; wait until it is writable")]
    Full,
    /// One unit has half a gibibyte or more, and sequence numbers tell no more apart.
    #[error("a unit of 512 MiB or more can't be sent at once; push it in pieces")]
    TooLarge,
    /// The address is in use.
    #[error("the address is in use")]
    AddressInUse,
    /// This interface does not have the address.
    #[error("this interface does not have that address")]
    NoSuchAddress,
    /// No ephemeral port is free.
    #[error("no ephemeral port is free towards that peer")]
    NoPorts,
}
