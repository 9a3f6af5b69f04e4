//! hemi's user-level network stack: Ethernet, ARP, IPv4, IPv6, ICMP, UDP and TCP as a pure state machine.
//!
//! Frames and calls go in, frames and completions come out; time and randomness are passed in. The stack can't see an executor, a
//! clock or a device driver (Cargo's arrows say so), and so the same code runs over a NIC, over a TAP device, and inside
//! a deterministic simulation in which one seed replays any failure exactly.
//!
//! ```text
//!      application: hemi's queues (a driver wakes them from poll_event)
//!            │ calls                                   ▲ completions
//!   ┌────────▼────────────────────── Stack ────────────┴───────┐
//!   │   tcp/  connections, listeners          udp/  sockets     │
//!   │ ────────────────────────────────────────────────────────  │   timers: one wheel for all
//!   │   ip/   addresses, routes, fragments, ICMP                │   counters: a name for every drop
//!   │   neighbor/   ARP, NDP                                    │
//!   │ ────────────────────────────────────────────────────────  │
//!   │   wire/   what bytes mean                                 │
//!   └────────▲────────────────────────────────────────┬────────┘
//!            │ RxFrame                                 ▼ TxQueue
//!      Device: a NIC, a TAP, a shared-memory ring, a simulated wire
//! ```
//!
//! | module | what it is | read first |
//! |---|---|---|
//! | [`Stack`] (`stack.rs`) | the whole, and how it is driven | its docs |
//! | [`device`], [`frame`] | the contract with a device; frames in both directions | [`Device`] |
//! | [`wire`] | headers: bytes to meaning and back | `wire/mod.rs` |
//! | `neighbor` | the cache of MAC addresses | `neighbor/mod.rs` |
//! | `ip` | addresses, routes, paths, fragments, ICMP, path MTU | `ip/mod.rs` |
//! | [`udp`] | datagram sockets | `udp/mod.rs` |
//! | [`tcp`] | connections | `tcp/state.rs`, `tcp/conn/mod.rs` |
//! | [`cores`] | one stack per core with the same addresses | `cores/mod.rs` |
//! | [`sim`] | wires, faults and virtual time: two hosts as one object | [`sim::Pair`] |
//!
//! The life of a received segment: `Host::poll` → [`Device::rx_burst`] → [`Stack::receive`] → `ip/input.rs` (is it for us?) →
//! `tcp/layer.rs` (whose is it?) → `tcp/conn/input.rs` (RFC 9293's checks, in order) → `conn/ack.rs` and `conn/text.rs` → an event.
//! A segment of the common layout takes a shorter way, on which every check is still made: `wire/predicted.rs` → `tcp/predicted.rs`;
//! and if its connection is calm (`tcp/conn/calm.rs`) and expects it, → `tcp/conn/fast.rs`, and out by `tcp/conn/fast_out.rs` → `ip/express.rs`.
//! The life of a push: [`Stack::tcp_push`] → send buffer → dirty list → [`Stack::advance`] → `tcp/conn/output.rs` (what may be
//! sent) → `ip/output.rs` (headers) → [`TxQueue`] → [`Device::tx_burst`].
//!
//! What it deliberately leaves out: routers' work (forwarding, router advertisements; their redirects are followed), DHCP, DNS, multicast group
//! management; addresses and routes are configured.
#![forbid(unsafe_code)]
// Octets of a field taken apart by a pattern are a, b, c, d everywhere in here.
#![allow(clippy::many_single_char_names)]

mod config;
pub mod cores;
mod counters;
pub mod device;
pub mod frame;
mod host;
mod ip;
mod neighbor;
mod rx_pool;
pub mod sim;
mod stack;
pub mod tcp;
mod timer;
pub mod udp;
mod util;
pub mod wire;

pub use config::StackConfig;
pub use counters::Counters;
pub use device::{Caps, Device, DeviceQueue, Gone};
pub use frame::{RxFrame, TxFrame, TxQueue};
pub use host::Host;
pub use ip::{Cidr, Route};
pub use neighbor::Conflict;
pub use rx_pool::RxPool;
pub use stack::{Event, Readiness, Stack};
pub use tcp::{ConnError, ConnId, ListenerId, TcpConfig, TcpOptionsConfig};
pub use udp::{Datagram, UdpError, UdpId};
