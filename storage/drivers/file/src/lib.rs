//! Files and block devices for the storage log, on the core's own io_uring.
//!
//! ```text
//!   BlockDevice (hemi-storage): write, read, flush, extend, discard
//!        │ device.rs: alignment, short writes, completions
//!        ▼
//!   ring.rs     entries on the core's io_uring, with everything else that the core does     ┐ one of the two
//!   thread.rs   a helper thread with plain system calls, where io_uring is forbidden         ┘
//! ```
//!
//! Files are opened with `O_DIRECT` where the file system can: a write that completed is then in the device, not in the page
//! cache, and durable when it carried `RWF_DSYNC` or after an `fdatasync`. One process may write: a lock (`flock`) is
//! held on the very description that writes go through, and in-flight operations of a process that was killed hold it too, so
//! that its last writes cannot land after a successor has read the log.
//!
//! # URI
//! `log:PATH?direct=true&sync=auto&mode=rw`. `direct=false` goes through the page cache (and writes units from where they are,
//! without a copy; opening to write then drops what is cached of the file, which may never have reached the device);
//! `sync=dsync` writes with `RWF_DSYNC`, `sync=flush` uses `fdatasync`, `sync=auto` the first where the device has FUA; `mode=ro` opens for reading, without the lock;
//! `registered=false` does not tell the ring of file and memory beforehand (`registered.rs`).
//!
//! It leaves out the log itself: what is written where, and when to flush, is `hemi-storage`'s matter.

mod aligned;
mod device;
mod registered;
mod ring;
mod sys;
mod tap;
mod target;
mod thread;

pub use device::FileDevice;
pub use tap::{Tap, Ticket};
pub use target::{Access, FileOptions, Sync};
