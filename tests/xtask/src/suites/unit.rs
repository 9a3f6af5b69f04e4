//! Every unit and integration test of the workspace, but for those that need a foreign program or a network of their own.

use super::{Suite, guest, minutes, netns, peers_wire};
use crate::error::Result;
use crate::runner::Runner;

pub(super) const SUITE: Suite = Suite {
    name: "unit",
    about: "unit and integration tests of the workspace",
    tools: &[],
    limit: minutes(60),
    quick: true,
    run,
};

fn run(runner: &mut Runner<'_>) -> Result<()> {
    runner.tests(runner.cargo(&[
        "test",
        "--workspace",
        "--tests",
        "--no-fail-fast",
        "--",
        "--skip",
        peers_wire::TAG,
        "--skip",
        netns::TAG,
        "--skip",
        guest::TAG,
        "--skip",
        guest::STARTS_GUESTS,
    ]))
}
