//! The command line.

use clap::builder::PossibleValuesParser;

use crate::suites;

/// hemi's project commands.
#[derive(clap::Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Run every test suite that can run on this machine
    ///
    /// Installs missing Debian packages first when it may (as root, or with a sudo that asks for no
    /// password); otherwise says which packages are missing, what is skipped for it, and how to install
    /// them. The last line is `N passed, N failed, N skipped`; the reasons of every skip stand above it.
    Test(Test),
    /// Check everything that must hold before a change lands
    ///
    /// Format, lints, documentation and licences, then every test suite. Goes on after a failure; what failed,
    /// with the end of what it said, stands right above the last line.
    Ci(Test),
}

#[derive(clap::Args)]
pub(crate) struct Test {
    /// Run this suite only (may be given several times; see --list)
    #[arg(long, value_name = "SUITE", value_parser = PossibleValuesParser::new(suites::names()))]
    pub(crate) only: Vec<String>,
    /// Run the suites that are quick once built, for the edit-and-test loop
    #[arg(long, conflicts_with = "only")]
    pub(crate) quick: bool,
    /// List the suites and the packages they need, run nothing
    #[arg(long)]
    pub(crate) list: bool,
    /// Install nothing
    #[arg(long)]
    pub(crate) no_install: bool,
}
