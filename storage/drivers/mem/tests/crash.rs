//! Crash simulation: the power is cut at every step of random programs, 120,000 times in all, and what was acknowledged is
//! there, in order, once; what was not is absent or whole.

mod rig;

use hemi_log_mem::{Lie, MemConfig};
use rig::{World, rough};

/// Cuts per kind of disk.
const CUTS: u64 = 20_000;

/// Programs from different seeds until there were enough cuts.
fn cut_at_every_step(first_seed: u64, config: &MemConfig) {
    let (mut cuts, mut seed) = (0, first_seed);
    while cuts < CUTS {
        let mut world = World::new(seed, config, Lie::Honest);
        if let Err(why) = world.program(60, 3) {
            panic!("seed {seed}: {why}");
        }
        cuts += world.cuts;
        seed += 1;
    }
    println!("{cuts} cuts in {} programs", seed - first_seed);
}

#[test]
fn with_a_cache_and_fua() {
    cut_at_every_step(1_000, &rough());
}

#[test]
fn with_a_cache_and_flushes_only() {
    cut_at_every_step(2_000, &MemConfig { fua: false, ..rough() });
}

#[test]
fn without_a_cache() {
    cut_at_every_step(3_000, &MemConfig { cache: false, ..rough() });
}

#[test]
fn where_everything_is_copied_and_space_is_discarded() {
    cut_at_every_step(4_000, &MemConfig { gather: usize::MAX, discard: true, ..rough() });
}

#[test]
fn where_space_is_filled_with_zeros_before_it_is_used() {
    let config = MemConfig { slow_when_new: true, discard: true, ..rough() };
    cut_at_every_step(5_000, &config);
    cut_at_every_step(6_000, &MemConfig { fua: false, ..config });
}

/// A device that lies loses something, and the check sees it.
fn is_noticed(lie: Lie, config: &MemConfig) {
    let noticed = (0..50).any(|seed| World::new(seed, config, lie).program(60, 3).is_err());
    assert!(noticed, "{lie:?} on {config:?} went unnoticed");
}

#[test]
fn a_device_that_skips_flushes_is_noticed() {
    is_noticed(Lie::SkipFlush, &MemConfig { fua: false, ..rough() });
    is_noticed(Lie::SkipFlush, &rough());
}

#[test]
fn a_device_that_drops_fua_is_noticed() {
    is_noticed(Lie::DropFua, &rough());
}

#[test]
fn a_device_that_acknowledges_early_is_noticed() {
    is_noticed(Lie::AckEarly, &rough());
    is_noticed(Lie::AckEarly, &MemConfig { fua: false, ..rough() });
    is_noticed(Lie::AckEarly, &MemConfig { cache: false, ..rough() });
}
