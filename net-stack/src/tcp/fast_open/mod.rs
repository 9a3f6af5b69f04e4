//! TCP Fast Open (RFC 7413): data in the SYN, for peers that have proved before that their address is theirs.
//!
//! ```text
//!   client                                    server
//!   SYN + "a cookie, please"            ───►             a keyed hash of the addresses: keys.rs
//!                                       ◄───  SYN-ACK + cookie
//!   kept by pair of addresses: peers.rs
//!   ...
//!   SYN + cookie + data                 ───►  the hash is right, and fewer than N are pending (pending.rs):
//!                                             a connection in SYN-RECEIVED, with data, to be accepted at once
//!                                       ◄───  SYN-ACK of the data; the answer may follow before the ACK comes
//!   ACK                                 ───►  ESTABLISHED
//! ```
//!
//! | what | where |
//! |---|---|
//! | the option | `wire/fast_open.rs` |
//! | cookies made and checked | `keys.rs` |
//! | a listener's bound | `pending.rs`, `listen/fast_open.rs` |
//! | what clients know of servers | `peers.rs` |
//! | both ends of a connection | `conn/fast_open.rs` |
//!
//! Data in a SYN can be delivered twice: a network may duplicate the SYN after the first connection has ended (RFC 7413 section 2.1). So nothing
//! here is on unless the application asks for it, on either side.

mod keys;
mod peers;
mod pending;

pub use keys::FastOpenKey;
pub(crate) use keys::{Check, Keys};
pub(crate) use peers::{FastOpenPeers, Hint};
pub(crate) use pending::Pending;
