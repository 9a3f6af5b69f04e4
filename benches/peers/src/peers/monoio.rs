//! monoio on io_uring with `SINGLE_ISSUER | DEFER_TASKRUN`, its fastest setting, and its usual
//! companion for channels, `local-sync`.

use std::future::{Future, ready};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use local_sync::mpsc;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::TcpListener;
use monoio::{IoUringDriver, RuntimeBuilder};

use crate::peer::{Channel, ECHO_BUFFER, Echo, Outcome, Peer, Queues, Shared, Timers, shared};

/// The contestant.
pub struct Monoio;

impl Peer for Monoio {
    fn run<T: 'static>(root: impl Future<Output = T> + 'static) -> T {
        let mut ring = io_uring::IoUring::builder();
        ring.setup_single_issuer().setup_defer_taskrun();
        let mut runtime = RuntimeBuilder::<IoUringDriver>::new()
            .uring_builder(ring)
            .enable_timer()
            .build()
            .expect("a monoio runtime on io_uring");
        runtime.block_on(async { monoio::spawn(root).await })
    }

    fn spawn<T: Outcome + 'static>(
        task: impl Future<Output = T> + 'static,
    ) -> impl Future<Output: Outcome> + 'static {
        monoio::spawn(task)
    }
}

impl Timers for Monoio {
    fn sleep(after: Duration) -> impl Future<Output = ()> + 'static {
        monoio::time::sleep(after)
    }
}

impl Queues for Monoio {
    type Unbounded = LocalUnbounded;
    type Bounded = LocalBounded;
}

/// `local_sync::mpsc::unbounded`.
pub struct LocalUnbounded;

impl Channel for LocalUnbounded {
    type Unit = Shared;
    type Tx = mpsc::unbounded::Tx<Shared>;
    type Rx = mpsc::unbounded::Rx<Shared>;

    fn unit() -> Shared {
        shared()
    }

    fn open(_: usize) -> (Self::Tx, Self::Rx) {
        mpsc::unbounded::channel()
    }

    fn send(tx: &mut Self::Tx, unit: Shared) -> impl Future<Output: Outcome> {
        ready(tx.send(unit))
    }

    fn recv(rx: &mut Self::Rx) -> impl Future<Output: Outcome> {
        rx.recv()
    }
}

/// `local_sync::mpsc::bounded`.
pub struct LocalBounded;

impl Channel for LocalBounded {
    type Unit = Shared;
    type Tx = mpsc::bounded::Tx<Shared>;
    type Rx = mpsc::bounded::Rx<Shared>;

    fn unit() -> Shared {
        shared()
    }

    fn open(capacity: usize) -> (Self::Tx, Self::Rx) {
        mpsc::bounded::channel(capacity)
    }

    fn send(tx: &mut Self::Tx, unit: Shared) -> impl Future<Output: Outcome> {
        tx.send(unit)
    }

    fn recv(rx: &mut Self::Rx) -> impl Future<Output: Outcome> {
        rx.recv()
    }
}

impl Echo for Monoio {
    fn serve(bind: SocketAddr, ready: impl FnOnce(SocketAddr) + 'static) -> io::Result<()> {
        Self::run(async move {
            let listener = TcpListener::bind(bind)?;
            ready(listener.local_addr()?);
            loop {
                let (mut conn, _) = listener.accept().await?;
                conn.set_nodelay(true)?;
                monoio::spawn(async move {
                    let mut buffer = Vec::with_capacity(ECHO_BUFFER);
                    loop {
                        let (read, filled) = conn.read(buffer).await;
                        if !matches!(read, Ok(1..)) {
                            break;
                        }
                        let (written, emptied) = conn.write_all(filled).await;
                        if written.is_err() {
                            break;
                        }
                        buffer = emptied;
                    }
                });
            }
        })
    }
}
