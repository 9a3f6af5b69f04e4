//! Bare queue descriptors: the calls of the paper (HotOS '19, table 1), on [`Qd`]s.
//!
//! | control path, network | control path, files | control path, queues | data path |
//! |---|---|---|---|
//! | [`socket`] [`bind`] [`listen`] [`accept`] [`connect`] [`close`] | [`open`] [`creat`] | [`queue`] [`merge`] [`filter`] [`sort`] [`map`] [`qconnect`] | [`push`] [`pop`] [`wait`] [`wait_any`] [`wait_all`] |
//!
//! Every typed handle has a descriptor too (`conn.qd()`); these calls and the handle's own methods take turns on the
//! queue. A queue opened here lives until [`close`]; one that a handle owns, until the handle is dropped. A descriptor
//! that was closed answers [`Error::BadQd`], never another queue.
//!
//! ```
//! use hemi::{Completion, Sga, qd};
//!
//! let runtime = hemi::Runtime::builder().build()?;
//! runtime.block_on(async {
//!     let (a, b) = (qd::queue(4)?, qd::queue(4)?);
//!     let both = qd::merge(a, b)?;
//!     qd::push(b, Sga::from("by b"))?.await?;
//!     let Completion::Popped(Some(unit)) = qd::pop(both)?.await? else { panic!() };
//!     assert_eq!(unit.to_vec(), b"by b");
//!     qd::close(both)?; // `a` and `b` stay open
//!     assert!(matches!(qd::pop(both), Err(hemi::Error::BadQd)));
//!     qd::close(a)?;
//!     qd::close(b)
//! })?;
//! # Ok::<(), hemi::Error>(())
//! ```

mod adapters;
mod data;
mod log;
mod memory;
mod queue;
mod socket;

pub use adapters::{filter, filter_by, map, map_by, merge, qconnect, sort};
pub use data::{close, pop, push, push_to};
pub use log::{creat, open};
pub use memory::queue;
pub use queue::QdQueue;
pub use socket::{SocketKind, accept, bind, connect, listen, local_addr, peer_addr, socket, socket_with};

pub use crate::token::{wait, wait_all, wait_any};
#[doc(inline)]
pub use hemi_queue::{Error, Qd};
