//! hemi: the echo server of its README, with a choice of what it does when idle.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;

use hemi::{Conn, Idle, Listener, Pop, Push, Runtime, TcpListener, TcpQueue, UdpQueue};

use super::{Contestant, Failure};
use crate::scenario::Transport;
use crate::stop::Stop;

/// A hemi runtime on one thread.
#[derive(Clone, Debug)]
pub struct Hemi {
    idle: Idle,
    net: Option<String>,
}

impl Hemi {
    /// Never sleeps.
    pub fn busy(net: Option<&str>) -> Self {
        Self { idle: Idle::Busy, net: net.map(str::to_owned) }
    }

    /// As it comes: spins as long as that has paid lately, then sleeps.
    pub fn adaptive(net: Option<&str>) -> Self {
        Self { idle: Idle::Adaptive, net: net.map(str::to_owned) }
    }
}

impl Contestant for Hemi {
    fn name(&self) -> &str {
        match self.idle {
            Idle::Busy => "hemi-busy",
            _ => "hemi",
        }
    }

    fn about(&self) -> &str {
        match self.idle {
            Idle::Busy => "hemi, never asleep",
            _ => "hemi as it comes: spins while that pays, then sleeps",
        }
    }

    fn serves(&self, _: Transport) -> bool {
        true
    }

    fn serve(
        &self,
        transport: Transport,
        bind: SocketAddr,
        ready: &mut dyn FnMut(SocketAddr),
        stop: &Stop,
    ) -> Result<(), Failure> {
        let mut builder = Runtime::builder().idle(self.idle);
        if let Some(net) = &self.net {
            builder = builder.net(net);
        }
        let runtime = builder.build()?;
        echo_on(&runtime, transport, bind, ready, stop)
    }
}

/// Echoes on a runtime until `stop` is set.
pub(super) fn echo_on(
    runtime: &Runtime,
    transport: Transport,
    bind: SocketAddr,
    ready: &mut dyn FnMut(SocketAddr),
    stop: &Stop,
) -> Result<(), Failure> {
    runtime.block_on(async {
        match transport {
            Transport::Tcp => until(stop, tcp(bind, ready)).await,
            Transport::Udp => until(stop, udp(bind, ready)).await,
            Transport::Units => until(stop, units(bind, ready)).await,
        }
    })?;
    Ok(())
}

async fn tcp(bind: SocketAddr, ready: &mut dyn FnMut(SocketAddr)) -> hemi::Result<()> {
    let mut listener = TcpListener::bind(bind).await?;
    ready(listener.local_addr()?);
    while let Some(conn) = listener.pop().await? {
        // Detached; a client that resets its connection ends the task and nothing else.
        drop(hemi::spawn(echo(conn)));
    }
    Ok(())
}

async fn echo(mut conn: TcpQueue) -> hemi::Result<()> {
    while let Some(buf) = conn.pop().await? {
        conn.push(buf).await?;
    }
    conn.close().await
}

async fn units(bind: SocketAddr, ready: &mut dyn FnMut(SocketAddr)) -> hemi::Result<()> {
    let mut listener = Listener::bind(bind).await?;
    let at = listener.local_addr()?;
    ready(at.ip().unwrap_or(bind));
    while let Some(conn) = listener.pop().await? {
        drop(hemi::spawn(echo_units(conn)));
    }
    Ok(())
}

async fn echo_units(mut conn: Conn) -> hemi::Result<()> {
    while let Some(unit) = conn.pop().await? {
        conn.push(unit).await?;
    }
    conn.close().await
}

async fn udp(bind: SocketAddr, ready: &mut dyn FnMut(SocketAddr)) -> hemi::Result<()> {
    let mut socket = UdpQueue::bind(bind).await?;
    ready(socket.local_addr()?);
    while let Some((datagram, from)) = socket.pop_from().await? {
        // One that cannot be sent back is dropped, as UDP may.
        let _ = socket.push_to(datagram, from).await;
    }
    Ok(())
}

/// Runs `server` until it ends or `stop` is set.
async fn until(stop: &Stop, server: impl Future<Output = hemi::Result<()>>) -> hemi::Result<()> {
    let (mut server, mut stop) = (pin!(server), pin!(stop.clone()));
    poll_fn(|cx| match server.as_mut().poll(cx) {
        Poll::Pending => stop.as_mut().poll(cx).map(Ok),
        ended @ Poll::Ready(_) => ended,
    })
    .await
}
