//! [`DatagramRule`]: a queue's predicate and rewrite, for a device that can run them.

use std::{net::SocketAddr, num::NonZeroU32};

use hemi_queue::program::{Changes, Program};

/// Datagrams to one address, and what they must be like.
///
/// ```
/// use hemi_net::device::DatagramRule;
/// use hemi_queue::program::{Field, Next, Program, Step};
///
/// let short = Step { field: Field::Length, low: 0, high: 512, on_hit: Next::Accept, on_miss: Next::Reject };
/// let program = Program::new(vec![short], Next::Step(0)).unwrap();
/// let rule = DatagramRule { to: "10.0.0.1:53".parse().unwrap(), from: None, program, rewrite: None };
/// assert!(rule.program.matches(b"a query".as_slice()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatagramRule {
    /// The address that they come to, one of ours.
    pub to: SocketAddr,
    /// Who they must come from for this rule to be asked, if only a peer's datagrams reach the queue.
    pub from: Option<SocketAddr>,
    /// The test of their payload.
    pub program: Program,
    /// What is done to those that pass.
    pub rewrite: Option<MarkedRewrite>,
}

/// Changes to a datagram's payload that must be made once: a device that makes them to a whole datagram updates its checksum, and says so by the
/// mark ([`RxFrame::mark`](crate::RxFrame)). What it leaves alone (fragments, packets with options, what it got before it knew of the rule) comes
/// up without, and is changed above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkedRewrite {
    /// What is done.
    pub changes: Changes,
    /// No other rewrite of this stack has, or had, this one.
    pub mark: NonZeroU32,
}
