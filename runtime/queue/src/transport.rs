//! The contract of a transport: what a driver implements so that every queue type runs on it.
//!
//! A [`Transport`] is a [`Reactor`] that can open sockets. Sockets are handed out as `Rc<dyn ...>`; their methods take
//! `&self`, because the reactor's half of the state lives with them. Every poll method keeps one waiter per direction
//! ([`Waiter`](crate::Waiter)); the reactor wakes it when the answer has changed. What a socket was given (pushed
//! units, its own descriptor) belongs to the driver until the device is done with it, however early the
//! application lets go (free-protection, HotOS '19).
//!
//! This module deliberately knows nothing of framing, tokens or descriptors: those are the runtime's.

use std::{
    any::Any,
    fmt,
    net::SocketAddr,
    path::PathBuf,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use crate::{
    Assembler, PushError, Reactor, Result, Sga,
    program::{Changes, Program, RunsIn},
};

/// The address of a queue's end, on any transport.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// An IP address and port (TCP, UDP, RDMA through its connection manager).
    Ip(SocketAddr),
    /// A Unix-domain path; the empty path is an unnamed socket.
    Unix(PathBuf),
    /// A name that the transport itself resolves (in-memory and shared-memory transports).
    Name(String),
}

impl Endpoint {
    /// The IP address and port, if it has one.
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(a) => Some(*a),
            _ => None,
        }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(a: SocketAddr) -> Self {
        Self::Ip(a)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(a) => a.fmt(f),
            Self::Unix(p) if p.as_os_str().is_empty() => f.write_str("(unnamed)"),
            Self::Unix(p) => p.display().fmt(f),
            Self::Name(n) => f.write_str(n),
        }
    }
}

/// Options of a socket. A field that a transport has no use for is ignored; one that it must honour and cannot
/// makes the opening call answer [`Unsupported`](crate::Error::Unsupported).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SocketOptions {
    /// Send small segments at once (Nagle off). Default: true.
    pub nodelay: bool,
    /// Probe an idle peer after this long. Default: none.
    pub keep_alive: Option<Duration>,
    /// How long a close may wait for unsent data; `Some(0)` resets the connection. Default: the system's.
    pub linger: Option<Duration>,
    /// Let several sockets bind one address (`SO_REUSEPORT`). Default: false; the runtime sets it on several cores.
    pub reuse_port: bool,
    /// Bind although old connections linger (`SO_REUSEADDR`). Default: true for listeners.
    pub reuse_addr: bool,
    /// IPv6 sockets take IPv6 only. Default: the system's.
    pub only_v6: Option<bool>,
    /// Connections waiting to be accepted. Default: 1024.
    pub backlog: u32,
    /// The transport's own receive buffer (`SO_RCVBUF`), bytes. Default: the system's.
    pub recv_buffer: Option<usize>,
    /// The transport's own send buffer (`SO_SNDBUF`), bytes. Default: the system's.
    pub send_buffer: Option<usize>,
    /// The most pooled memory, in bytes, that received and not yet popped data of one socket may hold; then receiving
    /// stops until a pop. Default: 256 KiB.
    pub recv_limit: usize,
    /// Pushes wait when this many bytes are accepted and not yet handed to the device. Default: 256 KiB.
    pub send_limit: usize,
    /// Give up connecting after this long. Default: the system's.
    pub connect_timeout: Option<Duration>,
    /// Bind a connecting socket to this address first.
    pub bind_to: Option<SocketAddr>,
    /// Allow datagrams to the broadcast address. Default: false.
    pub broadcast: bool,
    /// TCP Fast Open (RFC 7413): data in the SYN, a round trip earlier. A network may deliver such data **twice**, so it is for requests
    /// that may be done twice, and off (0) unless both ends ask for it.
    ///
    /// A listener accepts up to so many connections at a time that only a SYN has opened. A connecting stream, with anything but 0,
    /// may be open before the peer has answered: its first push then travels in the SYN, and whatever is wrong with the peer is told by the
    /// first operation that needs it.
    pub fast_open: u32,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            nodelay: true,
            keep_alive: None,
            linger: None,
            reuse_port: false,
            reuse_addr: true,
            only_v6: None,
            backlog: 1024,
            recv_buffer: None,
            send_buffer: None,
            recv_limit: 256 << 10,
            send_limit: 256 << 10,
            connect_timeout: None,
            bind_to: None,
            broadcast: false,
            fast_open: 0,
        }
    }
}

