//! glommio: three rings per core, its own scheduler classes, its own local channel.

use std::future::{Future, ready};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt};
use glommio::channels::local_channel::{LocalReceiver, LocalSender, new_bounded, new_unbounded};
use glommio::net::TcpListener;
use glommio::{LocalExecutorBuilder, spawn_local};

use crate::peer::{Channel, ECHO_BUFFER, Echo, Outcome, Peer, Queues, Shared, Timers, shared};

/// The contestant.
pub struct Glommio;

impl Peer for Glommio {
    fn run<T: 'static>(root: impl Future<Output = T> + 'static) -> T {
        let executor = LocalExecutorBuilder::default().make().expect("a glommio executor");
        executor.run(async { spawn_local(root).await })
    }

    fn spawn<T: Outcome + 'static>(
        task: impl Future<Output = T> + 'static,
    ) -> impl Future<Output: Outcome> + 'static {
        spawn_local(task)
    }
}

impl Timers for Glommio {
    fn sleep(after: Duration) -> impl Future<Output = ()> + 'static {
        glommio::timer::sleep(after)
    }
}

impl Queues for Glommio {
    type Unbounded = LocalUnbounded;
    type Bounded = LocalBounded;
}

/// glommio's `local_channel` without a bound.
pub struct LocalUnbounded;

impl Channel for LocalUnbounded {
    type Unit = Shared;
    type Tx = LocalSender<Shared>;
    type Rx = LocalReceiver<Shared>;

    fn unit() -> Shared {
        shared()
    }

    fn open(_: usize) -> (Self::Tx, Self::Rx) {
        new_unbounded()
    }

    fn send(tx: &mut Self::Tx, unit: Shared) -> impl Future<Output: Outcome> {
        ready(tx.try_send(unit))
    }

    fn recv(rx: &mut Self::Rx) -> impl Future<Output: Outcome> {
        rx.recv()
    }
}

/// glommio's `local_channel` with a bound.
pub struct LocalBounded;

impl Channel for LocalBounded {
    type Unit = Shared;
    type Tx = LocalSender<Shared>;
    type Rx = LocalReceiver<Shared>;

    fn unit() -> Shared {
        shared()
    }

    fn open(capacity: usize) -> (Self::Tx, Self::Rx) {
        new_bounded(capacity)
    }

    fn send(tx: &mut Self::Tx, unit: Shared) -> impl Future<Output: Outcome> {
        tx.send(unit)
    }

    fn recv(rx: &mut Self::Rx) -> impl Future<Output: Outcome> {
        rx.recv()
    }
}

impl Echo for Glommio {
    fn serve(bind: SocketAddr, ready: impl FnOnce(SocketAddr) + 'static) -> io::Result<()> {
        Self::run(async move {
            let listener = TcpListener::bind(bind)?;
            ready(listener.local_addr()?);
            loop {
                let mut conn = listener.accept().await?;
                conn.set_nodelay(true)?;
                spawn_local(async move {
                    let mut buffer = vec![0; ECHO_BUFFER];
                    while let Ok(n @ 1..) = conn.read(&mut buffer).await {
                        if conn.write_all(&buffer[..n]).await.is_err() {
                            break;
                        }
                    }
                })
                .detach();
            }
        })
    }
}
