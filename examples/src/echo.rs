//! Everything that comes goes back: streams and datagrams.

use std::{cell::Cell, fmt, iter::Sum, rc::Rc};

use hemi::{Conn, Listener, Pop, Push, Result, UdpQueue, spawn};

/// What was echoed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Connections accepted.
    pub connections: u64,
    /// Units echoed: what one pop gave, and datagrams.
    pub units: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Totals {
    fn unit(total: &Cell<Self>, bytes: usize) {
        let mut t = total.get();
        t.units += 1;
        t.bytes += bytes as u64;
        total.set(t);
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} connections, {} units, {} bytes", self.connections, self.units, self.bytes)
    }
}

impl Sum for Totals {
    fn sum<I: Iterator<Item = Self>>(totals: I) -> Self {
        totals.fold(Self::default(), |a, b| Self {
            connections: a.connections + b.connections,
            units: a.units + b.units,
            bytes: a.bytes + b.bytes,
        })
    }
}

/// Serve every connection of `listener`, each in a task of its own, until it is closed.
pub async fn serve(mut listener: Listener, totals: Rc<Cell<Totals>>) -> Result<()> {
    while let Some(conn) = listener.pop().await? {
        let mut t = totals.get();
        t.connections += 1;
        totals.set(t);
        let totals = Rc::clone(&totals);
        spawn(async move {
            let peer = conn.peer_addr();
            if let Err(error) = echo(conn, &totals).await {
                tracing::info!(?peer, %error, "connection ended early");
            }
        });
    }
    Ok(())
}

/// Echo one connection until the peer has finished sending.
pub async fn echo(mut conn: Conn, totals: &Cell<Totals>) -> Result<()> {
    while let Some(unit) = conn.pop().await? {
        Totals::unit(totals, unit.len());
        conn.push(unit).await?; // the same memory, never copied
    }
    conn.close().await
}

/// Echo every datagram to its sender.
pub async fn serve_datagrams(mut socket: UdpQueue, totals: Rc<Cell<Totals>>) -> Result<()> {
    loop {
        match socket.pop_from().await {
            Ok(None) => return Ok(()),
            Ok(Some((unit, from))) => {
                Totals::unit(&totals, unit.len());
                if let Err(error) = socket.push_to(unit, from).await {
                    tracing::info!(%from, %error, "a datagram was not echoed");
                }
            }
            // What one peer's network answers does not concern the others.
            Err(error @ (hemi::Error::Reset | hemi::Error::Io(_))) => {
                tracing::info!(%error, "datagram socket");
            }
            Err(error) => return Err(error),
        }
    }
}
