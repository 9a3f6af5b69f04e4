//! What a suite has in its hands while it runs.
//!
//! A suite's `run` gets a `&mut Runner`, builds commands with [`Runner::cargo`], and gives each of them to
//! [`Runner::tests`] (counts what the harness reports), [`Runner::tests_if_any`] (the same, and says so
//! when there was none) or [`Runner::step`] (passes or fails as one). All of them stream the output and
//! end with the suite's deadline. A test that fails is run once more, alone ([`rerun`]).

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::excerpt::Excerpt;
use crate::libtest::Reader;
use crate::machine::{self, Workspace};
use crate::process::{self, End};
use crate::rerun;
use crate::screen::Screen;
use crate::tally::Tally;

/// One suite's run.
pub(crate) struct Runner<'a> {
    pub(crate) workspace: &'a Workspace,
    pub(crate) may_install: bool,
    screen: &'a Screen,
    suite: &'static str,
    limit: Duration,
    deadline: Instant,
    tally: Tally,
}

impl<'a> Runner<'a> {
    pub(crate) fn new(
        workspace: &'a Workspace,
        screen: &'a Screen,
        suite: &'static str,
        limit: Duration,
        may_install: bool,
    ) -> Self {
        Self {
            workspace,
            may_install,
            screen,
            suite,
            limit,
            deadline: Instant::now() + limit,
            tally: Tally::default(),
        }
    }

    /// `cargo ARGUMENTS`, with the workspace as its folder and back traces on.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = machine::cargo();
        command.current_dir(&self.workspace.root).args(arguments).env("RUST_BACKTRACE", "1");
        command
    }

    /// A target folder for builds with flags of their own, so that they and the plain ones do not throw
    /// away each other's work.
    pub(crate) fn own_target(&self) -> PathBuf {
        self.workspace.target.join(self.suite)
    }

    /// `-p NAME` for those of the packages that the workspace has.
    pub(crate) fn packages(&self, names: &[&'static str]) -> Vec<&'static str> {
        let present = names.iter().filter(|name| self.workspace.packages.contains(**name));
        present.flat_map(|name| ["-p", name]).collect()
    }

    /// Runs test programs and counts what they report; what fails is run once more, alone.
    pub(crate) fn tests(&mut self, command: Command) -> Result<()> {
        let tally = self.count_twice(command)?;
        self.add(tally);
        Ok(())
    }

    /// As [`tests`](Self::tests), for a filter that may match nothing yet: then that is said, as a skip.
    pub(crate) fn tests_if_any(&mut self, command: Command, what: &str) -> Result<()> {
        let mut tally = self.count_twice(command)?;
        if tally.is_empty() {
            tally.skip(format!("there are no {what} yet"));
        }
        self.add(tally);
        Ok(())
    }

    /// Runs a command that passes or fails as one, and counts it under the name `what`. True if it passed.
    pub(crate) fn step(&mut self, command: Command, what: &str) -> Result<bool> {
        let (reader, end) = self.stream(command)?;
        let wrong = self.what_went_wrong(&end);
        let passed = wrong.is_none();
        match wrong {
            None => self.tally.passed += 1,
            Some(how) => self.tally.fail(format!("{what} {how}"), reader.recent().clone()),
        }
        Ok(passed)
    }

    /// Runs a command whose failure is no failure of the suite. True if it succeeded.
    pub(crate) fn attempt(&mut self, command: Command) -> Result<bool> {
        let (_, end) = self.stream(command)?;
        Ok(self.what_went_wrong(&end).is_none())
    }

    /// Counts a part that cannot run here, with the reason.
    pub(crate) fn skip(&mut self, why: impl Into<String>) {
        self.tally.skip(why);
    }

    /// Prints a line among the suite's output.
    pub(crate) fn say(&self, line: &str) {
        self.screen.line(line);
    }

    pub(crate) fn fail(&mut self, what: impl Into<String>) {
        self.tally.fail(what, Excerpt::default());
    }

    pub(crate) fn into_tally(self) -> Tally {
        self.tally
    }

    fn add(&mut self, tally: Tally) {
        self.tally.passed += tally.passed;
        self.tally.failures.extend(tally.failures);
        self.tally.flaky.extend(tally.flaky);
        self.tally.skips.extend(tally.skips);
    }

    fn count_twice(&mut self, command: Command) -> Result<Tally> {
        let first = rerun::copy(&command);
        let mut tally = self.count(command)?;
        for rerun in rerun::reruns(&tally.failures) {
            if Instant::now() >= self.deadline {
                break;
            }
            let known = tally.flaky.len();
            self.say(&format!("\n==== once more, alone: {rerun}"));
            let second = self.count(rerun.command(&first))?;
            rerun.judge(&mut tally, &second);
            for flaky in &tally.flaky[known..] {
                self.say(&format!("FLAKY: {}", flaky.as_flaky()));
            }
        }
        Ok(tally)
    }

    /// A command that ended badly without a failed test (a build error, the time limit) is a failure too.
    fn count(&mut self, command: Command) -> Result<Tally> {
        let words = command.get_args().map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ");
        let (reader, end) = self.stream(command)?;
        let recent = reader.recent().clone();
        let mut tally = reader.finish();
        let unexplained = tally.failures.is_empty() || matches!(end, End::TimedOut);
        if let Some(how) = self.what_went_wrong(&end).filter(|_| unexplained) {
            tally.fail(format!("`cargo {words}` {how}"), recent);
        }
        Ok(tally)
    }

    /// Streams to the terminal and to a [`Reader`].
    fn stream(&mut self, command: Command) -> Result<(Reader, End)> {
        let mut reader = Reader::default();
        let end = process::run(command, self.deadline, |line| {
            self.screen.line(line);
            reader.line(line);
            let (passed, failed) = reader.so_far();
            self.screen.progress(format!("{}: {passed} passed, {failed} failed", self.suite));
        })?;
        Ok((reader, end))
    }

    fn what_went_wrong(&self, end: &End) -> Option<String> {
        match end {
            End::Exited(status) if status.success() => None,
            End::Exited(status) => Some(format!("ended with {status}")),
            End::TimedOut => {
                Some(format!("was killed after the suite's limit of {} s", self.limit.as_secs()))
            }
        }
    }
}
