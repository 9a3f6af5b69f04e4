//! AddressSanitizer and LeakSanitizer over the crates that hold `unsafe` code.
//!
//! Before anything else two small programs with a bug each are run: a sanitizer that does not report them
//! would report nothing at all.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Suite, guest, minutes};
use crate::error::{Error, Result};
use crate::machine;
use crate::runner::Runner;

pub(super) const SUITE: Suite = Suite {
    name: "asan",
    about: "AddressSanitizer over the crates with unsafe code, leaks included where they can be seen",
    tools: &[],
    limit: minutes(60),
    quick: false,
    run,
};

/// The packages with `unsafe` code.
const PACKAGES: [&str; 11] = [
    "hemi-queue",
    "hemi-park",
    "hemi-kernel",
    "hemi-link",
    "hemi-log-file",
    "hemi-log-nvme",
    "hemi-packet",
    "hemi-shm",
    "hemi-tap",
    "hemi-xdp",
    "hemi",
];
/// In the path of tests that only call the compiler; nothing of ours runs in them.
const COMPILE_FAIL: &str = "compile_fail";
const FLAGS: &str = "-Zsanitizer=address";

fn run(runner: &mut Runner<'_>) -> Result<()> {
    let packages = runner.packages(&PACKAGES);
    if packages.is_empty() {
        runner.skip("none of the packages with unsafe code is in this workspace");
        return Ok(());
    }
    let probe = Probe::build(&runner.own_target())?;
    let Some(probe) = probe else {
        runner.skip("this compiler cannot build with -Zsanitizer=address (its runtime is not installed)");
        return Ok(());
    };
    if !probe.reports("use-after-free", "heap-use-after-free")? {
        runner.fail("AddressSanitizer does not report a use after free: the suite would prove nothing");
        return Ok(());
    }
    let leaks = probe.reports("leak", "detected memory leaks")?;
    if !leaks {
        runner.skip("leaks: LeakSanitizer does not work here (it needs ptrace, which containers may forbid)");
    }

    let host = machine::host_triple()?;
    let mut command = runner.cargo(&["test", "--tests", "--no-fail-fast", "--target", &host]);
    command.args(packages).args(["--", "--skip", COMPILE_FAIL, "--skip", guest::TAG]);
    // The sanitizer is unstable in name only: RUSTC_BOOTSTRAP lets the stable compiler take the flag.
    command.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", FLAGS).env_remove("CARGO_ENCODED_RUSTFLAGS");
    command.env("ASAN_OPTIONS", options(leaks)).env("CARGO_TARGET_DIR", runner.own_target());
    runner.tests(command)
}

fn options(leaks: bool) -> String {
    format!("detect_leaks={}:detect_stack_use_after_return=1:strict_string_checks=1", u8::from(leaks))
}

/// A program with bugs to order.
struct Probe(PathBuf);

impl Probe {
    const SOURCE: &str = include_str!("asan_probe.rs.txt");

    /// `None` when the compiler cannot.
    fn build(folder: &Path) -> Result<Option<Self>> {
        let io = |source| Error::Io { what: "cannot write the sanitizer's probe", source };
        fs::create_dir_all(folder).map_err(io)?;
        let (source, program) = (folder.join("probe.rs"), folder.join("probe"));
        fs::write(&source, Self::SOURCE).map_err(io)?;
        let mut rustc = machine::rustc();
        rustc.env("RUSTC_BOOTSTRAP", "1").args([FLAGS, "-Cdebuginfo=0", "-o"]).arg(&program).arg(&source);
        Ok(machine::succeeds(&mut rustc).then_some(Self(program)))
    }

    /// Runs the bug and looks for the sanitizer's word for it.
    fn reports(&self, bug: &str, word: &str) -> Result<bool> {
        let mut command = Command::new(&self.0);
        command.arg(bug).env("ASAN_OPTIONS", options(bug == "leak")).stdin(Stdio::null());
        let start = |source| Error::Start { program: self.0.display().to_string(), source };
        let output = command.output().map_err(start)?;
        Ok(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains(word))
    }
}
