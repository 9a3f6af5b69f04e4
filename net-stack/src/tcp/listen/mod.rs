//! Passive opens: listeners, half-open connections, SYN cookies.
//!
//! ```text
//!   SYN ──► [listener] ──► half-open entry, SYN-ACK ──ACK──► Connection ──► accept queue ──► application
//!                 ├─ Fast Open: a good cookie ─► Connection in SYN-RECEIVED ──► accept queue (fast_open.rs)
//!                 └─ table full ─► SYN-ACK that is a cookie ──ACK──┘   (nothing is kept meanwhile)
//! ```
//!
//! A half-open entry is a tenth of a connection, and there is a bound on them; past the bound a SYN costs an answer and no memory
//! (RFC 4987 section 3.6). A full accept queue drops the last ACK of the handshake: the client sends again.

pub(super) mod cookies;
mod fast_open;
pub(super) mod half_open;
mod listener;

pub(super) use fast_open::Opening;
pub(crate) use half_open::HalfOpen;
pub(crate) use listener::{Listener, Listeners};
