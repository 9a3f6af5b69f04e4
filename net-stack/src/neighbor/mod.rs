//! The neighbour cache: IP address to MAC address, by ARP and by neighbour discovery.
//!
//! ```text
//!             1 resolve: ask                     2 answered
//!   (absent) ────────────────► INCOMPLETE ─────────────────────► REACHABLE ◄──────────────┐
//!      ▲  ▲                        │ 3 three times in vain:          │ 4 30 s              │ 8 answered, or the
//!      │  └────────────────────────┘   frames that wait are dropped  ▼                     │   transport confirms
//!      │                                              ┌─────────── STALE ◄── learnt from   │
//!      │                                              │ 5 used       ▲       its request   │
//!      │                                              ▼              │ 9 it says another   │
//!      │                                            DELAY            │   address           │
//!      │                                              │ 6 5 s                              │
//!      │       7 three times in vain                  ▼                                    │
//!      └─────────────────────────────────────────── PROBE ─────────────────────────────────┘
//! ```
//!
//! The states are RFC 4861's (section 7.3.2), for ARP as well, as RFC 1122 section 2.3.2.1 recommends. `cache.rs` is the state
//! machine; `arp.rs` and `ndp.rs` write its questions and read the answers. The cache is bounded, and nobody gets in who was
//! not asked for or did not ask for us; RFC 826's update of a known address is honoured, but not within a second of the last
//! one, so that a spoofed answer that races a true one loses.

mod arp;
mod cache;
mod dad;
mod ndp;

pub(crate) use cache::{Learnt, Neighbors, Resolved};
pub use dad::Conflict;
pub(crate) use dad::Detection;
