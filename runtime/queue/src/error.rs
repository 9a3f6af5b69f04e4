//! The one error of the data path: what happened, what to do about it, and the cause where there is one.

mod detail;

use std::{fmt, io};

pub use detail::{IoFailure, Malformed, Unsupported, WrongKind};

use crate::{buf::AllocError, uri::UriError};

/// The result of a queue operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a queue operation failed.
///
/// 24 bytes, the size of a [`Buf`](crate::Buf): a result is moved several times on its way to who asked, so what needs
/// more room is boxed. Those have a function each that makes them: [`unsupported`](Self::unsupported),
/// [`wrong_kind`](Self::wrong_kind), [`malformed`](Self::malformed), [`io`](Self::io).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// This side closed the queue, or its runtime is gone.
    #[error("the queue is closed on this side; open a new one")]
    Closed,
    /// The peer ended the connection abruptly (RST, SIGKILL, queue pair error).
    #[error("the peer reset the connection; what was not yet popped is lost, reconnect to go on")]
    Reset,
    /// The peer does not read any more: a push has nowhere to go.
    #[error("the peer closed its reading side; nothing more can be pushed")]
    BrokenPipe,
    /// A deadline passed.
    #[error("{0} timed out")]
    TimedOut(&'static str),
    /// The operation was cancelled before it took a byte.
    #[error("the operation was cancelled before it began")]
    Cancelled,
    /// `cancel` came after the first byte was taken; the operation goes on.
    #[error("too late to cancel: the operation has begun and goes on")]
    TooLate,
    /// A token that was already waited for, cancelled, or never given.
    #[error("stale token: its result was already taken (a token can be waited for once)")]
    StaleToken,
    /// A token or descriptor of another runtime.
    #[error("this token belongs to another runtime; wait for it on the runtime that gave it")]
    ForeignToken,
    /// A descriptor that is not open.
    #[error("bad queue descriptor: it was closed or never opened")]
    BadQd,
    /// The operation does not fit this descriptor (pop on an unbound socket, accept on a connection).
    #[error(transparent)]
    WrongKind(Box<WrongKind>),
    /// Too many operations are outstanding and unclaimed on this queue.
    #[error("too many operations are outstanding on this queue; wait for some of them first")]
    Busy,
    /// The queue has no room and the call does not wait.
    #[error("the queue is full; await a push, or pop first")]
    Full,
    /// A blocking `wait` from inside a task: it would stop the loop that it waits for.
    #[error("a blocking wait inside a task would wait for itself; use the async form")]
    WouldDeadlock,
    /// Nothing is runnable, no timer is armed, and no reactor can bring an event: a deadlock (simulation).
    #[error("deadlock: no work and no deadline, so nothing can ever complete")]
    Deadlock,
    /// There is no runtime on this thread.
    #[error("no hemi runtime is running on this thread; call this inside block_on or #[hemi::main]")]
    NoRuntime,
    /// The transport cannot do this; the text names what can.
    #[error(transparent)]
    Unsupported(Box<Unsupported>),
    /// A unit is larger than the queue's limit.
    #[error("a unit of {got} bytes is over the limit of {limit}; raise the limit or send smaller units")]
    UnitTooLarge {
        /// Its announced or actual length in bytes.
        got: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The peer sent bytes that its protocol does not allow.
    #[error(transparent)]
    Malformed(Box<Malformed>),
    /// A stream ended in the middle of a unit.
    #[error("the stream ended inside a unit: {have} of {want} bytes had arrived")]
    Truncated {
        /// Bytes of the unit that had arrived.
        have: u64,
        /// Bytes the unit needed, or 0 when the framing did not say.
        want: u64,
    },
    /// Memory could not be had.
    #[error(transparent)]
    Alloc(#[from] AllocError),
    /// A transport URI could not be used.
    #[error(transparent)]
    Uri(#[from] Box<UriError>),
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] Box<IoFailure>),
    /// Anything a user-given decoder or adapter reports.
    #[error("{0}")]
    Other(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// `transport` cannot do `what`; `instead` names what can.
    #[cold]
    pub fn unsupported(what: &'static str, transport: &'static str, instead: &'static str) -> Self {
        Self::Unsupported(Box::new(Unsupported { what, transport, instead }))
    }

    /// `op` does not apply to this queue; `why` says why, and what does.
    #[cold]
    pub fn wrong_kind(op: &'static str, why: &'static str) -> Self {
        Self::WrongKind(Box::new(WrongKind { op, why }))
    }

    /// What was read as `protocol` breaks its rules; `why` says which.
    #[cold]
    pub fn malformed(protocol: &'static str, why: &'static str) -> Self {
        Self::Malformed(Box::new(Malformed { protocol, why }))
    }

    /// An operating-system error met while doing `op` on `target` (which may be empty).
    ///
    /// Resets and broken pipes become [`Error::Reset`] and [`Error::BrokenPipe`], so that callers match one thing.
    #[cold]
    pub fn io(op: &'static str, target: impl fmt::Display, source: io::Error) -> Self {
        match source.raw_os_error() {
            Some(libc::ECONNRESET | libc::ECONNABORTED) => Self::Reset,
            Some(libc::EPIPE) => Self::BrokenPipe,
            Some(libc::ETIMEDOUT) => Self::TimedOut(op),
            _ => Self::Io(Box::new(IoFailure { op, target: target.to_string(), source })),
        }
    }

    /// The same from a raw `errno` value (as in an io_uring completion: pass the positive number).
    #[cold]
    pub fn errno(op: &'static str, target: impl fmt::Display, errno: i32) -> Self {
        Self::io(op, target, io::Error::from_raw_os_error(errno))
    }

    /// The operating system's error number, if one is behind this error.
    pub fn raw_os_error(&self) -> Option<i32> {
        match self {
            Self::Io(e) => e.source.raw_os_error(),
            Self::Reset => Some(libc::ECONNRESET),
            Self::BrokenPipe => Some(libc::EPIPE),
            _ => None,
        }
    }

    /// The nearest `std::io::ErrorKind`.
    pub fn io_kind(&self) -> io::ErrorKind {
        match self {
            Self::Closed | Self::BadQd => io::ErrorKind::NotConnected,
            Self::Reset => io::ErrorKind::ConnectionReset,
            Self::BrokenPipe => io::ErrorKind::BrokenPipe,
            Self::TimedOut(_) => io::ErrorKind::TimedOut,
            Self::Unsupported(_) => io::ErrorKind::Unsupported,
            Self::UnitTooLarge { .. } | Self::Malformed(_) => io::ErrorKind::InvalidData,
            Self::Truncated { .. } => io::ErrorKind::UnexpectedEof,
            Self::Alloc(AllocError::Drained { .. } | AllocError::NoMemory { .. }) => {
                io::ErrorKind::OutOfMemory
            }
            Self::Alloc(_) | Self::Uri(_) => io::ErrorKind::InvalidInput,
            Self::Io(e) => e.source.kind(),
            _ => io::ErrorKind::Other,
        }
    }
}

impl From<UriError> for Error {
    fn from(e: UriError) -> Self {
        Self::Uri(Box::new(e))
    }
}

impl From<IoFailure> for Error {
    fn from(e: IoFailure) -> Self {
        Self::Io(Box::new(e))
    }
}

impl From<Error> for io::Error {
    fn from(e: Error) -> Self {
        Self::new(e.io_kind(), e)
    }
}

impl From<io::Error> for Error {
    /// What was made from an [`Error`] becomes that again.
    fn from(e: io::Error) -> Self {
        e.downcast().unwrap_or_else(|e| Self::io("input/output", "", e))
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn an_io_failure_names_operation_target_cause_and_cure() {
        let error = Error::errno("bind", "127.0.0.1:80", libc::EACCES);
        let text = error.to_string();
        assert!(text.starts_with("bind 127.0.0.1:80: Permission denied"), "{text}");
        assert!(
            text.ends_with("(not permitted; ports below 1024 and raw devices need privileges)"),
            "{text}"
        );
        assert_eq!(
            (error.raw_os_error(), error.io_kind()),
            (Some(libc::EACCES), io::ErrorKind::PermissionDenied)
        );
        assert!(error.source().is_some_and(<dyn std::error::Error>::is::<io::Error>));
        assert_eq!(Error::errno("recv", "", libc::EIO).to_string(), "recv: Input/output error (os error 5)");
        for errno in [libc::EADDRINUSE, libc::EMFILE, libc::ECONNREFUSED, libc::EADDRNOTAVAIL] {
            assert!(Error::errno("x", "", errno).to_string().ends_with(')'), "a cure for {errno}");
        }
    }

    #[test]
    fn what_callers_match_on_is_one_thing_each() {
        let of = |errno| Error::errno("recv", "", errno);
        assert!(matches!(of(libc::ECONNRESET), Error::Reset));
        assert!(matches!(of(libc::ECONNABORTED), Error::Reset));
        assert!(matches!(of(libc::EPIPE), Error::BrokenPipe));
        assert!(matches!(of(libc::ETIMEDOUT), Error::TimedOut("recv")));
        assert_eq!(Error::Reset.raw_os_error(), Some(libc::ECONNRESET));
        assert_eq!(
            (Error::BrokenPipe.raw_os_error(), Error::Closed.raw_os_error()),
            (Some(libc::EPIPE), None)
        );
    }

    #[test]
    fn io_errors_keep_their_kind_and_come_back_whole() {
        let pairs = [
            (Error::Closed, io::ErrorKind::NotConnected),
            (Error::Reset, io::ErrorKind::ConnectionReset),
            (Error::BrokenPipe, io::ErrorKind::BrokenPipe),
            (Error::TimedOut("pop"), io::ErrorKind::TimedOut),
            (Error::UnitTooLarge { got: 2, limit: 1 }, io::ErrorKind::InvalidData),
            (Error::Truncated { have: 1, want: 2 }, io::ErrorKind::UnexpectedEof),
            (AllocError::Drained { limit: 1 }.into(), io::ErrorKind::OutOfMemory),
            (AllocError::TooLarge { wanted: 2, largest: 1 }.into(), io::ErrorKind::InvalidInput),
            (UriError::new("x:", "y").into(), io::ErrorKind::InvalidInput),
            (Error::Deadlock, io::ErrorKind::Other),
        ];
        for (error, kind) in pairs {
            let text = error.to_string();
            let io = io::Error::from(error);
            assert_eq!((io.kind(), io.to_string()), (kind, text.clone()));
            assert_eq!(Error::from(io).to_string(), text, "nothing is wrapped twice");
        }
        let plain = Error::from(io::Error::other("plain"));
        assert_eq!(plain.to_string(), "input/output: plain");
        let other = Error::Other("decoder says no".into());
        assert_eq!((other.to_string(), other.source().is_some()), ("decoder says no".into(), true));
    }
}
