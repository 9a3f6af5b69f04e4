//! Storage as queues: logs and files.
//!
//! | type | what |
//! |---|---|
//! | [`LogQueue`] | a durable log: a push completes when its unit is on the device, a pop reads in order |
//! | [`LogCursor`] | one more reader of it, with record numbers and times |
//! | [`FileQueue`] | a plain file or block device: `read_at`, `write_at`, `fsync` |
//!
//! | URI | what |
//! |---|---|
//! | `log:PATH` | a file or a block device, on the core's io_uring with `O_DIRECT`, or on a helper thread |
//! | `mem:NAME` | memory, found again by name within this thread; runs in virtual time |
//!
//! Parameters of every log, at creation: `block=4k`, `segment=16MiB`, `size=` (the most it may take; a push waits when all of it is
//! in use), `overwrite=true`. At any opening: `unit=16MiB` (the largest unit), `full=wait|fail` (what a push does when all is in
//! use), `recent=1MiB` (newest units kept in memory for readers at the tail), `mode=ro`, `cut=true` (give up acknowledged records
//! that are damaged). The drivers' own are in `hemi-log-file` and `hemi-log-mem`.
//!
//! How it is cut: the engine (`hemi-storage`) decides what is written where and when it is durable, and does no I/O; a device
//! (`storage/drivers/`) does; `shared.rs` brings the two together once per turn and wakes who waits. The pushes of one turn
//! share one write.

mod cursor;
mod file;
mod log;
mod object;
mod open;
mod opener;
mod reactor;
mod shared;

pub use cursor::LogCursor;
pub use file::FileQueue;
pub use hemi_storage::{Cut, FormatError, LogError, Lsn, Record, Recovery, Stats, Survivors};
pub use log::LogQueue;
pub(crate) use reactor::Storage;

/// A log as what stands behind a bare descriptor.
pub(crate) async fn object(
    uri: &str,
    create: bool,
) -> hemi_queue::Result<std::rc::Rc<dyn crate::names::Object>> {
    let wanted = if create { open::Wanted::Create } else { open::Wanted::Open };
    let shared = log::shared_at(uri, wanted).await?;
    Ok(std::rc::Rc::new(object::LogObject::new(shared, Lsn(0))))
}
