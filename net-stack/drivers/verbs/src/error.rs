//! What can go wrong with a device, a connection's set-up and a work request: each error names the status, the operation, the
//! peer where there is one, and the cure.

use std::{fmt, io, net::SocketAddr};

use hemi_queue::Error;

use crate::sys::LoadError;

/// An error of the RDMA transport. It reaches the application inside [`Error::Other`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerbsError {
    /// rdma-core is not installed, or too old.
    #[error("rdma: cannot load {0}")]
    NoLibrary(String),
    /// There is no such device, or none at all.
    #[error(
        "rdma: no device `{wanted}`; this machine has: {have}. Name one of them, or make a soft-RoCE device: \
         `modprobe rdma_rxe && rdma link add rxe0 type rxe netdev eth0`"
    )]
    NoDevice {
        /// What the URI asked for.
        wanted: String,
        /// What there is.
        have: String,
    },
    /// The device has no RoCE v2 GID for the address.
    #[error(
        "rdma: {device} has no RoCE v2 GID for {ip}; it has: {have}. Give the network interface below it that address \
         (`ip addr add {ip}/24 dev eth0`; a GID appears up to 2 s later), or use one of those"
    )]
    NoGid {
        /// The device.
        device: String,
        /// The address of `ip=`.
        ip: std::net::IpAddr,
        /// The addresses that have one.
        have: String,
    },
    /// Memory could not be registered although nothing works without.
    #[error(
        "rdma: {device} cannot register {bytes} bytes for receiving: {source}. The locked-memory limit of this process is {limit}; raise \
         it (`ulimit -l unlimited`, LimitMEMLOCK= of a service) or ask for fewer or smaller receive buffers (`recv=`, `buffer=`)"
    )]
    Locked {
        /// The device.
        device: String,
        /// What was to be registered.
        bytes: usize,
        /// `RLIMIT_MEMLOCK`, for people.
        limit: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A verb failed.
    #[error("rdma: {verb} on {device}: {source}{}", Cure(.cure))]
    Verb {
        /// What was called.
        verb: &'static str,
        /// The device, or the peer it was called for.
        device: String,
        /// What to do; may be empty.
        cure: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// The connection manager could not set up a connection.
    #[error("rdma: {step} {peer}: {event}{}{}", Detail(.detail), Cure(.cure))]
    Setup {
        /// `resolve`, `route to`, `connect to`.
        step: &'static str,
        /// The other end.
        peer: SocketAddr,
        /// The event's name.
        event: String,
        /// What came with it.
        detail: String,
        /// What to do.
        cure: &'static str,
    },
    /// The peer does not speak our protocol, or breaks it.
    #[error("rdma: {peer}: {why}")]
    Peer {
        /// The other end.
        peer: SocketAddr,
        /// What is wrong, and what to do.
        why: String,
    },
    /// The device is gone or its completion queue overran: everything on it has failed.
    #[error(
        "rdma: {device}: {event}; every queue on it has failed. Open the transport again when the device is back"
    )]
    DeviceGone {
        /// The device.
        device: String,
        /// The asynchronous event.
        event: String,
    },
}

struct Cure<'a>(&'a str);

impl fmt::Display for Cure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " ({})", self.0) }
    }
}

struct Detail<'a>(&'a str);

impl fmt::Display for Detail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ", {}", self.0) }
    }
}

impl VerbsError {
    /// A verb that answered with `-1` or null and left the cause in `errno`.
    #[cold]
    pub(crate) fn last(verb: &'static str, device: impl fmt::Display, cure: &'static str) -> Self {
        Self::Verb { verb, device: device.to_string(), cure, source: io::Error::last_os_error() }
    }

    /// A verb that returned the error number.
    #[cold]
    pub(crate) fn returned(verb: &'static str, device: impl fmt::Display, errno: i32) -> Self {
        // librdmacm answers -1 and sets `errno`, libibverbs returns it.
        let source = if errno < 0 { io::Error::last_os_error() } else { io::Error::from_raw_os_error(errno) };
        Self::Verb { verb, device: device.to_string(), cure: "", source }
    }
}

impl From<LoadError> for VerbsError {
    fn from(e: LoadError) -> Self {
        Self::NoLibrary(e.to_string())
    }
}

impl From<VerbsError> for Error {
    #[cold]
    fn from(e: VerbsError) -> Self {
        match e {
            // What callers match on: a refusal and a taken address look as they do on every transport.
            VerbsError::Verb { verb, device, source, .. }
                if matches!(
                    source.raw_os_error(),
                    Some(libc::EADDRINUSE | libc::EADDRNOTAVAIL | libc::ECONNREFUSED | libc::EACCES)
                ) =>
            {
                Self::io(verb, device, source)
            }
            e => Self::Other(Box::new(e)),
        }
    }
}

/// What there is, as a list for people.
pub(crate) fn list(mut names: impl Iterator<Item = impl fmt::Display>) -> String {
    let Some(first) = names.next() else { return "none".to_owned() };
    names.fold(first.to_string(), |all, name| format!("{all}, {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_step_peer_event_and_cure() {
        let peer = "10.0.0.1:7".parse().unwrap();
        let text = VerbsError::Setup {
            step: "connect to",
            peer,
            event: "RDMA_CM_EVENT_UNREACHABLE".to_owned(),
            detail: String::new(),
            cure: "start it",
        };
        assert_eq!(text.to_string(), "rdma: connect to 10.0.0.1:7: RDMA_CM_EVENT_UNREACHABLE (start it)");
    }

    #[test]
    fn a_taken_address_is_what_it_is_on_every_transport() {
        let source = io::Error::from_raw_os_error(libc::EADDRINUSE);
        let taken = VerbsError::Verb { verb: "listen", device: "10.0.0.1:7".into(), cure: "", source };
        assert_eq!(Error::from(taken).raw_os_error(), Some(libc::EADDRINUSE));
    }

    #[test]
    fn a_list_reads_well() {
        assert_eq!(list(["a", "b"].iter()), "a, b");
        assert_eq!(list(std::iter::empty::<&str>()), "none");
    }
}
