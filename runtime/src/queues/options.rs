//! [`Options`]: how sockets are opened, and the calls that open them.

use std::{net::SocketAddr, path::Path, time::Duration};

use hemi_queue::{
    Result,
    transport::{Endpoint, SocketOptions},
};

use super::{Conn, Listener, TcpListener, TcpQueue, UdpQueue, UnixDatagram, UnixListener, UnixQueue, open};
use crate::{framing::DEFAULT_UNIT_LIMIT, net::Address, token::QToken};

/// Options for opening any queue of a transport, ending in the call that opens it.
///
/// What is not set has its default. A default of "the system's" leaves the matter to the transport.
///
/// ```
/// use std::time::Duration;
/// use hemi::{Options, Pop, Push, Runtime};
///
/// let runtime = Runtime::builder().net_as("lab", "mem:").build()?;
/// runtime.block_on(async {
///     let mut listener = Options::new().on("lab").unit_limit(4096).listen("echo").await?;
///     let connect = Options::new().on("lab").connect_timeout(Duration::from_secs(1));
///     let mut client = connect.connect("echo").await?;
///     client.push("hello").await?;
///     let mut server = listener.pop().await?.unwrap();
///     assert_eq!(server.pop().await?.unwrap().to_vec(), b"hello");
///     Ok::<(), hemi::Error>(())
/// })?;
/// # Ok::<(), hemi::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "options open nothing until one of the opening calls"]
pub struct Options {
    pub(crate) transport: String,
    pub(crate) unit_limit: usize,
    pub(crate) raw: bool,
    pub(crate) reuse_port: Option<bool>,
    pub(crate) socket: SocketOptions,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            transport: String::new(),
            unit_limit: DEFAULT_UNIT_LIMIT,
            raw: false,
            reuse_port: None,
            socket: SocketOptions::default(),
        }
    }
}

impl Options {
    /// Every option at its default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Use the transport of this name; see `Builder::net_as`. Default: the runtime's first.
    pub fn on(mut self, transport: impl Into<String>) -> Self {
        self.transport = transport.into();
        self
    }

    /// The largest unit in bytes that a [`Conn`] takes or gives. Default: 16 MiB.
    pub fn unit_limit(mut self, bytes: usize) -> Self {
        self.unit_limit = bytes;
        self
    }

    /// No framing: a [`Conn`] carries bytes as they come, for peers that do not frame units. Default: off.
    pub fn raw(mut self) -> Self {
        self.raw = true;
        self
    }

    /// Send small segments at once (Nagle off). Default: true.
    pub fn nodelay(mut self, on: bool) -> Self {
        self.socket.nodelay = on;
        self
    }

    /// Probe an idle peer after this long. Default: no probes.
    pub fn keep_alive(mut self, idle: Duration) -> Self {
        self.socket.keep_alive = Some(idle);
        self
    }

    /// How long a close may wait for unsent data; zero resets the connection. Default: the system's.
    pub fn linger(mut self, most: Duration) -> Self {
        self.socket.linger = Some(most);
        self
    }

    /// Let several sockets bind one address and share what arrives. Default: on in a runtime of several cores.
    pub fn reuse_port(mut self, on: bool) -> Self {
        self.reuse_port = Some(on);
        self
    }

    /// Bind although old connections linger at the address. Default: true.
    pub fn reuse_addr(mut self, on: bool) -> Self {
        self.socket.reuse_addr = on;
        self
    }

    /// A socket bound to an IPv6 wildcard takes IPv6 only (or IPv4 as well). Default: the system's.
    pub fn only_v6(mut self, on: bool) -> Self {
        self.socket.only_v6 = Some(on);
        self
    }

    /// How many established connections may wait to be accepted. Default: 1024.
    pub fn backlog(mut self, connections: u32) -> Self {
        self.socket.backlog = connections;
        self
    }

