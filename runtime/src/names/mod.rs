//! Names: the tables of queue descriptors and tokens, and what stands behind them.
//!
//! ```text
//!   TcpQueue, Conn, ...      Qd                       QToken
//!         │ Handle            │ table                    │ table
//!         ▼                   ▼                          ▼
//!       Entry ◄───────────────┘        slot: Pending ─► Done(Completion) ─► claimed
//!         │  └── Pump: the FIFOs of submitted operations ──►  completes slots
//!         ▼
//!   dyn Object: poll_pop, start_push, ...  (a socket, a queue in memory, an adapter)
//! ```
//!
//! Read [`object`] (what a queue must answer), then [`entry`] (one open queue), then [`pump`] (how submitted operations
//! make progress). The application-facing sides are `crate::qd` and `crate::token`.
//!
//! Those who only borrow (`conn.pop().await`) meet two cells of the entry and no table.

pub(crate) mod entry;
pub(crate) mod handle;
pub(crate) mod object;
mod pump;
mod qds;

use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use entry::Entry;
pub(crate) use handle::Handle;
pub(crate) use object::{Kind, Object};

use crate::token::table::Tokens;

/// The tables of one runtime.
#[derive(Debug)]
pub(crate) struct Names {
    /// Which runtime this is, of all that this process ever had.
    pub(crate) runtime: u64,
    pub(crate) qds: qds::Qds,
    pub(crate) tokens: Tokens,
}

impl Default for Names {
    fn default() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            runtime: NEXT.fetch_add(1, Ordering::Relaxed),
            qds: qds::Qds::default(),
            tokens: Tokens::default(),
        }
    }
}

impl Names {
    /// Close every queue: waiting operations end, sockets begin to close. The runtime is going down.
    pub(crate) fn close_all(&self) {
        while let Some(entry) = self.qds.any() {
            entry.close();
        }
    }
}
