//! [`Conn`]: the portable connection.

use std::rc::Rc;

use hemi_queue::{
    Result, Sga,
    transport::{Endpoint, StreamSocket},
};
use hemi_verbs::OneSidedOp;

use super::{
    Options,
    handle::stream_queue,
    open,
    stream::{Framing, UnitStream},
};
use crate::{names::Handle, net::Address, token::QToken};

/// A connection on any transport, as a queue of units: what is pushed as one pops as one.
///
/// A transport that keeps units (`mem:`, RDMA) carries them as they are; over a byte stream (TCP, Unix) each travels
/// behind its length ([`LengthPrefix`](crate::framing::LengthPrefix): big-endian `u32`). A unit has at most
/// [`Options::unit_limit`] bytes, 16 MiB where nothing was said: a larger push is refused and not sent, a larger unit of the
/// peer's ends the connection with [`Error::UnitTooLarge`](crate::Error::UnitTooLarge).
///
/// [`raw`](Self::raw) is for peers that do not frame. See [`Listener`](super::Listener) for an example.
pub struct Conn {
    handle: Handle<UnitStream>,
}

impl Conn {
    /// Connect to `to` on the default transport, trying each address of a host name in turn; no retries.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when nobody listens there; [`Options::connect_timeout`] bounds the waiting.
    pub async fn connect(to: impl Into<Address>) -> Result<Self> {
        Options::new().connect(to).await
    }

    /// As [`connect`](Self::connect), on the transport called `transport`.
    pub async fn connect_on(transport: &str, to: impl Into<Address>) -> Result<Self> {
        Options::new().on(transport).connect(to).await
    }

    /// Begin to connect and go on: the queue, and the token that tells when it is established. The address must need no
    /// resolver.
    pub fn submit_connect(to: impl Into<Endpoint>) -> Result<(Self, QToken)> {
        Options::new().submit_connect(to)
    }

    pub(super) fn begin(options: &Options, to: &Endpoint) -> Result<(Self, QToken)> {
        let conn = open::conn_begin(options, to)?;
        let token = conn.handle.submit_connect()?;
        Ok((conn, token))
    }

    pub(super) fn new(socket: Rc<dyn StreamSocket>, framing: Framing) -> Result<Self> {
        Ok(Self { handle: Handle::new(UnitStream::new(socket, framing))? })
    }

    /// Without framing from now on: a pop gives bytes as they come, a push sends just its bytes. Bytes that have arrived
    /// and make no whole unit yet come first.
    ///
    /// ```
    /// use hemi::{Conn, Listener, Options, Pop, Push};
    ///
    /// # let runtime = hemi::Runtime::builder().net("mem:?stream=bytes&mss=4").build()?;
    /// # runtime.block_on(async {
    /// let mut listener = Listener::bind("wire").await?;
    /// let mut framed = Conn::connect("wire").await?;
    /// let mut raw = listener.pop().await?.unwrap().raw();
    /// framed.push("hi").await?;
    /// assert_eq!(raw.pop().await?.unwrap().to_vec(), [0, 0, 0, 2]); // the length
    /// assert_eq!(raw.pop().await?.unwrap().to_vec(), b"hi");
    /// # Ok::<(), hemi::Error>(())
    /// # })?;
    /// # Ok::<(), hemi::Error>(())
    /// ```
    pub fn raw(self) -> Self {
        self.handle.make_raw();
        self
    }

    /// The socket below.
    pub(super) fn socket(&self) -> &dyn StreamSocket {
        &*self.handle.socket
    }

    /// Submit a one-sided operation on it.
    pub(super) fn submit_reach(&self, begin: impl FnOnce() -> Result<OneSidedOp>) -> Result<QToken> {
        self.handle.submit_reach(begin)
    }

    /// This end's address.
    pub fn local_addr(&self) -> Result<Endpoint> {
        self.handle.socket.local_addr()
    }

    /// The other end's address.
    pub fn peer_addr(&self) -> Result<Endpoint> {
        self.handle.socket.peer_addr()
    }
}

stream_queue!(Conn, Sga, poll_unit);
