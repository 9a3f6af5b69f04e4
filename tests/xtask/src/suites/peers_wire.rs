//! Tests against the kernel's own clients: what a stranger's program sees on the wire.
//!
//! They are the tests of `tests/` with `peers_wire` in their path, built together with the `unit` suite.

use super::{Suite, minutes};
use crate::error::Result;
use crate::packages::Tool;
use crate::runner::Runner;

pub(super) const SUITE: Suite = Suite {
    name: "peers-wire",
    about: "real kernel clients (nc, socat) against the examples, Wireshark's eye on captures",
    tools: &[
        Tool { program: "nc", package: "netcat-openbsd" },
        Tool { program: "socat", package: "socat" },
        Tool { program: "tshark", package: "tshark" },
    ],
    limit: minutes(30),
    quick: false,
    run,
};

/// What marks these tests: a module of this name in their path.
pub(super) const TAG: &str = "peers_wire";

fn run(runner: &mut Runner<'_>) -> Result<()> {
    let command = runner.cargo(&["test", "--workspace", "--tests", "--no-fail-fast", "--", TAG]);
    runner.tests_if_any(command, "tests in a module `peers_wire`")
}
