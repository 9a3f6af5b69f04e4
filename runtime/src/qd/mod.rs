//! Bare queue descriptors: the calls of the paper (HotOS '19, table 1), on [`Qd`]s.
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
//!     let queue = qd::queue(4)?;
//!     qd::push(queue, Sga::from("unit"))?.await?;
//!     let Completion::Popped(Some(unit)) = qd::pop(queue)?.await? else { panic!() };
//!     assert_eq!(unit.to_vec(), b"unit");
//!     qd::close(queue)?;
//!     assert!(matches!(qd::pop(queue), Err(hemi::Error::BadQd)));
//!     Ok::<(), hemi::Error>(())
//! })?;
//! # Ok::<(), hemi::Error>(())
//! ```

mod data;
mod memory;
mod queue;
mod socket;

pub use data::{close, pop, push, push_to};
pub use memory::queue;
pub use queue::QdQueue;
pub use socket::{SocketKind, accept, bind, connect, listen, local_addr, peer_addr, socket, socket_with};

pub use crate::token::{wait, wait_all, wait_any};
#[doc(inline)]
pub use hemi_queue::{Error, Qd};
