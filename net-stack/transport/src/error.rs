//! From the stack's errors to those of queues: an operation, what it was done to, and a cause as the system would name it.

use std::{cell::RefCell, fmt, io};

use hemi_net::{ConnError, Gone, UdpError};
use hemi_queue::Error;

/// An error of a connection to `peer`, met while doing `op`.
#[cold]
pub(crate) fn of_conn(op: &'static str, peer: impl fmt::Display, error: ConnError) -> Error {
    match error {
        ConnError::Reset => Error::Reset,
        ConnError::TimedOut => Error::TimedOut(op),
        ConnError::Refused => Error::errno(op, peer, libc::ECONNREFUSED),
        ConnError::Unreachable => Error::errno(op, peer, libc::EHOSTUNREACH),
        ConnError::AddressInUse => Error::errno(op, peer, libc::EADDRINUSE),
        ConnError::NoSuchAddress => Error::errno(op, peer, libc::EADDRNOTAVAIL),
        ConnError::NoPorts => {
            Error::io(op, peer, io::Error::new(io::ErrorKind::AddrInUse, ConnError::NoPorts.to_string()))
        }
        ConnError::Full => Error::Busy,
        ConnError::TooLarge => {
            Error::io(op, peer, io::Error::new(io::ErrorKind::InvalidInput, ConnError::TooLarge.to_string()))
        }
        // This side's own doing.
        ConnError::Aborted | ConnError::Closed => Error::Closed,
    }
}

/// An error of a datagram socket, met while doing `op` on `target`.
#[cold]
pub(crate) fn of_udp(op: &'static str, target: impl fmt::Display, error: UdpError) -> Error {
    match error {
        UdpError::Closed => Error::Closed,
        UdpError::AddressInUse => Error::errno(op, target, libc::EADDRINUSE),
        UdpError::NoSuchAddress => Error::errno(op, target, libc::EADDRNOTAVAIL),
        UdpError::NoPorts => {
            Error::io(op, target, io::Error::new(io::ErrorKind::AddrInUse, error.to_string()))
        }
        UdpError::NoDestination => Error::wrong_kind(
            "push without an address",
            "the socket is not connected; give an address or connect it",
        ),
        UdpError::Unreachable => Error::errno(op, target, libc::EHOSTUNREACH),
        UdpError::TooLarge(got) => {
            Error::UnitTooLarge { got: got as u64, limit: hemi_net::udp::MAX_PAYLOAD as u64 }
        }
        UdpError::Full => Error::Busy,
        UdpError::Broadcast => {
            let why = "the destination is a broadcast address; allow it with the socket's option `broadcast`";
            Error::io(op, target, io::Error::new(io::ErrorKind::PermissionDenied, why))
        }
        UdpError::Refused => Error::errno(op, target, libc::ECONNREFUSED),
    }
}

/// Why the device is gone, told to every socket that asks.
#[derive(Debug, Default)]
pub(crate) struct Loss(RefCell<Option<Gone>>);

impl Loss {
    pub(crate) fn set(&self, gone: Gone) {
        self.0.borrow_mut().get_or_insert(gone);
    }

    /// The error of `op`.
    #[cold]
    pub(crate) fn error(&self, op: &'static str) -> Error {
        match &*self.0.borrow() {
            Some(gone) => {
                let source = match gone.source.raw_os_error() {
                    Some(errno) => io::Error::from_raw_os_error(errno),
                    None => io::Error::new(gone.source.kind(), gone.source.to_string()),
                };
                let target = format!("over {}, which is gone", gone.name);
                Error::Io(Box::new(hemi_queue::IoFailure { op, target, source }))
            }
            None => Error::Closed,
        }
    }
}
