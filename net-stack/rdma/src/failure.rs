//! [`Failure`]: why a connection ended, and what its user is told.

use std::fmt;

use hemi_queue::Error;

use crate::{Operation, Refusal, Status};

/// Why a connection failed. The first reason stays; what follows from it (flushed work requests) does not replace it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// A work request ended with an error.
    #[error("{operation} failed: {status}")]
    Work {
        /// Of which verb.
        operation: Operation,
        /// How.
        status: Status,
    },
    /// The peer broke the protocol.
    #[error("the peer broke the protocol: {0}")]
    Violation(#[from] Violation),
    /// The peer refused the connection, and said why.
    #[error("the peer refused the connection: {0}")]
    Refused(#[from] Refusal),
    /// The peer accepted the connection with private data that this end cannot use.
    #[error("the peer cannot be talked to: {0}")]
    Incompatible(#[source] Refusal),
    /// The peer disconnected, or died, without having finished.
    #[error("the peer disconnected before it had finished")]
    Disconnected,
    /// The peer took no more units when some were still on their way.
    #[error("the peer closed before it had taken everything")]
    ClosedByPeer,
    /// The peer did not answer the close in time.
    #[error("the peer did not answer the close in time")]
    CloseTimedOut,
    /// Nothing was heard of the peer for twice as long as keep-alive allows, and it was asked.
    #[error(
        "the peer gives no sign of life (it died, or the network between has failed); reconnect once it is back"
    )]
    NoAnswer,
    /// This end ended the connection at once.
    #[error("this end aborted the connection")]
    Aborted,
    /// The driver could not go on with the queue pair: a work request that could not be posted, an event of the device.
    #[error("{what}{}", os_error(*errno))]
    Device {
        /// What happened, in words.
        what: &'static str,
        /// The system's error number, 0 where there is none.
        errno: i32,
    },
}

/// The errno behind a device's failure, in words.
fn os_error(errno: i32) -> String {
    if errno == 0 { String::new() } else { format!(": {}", std::io::Error::from_raw_os_error(errno)) }
}

impl Failure {
    /// As the error of `op` on a connection with `peer`.
    ///
    /// What every transport can meet is the error that every transport gives: [`Error::Reset`], [`Error::BrokenPipe`],
    /// [`Error::TimedOut`], [`Error::Closed`]. Everything else is a [`QueuePairError`] in [`Error::Other`].
    #[cold]
    pub fn error(&self, op: &'static str, peer: impl fmt::Display) -> Error {
        match self {
            Self::Disconnected => Error::Reset,
            Self::ClosedByPeer => Error::BrokenPipe,
            Self::CloseTimedOut => Error::TimedOut("close"),
            Self::NoAnswer => Error::TimedOut("keep-alive"),
            Self::Aborted => Error::Closed,
            _ => Error::Other(Box::new(QueuePairError { op, peer: peer.to_string(), failure: self.clone() })),
        }
    }
}

/// A [`Failure`], the operation that met it, and the peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{op} (RDMA, peer {peer}): {failure}")]
pub struct QueuePairError {
    /// What was being done.
    pub op: &'static str,
    /// The other end's address.
    pub peer: String,
    /// Why it failed.
    #[source]
    pub failure: Failure,
}

/// What a peer did that no peer of this version does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// A message that has no header, or one that is not understood.
    #[error("a message without a valid header")]
    Header,
    /// A message is missing, or came twice.
    #[error("message number {got} (modulo 256) where {wanted} was next")]
    Sequence {
        /// What came.
        got: u8,
        /// What was next.
        wanted: u8,
    },
    /// More messages than it had credits for.
    #[error("it sent more messages than it was granted")]
    NoCredit,
    /// A limit that goes back, or grants more than its window.
    #[error("it granted {granted} messages at a time, of a window of {window}")]
    Limit {
        /// Credits after the message.
        granted: u16,
        /// Its window.
        window: u16,
    },
    /// A message longer than the receive buffers.
    #[error("a message of {got} bytes, over the {buffer} of a receive buffer")]
    Length {
        /// Its length.
        got: usize,
        /// Of this end's receive buffers.
        buffer: u32,
    },
    /// A control message with a payload that is not one.
    #[error("a control message that is not well formed")]
    Control,
    /// It says that more announcements have been read than were made.
    #[error("it says that {read} announcements were read, of {announced}")]
    Done {
        /// What it says.
        read: u32,
        /// How many are outstanding.
        announced: u32,
    },
    /// An announcement, although this end takes none.
    #[error("it announced memory to an end that reads none")]
    Announced,
    /// A unit larger than this end takes.
    #[error("a unit of {got} bytes or more, over the limit of {limit}")]
    UnitTooLarge {
        /// Bytes so far.
        got: u64,
        /// The limit.
        limit: u64,
    },
    /// A piece of a unit that is not its last, and wastes its receive buffer.
    #[error("a piece of {got} bytes where at least {least} would be sent")]
    SmallPiece {
        /// Its length.
        got: usize,
        /// The least for a receive buffer of this size.
        least: usize,
    },
    /// Anything after the end.
    #[error("a unit after it had finished")]
    AfterFinish,
    /// The end, inside of a unit.
    #[error("it finished inside of a unit")]
    Unfinished,
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn an_error_names_operation_peer_verb_and_status() {
        let failure = Failure::Work { operation: Operation::Send, status: Status::RetryExceeded };
        let error = failure.error("push", "10.0.0.1:7000");
        let text = error.to_string();
        for part in ["push", "10.0.0.1:7000", "SEND", "IBV_WC_RETRY_EXC_ERR", "12", "does not answer"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let source = error.source().and_then(|e| e.downcast_ref::<QueuePairError>()).expect("kept");
        assert_eq!(source.failure, failure);
        assert!(source.source().is_some_and(|e| e.downcast_ref::<Failure>() == Some(&failure)));
    }

    #[test]
    fn what_every_transport_meets_is_told_as_every_transport_does() {
        let of = |failure: Failure| failure.error("pop", "peer");
        assert!(matches!(of(Failure::Disconnected), Error::Reset));
        assert!(matches!(of(Failure::ClosedByPeer), Error::BrokenPipe));
        assert!(matches!(of(Failure::CloseTimedOut), Error::TimedOut("close")));
        assert!(matches!(of(Failure::NoAnswer), Error::TimedOut("keep-alive")));
        assert!(matches!(of(Failure::Aborted), Error::Closed));
        let device = Failure::Device { what: "a work request could not be posted", errno: 12 };
        assert!(of(device).to_string().contains("could not be posted: Cannot allocate memory"));
        let event = Failure::Device { what: "the port is down", errno: 0 };
        assert!(of(event).to_string().ends_with("the port is down"));
    }
}
