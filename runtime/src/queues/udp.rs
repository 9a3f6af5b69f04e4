//! [`UdpQueue`]: a UDP socket.

use std::{future::poll_fn, net::SocketAddr, rc::Rc};

use hemi_queue::{
    Error, Result, Sga,
    transport::{DatagramSocket, Endpoint},
};

use super::{
    Options,
    datagram::{Datagrams, datagram_queue},
    ip_of, open,
};
use crate::{names::Handle, net::Address, token::QToken};

/// A UDP socket as a queue of datagrams: one datagram is one unit.
///
/// ```
/// use hemi::{Pop, Push, UdpQueue};
///
/// # let runtime = hemi::Runtime::builder().net("mem:").build()?;
/// # runtime.block_on(async {
/// let mut server = UdpQueue::bind("127.0.0.1:0").await?;
/// let at = server.local_addr()?;
/// let mut client = UdpQueue::bind("127.0.0.1:0").await?;
/// client.connect(at).await?;
/// client.push("ping").await?;
/// let (unit, from) = server.pop_from().await?.unwrap();
/// server.push_to(unit, from).await?;
/// assert_eq!(client.pop().await?.unwrap().to_vec(), b"ping");
/// # Ok::<(), hemi::Error>(())
/// # })?;
/// # Ok::<(), hemi::Error>(())
/// ```
pub struct UdpQueue {
    handle: Handle<Datagrams>,
}

impl UdpQueue {
    /// Open a socket at `at` (port 0 chooses a port) on the default transport.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when the address is taken or not this machine's;
    /// [`Error::Unsupported`](crate::Error::Unsupported) on a transport without UDP.
    pub async fn bind(at: impl Into<Address>) -> Result<Self> {
        Options::new().bind_udp(at).await
    }

    /// As [`bind`](Self::bind), on the transport called `transport`.
    pub async fn bind_on(transport: &str, at: impl Into<Address>) -> Result<Self> {
        Options::new().on(transport).bind_udp(at).await
    }

    pub(super) fn new(socket: Rc<dyn DatagramSocket>) -> Result<Self> {
        Ok(Self { handle: Handle::new(Datagrams { socket })? })
    }

    /// Send to and receive from `to` only, from now on.
    pub async fn connect(&mut self, to: impl Into<Address>) -> Result<()> {
        let mut failed = None;
        for to in open::udp_peer(to.into()).await? {
            match self.handle.socket.connect(&to) {
                Ok(()) => return Ok(()),
                Err(e) => failed = failed.or(Some(e)),
            }
        }
        Err(failed.unwrap_or(Error::Closed))
    }

    /// The next datagram and its sender, `None` once the socket is closed. Cancel-safe.
    pub async fn pop_from(&mut self) -> Result<Option<(Sga, SocketAddr)>> {
        match poll_fn(|cx| self.handle.poll_pop_from(cx)).await? {
            Some((unit, from)) => Ok(Some((unit, ip_of(&from)?))),
            None => Ok(None),
        }
    }

    /// Send one datagram to `to`. Completes when there is room for another; one that was begun is not retracted.
    ///
    /// # Errors
    /// [`Error::UnitTooLarge`] for more than a datagram carries.
    pub async fn push_to(&mut self, unit: impl Into<Sga>, to: SocketAddr) -> Result<()> {
        self.handle.push_to(unit.into(), Endpoint::Ip(to)).await
    }

    /// Submit a push to `to` and go on.
    ///
    /// # Errors
    /// [`Error::Busy`] when too many operations are unclaimed.
    pub fn submit_push_to(&self, unit: impl Into<Sga>, to: SocketAddr) -> Result<QToken> {
        self.handle.submit_push_to(unit.into(), Endpoint::Ip(to))
    }

    /// This end's address.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        ip_of(&self.handle.socket.local_addr()?)
    }

    /// The connected peer's address.
    pub fn peer_addr(&self) -> Result<SocketAddr> {
        ip_of(&self.handle.socket.peer_addr()?)
    }
}

datagram_queue!(UdpQueue);
