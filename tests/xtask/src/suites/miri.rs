//! Miri: undefined behaviour in what needs no system call, with strict provenance.

use super::{Suite, minutes};
use crate::error::Result;
use crate::machine;
use crate::runner::Runner;

pub(super) const SUITE: Suite = Suite {
    name: "miri",
    about: "the bottom crate's unit tests under Miri, strict provenance",
    tools: &[],
    limit: minutes(30),
    quick: false,
    run,
};

fn run(runner: &mut Runner<'_>) -> Result<()> {
    if !machine::succeeds(&mut runner.cargo(&["miri", "--version"])) {
        runner.skip("this toolchain has no Miri (rustup +nightly component add miri)");
        return Ok(());
    }
    let mut command = runner.cargo(&["miri", "test", "--lib", "--no-fail-fast", "-p", "hemi-queue"]);
    command.env("MIRIFLAGS", "-Zmiri-strict-provenance").env("CARGO_TARGET_DIR", runner.own_target());
    runner.tests(command)
}
