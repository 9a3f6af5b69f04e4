//! Two connections over a model of a reliable queue pair, thousands of times: every unit arrives once and in order or an error is
//! told, nobody waits for ever, and all memory comes back.
//!
//! `HEMI_SEEDS` changes how many runs, `HEMI_SEED` names one.

mod model;

use std::panic::AssertUnwindSafe;

use hemi_queue::{Pool, PoolConfig, buf::ClassConfig};
use model::{Dice, Plan, World};

fn pools() -> [Pool; 3] {
    [0; 3].map(|_| {
        let classes = [64, 256, 512, 2048].map(|size| ClassConfig { size }).to_vec();
        Pool::with(&PoolConfig { classes, limit: 16 << 20, region: 2 << 20 }).expect("memory")
    })
}

fn run(seed: u64, pools: &[Pool; 3]) {
    let mut dice = Dice(seed);
    let plan = Plan::new(&mut dice);
    let told = plan.clone();
    let [a, b, c] = pools;
    let result = std::panic::catch_unwind(AssertUnwindSafe(|| World::new(plan, [a, b, c], dice).run()));
    if let Err(panic) = result {
        println!("HEMI_SEED={seed}: {told:#?}");
        std::panic::resume_unwind(panic);
    }
    for pool in pools {
        assert_eq!(pool.stats().in_use, 0, "memory is held after HEMI_SEED={seed}: {told:#?}");
    }
}

#[test]
fn every_unit_arrives_once_and_in_order_or_an_error_is_told() {
    let pools = pools();
    if let Some(seed) = std::env::var("HEMI_SEED").ok().and_then(|n| n.parse().ok()) {
        return run(seed, &pools);
    }
    let seeds = std::env::var("HEMI_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(10_000);
    for seed in 0..seeds {
        run(seed, &pools);
    }
}
