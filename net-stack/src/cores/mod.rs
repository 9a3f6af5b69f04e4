//! One stack on several cores: the same addresses, each connection on one core.
//!
//! ```text
//!        core 0                              core 1
//!   ┌── Stack ──┐  parcels: packets of   ┌── Stack ──┐
//!   │           │  the other's flows,    │           │
//!   │           │◄═ facts: neighbours, ═►│           │      one ring for each ordered pair of cores
//!   └─────▲─────┘  path MTUs             └─────▲─────┘
//!     queue 0                             queue 1, or, on a device with one queue, a ring to core 0 for what is sent
//!   ──────┴──────────── device ────────────────┴──────
//! ```
//!
//! **The rule.** A flow belongs to the core that [`Steering`] names: Toeplitz, the hash of every NIC's receive-side scaling, over source and
//! destination address and port, with one key for all cores, and a table from its low bits to cores. A NIC that is given the key and the table
//! ([`Device::steer`](crate::Device::steer)) delivers every segment to its core. Whatever other devices do, the core that receives a packet which is
//! not its own hands it over. The segment that an established connection expects never gets as far as this question.
//!
//! **Exceptions** are what the application makes: a port that only some of the cores have bound is served by those ([`Directory`]). As
//! the set changes, connections may live elsewhere than the rule says; on such a port a segment that its core does not know is
//! handed round before it is answered.
//!
//! | what arrives | who gets it |
//! |---|---|
//! | TCP segment, UDP datagram | the core of its flow |
//! | ICMP error | the core of the flow that it quotes |
//! | fragment | the core of its two addresses, which puts the datagram together and hands it on as any other |
//! | ARP, neighbour discovery | who receives it answers; what it says is told to all ([`Fact`]) |
//! | ICMP echo | who receives it answers |
//!
//! | file | what |
//! |---|---|
//! | `toeplitz.rs`, `steering.rs` | the hash, the rule |
//! | `directory.rs` | which cores have bound which port |
//! | `place.rs` | whose a packet is |
//! | `parcel.rs`, `fact.rs` | what crosses from core to core |
//! | `group.rs`, `seat.rs` | the rings, and a core's end of them |
//! | `borrowed.rs` | the interface of a core that has no queue of its own |
//!
//! The stack itself sees no ring: packets that are not its own come out of it, those of other cores go in.
//! [`Host`](crate::Host) moves them.

mod borrowed;
mod directory;
mod fact;
mod group;
mod parcel;
mod place;
mod seat;
mod steering;
mod toeplitz;

pub use borrowed::Borrowed;
pub use directory::{ClaimError, Directory, Protocol};
pub use fact::Fact;
pub(crate) use fact::Told;
pub use group::{Bell, Group};
pub use parcel::Parcel;
pub(crate) use parcel::What;
pub(crate) use place::{Cores, Place};
pub use seat::Seat;
pub use steering::{Steered, Steering};
