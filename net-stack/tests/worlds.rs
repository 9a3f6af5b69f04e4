//! Ten thousand worlds, each from its seed: see `world/mod.rs` for what must hold in all of them.
//!
//! A failing seed names itself; `cargo run --release -p hemi-net --example soak -- --seed N --trace` shows it. `HEMI_SEEDS` changes
//! how many there are here.

mod world;

use std::sync::atomic::{AtomicU64, Ordering};

use hemi_queue::Pool;

#[test]
fn ten_thousand_worlds() {
    let seeds: u64 = std::env::var("HEMI_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(10_000);
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(8));
    let seen = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let pool = Pool::new().expect("memory for a pool");
                    let mut seen = world::Seen::default();
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= seeds {
                            return seen;
                        }
                        seen += world::run(seed, &pool, false)
                            .unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
                    }
                })
            })
            .collect();
        let mut all = world::Seen::default();
        for worker in workers {
            all += worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        all
    });
    // Worlds in which nothing goes wrong show nothing.
    assert!(
        seen.delivered > seeds * 1_000 && seen.retransmits > seeds && seen.broken > seeds / 8,
        "{seen:?}"
    );
}
