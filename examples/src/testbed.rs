//! What a conformance suite needs of a host that it tests: echo over TCP and UDP on four ports, IPv4 and IPv6.
//!
//! | port | TCP | UDP |
//! |---|---|---|
//! | P | echo, Nagle off | echo |
//! | P + 1 | echo, Nagle on | |
//! | P + 2 | echo, keep-alive after two idle seconds | |
//! | P + 3 | | control: `C ADDRESS PORT` has the host connect there and echo on that connection |
//!
//! An echo reads no more while what it read last waits for room in the send buffer, so that a peer that does not read sees the
//! window close. At the end of the peer's data everything is flushed, then the connection is closed; a read that ends
//! with `QUIT\n` is echoed, and then this side closes first.

use std::{net::SocketAddr, time::Duration};

use hemi::{Options, Pop, Push, Result, TcpListener, TcpQueue, UdpQueue, spawn};

/// Bytes that each direction of a connection may hold: enough for bulk, and soon full for a peer that does not read.
const BUFFER: usize = 512 << 10;

/// A transport's URI with every frame as on a wire, unless it says otherwise: checksums finished, and nothing longer than the MTU.
///
/// Between the kernel's own devices frames travel with both left to the other side, and a suite that reads them from the other end of a TAP
/// device or a veth pair would see bad checksums and frames of 64 KiB.
///
/// ```
/// use hemi_examples::testbed::as_on_a_wire;
///
/// assert_eq!(as_on_a_wire("tap:hemi0?ip=10.99.0.1/16"), "tap:hemi0?ip=10.99.0.1/16&csum=full");
/// assert_eq!(as_on_a_wire("packet:h0"), "packet:h0?offload=off");
/// assert_eq!(as_on_a_wire("packet:h0?offload=on"), "packet:h0?offload=on");
/// assert_eq!(as_on_a_wire("xdp:h0?mac=interface"), "xdp:h0?mac=interface");
/// ```
pub fn as_on_a_wire(uri: &str) -> String {
    let (key, value) = match uri.split_once(':') {
        Some(("tap", _)) => ("csum", "full"),
        Some(("packet", _)) => ("offload", "off"),
        _ => return uri.to_owned(),
    };
    let parameters = uri.split_once('?').map(|(_, all)| all);
    let said = |pair: &str| pair.split_once('=').is_some_and(|(k, _)| k == key);
    match parameters {
        Some(all) if all.split('&').any(said) => uri.to_owned(),
        Some(_) => format!("{uri}&{key}={value}"),
        None => format!("{uri}?{key}={value}"),
    }
}

/// The four ports, bound and listening.
pub struct Testbed {
    echo: TcpListener,
    nagle: TcpListener,
    keep_alive: TcpListener,
    datagrams: UdpQueue,
    control: UdpQueue,
}

impl Testbed {
    /// Take the ports from `port` on, on all addresses of both families (of IPv4 alone where there is no IPv6).
    pub async fn bind(port: u16) -> Result<Self> {
        let keep_alive = echo_options().keep_alive(Duration::from_secs(2));
        Ok(Self {
            echo: listen(&echo_options(), port).await?,
            nagle: listen(&echo_options().nodelay(false), port + 1).await?,
            keep_alive: listen(&keep_alive, port + 2).await?,
            datagrams: bind(port).await?,
            control: bind(port + 3).await?,
        })
    }

    /// Serve until a listener or a socket fails.
    pub async fn serve(self) -> Result<()> {
        let listeners = [self.echo, self.nagle, self.keep_alive].map(|listener| spawn(accept(listener)));
        let sockets = [spawn(echo_datagrams(self.datagrams)), spawn(obey(self.control))];
        let all = listeners.into_iter().chain(sockets);
        // The first that ends ends the testbed; none does by itself.
        futures::future::select_all(all).await.0.unwrap_or(Err(hemi::Error::Closed))
    }
}

