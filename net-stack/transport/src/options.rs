//! From a socket's options to the stack's.

use std::net::SocketAddr;

use hemi_net::{TcpConfig, TcpOptionsConfig};
use hemi_queue::{
    Error, Result,
    transport::{Endpoint, SocketOptions},
};

use crate::stream::Buffers;

/// The IP address and port of an endpoint.
pub(crate) fn ip(at: &Endpoint, what: &'static str) -> Result<SocketAddr> {
    let instead = "use an IP address and a port; `kernel:` has Unix sockets, `mem:` has names";
    at.ip().ok_or_else(|| Error::unsupported(what, "the user-level stack", instead))
}

/// The options of a connection, and the bounds of what it buffers.
///
/// A push is taken into the stack's send buffer (`send_buffer`, else `sndbuf=`), which keeps it until it is acknowledged, and
/// beyond that up to `send_limit`: as with a kernel, whose send buffer counts as the device.
/// Received data is in pooled memory until it is popped; the window may grow to `recv_buffer` (else `rcvbuf=`), and to no more
/// than a `recv_limit` that was made smaller than its default.
pub(crate) fn stream(options: &SocketOptions, config: &TcpConfig) -> (TcpOptionsConfig, Buffers) {
    let usual = SocketOptions::default().recv_limit;
    let asked_for_less = (options.recv_limit < usual).then_some(options.recv_limit);
    let buffers = Buffers {
        send: options.send_buffer.unwrap_or(config.send_buffer).clamp(1, 1 << 29),
        limit: options.send_limit.clamp(1, 1 << 28),
    };
    let mut tcp = TcpOptionsConfig::default();
    tcp.nodelay = options.nodelay;
    tcp.keep_alive = options.keep_alive;
    tcp.fast_open = options.fast_open > 0;
    tcp.fast_open_backlog = (options.fast_open > 0).then_some(options.fast_open as usize);
    tcp.recv_buffer = options.recv_buffer.or(asked_for_less);
    tcp.send_buffer = Some(buffers.most());
    (tcp, buffers)
}
