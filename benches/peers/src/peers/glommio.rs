//! glommio: three rings per core, its own scheduler classes, its own local channel.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt};
use glommio::channels::local_channel::{LocalReceiver, LocalSender, new_bounded, new_unbounded};
use glommio::net::TcpListener;
use glommio::{LocalExecutorBuilder, spawn_local};

use crate::peer::{Channel, ECHO_BUFFER, Echo, Peer, Queues, Shared, Timers, shared};

/// The contestant.
pub struct Glommio;

impl Peer for Glommio {
    fn run<T: 'static>(root: impl Future<Output = T> + 'static) -> T {
        let executor = LocalExecutorBuilder::default().make().expect("a glommio executor");
        executor.run(async { spawn_local(root).await })
    }

    fn spawn<T: 'static>(task: impl Future<Output = T> + 'static) -> impl Future<Output = T> + 'static {
        spawn_local(task)
    }
}

impl Timers for Glommio {
    fn sleep(after: Duration) -> impl Future<Output = ()> + 'static {
        glommio::timer::sleep(after)
    }
}

impl Queues for Glommio {
    type Unbounded = Local<false>;
    type Bounded = Local<true>;
}

/// glommio's `local_channel`.
pub struct Local<const BOUNDED: bool>;

impl<const BOUNDED: bool> Channel for Local<BOUNDED> {
    type Unit = Shared;
    type Tx = LocalSender<Shared>;
    type Rx = LocalReceiver<Shared>;

    fn unit() -> Shared {
        shared()
    }

    fn open(capacity: usize) -> (Self::Tx, Self::Rx) {
        if BOUNDED { new_bounded(capacity) } else { new_unbounded() }
    }

    async fn send(tx: &mut Self::Tx, unit: Shared) {
        if BOUNDED {
            assert!(tx.send(unit).await.is_ok(), "an open channel");
        } else {
            assert!(tx.try_send(unit).is_ok(), "an open channel");
        }
    }

    async fn recv(rx: &mut Self::Rx) -> Shared {
        rx.recv().await.expect("an open channel")
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
