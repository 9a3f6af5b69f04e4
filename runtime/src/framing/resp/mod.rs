//! RESP, the protocol of Redis, versions 2 and 3 (<https://redis.io/docs/latest/develop/reference/protocol-spec/>).
//!
//! | side | decodes | encodes |
//! |---|---|---|
//! | [`RespServer`] | [`Request`]s: arrays of bulk strings, and inline commands | [`Value`]s |
//! | [`RespClient`] | [`Value`]s | [`Request`]s |
//!
//! ```text
//!   arriving bytes ─► Scanner: where does the unit end?  (resumable, looks at each byte once, keeps no bytes)
//!                  ─► parse:   the complete unit becomes a Value or Request, slices of what arrived
//! ```
//!
//! Two passes, so that everything incomplete stays in the [`Input`](super::Input), which bounds what it pins, and so that an
//! announced count never reserves memory before its elements are there.
//!
//! Limits: bytes of a unit, elements of a unit, nesting depth. All are checked on what is announced.
//! Deliberately left out: what the commands mean.

mod client;
mod parse;
mod request;
mod scan;
mod server;
#[cfg(test)]
mod tests;
mod value;
mod write;

pub use client::RespClient;
pub use request::Request;
pub use scan::RespLimits;
pub use server::RespServer;
pub use value::{RespVersion, Value};

use hemi_queue::Error;

#[cold]
fn malformed(why: &'static str) -> Error {
    Error::malformed("RESP", why)
}
