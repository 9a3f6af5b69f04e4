//! TCP: [`TcpListener`] and [`TcpQueue`].

use std::{net::SocketAddr, rc::Rc};

use hemi_queue::{
    Buf, Result,
    transport::{Acceptor, Endpoint, StreamSocket},
};

use super::{
    Options,
    accept::{Accept, listener},
    handle::stream_queue,
    ip_of, open,
    stream::ByteStream,
};
use crate::{names::Handle, net::Address, token::QToken};

/// A listening TCP socket: a queue of [`TcpQueue`]s.
///
/// ```
/// use hemi::{Pop, Push, TcpListener, TcpQueue};
///
/// # let runtime = hemi::Runtime::builder().net("mem:").build()?;
/// # runtime.block_on(async {
/// let mut listener = TcpListener::bind("127.0.0.1:0").await?;
/// let at = listener.local_addr()?;
/// let echo = hemi::spawn(async move {
///     let mut conn = listener.pop().await?.unwrap();
///     while let Some(buf) = conn.pop().await? {
///         conn.push(buf).await?; // the same memory, never copied
///     }
///     conn.close().await
/// });
/// let mut client = TcpQueue::connect(at).await?;
/// client.push("hello").await?;
/// assert_eq!(client.pop().await?.unwrap().as_ref(), b"hello");
/// client.shutdown()?;
/// assert!(client.pop().await?.is_none());
/// echo.await.unwrap()
/// # })?;
/// # Ok::<(), hemi::Error>(())
/// ```
pub struct TcpListener {
    handle: Handle<Accept>,
}

impl TcpListener {
    /// Listen at `at` (port 0 chooses a port) on the default transport; [`Options`] has more to say.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when the address is taken, not permitted or not this machine's;
    /// [`Error::Unsupported`](crate::Error::Unsupported) on a transport without TCP.
    pub async fn bind(at: impl Into<Address>) -> Result<Self> {
        Options::new().listen_tcp(at).await
    }

    /// As [`bind`](Self::bind), on the transport called `transport`.
    pub async fn bind_on(transport: &str, at: impl Into<Address>) -> Result<Self> {
        Options::new().on(transport).listen_tcp(at).await
    }

    pub(super) fn new(acceptor: Rc<dyn Acceptor>) -> Result<Self> {
        Ok(Self { handle: Handle::new(Accept { acceptor, framing: None })? })
    }

    /// Where it listens, with the port that was chosen.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        ip_of(&self.handle.acceptor.local_addr()?)
    }

    #[allow(clippy::unused_self)] // listeners of units need theirs
    fn accepted(&self, socket: Rc<dyn StreamSocket>) -> Result<TcpQueue> {
        TcpQueue::new(socket)
    }
}

listener!(TcpListener, TcpQueue);

/// A TCP connection as a queue of bytes: a pop gives what has arrived, in order.
///
/// See [`TcpListener`] for an example.
pub struct TcpQueue {
    handle: Handle<ByteStream>,
}

impl TcpQueue {
    /// Connect to `to` on the default transport, trying each address of a host name in turn.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when nobody listens there; [`Options::connect_timeout`] bounds the waiting.
    pub async fn connect(to: impl Into<Address>) -> Result<Self> {
        Options::new().connect_tcp(to).await
    }

    /// As [`connect`](Self::connect), on the transport called `transport`.
    pub async fn connect_on(transport: &str, to: impl Into<Address>) -> Result<Self> {
        Options::new().on(transport).connect_tcp(to).await
    }

    /// Begin to connect and go on: the queue, and the token that tells when it is established.
    pub fn submit_connect(to: SocketAddr) -> Result<(Self, QToken)> {
        let queue = open::tcp_begin(&Options::new(), &Endpoint::Ip(to))?;
        let token = queue.handle.submit_connect()?;
        Ok((queue, token))
    }

    pub(super) fn new(socket: Rc<dyn StreamSocket>) -> Result<Self> {
        Ok(Self { handle: Handle::new(ByteStream::new(socket))? })
    }

    /// This end's address.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        ip_of(&self.handle.socket.local_addr()?)
    }

    /// The other end's address.
    pub fn peer_addr(&self) -> Result<SocketAddr> {
        ip_of(&self.handle.socket.peer_addr()?)
    }
}

stream_queue!(TcpQueue, Buf, poll_buf);
