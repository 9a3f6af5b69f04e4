//! [`Tap`]: who listens to what is asked of the kernel.

/// Names one operation that a [`Tap`] was told of.
pub type Ticket = u64;

/// Is told of every write and sync, with the flags that the kernel is given, and of their completions. For tests that rebuild the
/// device as it may be after a power cut: see `tests/flushes.rs`.
pub trait Tap {
    /// A write is handed to the kernel; with `dsync` it is durable when it completes.
    fn write(&self, offset: u64, data: &[u8], dsync: bool) -> Ticket;
    /// An `fdatasync` is handed to the kernel.
    fn sync(&self) -> Ticket;
    /// The kernel has completed it: all of it, or not.
    fn done(&self, ticket: Ticket, whole: bool);
}
