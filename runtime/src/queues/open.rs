//! Opening queues: from options and an address to a socket of a transport, and from that to a queue.

use std::{future::poll_fn, io, path::Path, rc::Rc};

use hemi_queue::{
    Error, Result,
    transport::{Acceptor, Caps, DatagramSocket, Endpoint, SocketOptions, StreamSocket, Transport},
};

use super::{
    Conn, Listener, Options, TcpListener, TcpQueue, UdpQueue, UnixDatagram, UnixListener, UnixQueue,
    stream::Framing,
};
use crate::{
    context::{self, Core},
    net::{Address, Transports},
    time::timeout,
};

/// What a queue type asks of its transport and address.
struct Need {
    what: &'static str,
    served: fn(&Caps) -> bool,
    instead: &'static str,
    fits: fn(&Endpoint) -> bool,
    form: &'static str,
}

const UNITS: Need =
    Need { what: "a stream of units", served: |_| true, instead: "", fits: |_| true, form: "" };
const TCP: Need = Need {
    what: "TCP",
    served: |caps| caps.tcp,
    instead: "use Listener and Conn, which carry units on every transport",
    fits: |at| at.ip().is_some(),
    form: "TCP and UDP need an IP address and a port, like 127.0.0.1:7000",
};
const UDP: Need = Need {
    what: "UDP",
    served: |caps| caps.udp,
    instead: "use Listener and Conn, which carry units on every transport",
    ..TCP
};
const UNIX: Need = Need {
    what: "a Unix socket",
    served: |caps| caps.unix,
    instead: "use Listener and Conn, which carry units on every transport",
    fits: |at| matches!(at, Endpoint::Unix(_)),
    form: "a Unix socket needs a path",
};

/// The transport, and what to pass it.
struct Opening {
    core: Rc<Core>,
    transport: Rc<dyn Transport>,
    socket: SocketOptions,
}

impl Opening {
    fn new(options: &Options, need: &Need) -> Result<Self> {
        let core = context::current()?;
        let transport = Transports::find(&core, &options.transport)?;
        if !(need.served)(&transport.caps()) {
            let transport = transport.scheme();
            return Err(Error::unsupported(need.what, transport, need.instead));
        }
        let mut socket = options.socket.clone();
        socket.reuse_port = options.reuse_port.unwrap_or(core.cores > 1);
        Ok(Self { core, transport, socket })
    }

    /// The endpoints that `address` stands for and this transport can reach.
    async fn endpoints(&self, address: Address, need: &Need) -> Result<Vec<Endpoint>> {
        let text = address.to_string();
        let mut endpoints = address.resolve(&self.core).await?;
        endpoints.retain(|at| (need.fits)(at));
        if endpoints.is_empty() {
            return Err(unfit(&text, need.form));
        }
        let caps = self.transport.caps();
        if matches!(endpoints[0], Endpoint::Name(_)) && !caps.names {
            return Err(unfit(&text, "this transport knows no names; write an IP address and a port"));
        }
        if matches!(endpoints[0], Endpoint::Unix(_)) && !caps.unix {
            let transport = self.transport.scheme();
            return Err(Error::unsupported(UNIX.what, transport, TCP.form));
        }
        Ok(endpoints)
    }

    /// Listen at the first of `endpoints` that can be had.
    fn acceptor(&self, endpoints: &[Endpoint]) -> Result<Rc<dyn Acceptor>> {
        first(endpoints, |at| self.transport.listen(at, &self.socket))
    }

    /// Connect to the first of `endpoints` that answers.
    async fn stream(&self, endpoints: &[Endpoint]) -> Result<Rc<dyn StreamSocket>> {
        let mut failed = None;
        for to in endpoints {
            match self.connect(to).await {
                Ok(socket) => return Ok(socket),
                Err(e) => failed = failed.or(Some(e)),
            }
        }
        Err(failed.unwrap_or(Error::Closed))
    }

    async fn connect(&self, to: &Endpoint) -> Result<Rc<dyn StreamSocket>> {
        let mut opening = Half(Some(self.transport.connect(to, &self.socket)?));
        let connected = poll_fn(|cx| match &opening.0 {
            Some(socket) => socket.poll_connected(cx),
            None => std::task::Poll::Ready(Err(Error::Closed)),
        });
        let outcome = match self.socket.connect_timeout {
            Some(most) => timeout(most, connected).await.unwrap_or(Err(Error::TimedOut("connect"))),
            None => connected.await,
        };
        outcome.map_err(|e| at(to, e))?;
        opening.0.take().ok_or(Error::Closed)
    }

    fn datagram(&self, endpoints: &[Endpoint]) -> Result<Rc<dyn DatagramSocket>> {
        first(endpoints, |at| self.transport.bind(at, &self.socket))
    }

