//! Tests that need devices which this machine lacks: their test programs run in a virtual machine (`hemi-guest`), one guest for each row of
//! [`IN_GUEST`].
//!
//! They are the tests with `in_guest` in their path. Those with `in_qemu` in it start guests by themselves.

use super::{Suite, minutes};
use crate::error::Result;
use crate::machine;
use crate::packages::Tool;
use crate::runner::Runner;

pub(super) const SUITE: Suite = Suite {
    name: "guest",
    about: "RDMA and NVMe in a virtual machine: Debian's kernel in QEMU",
    tools: &[
        Tool { program: "qemu-system-x86_64", package: "qemu-system-x86" },
        Tool { program: "busybox", package: "busybox-static" },
        Tool { program: "depmod", package: "kmod" },
        Tool { program: "zstd", package: "zstd" },
        Tool { program: "xz", package: "xz-utils" },
        Tool { program: "ip", package: "iproute2" },
        Tool { program: "ibv_rc_pingpong", package: "ibverbs-utils" },
        Tool { program: "rping", package: "rdmacm-utils" },
        // A library that is loaded by its name has no program to look for.
        Tool { program: "/etc/libibverbs.d/rxe.driver", package: "ibverbs-providers" },
    ],
    limit: minutes(60),
    quick: false,
    run,
};

/// What marks tests that run inside a guest, and those that start guests: modules of these names in their path.
pub(super) const TAG: &str = "in_guest::";
pub(super) const STARTS_GUESTS: &str = "in_qemu::";

/// A test program that runs in a guest.
struct Row {
    group: &'static str,
    package: &'static str,
    test: &'static str,
    /// Arguments for cargo beside these: features.
    more: &'static [&'static str],
    /// Its tests may run at the same time: they share neither a device nor a limit of the process.
    side_by_side: bool,
}

/// One guest each, in this order.
const IN_GUEST: &[Row] = &[
    Row { group: "nvme", package: "hemi-log-nvme", test: "guest", more: &[], side_by_side: false },
    Row { group: "nvme", package: "hemi", test: "device_logs", more: &[], side_by_side: false },
    Row { group: "block", package: "hemi", test: "device_logs", more: &[], side_by_side: false },
    Row { group: "rdma", package: "hemi-verbs", test: "verbs", more: &["--lib"], side_by_side: false },
    Row { group: "rdma", package: "hemi-tests", test: "rdma", more: &[], side_by_side: true },
];

/// For one test program, in seconds: minutes on a quiet machine become many on a loaded one.
const TIME_LIMIT: &str = "900";

fn run(runner: &mut Runner<'_>) -> Result<()> {
    if machine::find_program("qemu-system-x86_64").is_none() {
        runner.skip("QEMU is not installed");
        return Ok(());
    }
    if !runner.step(runner.cargo(&["build", "-p", "hemi-guest"]), "building the guest's runner")? {
        return Ok(());
    }
    let program = runner.workspace.target.join("debug/hemi-guest");
    let mut prepare = std::process::Command::new(&program);
    prepare.arg("prepare");
    if !runner.attempt(prepare)? {
        runner.skip("the guest's kernel could not be had (the reason stands above)");
        return Ok(());
    }
    let by_itself = ["test", "-p", "hemi-guest", "--tests", "--no-fail-fast", "--", STARTS_GUESTS];
    // A guest has two processors, and so may this machine: one guest at a time.
    let by_itself = [&by_itself[..], &["--test-threads=1"]].concat();
    runner.tests(runner.cargo(&by_itself))?;
    let host = machine::host_triple()?;
    for row in IN_GUEST.iter().filter(|row| runner.workspace.packages.contains(row.package)) {
        let words = format!(
            "target.{host}.runner=['{}', 'run', '--group', '{}', '--timeout', '{TIME_LIMIT}', '--']",
            program.display(),
            row.group
        );
        let mut words = vec!["test", "--config", &words, "-p", row.package, "--test", row.test];
        words.extend(row.more);
        words.extend(["--no-fail-fast", "--", TAG]);
        if !row.side_by_side {
            words.push("--test-threads=1");
        }
        runner.tests(runner.cargo(&words))?;
    }
    Ok(())
}
