//! [`UnixDatagram`]: a Unix datagram socket.

use std::{
    future::poll_fn,
    path::{Path, PathBuf},
    rc::Rc,
};

use hemi_queue::{
    Result, Sga,
    transport::{DatagramSocket, Endpoint},
};

use super::{
    Options,
    datagram::{Datagrams, datagram_queue},
};
use crate::{names::Handle, token::QToken};

/// A Unix datagram socket as a queue of datagrams.
///
/// ```
/// use hemi::{UnixDatagram, transport::Endpoint};
///
/// # let runtime = hemi::Runtime::builder().net("mem:").build()?;
/// # runtime.block_on(async {
/// let mut server = UnixDatagram::bind("/run/example.sock")?;
/// let mut client = UnixDatagram::bind("/run/client.sock")?;
/// client.push_to("ping", "/run/example.sock").await?;
/// let (unit, from) = server.pop_from().await?.unwrap();
/// assert_eq!((unit.to_vec(), from), (b"ping".to_vec(), Endpoint::Unix("/run/client.sock".into())));
/// # Ok::<(), hemi::Error>(())
/// # })?;
/// # Ok::<(), hemi::Error>(())
/// ```
pub struct UnixDatagram {
    handle: Handle<Datagrams>,
}

impl UnixDatagram {
    /// Open a socket at the path `at`, which must not exist, on the default transport.
    ///
    /// Over kernel sockets a file is made there, and it stays when the socket is closed, as with every other program:
    /// a successor may have bound the path meanwhile. Remove it before a bind, or after the close.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when the path is taken or not permitted;
    /// [`Error::Unsupported`](crate::Error::Unsupported) on a transport without Unix sockets.
    pub fn bind(at: impl AsRef<Path>) -> Result<Self> {
        Options::new().bind_unix_datagram(at)
    }

    /// Open a socket without a path: it can send, and nobody can answer.
    pub fn unbound() -> Result<Self> {
        Self::bind("")
    }

    pub(super) fn new(socket: Rc<dyn DatagramSocket>) -> Result<Self> {
        Ok(Self { handle: Handle::new(Datagrams { socket })? })
    }

    /// Send to and receive from the path `to` only, from now on.
    pub fn connect(&mut self, to: impl Into<PathBuf>) -> Result<()> {
        self.handle.socket.connect(&Endpoint::Unix(to.into()))
    }

    /// The next datagram and its sender, `None` once the socket is closed. Cancel-safe.
    pub async fn pop_from(&mut self) -> Result<Option<(Sga, Endpoint)>> {
        poll_fn(|cx| self.handle.poll_pop_from(cx)).await
    }

    /// Send one datagram to the path `to`. Completes when there is room for another; one that was begun is not retracted.
    pub async fn push_to(&mut self, unit: impl Into<Sga>, to: impl Into<PathBuf>) -> Result<()> {
        self.handle.push_to(unit.into(), Endpoint::Unix(to.into())).await
    }

    /// Submit a push to the path `to` and go on.
    ///
    /// # Errors
    /// [`Error::Busy`](crate::Error::Busy) when too many operations are unclaimed.
    pub fn submit_push_to(&self, unit: impl Into<Sga>, to: impl Into<PathBuf>) -> Result<QToken> {
        self.handle.submit_push_to(unit.into(), Endpoint::Unix(to.into()))
    }

    /// This end's path.
    pub fn local_addr(&self) -> Result<Endpoint> {
        self.handle.socket.local_addr()
    }

    /// The connected peer's path.
    pub fn peer_addr(&self) -> Result<Endpoint> {
        self.handle.socket.peer_addr()
    }
}

datagram_queue!(UnixDatagram);
