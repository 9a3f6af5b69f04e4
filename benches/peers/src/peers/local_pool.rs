//! `futures::executor::LocalPool`: an executor and nothing else, so it has no timers and no sockets.

use std::future::Future;

use futures::channel::mpsc;
use futures::executor::{LocalPool, LocalSpawner};
use futures::task::LocalSpawnExt;
use futures::{SinkExt, StreamExt};
use std::cell::RefCell;

use crate::peer::{Channel, Peer, Queues, Shared, shared};

/// The contestant.
pub struct Futures;

thread_local! {
    static SPAWNER: RefCell<Option<LocalSpawner>> = const { RefCell::new(None) };
}

impl Peer for Futures {
    fn run<T: 'static>(root: impl Future<Output = T> + 'static) -> T {
        let mut pool = LocalPool::new();
        SPAWNER.replace(Some(pool.spawner()));
        let root = Self::spawn(root);
        let output = pool.run_until(root);
        SPAWNER.take();
        output
    }

    fn spawn<T: 'static>(task: impl Future<Output = T> + 'static) -> impl Future<Output = T> + 'static {
        SPAWNER.with_borrow(|spawner| {
            let spawner = spawner.as_ref().expect("spawned inside run");
            spawner.spawn_local_with_handle(task).expect("a running pool")
        })
    }
}

impl Queues for Futures {
    type Unbounded = Unbounded;
    type Bounded = Bounded;
}

/// `mpsc::unbounded` of the `futures` crate.
pub struct Unbounded;

impl Channel for Unbounded {
    type Unit = Shared;
    type Tx = mpsc::UnboundedSender<Shared>;
    type Rx = mpsc::UnboundedReceiver<Shared>;

    fn unit() -> Shared {
        shared()
    }

    fn open(_: usize) -> (Self::Tx, Self::Rx) {
        mpsc::unbounded()
    }

    async fn send(tx: &mut Self::Tx, unit: Shared) {
        tx.unbounded_send(unit).expect("an open channel");
    }

    async fn recv(rx: &mut Self::Rx) -> Shared {
        rx.next().await.expect("an open channel")
    }
}

/// `mpsc::channel` of the `futures` crate.
pub struct Bounded;

impl Channel for Bounded {
    type Unit = Shared;
    type Tx = mpsc::Sender<Shared>;
    type Rx = mpsc::Receiver<Shared>;

    fn unit() -> Shared {
        shared()
    }

    /// This channel adds one place per sender to its bound.
    fn open(capacity: usize) -> (Self::Tx, Self::Rx) {
        mpsc::channel(capacity - 1)
    }

    async fn send(tx: &mut Self::Tx, unit: Shared) {
        // `feed` rather than `send`: `send` would flush, which here means to wait until it is taken.
        tx.feed(unit).await.expect("an open channel");
    }

    async fn recv(rx: &mut Self::Rx) -> Shared {
        rx.next().await.expect("an open channel")
    }
}