    fn framing(&self, options: &Options) -> Framing {
        if options.raw {
            Framing::raw()
        } else if self.transport.caps().native_units {
            Framing::native(options.unit_limit)
        } else {
            Framing::length_prefixed(options.unit_limit, &self.core.pool)
        }
    }
}

/// The error with the address it belongs to, which a driver need not keep.
#[cold]
fn at(to: &Endpoint, error: Error) -> Error {
    match error {
        Error::Io(mut failure) if failure.target.is_empty() => {
            failure.target = to.to_string();
            Error::Io(failure)
        }
        other => other,
    }
}

/// A connect under way: ended when the future that waits for it is dropped.
struct Half(Option<Rc<dyn StreamSocket>>);

impl Drop for Half {
    fn drop(&mut self) {
        if let Some(socket) = self.0.take() {
            socket.abort();
        }
    }
}

/// The first success, else the first failure.
fn first<T>(endpoints: &[Endpoint], mut open: impl FnMut(&Endpoint) -> Result<T>) -> Result<T> {
    let mut failed = None;
    for at in endpoints {
        match open(at) {
            Ok(t) => return Ok(t),
            Err(e) => failed = failed.or(Some(e)),
        }
    }
    Err(failed.unwrap_or(Error::Closed))
}

#[cold]
fn unfit(address: &str, why: &'static str) -> Error {
    Error::io("use the address", address, io::Error::new(io::ErrorKind::InvalidInput, why))
}

pub(super) async fn listener(options: &Options, at: Address) -> Result<Listener> {
    let opening = Opening::new(options, &UNITS)?;
    let at = opening.endpoints(at, &UNITS).await?;
    let framing = opening.framing(options);
    Listener::new(opening.acceptor(&at)?, framing)
}

pub(super) async fn conn(options: &Options, to: Address) -> Result<Conn> {
    let opening = Opening::new(options, &UNITS)?;
    let to = opening.endpoints(to, &UNITS).await?;
    Conn::new(opening.stream(&to).await?, opening.framing(options))
}

/// Begin to connect without waiting: for submitted connects.
pub(super) fn conn_begin(options: &Options, to: &Endpoint) -> Result<Conn> {
    let opening = Opening::new(options, &UNITS)?;
    Conn::new(opening.transport.connect(to, &opening.socket)?, opening.framing(options))
}

pub(super) fn tcp_begin(options: &Options, to: &Endpoint) -> Result<TcpQueue> {
    let opening = Opening::new(options, &TCP)?;
    if !(TCP.fits)(to) {
        return Err(unfit(&to.to_string(), TCP.form));
    }
    TcpQueue::new(opening.transport.connect(to, &opening.socket)?)
}

pub(super) async fn tcp_listener(options: &Options, at: Address) -> Result<TcpListener> {
    let opening = Opening::new(options, &TCP)?;
    let at = opening.endpoints(at, &TCP).await?;
    TcpListener::new(opening.acceptor(&at)?)
}

pub(super) async fn tcp(options: &Options, to: Address) -> Result<TcpQueue> {
    let opening = Opening::new(options, &TCP)?;
    let to = opening.endpoints(to, &TCP).await?;
    TcpQueue::new(opening.stream(&to).await?)
}

pub(super) async fn udp(options: &Options, at: Address) -> Result<UdpQueue> {
    let opening = Opening::new(options, &UDP)?;
    let at = opening.endpoints(at, &UDP).await?;
    UdpQueue::new(opening.datagram(&at)?)
}

/// The endpoints of `to` for a UDP socket's `connect`.
pub(super) async fn udp_peer(to: Address) -> Result<Vec<Endpoint>> {
    let core = context::current()?;
    let text = to.to_string();
    let mut endpoints = to.resolve(&core).await?;
    endpoints.retain(|at| (UDP.fits)(at));
    if endpoints.is_empty() { Err(unfit(&text, UDP.form)) } else { Ok(endpoints) }
}

pub(super) fn unix_listener(options: &Options, at: &Path) -> Result<UnixListener> {
    let opening = Opening::new(options, &UNIX)?;
    UnixListener::new(opening.acceptor(&[Endpoint::Unix(at.to_owned())])?)
}

pub(super) async fn unix(options: &Options, to: &Path) -> Result<UnixQueue> {
    let opening = Opening::new(options, &UNIX)?;
    UnixQueue::new(opening.stream(&[Endpoint::Unix(to.to_owned())]).await?)
}

pub(super) fn unix_datagram(options: &Options, at: &Path) -> Result<UnixDatagram> {
    let opening = Opening::new(options, &UNIX)?;
    UnixDatagram::new(opening.datagram(&[Endpoint::Unix(at.to_owned())])?)
}
