//! A queue between two tasks: bursts that never wait, and a bound of 16 that always does.

use std::time::{Duration, Instant};

use super::{WARM_UP, yield_once};
use crate::peer::{Channel, Queues, check};

/// Units sent before the producer lets the consumer run.
const BURST: u64 = 64;
/// The bound of the bounded row.
const BOUND: usize = 16;

/// `ops` units in bursts of 64 through a queue that takes them all.
pub fn bursts<P: Queues>(ops: u64) -> Duration {
    P::run(async move {
        stream_bursts::<P>(WARM_UP / BURST * BURST).await;
        let start = Instant::now();
        stream_bursts::<P>(ops / BURST * BURST).await;
        start.elapsed()
    })
}

/// `ops` units through a queue of 16.
pub fn bounded<P: Queues>(ops: u64) -> Duration {
    P::run(async move {
        stream_bounded::<P>(WARM_UP).await;
        let start = Instant::now();
        stream_bounded::<P>(ops).await;
        start.elapsed()
    })
}

async fn stream_bursts<P: Queues>(ops: u64) {
    let (mut tx, rx) = P::Unbounded::open(2 * BURST as usize);
    let consumer = P::spawn(drain::<P::Unbounded>(rx, ops));
    let producer = P::spawn(async move {
        let unit = P::Unbounded::unit();
        for _ in 0..ops / BURST {
            for _ in 0..BURST {
                check(P::Unbounded::send(&mut tx, unit.clone()).await);
            }
            yield_once().await;
        }
    });
    check(consumer.await);
    check(producer.await);
}

async fn stream_bounded<P: Queues>(ops: u64) {
    let (mut tx, rx) = P::Bounded::open(BOUND);
    let consumer = P::spawn(drain::<P::Bounded>(rx, ops));
    let producer = P::spawn(async move {
        let unit = P::Bounded::unit();
        for _ in 0..ops {
            check(P::Bounded::send(&mut tx, unit.clone()).await);
        }
    });
    check(consumer.await);
    check(producer.await);
}

async fn drain<C: Channel>(mut rx: C::Rx, ops: u64) {
    for _ in 0..ops {
        check(C::recv(&mut rx).await);
    }
}
