//! spawn + join: a task that is done at its first poll, alone and a thousand at a time.

use std::hint::black_box;
use std::time::{Duration, Instant};

use super::WARM_UP;
use crate::peer::{Peer, check};

/// Tasks alive at once in the batched row.
pub const BATCH: u64 = 1_000;

/// Spawns one task and joins it, `ops` times.
pub fn single<P: Peer>(ops: u64) -> Duration {
    P::run(async move {
        one_by_one::<P>(WARM_UP).await;
        let start = Instant::now();
        one_by_one::<P>(ops).await;
        start.elapsed()
    })
}

/// Spawns [`BATCH`] tasks, joins them all, and again, until `ops` tasks have run.
pub fn batches<P: Peer>(ops: u64) -> Duration {
    P::run(async move {
        in_batches::<P>(2 * BATCH).await;
        let start = Instant::now();
        in_batches::<P>(ops).await;
        start.elapsed()
    })
}

async fn one_by_one<P: Peer>(ops: u64) {
    for i in 0..ops {
        check(P::spawn(async move { black_box(i) }).await);
    }
}

async fn in_batches<P: Peer>(ops: u64) {
    let mut handles = Vec::with_capacity(BATCH as usize);
    for _ in 0..ops / BATCH {
        for i in 0..BATCH {
            handles.push(P::spawn(async move { black_box(i) }));
        }
        for handle in handles.drain(..) {
            check(handle.await);
        }
    }
}
