//! The kinds of operation, and what each delivers.

use crate::{Qd, Sga, transport::Endpoint};

/// What an operation in flight does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// Append a unit to a queue.
    Push,
    /// Take a unit from a queue.
    Pop,
    /// Take a connection from a listening queue.
    Accept,
    /// Establish a connection.
    Connect,
    /// Read the peer's memory (RDMA).
    Read,
    /// Write the peer's memory (RDMA).
    Write,
    /// Change a word of the peer's memory (RDMA).
    Atomic,
}

/// The result of a completed operation, delivered with the wake: never "ready, now ask again".
#[derive(Debug)]
pub enum Completion {
    /// The transport has taken responsibility for the unit (DESIGN section 4).
    Pushed,
    /// A filter on the queue rejected the pushed unit and gives it back.
    Filtered(Sga),
    /// A unit, or `None` when the queue has ended.
    Popped(Option<Sga>),
    /// A datagram and its sender.
    PoppedFrom(Sga, Endpoint),
    /// A new connection, or `None` when the listener was closed.
    Accepted(Option<Qd>),
    /// The connection is established.
    Connected,
    /// The bytes that were in the peer's memory.
    Read(Sga),
    /// Everything is in the peer's memory.
    Written,
    /// What the word in the peer's memory was before.
    Word(u64),
}

impl Completion {
    /// The kind of operation that this is the result of.
    pub fn op(&self) -> Op {
        match self {
            Self::Pushed | Self::Filtered(_) => Op::Push,
            Self::Popped(_) | Self::PoppedFrom(..) => Op::Pop,
            Self::Accepted(_) => Op::Accept,
            Self::Connected => Op::Connect,
            Self::Read(_) => Op::Read,
            Self::Written => Op::Write,
            Self::Word(_) => Op::Atomic,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_completion_knows_its_operation() {
        let from = Endpoint::Name("peer".into());
        let all = [
            (Completion::Pushed, Op::Push),
            (Completion::Filtered(Sga::new()), Op::Push),
            (Completion::Popped(None), Op::Pop),
            (Completion::PoppedFrom(Sga::new(), from), Op::Pop),
            (Completion::Accepted(Some(Qd::new(0, 0))), Op::Accept),
            (Completion::Connected, Op::Connect),
            (Completion::Read(Sga::new()), Op::Read),
            (Completion::Written, Op::Write),
            (Completion::Word(7), Op::Atomic),
        ];
        for (completion, op) in all {
            assert_eq!(completion.op(), op);
        }
    }
}
