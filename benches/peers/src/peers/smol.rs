//! smol: a `LocalExecutor` driven by `smol::block_on`, with async-io's reactor and `async-channel`.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use smol::channel;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::TcpListener;
use smol::{LocalExecutor, Timer};

use crate::peer::{Channel, ECHO_BUFFER, Echo, Outcome, Peer, Queues, Shared, Timers, shared};

/// The contestant.
pub struct Smol;

thread_local! {
    static EXECUTOR: RefCell<Rc<LocalExecutor<'static>>> = RefCell::default();
}

impl Peer for Smol {
    fn run<T: 'static>(root: impl Future<Output = T> + 'static) -> T {
        let executor = EXECUTOR.with_borrow(Rc::clone);
        let root = executor.spawn(root);
        smol::block_on(executor.run(root))
    }

    fn spawn<T: Outcome + 'static>(
        task: impl Future<Output = T> + 'static,
    ) -> impl Future<Output: Outcome> + 'static {
        EXECUTOR.with_borrow(|executor| executor.spawn(task))
    }
}

impl Timers for Smol {
    async fn sleep(after: Duration) {
        Timer::after(after).await;
    }
}

impl Queues for Smol {
    type Unbounded = AsyncChannel<false>;
    type Bounded = AsyncChannel<true>;
}

/// `async-channel`, smol's own.
pub struct AsyncChannel<const BOUNDED: bool>;

impl<const BOUNDED: bool> Channel for AsyncChannel<BOUNDED> {
    type Unit = Shared;
    type Tx = channel::Sender<Shared>;
    type Rx = channel::Receiver<Shared>;

    fn unit() -> Shared {
        shared()
    }

    fn open(capacity: usize) -> (Self::Tx, Self::Rx) {
        if BOUNDED { channel::bounded(capacity) } else { channel::unbounded() }
    }

    fn send(tx: &mut Self::Tx, unit: Shared) -> impl Future<Output: Outcome> {
        tx.send(unit)
    }

    fn recv(rx: &mut Self::Rx) -> impl Future<Output: Outcome> {
        rx.recv()
    }
}

impl Echo for Smol {
    fn serve(bind: SocketAddr, ready: impl FnOnce(SocketAddr) + 'static) -> io::Result<()> {
        Self::run(async move {
            let listener = TcpListener::bind(bind).await?;
            ready(listener.local_addr()?);
            loop {
                let (mut conn, _) = listener.accept().await?;
                conn.set_nodelay(true)?;
                let task = async move {
                    let mut buffer = vec![0; ECHO_BUFFER];
                    while let Ok(n @ 1..) = conn.read(&mut buffer).await {
                        if conn.write_all(&buffer[..n]).await.is_err() {
                            break;
                        }
                    }
                };
                EXECUTOR.with_borrow(|executor| executor.spawn(task).detach());
            }
        })
    }
}