/// An option changed on an open stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamOption {
    /// See [`SocketOptions::nodelay`].
    NoDelay(bool),
    /// See [`SocketOptions::keep_alive`].
    KeepAlive(Option<Duration>),
    /// See [`SocketOptions::linger`].
    Linger(Option<Duration>),
    /// See [`SocketOptions::recv_buffer`].
    RecvBuffer(usize),
    /// See [`SocketOptions::send_buffer`].
    SendBuffer(usize),
}

/// What a transport can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// One push arrives as one pop: no framing needed (RDMA, memory). Otherwise streams carry bytes.
    pub native_units: bool,
    /// Streams to [`Endpoint::Ip`] are TCP and talk to any TCP peer.
    pub tcp: bool,
    /// Datagrams to [`Endpoint::Ip`] are UDP.
    pub udp: bool,
    /// [`Endpoint::Unix`] streams and datagrams.
    pub unix: bool,
    /// [`Endpoint::Name`] streams.
    pub names: bool,
    /// `poll_acked` can tell what the peer's transport has acknowledged.
    pub acked: bool,
}

/// A transport: opens sockets, and is polled once per turn.
pub trait Transport: Reactor {
    /// The URI scheme, for messages: `kernel`, `tap`, `mem`.
    fn scheme(&self) -> &'static str;

    /// What it can carry.
    fn caps(&self) -> Caps;

    /// Listen for streams at `at`; port 0 and the empty name choose one.
    fn listen(&self, at: &Endpoint, options: &SocketOptions) -> Result<Rc<dyn Acceptor>>;

    /// Begin to connect a stream; [`StreamSocket::poll_connected`] tells the outcome.
    fn connect(&self, to: &Endpoint, options: &SocketOptions) -> Result<Rc<dyn StreamSocket>>;

    /// Open a datagram socket at `at`.
    fn bind(&self, at: &Endpoint, options: &SocketOptions) -> Result<Rc<dyn DatagramSocket>>;

    /// A line for people: backend, device, offloads.
    fn describe(&self) -> String;
}

/// A listening socket of a transport.
pub trait Acceptor {
    /// The next connection, established; `None` after [`close`](Self::close). Transient failures (EMFILE, ENOBUFS,
    /// ECONNABORTED) are retried with back-off inside and counted, not returned.
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Rc<dyn StreamSocket>>>>;

    /// Where it listens, with the port that was chosen.
    fn local_addr(&self) -> Result<Endpoint>;

    /// How many accepts failed for a passing reason and were retried.
    fn transient_failures(&self) -> u64;

    /// Stop listening; connections not yet accepted are reset. A waiting accept gets `None`.
    fn close(&self);
}

