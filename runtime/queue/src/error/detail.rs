//! What the boxed variants of [`Error`](super::Error) tell.

use std::{fmt, io};

/// The transport cannot do this; the text names what can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is not supported by {transport}: {instead}")]
pub struct Unsupported {
    /// What was asked for.
    pub what: &'static str,
    /// The transport that was asked.
    pub transport: &'static str,
    /// What to use instead.
    pub instead: &'static str,
}

/// The operation does not fit this descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{op} does not apply to this queue: {why}")]
pub struct WrongKind {
    /// The operation asked for.
    pub op: &'static str,
    /// Why it does not apply, and what does.
    pub why: &'static str,
}

/// The peer sent bytes that its protocol does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed {protocol}: {why}")]
pub struct Malformed {
    /// The protocol or framing that was being read.
    pub protocol: &'static str,
    /// What was wrong.
    pub why: &'static str,
}

/// An operating-system error with the operation and the target it belongs to.
#[derive(Debug)]
pub struct IoFailure {
    /// What was attempted, as a verb phrase: `bind`, `connect`, `recv`.
    pub op: &'static str,
    /// On what: an address or a path; empty when it adds nothing.
    pub target: String,
    /// The operating system's answer.
    pub source: io::Error,
}

impl fmt::Display for IoFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.op)?;
        if !self.target.is_empty() {
            write!(f, " {}", self.target)?;
        }
        write!(f, ": {}", self.source)?;
        let cure = match self.source.raw_os_error() {
            Some(libc::EADDRINUSE) => "another socket holds this address; stop it or choose another port",
            Some(libc::EACCES | libc::EPERM) => {
                "not permitted; ports below 1024 and raw devices need privileges"
            }
            Some(libc::EMFILE | libc::ENFILE) => "too many open files; raise `ulimit -n` or close some",
            Some(libc::ECONNREFUSED) => "nobody listens there; start the server or check the address",
            Some(libc::EADDRNOTAVAIL) => "this machine does not have that address",
            _ => return Ok(()),
        };
        write!(f, " ({cure})")
    }
}

impl std::error::Error for IoFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
