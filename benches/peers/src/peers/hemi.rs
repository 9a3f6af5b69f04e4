//! hemi itself.

use std::future::Future;
use std::time::Duration;

use hemi::{Buf, Queue};

use crate::peer::{Channel, Outcome, Peer, Queues, Timers};

/// hemi with its default idle policy.
pub struct Hemi;

impl Peer for Hemi {
    fn run<T: 'static>(root: impl Future<Output = T> + 'static) -> T {
        let runtime = hemi::Runtime::builder().build().expect("a hemi runtime");
        runtime.block_on(async { hemi::spawn(root).await.expect("the root task") })
    }

    fn spawn<T: Outcome + 'static>(
        task: impl Future<Output = T> + 'static,
    ) -> impl Future<Output: Outcome> + 'static {
        hemi::spawn(task)
    }
}

impl Timers for Hemi {
    fn sleep(after: Duration) -> impl Future<Output = ()> + 'static {
        hemi::time::sleep(after)
    }
}

impl Queues for Hemi {
    type Unbounded = Memory<false>;
    type Bounded = Memory<true>;
}

/// `hemi::queue` and `hemi::queue_unbounded`, with `Buf`s out of a pool.
pub struct Memory<const BOUNDED: bool>;

impl<const BOUNDED: bool> Channel for Memory<BOUNDED> {
    type Unit = Buf;
    type Tx = Queue<Buf>;
    type Rx = Queue<Buf>;

    fn unit() -> Buf {
        let pool = hemi::Pool::new().expect("memory for a pool");
        let mut buffer = pool.try_alloc(64).expect("a fresh pool");
        buffer.put(&[0x5a; 64]);
        buffer.freeze()
    }

    fn open(capacity: usize) -> (Queue<Buf>, Queue<Buf>) {
        let queue = if BOUNDED { hemi::queue(capacity) } else { hemi::queue_unbounded() };
        (queue.clone(), queue)
    }

    fn send(tx: &mut Queue<Buf>, unit: Buf) -> impl Future<Output: Outcome> {
        tx.push(unit)
    }

    fn recv(rx: &mut Queue<Buf>) -> impl Future<Output: Outcome> {
        rx.pop()
    }
}

impl Outcome for Buf {
    fn succeeded(&self) -> bool {
        true
    }
}
