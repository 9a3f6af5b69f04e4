//! [`Listener`]: the portable listening queue.

use std::rc::Rc;

use hemi_queue::{
    Result,
    transport::{Acceptor, Endpoint, StreamSocket},
};

use super::{
    Conn, Options,
    accept::{Accept, listener},
    stream::Framing,
};
use crate::{names::Handle, net::Address};

/// A listening queue on any transport: a queue of [`Conn`]s, which carry units.
///
/// ```
/// use hemi::{Conn, Listener, Pop, Push};
///
/// # let runtime = hemi::Runtime::builder().net("mem:").build()?;
/// # runtime.block_on(async {
/// let mut listener = Listener::bind("127.0.0.1:0").await?;
/// let mut client = Conn::connect(listener.local_addr()?).await?;
/// let mut server = listener.pop().await?.unwrap();
/// client.push("one unit").await?;
/// client.push("and another").await?;
/// assert_eq!(server.pop().await?.unwrap().to_vec(), b"one unit");
/// assert_eq!(server.pop().await?.unwrap().to_vec(), b"and another");
/// # Ok::<(), hemi::Error>(())
/// # })?;
/// # Ok::<(), hemi::Error>(())
/// ```
pub struct Listener {
    handle: Handle<Accept>,
    framing: Framing,
}

impl Listener {
    /// Listen at `at` on the default transport. Port 0 chooses a port.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) when the address is taken or not permitted, or the transport has no use for it.
    pub async fn bind(at: impl Into<Address>) -> Result<Self> {
        Options::new().listen(at).await
    }

    /// As [`bind`](Self::bind), on the transport called `transport`.
    pub async fn bind_on(transport: &str, at: impl Into<Address>) -> Result<Self> {
        Options::new().on(transport).listen(at).await
    }

    pub(super) fn new(acceptor: Rc<dyn Acceptor>, framing: Framing) -> Result<Self> {
        let handle = Handle::new(Accept { acceptor, framing: Some(framing.clone()) })?;
        Ok(Self { handle, framing })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> Result<Endpoint> {
        self.handle.acceptor.local_addr()
    }

    fn accepted(&self, socket: Rc<dyn StreamSocket>) -> Result<Conn> {
        Conn::new(socket, self.framing.clone())
    }
}

listener!(Listener, Conn);
