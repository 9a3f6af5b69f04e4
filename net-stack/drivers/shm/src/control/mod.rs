//! The control path: who takes which seat, and how two sides come to share memory.
//!
//! ```text
//!   a: lock the seat, bind NAME.sock ── listen ─┐            b: lock the seat ── connect, retry ─┐
//!                                               ▼                                                ▼
//!      accept ── make an Area ── Hello + memfd ───────────────► map it
//!      Link  ◄──────────────────────────────────────────────── Hello ──────────────────────► Link
//! ```
//! The socket stays open for the life of the link: one byte on it is the doorbell of a side that sleeps, and its end is how
//! one side learns that the other has died, however it died. A new connection begins a new link with fresh memory: that is
//! its generation.

mod hello;
mod meeting;
mod seat;
mod socket;

pub(crate) use hello::Hello;
pub(crate) use meeting::{Meeting, Met};
pub(crate) use seat::Seat;
pub(crate) use socket::{Heard, Socket};
