//! What the stack has appointments for.

use std::net::IpAddr;

/// What a timer of the stack's wheel is about. Timers are checked when they fire: a moved deadline leaves its old appointment
/// standing, and it is cheaper to come in vain once than to re-arm on every segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// Something of a connection: its slot and generation.
    Connection(u32, u32),
    /// A half-open connection's SYN-ACK.
    HalfOpen(u32, u32),
    /// The oldest connections in TIME-WAIT.
    TimeWait,
    /// A neighbour's next step.
    Neighbor(IpAddr),
    /// Duplicate address detection: the next question, or its end.
    Detection,
    /// The oldest incomplete datagram.
    Reassembly,
}