/// A stream of a transport: a connection, or a Unix stream.
pub trait StreamSocket {
    /// Wait until an active open is established. `Ready(Ok)` at once on an accepted stream.
    fn poll_connected(&self, cx: &mut Context<'_>) -> Poll<Result<()>>;

    /// What has arrived next: bytes in any pieces, or one whole unit on a transport with native units; `None` when the
    /// peer has finished sending and everything was popped. What had arrived before an error is delivered first.
    fn poll_pop(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Sga>>>;

    /// As [`poll_pop`](Self::poll_pop), for one who puts units together ([`PopWaiter`](crate::PopWaiter) does the
    /// receiving side's part): while it is pending, what arrives goes to `assembler`, and the task is woken when that says
    /// so. Default: a plain `poll_pop`, woken for every segment.
    fn poll_pop_for(&self, assembler: &Rc<dyn Assembler>, cx: &mut Context<'_>) -> Poll<Result<Option<Sga>>> {
        let _ = assembler;
        self.poll_pop(cx)
    }

    /// Wait until less than [`SocketOptions::send_limit`] bytes are accepted and not yet with the device.
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<()>>;

    /// Accept one unit whole, to be sent in order. Refuses with [`Busy`](crate::Error::Busy) above twice the limit.
    /// Shares the waiter of [`poll_ready`](Self::poll_ready), [`poll_flushed`](Self::poll_flushed) and `poll_acked`: one pushing task.
    fn start_push(&self, unit: Sga) -> Result<(), PushError<Sga>>;

    /// Wait until everything accepted so far is with the device (the kernel's send buffer, a posted work request).
    fn poll_flushed(&self, cx: &mut Context<'_>) -> Poll<Result<()>>;

    /// Wait until the peer's transport has acknowledged everything accepted so far.
    fn poll_acked(&self, cx: &mut Context<'_>) -> Poll<Result<()>>;

    /// Half-close: after everything accepted is sent, tell the peer that no more comes. Popping goes on.
    fn shutdown(&self) -> Result<()>;

    /// Close both directions: what was accepted still goes out (within `linger`), then the connection ends.
    /// Idempotent; waiting operations get [`Closed`](crate::Error::Closed). The runtime calls it when the last handle is dropped.
    fn close(&self);

    /// Wait until a [`close`](Self::close) is finished: everything sent or failed, descriptor released.
    fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<Result<()>>;

    /// End the connection at once with a reset; unsent data is dropped.
    fn abort(&self);

    /// This end's address.
    fn local_addr(&self) -> Result<Endpoint>;

    /// The other end's address.
    fn peer_addr(&self) -> Result<Endpoint>;

    /// Change an option.
    fn set_option(&self, option: StreamOption) -> Result<()>;

    /// The driver's own type, for what only its transport has (RDMA's one-sided operations). Default: nothing of that kind.
    fn as_any(&self) -> Option<&dyn Any> {
        None
    }
}

/// A datagram socket of a transport.
pub trait DatagramSocket {
    /// The next datagram and its sender, one datagram as one unit; `None` after [`close`](Self::close). An ICMP error that
    /// belongs to a connected socket is an `Err`, and the socket goes on.
    fn poll_pop_from(&self, cx: &mut Context<'_>) -> Poll<Result<Option<(Sga, Endpoint)>>>;

    /// Reject what `program` does not match before it is received, instead of what was installed before; `None` lets
    /// everything through again. Only datagrams addressed to this socket are looked at; what had arrived before
    /// stays. Default, and where the program cannot be translated: it stays with the caller.
    fn install_filter(&self, program: Option<&Program>) -> RunsIn {
        let _ = program;
        RunsIn::Software
    }

    /// Make these changes to datagrams before they are received, instead of those that were installed before; `None`: none any more.
    /// Only datagrams addressed to this socket are looked at, and behind its filter; what had arrived before, fragments and whatever else
    /// the device leaves alone is not changed. Default, and where they can't be translated: it stays with the caller.
    fn install_rewrite(&self, changes: Option<&Changes>) -> RunsIn {
        let _ = changes;
        RunsIn::Software
    }

    /// Whether the datagram that was popped last has been changed by the rewrite that is installed now.
    fn is_rewritten(&self) -> bool {
        false
    }

    /// Wait for room for a datagram.
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<()>>;

    /// Send one datagram, to `to` or to the connected peer. A datagram larger than the transport carries is
    /// [`UnitTooLarge`](crate::Error::UnitTooLarge).
    fn start_push_to(&self, unit: Sga, to: Option<&Endpoint>) -> Result<(), PushError<Sga>>;

    /// Wait until everything accepted is with the device.
    fn poll_flushed(&self, cx: &mut Context<'_>) -> Poll<Result<()>>;

    /// Send to and receive from `to` only, from now on.
    fn connect(&self, to: &Endpoint) -> Result<()>;

    /// This end's address.
    fn local_addr(&self) -> Result<Endpoint>;

    /// The connected peer's address.
    fn peer_addr(&self) -> Result<Endpoint>;

    /// Close; accepted datagrams still go out.
    fn close(&self);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_read_as_people_write_them() {
        let ip: SocketAddr = "[::1]:7000".parse().expect("an address");
        let texts = [
            (Endpoint::from(ip), "[::1]:7000"),
            (Endpoint::Unix("/run/hemi.sock".into()), "/run/hemi.sock"),
            (Endpoint::Unix(PathBuf::new()), "(unnamed)"),
            (Endpoint::Name("ring".into()), "ring"),
        ];
        for (endpoint, text) in texts {
            assert_eq!(endpoint.to_string(), text);
        }
        assert_eq!((Endpoint::Ip(ip).ip(), Endpoint::Name(String::new()).ip()), (Some(ip), None));
    }
}
