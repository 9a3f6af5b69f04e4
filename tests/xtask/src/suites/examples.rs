//! The examples build.

use super::{Suite, minutes};
use crate::error::Result;
use crate::runner::Runner;

pub(super) const SUITE: Suite =
    Suite { name: "examples", about: "the examples build", tools: &[], limit: minutes(30), quick: true, run };

fn run(runner: &mut Runner<'_>) -> Result<()> {
    runner.step(runner.cargo(&["build", "--workspace", "--examples"]), "building the examples").map(drop)
}
