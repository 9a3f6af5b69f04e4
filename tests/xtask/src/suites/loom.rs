//! Loom: every interleaving of the lock-free parts, under `cfg(loom)`.

use super::{Suite, minutes};
use crate::error::Result;
use crate::runner::Runner;

pub(super) const SUITE: Suite = Suite {
    name: "loom",
    about: "every interleaving of the lock-free parts",
    tools: &[],
    limit: minutes(40),
    quick: false,
    run,
};

/// The packages that have atomics of their own.
const PACKAGES: [&str; 4] = ["hemi-queue", "hemi-park", "hemi-shm", "hemi"];

fn run(runner: &mut Runner<'_>) -> Result<()> {
    for package in PACKAGES.into_iter().filter(|name| runner.workspace.packages.contains(*name)) {
        let mut command =
            runner.cargo(&["test", "--release", "--lib", "--no-fail-fast", "-p", package, "--", "loom"]);
        command.env("RUSTFLAGS", "--cfg loom").env_remove("CARGO_ENCODED_RUSTFLAGS");
        command.env("CARGO_TARGET_DIR", runner.own_target());
        runner.tests_if_any(command, &format!("loom tests in {package}"))?;
    }
    Ok(())
}
