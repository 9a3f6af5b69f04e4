//! The protocol of one RDMA queue pair that carries units, sans-IO.
//!
//! A reliable-connected queue pair delivers messages once and in order, as long as the other end has posted a receive buffer for each
//! that is large enough. This crate keeps the "as long as": credits, rendezvous for what does not fit, an end that loses
//! nothing, and an error for everything that a peer or a device can do wrong. It sees no verbs, no connection manager, no clock.
//!
//! ```text
//!   push ─► outgoing ─► next_work ─► (driver: ibv_post_send) ─► completed ─► memory let go
//!   pop  ◄─ ready ◄──── received ◄── (driver: ibv_poll_cq)
//! ```
//!
//! | what | where | read first |
//! |---|---|---|
//! | [`Connection`] | one end of a queue pair, and how it is driven | its docs |
//! | [`Hello`], [`Refusal`] | the connection manager's private data | `hello.rs` |
//! | messages | a SEND whose immediate data is the header | `header.rs`, `control.rs` |
//! | [`ReceiveBudget`] | receive buffers that many connections share | its docs |
//! | [`Work`], [`Memory`] | work requests, and the memory that they name | `work.rs` |
//! | [`Status`], [`Failure`] | what went wrong | `failure.rs` |
//! | [`RegionDescriptor`] | memory that the peer may reach by itself | `region.rs` |
//!
//! # Credits
//! Every message needs a receive buffer at the other end. Each message tells, in its header, how many messages the other end may
//! have sent in all (an absolute number: nothing to add up, nothing to lose). A unit may be sent while more than
//! four credits are left; control messages may use three of those; the last is only for a message that raises the
//! other end's limit. An end that owes much (half of what units may use of its window; or two, where the other is down to the reserve) sends
//! a message for nothing else.
//!
//! That no two ends ever wait for each other: assume that both have used their last credit. Each did so with a message that raised the
//! other's limit. Whichever of these two was sent with knowledge of less was not yet received when the other was sent; once it is
//! received, its receiver has credits again. And a queue full of units that nobody pops still leaves the reserve, whose
//! buffers come back at once, so announcements of what was read, grants and the end always get through.
//!
//! What was rejected: RDMA WRITE of a credit word into the sender's memory, as Catmint does. It costs no receive buffer, but the
//! word must be polled in every connection every turn, it wakes no core that sleeps on its completion channel, it needs a
//! registered word and its key for each connection, and it is memory that another process can write to.
//!
//! # Whom it trusts
//! Nothing that a peer sends can break this end, but what it is told to read it reads with a key, and the key is as wide as the driver's
//! registration ([`Keys`]): of whole pool regions, in `hemi-verbs`, which such a peer can then read until its queue pair stops.
//!
//! # What it leaves out
//! Opening connections (the driver's: `rdma_cm`), registration (the driver's: [`Memory`]), framing (none is needed), datagrams, encryption.
#![forbid(unsafe_code)]

mod budget;
mod config;
mod conn;
mod control;
mod failure;
mod header;
mod hello;
mod region;
mod status;
mod work;

pub use budget::ReceiveBudget;
pub use config::Config;
pub use conn::{Changes, Connection, OneSided, Outcome, Popped, PushRefusal, Stats};
pub use failure::{Failure, QueuePairError, Violation};
pub use hello::{Hello, MAX_WINDOW, MIN_BUFFER, MIN_WINDOW, Refusal, VERSION};
pub use region::{RegionDescriptor, RegionError, Rights};
pub use status::Status;
pub use work::{Data, Keys, Memory, Operation, Remote, Sge, Verb, Work, WorkId};
