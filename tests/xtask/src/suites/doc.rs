//! The examples in the documentation run.

use super::{Suite, minutes};
use crate::error::Result;
use crate::runner::Runner;

pub(super) const SUITE: Suite =
    Suite { name: "doc", about: "documentation tests", tools: &[], limit: minutes(40), quick: true, run };

fn run(runner: &mut Runner<'_>) -> Result<()> {
    runner.tests_if_any(
        runner.cargo(&["test", "--workspace", "--doc", "--no-fail-fast"]),
        "documentation tests",
    )
}
