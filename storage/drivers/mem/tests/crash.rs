//! Crash simulation: the power is cut at every step of random programs, 120,000 times in all, and what was acknowledged is
//! there, in order, once; what was not is absent or whole.

mod rig;

use hemi_log_mem::{Lie, MemConfig, MemDisk, MemZones};
use rig::{Medium, World, rough};

/// Cuts per kind of disk.
const CUTS: u64 = 20_000;

/// The same of a device of zones.
const ZONE_CUTS: u64 = 6_000;

fn cut_at_every_step<M: Medium>(first_seed: u64, config: &MemConfig) {
    cut_so_often::<M>(CUTS, first_seed, config);
}

/// Programs from different seeds until there were enough cuts.
fn cut_so_often<M: Medium>(enough: u64, first_seed: u64, config: &MemConfig) {
    let (mut cuts, mut seed) = (0, first_seed);
    while cuts < enough {
        let mut world = World::<M>::new(seed, config, Lie::Honest);
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
    cut_at_every_step::<MemDisk>(1_000, &rough());
}

#[test]
fn with_a_cache_and_flushes_only() {
    cut_at_every_step::<MemDisk>(2_000, &MemConfig { fua: false, ..rough() });
}

#[test]
fn without_a_cache() {
    cut_at_every_step::<MemDisk>(3_000, &MemConfig { cache: false, ..rough() });
}

#[test]
fn where_everything_is_copied_and_space_is_discarded() {
    cut_at_every_step::<MemDisk>(4_000, &MemConfig { gather: usize::MAX, discard: true, ..rough() });
}

#[test]
fn where_space_is_filled_with_zeros_before_it_is_used() {
    let config = MemConfig { slow_when_new: true, discard: true, ..rough() };
    cut_at_every_step::<MemDisk>(5_000, &config);
    cut_at_every_step::<MemDisk>(6_000, &MemConfig { fua: false, ..config });
}

#[test]
fn on_zones_with_a_cache_and_fua() {
    cut_so_often::<MemZones>(ZONE_CUTS, 7_000, &rough());
}

#[test]
fn on_zones_with_a_cache_and_flushes_only() {
    cut_so_often::<MemZones>(ZONE_CUTS, 8_000, &MemConfig { fua: false, ..rough() });
}

#[test]
fn on_zones_without_a_cache() {
    cut_so_often::<MemZones>(ZONE_CUTS, 9_000, &MemConfig { cache: false, ..rough() });
}

/// A device that lies loses something, and the check sees it.
fn is_noticed<M: Medium>(lie: Lie, config: &MemConfig) {
    let noticed = (0..50).any(|seed| World::<M>::new(seed, config, lie).program(60, 3).is_err());
    assert!(noticed, "{lie:?} on {config:?} went unnoticed");
}

#[test]
fn a_device_that_skips_flushes_is_noticed() {
    is_noticed::<MemDisk>(Lie::SkipFlush, &MemConfig { fua: false, ..rough() });
    is_noticed::<MemDisk>(Lie::SkipFlush, &rough());
}

#[test]
fn a_device_that_drops_fua_is_noticed() {
    is_noticed::<MemDisk>(Lie::DropFua, &rough());
}

#[test]
fn a_device_that_acknowledges_early_is_noticed() {
    is_noticed::<MemDisk>(Lie::AckEarly, &rough());
    is_noticed::<MemDisk>(Lie::AckEarly, &MemConfig { fua: false, ..rough() });
    is_noticed::<MemDisk>(Lie::AckEarly, &MemConfig { cache: false, ..rough() });
}

#[test]
fn zones_that_lie_are_noticed() {
    is_noticed::<MemZones>(Lie::SkipFlush, &MemConfig { fua: false, ..rough() });
    is_noticed::<MemZones>(Lie::SkipFlush, &rough());
    is_noticed::<MemZones>(Lie::DropFua, &rough());
    is_noticed::<MemZones>(Lie::AckEarly, &rough());
    is_noticed::<MemZones>(Lie::AckEarly, &MemConfig { cache: false, ..rough() });
}
