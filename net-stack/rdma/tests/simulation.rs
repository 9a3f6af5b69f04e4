//! Two connections over a model of a reliable queue pair, thousands of times: every unit arrives once and in order or an error is
//! told, nobody waits for ever, and all memory comes back.
//!
//! `HEMI_SEEDS` changes how many runs, `HEMI_SEED` names one.

mod model;

use std::panic::AssertUnwindSafe;

use hemi_queue::{Pool, PoolConfig, buf::ClassConfig};
use hemi_rdma::Stats;
use model::{Dice, Plan, World};

fn pools() -> [Pool; 3] {
    [0; 3].map(|_| {
        let classes = [64, 256, 512, 2048].map(|size| ClassConfig { size }).to_vec();
        Pool::with(&PoolConfig { classes, limit: 16 << 20, region: 2 << 20 }).expect("memory")
    })
}

/// What happened in all runs: that nothing is tested by never happening.
#[derive(Debug, Default)]
struct Tally(Stats);

impl Tally {
    fn add(&mut self, stats: &Stats) {
        let all = &mut self.0;
        all.pushed += stats.pushed;
        all.popped += stats.popped;
        all.sent += stats.sent;
        all.received += stats.received;
        all.announced += stats.announced;
        all.reads += stats.reads;
        all.grants += stats.grants;
        all.copied_bytes += stats.copied_bytes;
        all.out_of_credit += stats.out_of_credit;
    }
}

fn run(seed: u64, pools: &[Pool; 3], tally: &mut Tally) {
    let mut dice = Dice(seed);
    let plan = Plan::new(&mut dice);
    let told = plan.clone();
    let [a, b, c] = pools;
    match std::panic::catch_unwind(AssertUnwindSafe(|| World::new(plan, [a, b, c], dice).run())) {
        Ok(all) => all.iter().for_each(|stats| tally.add(stats)),
        Err(panic) => {
            println!("HEMI_SEED={seed}: {told:#?}");
            std::panic::resume_unwind(panic);
        }
    }
    for pool in pools {
        assert_eq!(pool.stats().in_use, 0, "memory is held after HEMI_SEED={seed}: {told:#?}");
    }
}

#[test]
fn every_unit_arrives_once_and_in_order_or_an_error_is_told() {
    let (pools, mut tally) = (pools(), Tally::default());
    if let Some(seed) = std::env::var("HEMI_SEED").ok().and_then(|n| n.parse().ok()) {
        return run(seed, &pools, &mut tally);
    }
    let seeds = std::env::var("HEMI_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(10_000);
    for seed in 0..seeds {
        run(seed, &pools, &mut tally);
    }
    println!("{seeds} runs: {tally:?}");
    let all = tally.0;
    for happened in [all.popped, all.announced, all.reads, all.grants, all.copied_bytes, all.out_of_credit] {
        assert!(happened > seeds, "{all:?}");
    }
}
