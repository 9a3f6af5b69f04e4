//! Memory: reference-counted buffers from pools that devices know.
//!
//! ```text
//!            Pool::try_alloc            freeze                 clone, slice, split
//!   (free) ───────────────► BufMut ───────────────► Buf ◄──────────────────────────► Buf ...
//!      ▲                      ▲                      │ │
//!      │                      └──────── try_mut ─────┘ │ into_send      ┌► SendBuf / Bytes (any thread)
//!      └── last count dropped ◄────────────────────────┴────────────────┘    │ dropped: the home core's inbox
//!      └────────────────────────────────────────────────────────────────────┘ collects it
//! ```
//!
//! * [`BufMut`] is unique and writable, [`Buf`] shared and read-only: write-protection by type. Each holder (the
//!   application, the retransmission queue, the device) has a count: free-protection. Neither costs a check at run time.
//! * Counts are not atomic; `Buf` is `!Send`. [`SendBuf`] and [`bytes::Bytes`] cross threads.
//! * A [`Pool`] carves slots out of large [`Region`]s, so that a device registers memory once. It has a bound; at the
//!   bound allocation waits ([`Pool::alloc`]) or says so ([`Pool::try_alloc`]).
//!
//! Read `slot.rs` (what is counted where) before `pool.rs`.

mod buf_mut;
mod inbox;
mod io;
mod lent;
mod pool;
mod region;
mod send;
mod sga;
mod shared;
mod slot;
#[cfg(all(test, not(loom)))]
mod tests;

pub use buf_mut::BufMut;
pub use lent::Lent;
pub use pool::{Alloc, AllocError, ClassConfig, Pool, PoolConfig, PoolStats};
pub use region::{Region, RegionId};
pub use send::SendBuf;
pub use sga::Sga;
pub use shared::Buf;
