//! What must hold before a change lands and is no test: format, lints, documentation, licences. `cargo xtask ci` runs
//! these in front of the suites, and tells of all that failed at its end, not only of the first.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use super::{Suite, minutes};
use crate::error::Result;
use crate::machine;
use crate::runner::Runner;

/// Every check, in running order: the quick one first, then those that share the metadata of the dependencies.
pub(crate) const ALL: &[Suite] = &[
    check("fmt", "the format (rustfmt)", fmt),
    check("clippy", "lints, with warnings as errors", clippy),
    check("rustdoc", "the documentation builds, with warnings as errors", rustdoc),
    check("deny", "licences, bans and sources of the dependencies", deny),
];

const fn check(name: &'static str, about: &'static str, run: fn(&mut Runner<'_>) -> Result<()>) -> Suite {
    Suite { name, about, tools: &[], limit: minutes(30), quick: false, run }
}

fn fmt(runner: &mut Runner<'_>) -> Result<()> {
    step(runner, runner.cargo(&["fmt", "--all", "--check"]))
}

fn clippy(runner: &mut Runner<'_>) -> Result<()> {
    step(runner, runner.cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

fn rustdoc(runner: &mut Runner<'_>) -> Result<()> {
    let mut command = runner.cargo(&["doc", "--workspace", "--no-deps"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    step(runner, command)
}

/// cargo-deny is built under the target folder where it is missing, unoptimised and without what only its advisory
/// check needs: a minute and a half of one core instead of four, once.
fn deny(runner: &mut Runner<'_>) -> Result<()> {
    const VERSION: &str = "cargo-deny@0.20.2";
    let tools = runner.workspace.target.join("tools");
    if !machine::succeeds(&mut with_tools(runner, &["deny", "--version"])) {
        if !runner.may_install {
            runner.skip(format!("{VERSION} is not installed: licences, bans and sources are not checked"));
            return Ok(());
        }
        let mut install =
            runner.cargo(&["install", "--quiet", "--locked", "--debug", "--no-default-features"]);
        install.arg("--root").arg(tools).arg(VERSION);
        install.env_remove("CARGO_TARGET_DIR").env("CARGO_PROFILE_DEV_DEBUG", "0");
        if !runner.attempt(install)? {
            runner.skip(format!("{VERSION} cannot be installed: licences, bans and sources are not checked"));
            return Ok(());
        }
    }
    step(
        runner,
        with_tools(runner, &["deny", "--log-level", "error", "check", "licenses", "bans", "sources"]),
    )
}

/// A cargo that finds its subcommands under the target folder too.
fn with_tools(runner: &Runner<'_>, arguments: &[&str]) -> Command {
    let path = env::var_os("PATH").unwrap_or_default();
    let own = runner.workspace.target.join("tools/bin");
    let folders: Vec<PathBuf> = env::split_paths(&path).chain([own]).collect();
    let mut command = runner.cargo(arguments);
    // Only a folder with a colon in its name cannot be joined; then the tool is not found, which is told.
    command.env("PATH", env::join_paths(folders).unwrap_or(path));
    command
}

fn step(runner: &mut Runner<'_>, command: Command) -> Result<()> {
    let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
    let what = format!("`cargo {}`", words.join(" "));
    runner.step(command, &what).map(drop)
}
