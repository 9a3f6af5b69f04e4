//! [`Tap`]: who listens to what is asked of the device.

use crate::Passthrough;

/// Names one command that a [`Tap`] was told of.
pub type Ticket = u64;

/// Is told of every command, with the very bytes that the kernel is given, and of its completion. For tests that rebuild the device as
/// it may be after a power cut: see `tests/guest/flushes.rs`.
pub trait Tap {
    /// A command is handed to the kernel; `data` is what it takes to the device.
    fn submitted(&self, command: &Passthrough, data: &[u8]) -> Ticket;
    /// It has completed: with the kernel's result (0: well), and the device's (the address of an append).
    fn completed(&self, ticket: Ticket, result: i32, value: u64);
}
