//! `socket`, `bind`, `listen`, `accept`, `connect`: the control path of the network, on bare descriptors.
//!
//! A socket begins as nothing but its kind. `bind` remembers an address (a datagram socket is opened there); `listen` and
//! `connect` turn it into what they say. Addresses are resolved already: names are looked up by
//! [`Options`] and the typed queues.

use std::{
    any::Any,
    cell::RefCell,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    rc::Rc,
};

use hemi_queue::{
    Error, Op, Qd, Result,
    transport::{Caps, Endpoint, SocketOptions, Transport},
};

use super::data::entry;
use crate::{
    Options, context,
    names::{Entry, Kind, Object},
    net::Transports,
    queues::{
        accept::Accept,
        datagram::Datagrams,
        stream::{ByteStream, Framing, UnitStream},
    },
    token::QToken,
};

/// What a bare socket carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketKind {
    /// Units over a connection, on any transport: what [`Conn`](crate::Conn) is.
    Units,
    /// Bytes over TCP.
    Tcp,
    /// Datagrams over UDP.
    Udp,
    /// Bytes over a Unix stream.
    Unix,
    /// Unix datagrams.
    UnixDatagram,
}

impl SocketKind {
    fn is_datagram(self) -> bool {
        matches!(self, Self::Udp | Self::UnixDatagram)
    }

    fn check(self, caps: Caps, transport: &'static str) -> Result<()> {
        let (served, what) = match self {
            Self::Units => (true, ""),
            Self::Tcp => (caps.tcp, "TCP"),
            Self::Udp => (caps.udp, "UDP"),
            Self::Unix | Self::UnixDatagram => (caps.unix, "a Unix socket"),
        };
        let instead = "use SocketKind::Units, which every transport serves";
        if served { Ok(()) } else { Err(Error::unsupported(what, transport, instead)) }
    }
}

/// A socket that is not yet anything.
struct Unconnected {
    kind: SocketKind,
    transport: Rc<dyn Transport>,
    options: SocketOptions,
    framing: Option<Framing>,
    bound: RefCell<Option<Endpoint>>,
}

impl Object for Unconnected {
    fn kind(&self) -> Kind {
        Kind::Socket
    }

    fn local_addr(&self) -> Result<Endpoint> {
        let bound = self.bound.borrow().clone();
        bound.ok_or_else(|| self.wrong("local_addr", "the socket is not bound yet"))
    }

    fn close(&self) {}
}

impl Unconnected {
    fn stream(&self, to: &Endpoint) -> Result<Rc<dyn Object>> {
        let mut options = self.options.clone();
        options.bind_to = self.bound.borrow().as_ref().and_then(Endpoint::ip).or(options.bind_to);
        let socket = self.transport.connect(to, &options)?;
        Ok(match &self.framing {
            Some(framing) => Rc::new(UnitStream::new(socket, framing.clone())),
            None => Rc::new(ByteStream::new(socket)),
        })
    }

    fn datagrams(&self, at: &Endpoint) -> Result<Rc<dyn Object>> {
        Ok(Rc::new(Datagrams { socket: self.transport.bind(at, &self.options)? }))
    }
}

/// A new socket on the default transport.
///
/// ```
/// use hemi::{Completion, Sga, qd};
///
/// let runtime = hemi::Runtime::builder().net("mem:").build()?;
/// runtime.block_on(async {
///     let server = qd::socket(qd::SocketKind::Units)?;
///     qd::bind(server, "127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap())?;
///     qd::listen(server, 16)?;
///     let client = qd::socket(qd::SocketKind::Units)?;
///     let connected = qd::connect(client, qd::local_addr(server)?)?;
///     let Completion::Accepted(Some(conn)) = qd::accept(server)?.await? else { panic!() };
///     connected.await?;
///     qd::push(client, Sga::from("one unit"))?.await?;
///     let Completion::Popped(Some(unit)) = qd::pop(conn)?.await? else { panic!() };
///     assert_eq!(unit.to_vec(), b"one unit");
///     for qd in [conn, client, server] {
///         qd::close(qd)?;
///     }
///     Ok::<(), hemi::Error>(())
/// })?;
/// # Ok::<(), hemi::Error>(())
/// ```
///
/// # Errors
/// [`Error::Unsupported`] when the transport does not carry this kind.
pub fn socket(kind: SocketKind) -> Result<Qd> {
    socket_with(kind, &Options::new())
}

/// A new socket as `options` say: on which transport, with which limits.
///
/// # Errors
/// As for [`socket`]; and when there is no transport of that name.
pub fn socket_with(kind: SocketKind, options: &Options) -> Result<Qd> {
    let core = context::current()?;
    let transport = Transports::find(&core, &options.transport)?;
    kind.check(transport.caps(), transport.scheme())?;
    let mut socket = options.socket.clone();
    socket.reuse_port = options.reuse_port.unwrap_or(core.cores > 1);
    let framing = (kind == SocketKind::Units).then(|| match (options.raw, transport.caps().native_units) {
        (true, _) => Framing::raw(),
        (false, true) => Framing::native(options.unit_limit),
        (false, false) => Framing::length_prefixed(options.unit_limit, &core.pool),
    });
    let object = Unconnected { kind, transport, options: socket, framing, bound: RefCell::default() };
    Ok(Entry::open(&core, Rc::new(object)).qd())
}

