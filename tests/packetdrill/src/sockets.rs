//! Descriptors, and the calls that are the same for every kind of socket.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hemi_net::{ConnError, ListenerId, UdpError};

use crate::{
    datagrams::Datagrams,
    options::Options,
    ready::Epoll,
    streams::Stream,
    world::{Errno, World},
};

/// What a number names.
#[derive(Debug)]
pub(crate) enum Descriptor {
    Socket(Socket),
    Epoll(Epoll),
}

/// A socket.
#[derive(Debug)]
pub(crate) struct Socket {
    /// `AF_INET` or `AF_INET6`.
    pub(crate) v6: bool,
    pub(crate) nonblocking: bool,
    pub(crate) options: Options,
    pub(crate) bound: Option<SocketAddr>,
    pub(crate) kind: Kind,
}

/// What has become of a socket.
#[derive(Debug)]
pub(crate) enum Kind {
    /// A TCP socket that neither listens nor is connected.
    Fresh,
    Listener(ListenerId),
    Stream(Box<Stream>),
    /// A UDP socket; opened in the stack when it is bound, or first sends.
    Datagrams(Datagrams),
}

impl Socket {
    /// An address of the stack's as this socket's family shows it.
    pub(crate) fn shown(&self, at: SocketAddr) -> SocketAddr {
        match at.ip() {
            IpAddr::V4(ip) if self.v6 => SocketAddr::new(ip.to_ipv6_mapped().into(), at.port()),
            _ => at,
        }
    }
}

/// An address that a program gave, as the stack knows it: mapped ones are IPv4's.
pub(crate) fn plain(at: SocketAddr) -> SocketAddr {
    SocketAddr::new(at.ip().to_canonical(), at.port())
}

/// What `errno` says of an error of a connection.
pub(crate) fn errno_of(error: ConnError) -> Errno {
    match error {
        ConnError::Reset => libc::ECONNRESET,
        ConnError::Refused => libc::ECONNREFUSED,
        ConnError::TimedOut => libc::ETIMEDOUT,
        ConnError::Unreachable => libc::EHOSTUNREACH,
        ConnError::Aborted => libc::ECONNABORTED,
        ConnError::Closed => libc::EPIPE,
        ConnError::Full => libc::EAGAIN,
        ConnError::TooLarge => libc::EMSGSIZE,
        ConnError::AddressInUse => libc::EADDRINUSE,
        ConnError::NoSuchAddress | ConnError::NoPorts => libc::EADDRNOTAVAIL,
    }
}

/// And of a UDP socket.
pub(crate) fn errno_of_udp(error: UdpError) -> Errno {
    match error {
        UdpError::AddressInUse => libc::EADDRINUSE,
        UdpError::NoSuchAddress | UdpError::NoPorts => libc::EADDRNOTAVAIL,
        UdpError::NoDestination => libc::EDESTADDRREQ,
        UdpError::TooLarge(_) => libc::EMSGSIZE,
        UdpError::Full => libc::EAGAIN,
        UdpError::Broadcast => libc::EACCES,
        UdpError::Unreachable => libc::EHOSTUNREACH,
        UdpError::Refused => libc::ECONNREFUSED,
        UdpError::Closed => libc::EBADF,
    }
}

impl World {
    /// `socket()`.
    pub(crate) fn socket(&mut self, domain: i32, kind: i32, protocol: i32) -> Result<i32, Errno> {
        let v6 = match domain {
            libc::AF_INET => false,
            libc::AF_INET6 => true,
            _ => return Err(libc::EAFNOSUPPORT),
        };
        let nonblocking = kind & libc::SOCK_NONBLOCK != 0;
        let kind = match (kind & !(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC), protocol) {
            (libc::SOCK_STREAM, 0 | libc::IPPROTO_TCP) => Kind::Fresh,
            (libc::SOCK_DGRAM, 0 | libc::IPPROTO_UDP) => Kind::Datagrams(Datagrams::default()),
            _ => return Err(libc::EPROTONOSUPPORT),
        };
        let socket = Socket { v6, nonblocking, options: Options::default(), bound: None, kind };
        self.open(Descriptor::Socket(socket))
    }

    /// The socket behind a number.
    pub(crate) fn sock(&mut self, fd: i32) -> Result<&mut Socket, Errno> {
        match self.descriptors.get_mut(&fd) {
            Some(Descriptor::Socket(socket)) => Ok(socket),
            Some(Descriptor::Epoll(_)) => Err(libc::ENOTSOCK),
            None => Err(libc::EBADF),
        }
    }

    /// `bind()`.
    pub(crate) fn bind(&mut self, fd: i32, at: SocketAddr) -> Result<(), Errno> {
        let at = plain(at);
        let socket = self.sock(fd)?;
        if socket.bound.is_some() || !matches!(socket.kind, Kind::Fresh | Kind::Datagrams(_)) {
            return Err(libc::EINVAL);
        }
        if !at.ip().is_unspecified() && !self.stack(Some(at.ip())).addresses().any(|ip| ip == at.ip()) {
            return Err(libc::EADDRNOTAVAIL);
        }
        let socket = self.sock(fd)?;
        socket.bound = Some(at);
        if matches!(socket.kind, Kind::Datagrams(_)) { self.open_datagrams(fd) } else { Ok(()) }
    }

    /// `getsockname()`, as far as `accept` and `recvfrom` need it: any address of the socket's family.
    pub(crate) fn any(v6: bool) -> SocketAddr {
        let ip = if v6 { IpAddr::V6(Ipv6Addr::UNSPECIFIED) } else { IpAddr::V4(Ipv4Addr::UNSPECIFIED) };
        SocketAddr::new(ip, 0)
    }

    /// `close()`.
    pub(crate) fn close(&mut self, fd: i32) -> Result<(), Errno> {
        let descriptor = self.forget(fd)?;
        self.forget_in_epolls(fd);
        let Descriptor::Socket(socket) = descriptor else { return Ok(()) };
        let now = self.now;
        match socket.kind {
            Kind::Fresh => {}
            Kind::Listener(id) => self.stack(None).tcp_close_listener(id, now),
            Kind::Stream(stream) => self.close_stream(*stream),
            Kind::Datagrams(d) => self.close_datagrams(&d),
        }
        Ok(())
    }
}
