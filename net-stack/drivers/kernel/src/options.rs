//! Opening sockets with the options asked for.

use std::{os::fd::AsRawFd, time::Duration};

use hemi_queue::{
    Error, Result,
    transport::{Endpoint, SocketOptions, StreamOption},
};
use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};

use crate::{addr::to_sock, sys};

fn open(domain: Domain, kind: Type) -> Result<Socket> {
    let protocol = match (domain, kind) {
        (Domain::UNIX, _) => None,
        (_, Type::DGRAM) => Some(Protocol::UDP),
        _ => Some(Protocol::TCP),
    };
    Socket::new_raw(domain, kind.cloexec(), protocol).map_err(|e| Error::io("socket", "", e))
}

/// Runs a setter and names the option when the system refuses.
fn set(op: &'static str, result: std::io::Result<()>) -> Result<()> {
    result.map_err(|e| Error::io(op, "", e))
}

/// A listening socket.
pub(crate) fn listen(at: &Endpoint, options: &SocketOptions) -> Result<Socket> {
    let (domain, addr) = to_sock(at)?;
    let socket = open(domain, Type::STREAM)?;
    before_bind(&socket, domain, options)?;
    stream(&socket, domain, options)?; // inherited by what is accepted (Linux)
    bind(&socket, &addr, at)?;
    if options.fast_open > 0 && domain != Domain::UNIX {
        // A kernel that does not serve it (sysctl `net.ipv4.tcp_fastopen`) does the ordinary handshake.
        let _ = sys::set_fast_open(socket.as_raw_fd(), libc::TCP_FASTOPEN, options.fast_open);
    }
    let backlog = i32::try_from(options.backlog).unwrap_or(i32::MAX);
    socket.listen(backlog).map_err(|e| Error::io("listen", at, e))?;
    Ok(socket)
}

/// A stream socket that has not begun to connect, and where to.
pub(crate) fn connecting(to: &Endpoint, options: &SocketOptions) -> Result<(Socket, SockAddr)> {
    let (domain, addr) = to_sock(to)?;
    let socket = open(domain, Type::STREAM)?;
    stream(&socket, domain, options)?;
    if options.fast_open > 0 && domain != Domain::UNIX {
        // As above.
        let _ = sys::set_fast_open(socket.as_raw_fd(), libc::TCP_FASTOPEN_CONNECT, 1);
    }
    if let Some(from) = options.bind_to {
        if domain == Domain::UNIX {
            return Err(Error::unsupported(
                "bind_to an IP address on a Unix stream",
                "kernel",
                "leave bind_to unset",
            ));
        }
        before_bind(&socket, domain, options)?;
        bind(&socket, &from.into(), &Endpoint::Ip(from))?;
    }
    Ok((socket, addr))
}

/// A bound datagram socket. The empty Unix path leaves it unnamed.
pub(crate) fn datagram(at: &Endpoint, options: &SocketOptions) -> Result<Socket> {
    let (domain, addr) = to_sock(at)?;
    let socket = open(domain, Type::DGRAM)?;
    let mut options = options.clone();
    options.reuse_addr = false; // on a datagram socket it would let two owners share, and steal, the address
    let options = &options;
    before_bind(&socket, domain, options)?;
    buffers(&socket, options)?;
    if domain != Domain::UNIX {
        set("set SO_BROADCAST", socket.set_broadcast(options.broadcast))?;
    }
    if !matches!(at, Endpoint::Unix(p) if p.as_os_str().is_empty()) {
        bind(&socket, &addr, at)?;
    }
    Ok(socket)
}

fn bind(socket: &Socket, addr: &SockAddr, at: &Endpoint) -> Result<()> {
    socket.bind(addr).map_err(|e| Error::io("bind", at, e))
}

fn before_bind(socket: &Socket, domain: Domain, options: &SocketOptions) -> Result<()> {
    if domain == Domain::UNIX {
        return Ok(());
    }
    set("set SO_REUSEADDR", socket.set_reuse_address(options.reuse_addr))?;
    if options.reuse_port {
        set("set SO_REUSEPORT", socket.set_reuse_port(true))?;
    }
    if let (Domain::IPV6, Some(only)) = (domain, options.only_v6) {
        set("set IPV6_V6ONLY", socket.set_only_v6(only))?;
    }
    Ok(())
}

fn stream(socket: &Socket, domain: Domain, options: &SocketOptions) -> Result<()> {
    buffers(socket, options)?;
    if domain != Domain::UNIX {
        set("set TCP_NODELAY", socket.set_tcp_nodelay(options.nodelay))?;
        if options.keep_alive.is_some() {
            keep_alive(socket, options.keep_alive)?;
        }
    }
    Ok(())
}

fn buffers(socket: &Socket, options: &SocketOptions) -> Result<()> {
    if let Some(size) = options.recv_buffer {
        set("set SO_RCVBUF", socket.set_recv_buffer_size(size))?;
    }
    if let Some(size) = options.send_buffer {
        set("set SO_SNDBUF", socket.set_send_buffer_size(size))?;
    }
    Ok(())
}

fn keep_alive(socket: &Socket, idle: Option<Duration>) -> Result<()> {
    match idle {
        Some(idle) => {
            // The kernel counts in whole seconds, from 1.
            let idle = Duration::from_secs(idle.as_nanos().div_ceil(1_000_000_000).clamp(1, 32767) as u64);
            set("set TCP_KEEPIDLE", socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(idle)))
        }
        None => set("set SO_KEEPALIVE", socket.set_keepalive(false)),
    }
}

/// Change an option of an open stream; linger is the caller's, who does it without blocking.
pub(crate) fn change(socket: &Socket, is_tcp: bool, option: StreamOption) -> Result<()> {
    match option {
        StreamOption::NoDelay(on) if is_tcp => set("set TCP_NODELAY", socket.set_tcp_nodelay(on)),
        StreamOption::KeepAlive(idle) if is_tcp => keep_alive(socket, idle),
        StreamOption::RecvBuffer(size) => set("set SO_RCVBUF", socket.set_recv_buffer_size(size)),
        StreamOption::SendBuffer(size) => set("set SO_SNDBUF", socket.set_send_buffer_size(size)),
        _ => Ok(()), // of no use on a Unix stream
    }
}
