//! yield: self-wake and re-poll, with one task and with a hundred taking turns.

use std::time::{Duration, Instant};

use super::{WARM_UP, yield_once};
use crate::peer::{Peer, check};

/// `ops` yields in all, shared evenly by `tasks` tasks.
pub fn with_tasks<P: Peer>(tasks: u64, ops: u64) -> Duration {
    P::run(async move {
        round::<P>(tasks, WARM_UP).await;
        let start = Instant::now();
        round::<P>(tasks, ops).await;
        start.elapsed()
    })
}

async fn round<P: Peer>(tasks: u64, ops: u64) {
    let mut handles = Vec::with_capacity(tasks as usize);
    for _ in 0..tasks {
        handles.push(P::spawn(async move {
            for _ in 0..ops / tasks {
                yield_once().await;
            }
        }));
    }
    for handle in handles {
        check(handle.await);
    }
}
