//! tokio: the current-thread scheduler with a `LocalSet`, as for `!Send` futures.

use std::future::{Future, ready};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::task::{LocalSet, spawn_local};

use crate::peer::{Channel, ECHO_BUFFER, Echo, Outcome, Peer, Queues, Shared, Timers, shared};

/// The contestant.
pub struct Tokio;

impl Peer for Tokio {
    fn run<T: 'static>(root: impl Future<Output = T> + 'static) -> T {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a tokio runtime");
        LocalSet::new().block_on(&runtime, async { spawn_local(root).await.expect("the root task") })
    }

    fn spawn<T: Outcome + 'static>(
        task: impl Future<Output = T> + 'static,
    ) -> impl Future<Output: Outcome> + 'static {
        spawn_local(task)
    }
}

impl Timers for Tokio {
    fn sleep(after: Duration) -> impl Future<Output = ()> + 'static {
        tokio::time::sleep(after)
    }
}

impl Queues for Tokio {
    type Unbounded = Unbounded;
    type Bounded = Bounded;
}

/// `mpsc::unbounded_channel`.
pub struct Unbounded;

impl Channel for Unbounded {
    type Unit = Shared;
    type Tx = mpsc::UnboundedSender<Shared>;
    type Rx = mpsc::UnboundedReceiver<Shared>;

    fn unit() -> Shared {
        shared()
    }

    fn open(_: usize) -> (Self::Tx, Self::Rx) {
        mpsc::unbounded_channel()
    }

    fn send(tx: &mut Self::Tx, unit: Shared) -> impl Future<Output: Outcome> {
        ready(tx.send(unit))
    }

    fn recv(rx: &mut Self::Rx) -> impl Future<Output: Outcome> {
        rx.recv()
    }
}

/// `mpsc::channel`.
pub struct Bounded;

impl Channel for Bounded {
    type Unit = Shared;
    type Tx = mpsc::Sender<Shared>;
    type Rx = mpsc::Receiver<Shared>;

    fn unit() -> Shared {
        shared()
    }

    fn open(capacity: usize) -> (Self::Tx, Self::Rx) {
        mpsc::channel(capacity)
    }

    fn send(tx: &mut Self::Tx, unit: Shared) -> impl Future<Output: Outcome> {
        tx.send(unit)
    }

    fn recv(rx: &mut Self::Rx) -> impl Future<Output: Outcome> {
        rx.recv()
    }
}

impl Echo for Tokio {
    fn serve(bind: SocketAddr, ready: impl FnOnce(SocketAddr) + 'static) -> io::Result<()> {
        Self::run(async move {
            let listener = TcpListener::bind(bind).await?;
            ready(listener.local_addr()?);
            loop {
                let (mut conn, _) = listener.accept().await?;
                conn.set_nodelay(true)?;
                spawn_local(async move {
                    let mut buffer = vec![0; ECHO_BUFFER];
                    while let Ok(n @ 1..) = conn.read(&mut buffer).await {
                        if conn.write_all(&buffer[..n]).await.is_err() {
                            break;
                        }
                    }
                });
            }
        })
    }
}