    /// TCP Fast Open: data in the SYN, a round trip earlier, which a network may deliver **twice**. A listener takes up to so many connections
    /// at a time that only a SYN has opened; a connect, with anything but 0, may be done before the peer has answered, and the first push
    /// travels in the SYN. Default: 0, off. See [`SocketOptions::fast_open`](hemi_queue::transport::SocketOptions::fast_open).
    pub fn fast_open(mut self, pending: u32) -> Self {
        self.socket.fast_open = pending;
        self
    }

    /// The transport's own receive buffer in bytes (`SO_RCVBUF`). Default: the system's.
    pub fn recv_buffer(mut self, bytes: usize) -> Self {
        self.socket.recv_buffer = Some(bytes);
        self
    }

    /// The transport's own send buffer in bytes (`SO_SNDBUF`). Default: the system's.
    pub fn send_buffer(mut self, bytes: usize) -> Self {
        self.socket.send_buffer = Some(bytes);
        self
    }

    /// The most pooled memory in bytes that received and not yet popped data of one socket holds. Default: 256 KiB.
    pub fn recv_limit(mut self, bytes: usize) -> Self {
        self.socket.recv_limit = bytes;
        self
    }

    /// Pushes wait when this many bytes are accepted and not yet with the device. Default: 256 KiB.
    pub fn send_limit(mut self, bytes: usize) -> Self {
        self.socket.send_limit = bytes;
        self
    }

    /// Give up connecting to one address after this long. Default: the system's.
    pub fn connect_timeout(mut self, most: Duration) -> Self {
        self.socket.connect_timeout = Some(most);
        self
    }

    /// Bind a connecting socket to this address first. Default: the transport chooses.
    pub fn bind_to(mut self, at: SocketAddr) -> Self {
        self.socket.bind_to = Some(at);
        self
    }

    /// Allow datagrams to the broadcast address. Default: false.
    pub fn broadcast(mut self, on: bool) -> Self {
        self.socket.broadcast = on;
        self
    }

    /// Listen for units; see [`Listener::bind`].
    pub async fn listen(&self, at: impl Into<Address>) -> Result<Listener> {
        open::listener(self, at.into()).await
    }

    /// Connect for units; see [`Conn::connect`].
    pub async fn connect(&self, to: impl Into<Address>) -> Result<Conn> {
        open::conn(self, to.into()).await
    }

    /// Begin to connect and go on: the queue, and the token that tells when it is established. The address must need no
    /// resolver.
    pub fn submit_connect(&self, to: impl Into<Endpoint>) -> Result<(Conn, QToken)> {
        Conn::begin(self, &to.into())
    }

    /// Listen for TCP connections; see [`TcpListener::bind`].
    pub async fn listen_tcp(&self, at: impl Into<Address>) -> Result<TcpListener> {
        open::tcp_listener(self, at.into()).await
    }

    /// Connect by TCP; see [`TcpQueue::connect`].
    pub async fn connect_tcp(&self, to: impl Into<Address>) -> Result<TcpQueue> {
        open::tcp(self, to.into()).await
    }

    /// Open a UDP socket; see [`UdpQueue::bind`].
    pub async fn bind_udp(&self, at: impl Into<Address>) -> Result<UdpQueue> {
        open::udp(self, at.into()).await
    }

    /// Listen at a Unix path; see [`UnixListener::bind`].
    pub fn listen_unix(&self, at: impl AsRef<Path>) -> Result<UnixListener> {
        open::unix_listener(self, at.as_ref())
    }

    /// Connect to a Unix path; see [`UnixQueue::connect`].
    pub async fn connect_unix(&self, to: impl AsRef<Path>) -> Result<UnixQueue> {
        open::unix(self, to.as_ref()).await
    }

    /// Open a Unix datagram socket; see [`UnixDatagram::bind`].
    pub fn bind_unix_datagram(&self, at: impl AsRef<Path>) -> Result<UnixDatagram> {
        open::unix_datagram(self, at.as_ref())
    }
}
