//! The user-level stack over real devices, opposite the Linux kernel, in network namespaces of their own.
//!
//! They are the tests with `netns` in their path, built together with the `unit` suite. Who may not make namespaces skips them.

use super::{Suite, minutes};
use crate::error::Result;
use crate::packages::Tool;
use crate::runner::Runner;

pub(super) const SUITE: Suite = Suite {
    name: "netns",
    about: "the user-level stack over the kernel's devices, in network namespaces (root)",
    tools: &[
        Tool { program: "ip", package: "iproute2" },
        Tool { program: "ethtool", package: "ethtool" },
        Tool { program: "ping", package: "iputils-ping" },
        Tool { program: "nc", package: "netcat-openbsd" },
        Tool { program: "socat", package: "socat" },
        Tool { program: "curl", package: "curl" },
        Tool { program: "iperf3", package: "iperf3" },
        Tool { program: "wrk", package: "wrk" },
        Tool { program: "tshark", package: "tshark" },
    ],
    limit: minutes(40),
    quick: false,
    run,
};

/// What marks these tests: a module of this name in their path.
pub(super) const TAG: &str = "netns::";

fn run(runner: &mut Runner<'_>) -> Result<()> {
    let command = runner.cargo(&["test", "--workspace", "--tests", "--no-fail-fast", "--", TAG]);
    runner.tests_if_any(command, "tests in a module `netns`")
}
