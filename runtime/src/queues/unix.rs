//! Unix streams: [`UnixListener`] and [`UnixQueue`].

use std::{path::Path, rc::Rc};

use hemi_queue::{
    Buf, Result,
    transport::{Acceptor, Endpoint, StreamSocket},
};

use super::{
    Options,
    accept::{Accept, listener},
    handle::stream_queue,
    stream::ByteStream,
};
use crate::names::Handle;

/// A listening Unix socket: a queue of [`UnixQueue`]s.
///
/// ```
/// use hemi::{Pop, Push, UnixListener, UnixQueue};
///
/// # let runtime = hemi::Runtime::builder().net("mem:").build()?;
/// # runtime.block_on(async {
/// let mut listener = UnixListener::bind("/run/example.sock")?;
/// let mut client = UnixQueue::connect("/run/example.sock").await?;
/// client.push("hello").await?;
/// let mut server = listener.pop().await?.unwrap();
/// assert_eq!(server.pop().await?.unwrap().as_ref(), b"hello");
/// # Ok::<(), hemi::Error>(())
/// # })?;
/// # Ok::<(), hemi::Error>(())
/// ```
pub struct UnixListener {
    handle: Handle<Accept>,
}

impl UnixListener {
    /// Listen at the path `at`, which must not exist, on the default transport.
    ///
    /// Over kernel sockets a file is made there, and it stays when the socket is closed, as with every other program:
    /// a successor may have bound the path meanwhile. Remove it before a bind, or after the close.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when the path is taken or not permitted;
    /// [`Error::Unsupported`](crate::Error::Unsupported) on a transport without Unix sockets.
    pub fn bind(at: impl AsRef<Path>) -> Result<Self> {
        Options::new().listen_unix(at)
    }

    /// As [`bind`](Self::bind), on the transport called `transport`.
    pub fn bind_on(transport: &str, at: impl AsRef<Path>) -> Result<Self> {
        Options::new().on(transport).listen_unix(at)
    }

    pub(super) fn new(acceptor: Rc<dyn Acceptor>) -> Result<Self> {
        Ok(Self { handle: Handle::new(Accept { acceptor, framing: None })? })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> Result<Endpoint> {
        self.handle.acceptor.local_addr()
    }

    #[allow(clippy::unused_self)] // listeners of units need theirs
    fn accepted(&self, socket: Rc<dyn StreamSocket>) -> Result<UnixQueue> {
        UnixQueue::new(socket)
    }
}

listener!(UnixListener, UnixQueue);

/// A Unix stream as a queue of bytes.
///
/// See [`UnixListener`] for an example.
pub struct UnixQueue {
    handle: Handle<ByteStream>,
}

impl UnixQueue {
    /// Connect to the path `to` on the default transport.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when nobody listens there.
    pub async fn connect(to: impl AsRef<Path>) -> Result<Self> {
        Options::new().connect_unix(to).await
    }

    /// As [`connect`](Self::connect), on the transport called `transport`.
    pub async fn connect_on(transport: &str, to: impl AsRef<Path>) -> Result<Self> {
        Options::new().on(transport).connect_unix(to).await
    }

    pub(super) fn new(socket: Rc<dyn StreamSocket>) -> Result<Self> {
        Ok(Self { handle: Handle::new(ByteStream::new(socket))? })
    }

    /// This end's path; empty for a connecting end.
    pub fn local_addr(&self) -> Result<Endpoint> {
        self.handle.socket.local_addr()
    }

    /// The other end's path; empty for a connecting end.
    pub fn peer_addr(&self) -> Result<Endpoint> {
        self.handle.socket.peer_addr()
    }
}

stream_queue!(UnixQueue, Buf, poll_buf);
