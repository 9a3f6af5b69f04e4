//! The default members build where no system library can be found: rustc and gcc are enough.
//!
//! It runs first and builds what the suites after it run, in the same target folder, so on a fresh clone (as
//! in CI) it is the first build of everything and costs nothing of its own. In a folder that was built
//! before, it runs those build scripts again that look at `PKG_CONFIG`.

use super::{Suite, minutes};
use crate::error::Result;
use crate::runner::Runner;

pub(super) const SUITE: Suite = Suite {
    name: "no-pkg-config",
    about: "the default path builds with rustc and gcc alone (PKG_CONFIG=/bin/false)",
    tools: &[],
    limit: minutes(30),
    quick: false,
    run,
};

fn run(runner: &mut Runner<'_>) -> Result<()> {
    let mut command = runner.cargo(&["build", "--all-targets"]);
    command.env("PKG_CONFIG", "/bin/false");
    runner.step(command, "building with PKG_CONFIG=/bin/false").map(drop)
}
