//! `futures::executor::LocalPool`: an executor and nothing else, so it has no timers and no sockets.

use std::cell::RefCell;
use std::future::{Future, ready};

use futures::channel::mpsc;
use futures::executor::{LocalPool, LocalSpawner};
use futures::task::LocalSpawnExt;
use futures::{SinkExt, StreamExt};

use crate::peer::{Channel, Outcome, Peer, Queues, Shared, shared};

/// The contestant.
pub struct Futures;

thread_local! {
    static SPAWNER: RefCell<Option<LocalSpawner>> = const { RefCell::new(None) };
}

impl Peer for Futures {
    fn run<T: 'static>(root: impl Future<Output = T> + 'static) -> T {
        let mut pool = LocalPool::new();
        SPAWNER.replace(Some(pool.spawner()));
        let root = pool.spawner().spawn_local_with_handle(root).expect("a running pool");
        let output = pool.run_until(root);
        SPAWNER.take();
        output
    }

    fn spawn<T: Outcome + 'static>(
        task: impl Future<Output = T> + 'static,
    ) -> impl Future<Output: Outcome> + 'static {
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

    fn send(tx: &mut Self::Tx, unit: Shared) -> impl Future<Output: Outcome> {
        ready(tx.unbounded_send(unit))
    }

    fn recv(rx: &mut Self::Rx) -> impl Future<Output: Outcome> {
        rx.next()
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

    /// `feed` rather than `send`, which would flush: here, to wait until it is taken.
    fn send(tx: &mut Self::Tx, unit: Shared) -> impl Future<Output: Outcome> {
        tx.feed(unit)
    }

    fn recv(rx: &mut Self::Rx) -> impl Future<Output: Outcome> {
        rx.next()
    }
}
