//! [`DatagramRule`]: a queue's predicate, for a device that can run it.

use std::net::SocketAddr;

use hemi_queue::program::Program;

/// Datagrams to one address, and what they must be like.
///
/// ```
/// use hemi_net::device::DatagramRule;
/// use hemi_queue::program::{Field, Next, Program, Step};
///
/// let short = Step { field: Field::Length, low: 0, high: 512, on_hit: Next::Accept, on_miss: Next::Reject };
/// let program = Program::new(vec![short], Next::Step(0)).unwrap();
/// let rule = DatagramRule { to: "10.0.0.1:53".parse().unwrap(), from: None, program };
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
}