/// Run `f` on a socket that is not yet anything.
fn unconnected<R>(qd: Qd, op: &'static str, f: impl FnOnce(&Entry, &Unconnected) -> Result<R>) -> Result<R> {
    let entry = entry(qd)?;
    let object: Rc<dyn Any> = entry.object();
    match object.downcast::<Unconnected>() {
        Ok(socket) => f(&entry, &socket),
        Err(_) => Err(Error::wrong_kind(op, "it is listening, connected or open already")),
    }
}

/// Give a socket its own address. A datagram socket is open from here on.
///
/// # Errors
/// [`Error::Io`] when the address cannot be had (of a stream socket at [`listen`] or [`connect`] only);
/// [`Error::WrongKind`] when it is listening or connected already.
pub fn bind(qd: Qd, at: impl Into<Endpoint>) -> Result<()> {
    unconnected(qd, "bind", |entry, socket| {
        let at = at.into();
        if socket.kind.is_datagram() {
            entry.replace_object(socket.datagrams(&at)?);
        } else {
            socket.bound.replace(Some(at));
        }
        Ok(())
    })
}

/// Turn a bound socket into a listening queue with room for `backlog` connections that wait to be accepted.
///
/// # Errors
/// [`Error::Io`] when the address is taken, not permitted or not this machine's; [`Error::WrongKind`] when the socket is not bound.
pub fn listen(qd: Qd, backlog: u32) -> Result<()> {
    unconnected(qd, "listen", |entry, socket| {
        if socket.kind.is_datagram() {
            return Err(Error::wrong_kind("listen", "datagram sockets have no connections"));
        }
        let bound = socket.bound.borrow().clone();
        let at = bound.ok_or_else(|| Error::wrong_kind("listen", "bind the socket first"))?;
        let mut options = socket.options.clone();
        options.backlog = backlog;
        let acceptor = socket.transport.listen(&at, &options)?;
        entry.replace_object(Rc::new(Accept { acceptor, framing: socket.framing.clone() }));
        Ok(())
    })
}

/// Submit an accept. Its result is [`Completion::Accepted`](crate::Completion::Accepted) with the connection's descriptor, or
/// `None` when the listener was closed.
///
/// # Errors
/// [`Error::BadQd`], [`Error::Busy`]; that the queue is no listener is told by the token.
pub fn accept(qd: Qd) -> Result<QToken> {
    entry(qd)?.submit(Op::Accept)
}

/// Submit a connect. Its result is [`Completion::Connected`](crate::Completion::Connected). A datagram socket is connected to its
/// peer at once.
///
/// # Errors
/// What the transport refuses at once; that the peer refused is told by the token.
pub fn connect(qd: Qd, to: impl Into<Endpoint>) -> Result<QToken> {
    let (entry, to) = (entry(qd)?, to.into());
    let object: Rc<dyn Any> = entry.object();
    let Ok(socket) = object.downcast::<Unconnected>() else {
        entry.object().set_peer(&to)?; // a datagram socket that was bound
        return entry.submit(Op::Connect);
    };
    if socket.kind.is_datagram() {
        let datagrams = socket.datagrams(&any_like(&to))?;
        datagrams.set_peer(&to)?;
        entry.replace_object(datagrams);
    } else {
        entry.replace_object(socket.stream(&to)?);
    }
    entry.submit(Op::Connect)
}

/// The unspecified address of the same family.
fn any_like(to: &Endpoint) -> Endpoint {
    match to {
        Endpoint::Ip(SocketAddr::V4(_)) => Endpoint::Ip((Ipv4Addr::UNSPECIFIED, 0).into()),
        Endpoint::Ip(SocketAddr::V6(_)) => Endpoint::Ip((Ipv6Addr::UNSPECIFIED, 0).into()),
        Endpoint::Unix(_) => Endpoint::Unix(std::path::PathBuf::new()),
        _ => Endpoint::Name(String::new()),
    }
}

/// This end's address, with the port that was chosen.
///
/// # Errors
/// [`Error::BadQd`]; [`Error::WrongKind`] where there is none.
pub fn local_addr(qd: Qd) -> Result<Endpoint> {
    entry(qd)?.object().local_addr()
}

/// The other end's address.
///
/// # Errors
/// [`Error::BadQd`]; [`Error::WrongKind`] where there is none.
pub fn peer_addr(qd: Qd) -> Result<Endpoint> {
    entry(qd)?.object().peer_addr()
}
