//! The test command, `cargo xtask test`, and `cargo xtask ci`, which checks format, lints, documentation and
//! licences before it.
//!
//! One line that installs what the suites need through the system's package manager when it may, runs
//! every suite that can run on this machine, and closes with `N passed, N failed, N skipped`, preceded by
//! the reason of every skip. It fails when anything failed.
//!
//! How it is put together, top down:
//!
//! * [`cli`]: the command line;
//! * [`plan`]: install, run the chosen suites one after the other, report;
//! * [`suites`]: the table of suites, one small file each. A new suite is a new file and a row;
//! * [`runner`]: what a suite uses to run `cargo`: streams its output, counts, keeps the time limit;
//!   [`rerun`]: a test that fails is run once more, alone;
//! * [`process`]: one child in a process group of its own, killed with everything it started;
//! * [`libtest`]: reads what the test harness prints; [`tally`]: the counts and reasons; [`excerpt`]: what is
//!   repeated of a failure's output at the end;
//! * [`machine`] and [`packages`]: what is on this machine, and how to get what is not.
//!
//! Left out on purpose: building test programs itself or running them side by side (cargo and libtest do
//! that), and choosing single tests (`cargo test NAME` does that).
#![forbid(unsafe_code)]

mod cli;
mod error;
mod excerpt;
mod libtest;
mod machine;
mod packages;
mod plan;
mod process;
mod rerun;
mod runner;
mod screen;
mod suites;
mod tally;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let outcome = match cli::Cli::parse().command {
        cli::Command::Test(options) => plan::run(&options, &[]),
        cli::Command::Ci(options) => plan::run(&options, suites::checks::ALL),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::from(2)
        }
    }
}
