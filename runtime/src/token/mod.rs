//! qtokens: operations with names.
//!
//! `submit_pop`, `submit_push`, `submit_accept` and `submit_connect` (on handles and, in [`qd`](crate::qd), on bare
//! descriptors) begin an operation and return a [`QToken`]. Its result is kept until somebody takes it:
//!
//! * `token.await`, or [`wait`], [`wait_any`], [`wait_all`] with a deadline, in a task;
//! * a [`TokenSet`], whose [`next`](TokenSet::next) costs the same with 10,000 operations pending as with one;
//! * [`Runtime::wait`](crate::Runtime::wait) and its like, blocking, outside of tasks;
//! * [`QToken::cancel`], before the operation has taken its first byte.
//!
//! ```text
//!             submit                complete                claim (await, wait, set, cancel)
//!   (free) ───────────► Pending ───────────────► Done ──────────────────────────────────────► (free)
//!      ▲                   │ cancel, queue closed  │ queue closed, nobody waits                  ▲
//!      └───────────────────┴───────────────────────┴─────────────────────────────────────────────┘
//! ```
//!
//! A token has one waiter; the wake delivers the result, never "ready, now ask" (HotOS '19). Operations of one queue
//! complete in submission order per direction. At most [`UNCLAIMED_PER_QUEUE`] may be unclaimed per queue; more answer
//! [`Error::Busy`](crate::Error::Busy).
//!
//! No device knows a token: what the device holds belongs to the socket (`names/pump.rs`), so a slot can be reused as
//! soon as it is free, and a completion can never reach a later operation.

mod blocking;
mod qtoken;
mod set;
pub(crate) mod table;
mod wait;

pub use qtoken::QToken;
pub use set::TokenSet;
pub use wait::{wait, wait_all, wait_any};

pub use crate::names::entry::UNCLAIMED_PER_QUEUE;