fn echo_options() -> Options {
    Options::new().nodelay(true).backlog(1024).recv_buffer(BUFFER).send_buffer(BUFFER).send_limit(1)
}

async fn listen(options: &Options, port: u16) -> Result<TcpListener> {
    match options.listen_tcp(SocketAddr::from(([0_u16; 8], port))).await {
        Ok(listener) => Ok(listener),
        Err(hemi::Error::Io(_)) => options.listen_tcp(SocketAddr::from(([0_u8; 4], port))).await,
        Err(error) => Err(error),
    }
}

async fn bind(port: u16) -> Result<UdpQueue> {
    let options = Options::new();
    match options.bind_udp(SocketAddr::from(([0_u16; 8], port))).await {
        Ok(socket) => Ok(socket),
        Err(hemi::Error::Io(_)) => options.bind_udp(SocketAddr::from(([0_u8; 4], port))).await,
        Err(error) => Err(error),
    }
}

async fn accept(mut listener: TcpListener) -> Result<()> {
    while let Some(conn) = listener.pop().await? {
        spawn(ended(conn));
    }
    Ok(())
}

async fn ended(conn: TcpQueue) {
    let peer = conn.peer_addr();
    if let Err(error) = echo(conn).await {
        tracing::info!(?peer, %error, "connection ended early");
    }
}

/// Echo one connection, to the end of the peer's data or the word to close.
pub async fn echo(mut conn: TcpQueue) -> Result<()> {
    while let Some(bytes) = conn.pop().await? {
        let quit = bytes.ends_with(b"QUIT\n");
        conn.push(bytes).await?;
        if quit {
            break;
        }
    }
    conn.close().await
}

async fn echo_datagrams(mut socket: UdpQueue) -> Result<()> {
    loop {
        if let Some((bytes, from)) = datagram(&mut socket).await?
            && let Err(error) = socket.push_to(bytes, from).await
        {
            tracing::info!(%from, %error, "a datagram was not echoed");
        }
    }
}

/// The next datagram; `None` for news that concern one peer only.
async fn datagram(socket: &mut UdpQueue) -> Result<Option<(hemi::Sga, SocketAddr)>> {
    match socket.pop_from().await {
        Ok(Some(datagram)) => Ok(Some(datagram)),
        Ok(None) => Err(hemi::Error::Closed),
        Err(error @ (hemi::Error::Reset | hemi::Error::Io(_))) => {
            tracing::info!(%error, "datagram socket");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Do what the control port is told.
async fn obey(mut socket: UdpQueue) -> Result<()> {
    loop {
        let Some((bytes, from)) = datagram(&mut socket).await? else { continue };
        let Some(to) = order(&bytes.to_vec()) else {
            tracing::info!(%from, "an order that is not `C ADDRESS PORT`");
            continue;
        };
        spawn(async move {
            match echo_options().connect_tcp(to).await {
                Ok(conn) => ended(conn).await,
                Err(error) => tracing::info!(%to, %error, "could not connect"),
            }
        });
    }
}

/// `C 10.99.0.2 4000`.
fn order(bytes: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut words = text.split_ascii_whitespace();
    let ("C", address, port, None) = (words.next()?, words.next()?, words.next()?, words.next()) else {
        return None;
    };
    Some(SocketAddr::new(address.parse().ok()?, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read_and_nonsense_is_not() {
        assert_eq!(order(b"C 10.99.0.2 4000\n"), Some(([10, 99, 0, 2], 4000).into()));
        assert_eq!(order(b"C fd99::2 1"), Some("[fd99::2]:1".parse().expect("valid")));
        for nonsense in [
            &b""[..],
            b"C",
            b"C 10.99.0.2",
            b"C 10.99.0.2 4000 5",
            b"D 10.99.0.2 4000",
            b"C 1 2",
            b"\xff\xfe",
            b"C 10.99.0.2 70000",
        ] {
            assert_eq!(order(nonsense), None);
        }
    }
}
