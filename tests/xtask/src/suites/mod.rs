//! The table of suites: one small file each, listed in [`ALL`] in the order in which they run.
//!
//! A new suite is a file with a `SUITE` constant and a `run` function, and a row in [`ALL`]. Suites choose
//! tests by where they stand, or by a module's name in the test's path (`peers_wire::`, `netns::`, `in_guest::`, `loom::`,
//! `compile_fail`), so that they share one build wherever the compiler's flags are the same. A suite over
//! a new device or transport backend is such a file too; a test that iterates over backends by itself
//! needs none, it announces the backends that are absent (`SKIPPED IN PART`).

use std::time::Duration;

use crate::error::Result;
use crate::packages::Tool;
use crate::runner::Runner;

mod asan;
pub(crate) mod checks;
mod doc;
mod dpdk;
mod examples;
mod guest;
mod loom;
mod miri;
mod netns;
mod no_pkg_config;
mod peers_wire;
mod unit;

/// One row of the table.
pub(crate) struct Suite {
    /// What `--only` takes.
    pub(crate) name: &'static str,
    /// What it shows, in one line.
    pub(crate) about: &'static str,
    /// Programs that its tests use, installed beforehand where that is possible. Tests that miss one skip
    /// themselves; a suite that cannot do anything without says so in `run`.
    pub(crate) tools: &'static [Tool],
    /// Generous: it is there for what hangs, not for what is slow.
    pub(crate) limit: Duration,
    /// Part of `--quick`.
    pub(crate) quick: bool,
    /// An error counts as a failure of the suite.
    pub(crate) run: fn(&mut Runner<'_>) -> Result<()>,
}

/// Every suite, in running order: the plain build first, the builds with flags of their own last.
pub(crate) const ALL: &[Suite] = &[
    no_pkg_config::SUITE,
    unit::SUITE,
    peers_wire::SUITE,
    netns::SUITE,
    dpdk::SUITE,
    guest::SUITE,
    doc::SUITE,
    examples::SUITE,
    loom::SUITE,
    asan::SUITE,
    miri::SUITE,
];

/// The names that `--only` takes.
pub(crate) fn names() -> Vec<&'static str> {
    ALL.iter().map(|suite| suite.name).collect()
}

const fn minutes(n: u64) -> Duration {
    Duration::from_secs(n * 60)
}
