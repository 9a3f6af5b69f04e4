//! The user-level stack over DPDK's virtual devices: the crate `hemi-dpdk` with its feature, which no other suite builds.
//!
//! It costs two minutes for the packages on a machine that has none of them, and one for bindgen, once.

use super::{Suite, minutes};
use crate::error::Result;
use crate::packages::Tool;
use crate::runner::Runner;

pub(super) const SUITE: Suite = Suite {
    name: "dpdk",
    about: "the user-level stack over DPDK: memif and vhost between processes; TAP, AF_PACKET, AF_XDP to the kernel",
    // Libraries have no programs to look for.
    tools: &[
        Tool { program: "pkg-config", package: "pkg-config" },
        Tool { program: "/usr/include/dpdk/rte_ethdev.h", package: "libdpdk-dev" },
        Tool { program: "/var/lib/dpkg/info/libclang-dev.list", package: "libclang-dev" },
        Tool { program: "ip", package: "iproute2" },
        Tool { program: "ethtool", package: "ethtool" },
    ],
    limit: minutes(40),
    quick: false,
    run,
};

fn run(runner: &mut Runner<'_>) -> Result<()> {
    let features = "hemi-dpdk/dpdk,hemi-bench/dpdk";
    let packages = ["-p", "hemi-dpdk", "-p", "hemi-bench", "--features", features, "--all-targets"];
    let lints = [&["clippy"][..], &packages, &["--", "-D", "warnings"]].concat();
    runner.step(runner.cargo(&lints), "clippy with the feature `dpdk`")?;
    runner.tests(runner.cargo(&[
        "test",
        "-p",
        "hemi-dpdk",
        "--features",
        "dpdk",
        "--tests",
        "--no-fail-fast",
    ]))
}
