//! NVMe namespaces for the storage log: commands past the block layer.
//!
//! ```text
//!   BlockDevice (hemi-storage)          ZoneDevice (hemi-storage)
//!        │ namespace.rs: write + FUA,        │ zones.rs: zone append, reset, finish
//!        │ read, flush, deallocate           │
//!        └──────────────┬────────────────────┘
//!                 queue.rs   NVMe commands in flight; memory is held until the last has completed
//!                       │
//!                 ring.rs    an io_uring of its own: entries of 128 bytes, completions of 32
//!                       ▼
//!                 /dev/ng0n1 (`IORING_OP_URING_CMD`)
//! ```
//!
//! | what | where |
//! |---|---|
//! | the command's bytes, and what a status means | `command.rs`, `status.rs` |
//! | what the namespace is (Identify), parsed with checks | `identify.rs` |
//! | opening: kind of file, right, lock, limits | `target.rs` |
//! | memory that the device was told of once (registered buffers) | `buffers.rs` |
//!
//! # Why a ring of its own
//! A passed-through command needs 80 bytes in its submission entry and gives 16 in its completion, and a ring has entries of one size
//! (Linux before 6.18): on the core's ring every socket operation would pay for 128 + 32 bytes. So the device has a small ring
//! beside it, whose descriptor is watched by the core's: a completion ends the core's sleep as any other does.
//!
//! # URI
//! `nvme:/dev/ng0n1?sync=fua&mode=rw`. `sync=flush` uses a flush after the write in place of FUA on the write.
//!
//! It leaves out admin commands that change anything (format, namespaces), metadata and protection information, and multipath.

mod buffers;
mod command;
mod identify;
mod namespace;
mod queue;
mod ring;
mod status;
mod sys;
mod tap;
mod target;
mod zones;

pub use command::{Opcode, Passthrough};
pub use identify::{Identity, Unsuitable};
pub use namespace::NvmeDevice;
pub use status::Status;
pub use tap::{Tap, Ticket};
pub use target::{Access, NvmeOptions, Sync, is_zoned};
pub use zones::NvmeZones;
