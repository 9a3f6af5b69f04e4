//! Reads what `cargo test` and the test harness print, line by line, into a [`Tally`].
//!
//! The counts come from the `test result:` lines, the names of failures from the `failures:` list above
//! them, and what they said from the sections above that. On top of libtest's words stands one of ours: a line `SKIPPED: WHAT: WHY`, printed by a test
//! that finds on its way that it cannot run here (see the `hemi-skip` crate). libtest counts such a test
//! as passed; here it counts as skipped, with its reason.
//!
//! Left out: the JSON output of libtest (unstable), and per-test times.

use crate::excerpt::Excerpt;
use crate::tally::{Again, Failure, Tally};

const SKIPPED: &str = "SKIPPED: ";
const SKIPPED_IN_PART: &str = "SKIPPED IN PART: ";

/// The state between lines. Feed it every line, in order, then take the tally with [`finish`](Self::finish).
#[derive(Default)]
pub(crate) struct Reader {
    tally: Tally,
    /// Skips announced since the last `test result:` line: each of them is among its `passed`.
    announced: u64,
    /// Failures libtest has counted; the names come from its list.
    failed: u64,
    /// Those of the program that failed last, until cargo says how to run it again.
    names: Vec<String>,
    named: u64,
    in_failures: bool,
    /// The test program that failed last, as cargo says how to run it again.
    program: Option<String>,
    /// It has named no failed test, and nothing was said yet of how it ended.
    unexplained: bool,
    /// The test program that runs has said how many tests passed.
    was_counted: bool,
    /// What failed tests said, by name; the last one may be under way.
    said: Vec<(String, Excerpt)>,
    in_section: bool,
    /// What the test program that runs, or the compiler, has said lately.
    recent: Excerpt,
}

impl Reader {
    pub(crate) fn line(&mut self, line: &str) {
        self.keep(line);
        if let Some((whole, what)) = skip_line(line) {
            self.announced += u64::from(whole);
            self.tally.skip(what);
        } else if let Some(rest) = line.strip_prefix("test result: ") {
            self.in_failures = false;
            self.result(rest);
        } else if line == "failures:" {
            self.in_failures = true;
        } else if let Some(name) = line.strip_prefix("    ").filter(|_| self.in_failures) {
            self.names.push(name.to_owned());
        } else if let Some(program) = rerun_line(line).filter(|_| !self.in_section) {
            self.take_unexplained();
            let explained = !self.names.is_empty() || self.failed > self.named;
            self.unexplained = !explained;
            self.program = Some(program.to_owned());
            self.take_names();
        } else if let Some(name) = line.strip_prefix("test ") {
            if let Some((name, why)) = name.split_once(" ... ignored") {
                let why = why.strip_prefix(", ").unwrap_or("marked #[ignore] without a reason");
                self.tally.skip(format!("{name}: {why}"));
            }
        } else if let Some(how) = line.trim_start().strip_prefix("process didn't exit successfully: ") {
            // A test program that died: cargo says so only when the harness did not report by itself.
            self.unexplained = false;
            let was_counted = self.was_counted;
            let again = self.program.take().map(|program| Again { program, test: None, was_counted });
            let what = format!("a test program died: {how}");
            self.tally.failures.push(Failure { what, output: self.recent.clone(), again });
        } else if !line.is_empty() && !line.starts_with(' ') {
            self.in_failures = false;
        }
    }

    /// How many tests have passed and failed so far, for a progress display.
    pub(crate) fn so_far(&self) -> (u64, u64) {
        (self.tally.passed, self.failed + self.tally.failures.len() as u64 - self.named)
    }

    /// What was said since the last test program began; the end of it, if that is much.
    pub(crate) fn recent(&self) -> &Excerpt {
        &self.recent
    }

    pub(crate) fn finish(mut self) -> Tally {
        self.take_unexplained();
        self.program = None; // it is another's
        self.take_names();
        for _ in self.named..self.failed {
            self.tally.fail("a test that its harness did not name", Excerpt::default());
        }
        self.tally
    }

    /// A program that ended badly, as a harness does that has named failed tests, and has named none: a failure without a name.
    fn take_unexplained(&mut self) {
        if std::mem::take(&mut self.unexplained) {
            let program = self.program.as_deref().unwrap_or_default();
            self.tally.fail(format!("`{program}` failed and named no test"), Excerpt::default());
        }
    }

    /// The names so far are failures.
    fn take_names(&mut self) {
        for test in std::mem::take(&mut self.names) {
            self.named += 1;
            let said = self.said.iter().position(|(name, _)| *name == test);
            let output = said.map(|at| self.said.remove(at).1).unwrap_or_default();
            let program = self.program.clone();
            let again = program.map(|program| Again { program, test: Some(test.clone()), was_counted: true });
            self.tally.failures.push(Failure { what: test, output, again });
        }
    }

    /// Keeps what the closing report repeats.
    fn keep(&mut self, line: &str) {
        if line.trim_start().starts_with("Running ") || line.trim_start().starts_with("Doc-tests ") {
            self.recent.clear();
            self.was_counted = false;
        }
        self.recent.push(line);
        let section = line.strip_prefix("---- ").and_then(|rest| rest.strip_suffix(" stdout ----"));
        if let Some(test) = section {
            self.said.push((test.to_owned(), Excerpt::default()));
            self.in_section = true;
        } else if line == "failures:" {
            self.in_section = false;
        } else if let Some((_, output)) = self.said.last_mut().filter(|_| self.in_section) {
            output.push(line);
        }
    }

    /// `ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s`
    fn result(&mut self, rest: &str) {
        let count = |word: &str| -> u64 {
            let before = rest.split(';').find_map(|part| part.trim_end().strip_suffix(word));
            before.and_then(|part| part.split_whitespace().last()).and_then(|n| n.parse().ok()).unwrap_or(0)
        };
        self.was_counted = true;
        let passed = count(" passed");
        self.tally.passed += passed.saturating_sub(std::mem::take(&mut self.announced));
        self.failed += count(" failed");
    }
}

/// Cargo's word behind a test program that failed: how to run it again.
fn rerun_line(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("to rerun pass `").filter(|_| line.starts_with("error: "))?;
    rest.split_once('`').map(|(program, _)| program)
}

/// The text after a skip marker, and whether the whole test was skipped. The marker may stand behind
/// libtest's own `test NAME ... `, into which another thread's line can fall.
fn skip_line(line: &str) -> Option<(bool, &str)> {
    let after = |marker: &str| {
        let at = line.find(marker)?;
        (at == 0 || line.starts_with("test ")).then(|| line[at + marker.len()..].trim())
    };
    after(SKIPPED).map(|what| (true, what)).or_else(|| after(SKIPPED_IN_PART).map(|what| (false, what)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Tally {
        let mut reader = Reader::default();
        text.lines().for_each(|line| reader.line(line));
        reader.finish()
    }

    #[test]
    fn counts_add_up_over_programs() {
        let tally = read(
            "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
             test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 7 filtered out; finished in 1.20s\n",
        );
        assert_eq!(tally.to_string(), "15 passed, 0 failed, 0 skipped");
    }

    #[test]
    fn failures_are_named_and_their_output_is_not_taken_for_names() {
        let tally = read(
            "test a::b ... FAILED\n\nfailures:\n\n---- a::b stdout ----\nthread 'a::b' panicked at x:1:\n    left: 1\n\n\
             failures:\n    a::b\n\ntest result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s\n",
        );
        assert_eq!(tally.failures.len(), 1);
        assert_eq!(tally.failures[0].what, "a::b");
        let said: Vec<_> = tally.failures[0].output.lines().collect();
        assert_eq!(said, ["thread 'a::b' panicked at x:1:", "    left: 1", ""]);
        assert_eq!(tally.passed, 1);
    }

    #[test]
    fn a_skip_moves_a_test_from_passed_to_skipped() {
        let tally = read(
            "SKIPPED: peers_wire::nc: nc is missing\ntest peers_wire::nc ... ok\n\
             test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.0s\n",
        );
        assert_eq!(tally.to_string(), "1 passed, 0 failed, 1 skipped");
        assert_eq!(tally.skips, ["peers_wire::nc: nc is missing"]);
    }

    #[test]
    fn a_skip_in_part_leaves_the_test_passed() {
        let tally = read(
            "SKIPPED IN PART: all_backends: uring: not permitted\n\
             test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.0s\n",
        );
        assert_eq!(tally.to_string(), "1 passed, 0 failed, 1 skipped");
    }

    #[test]
    fn a_skip_line_that_falls_into_a_harness_line_still_counts() {
        let tally = read(
            "test other ... SKIPPED: mine: no device\nok\n\
             test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.0s\n",
        );
        assert_eq!(tally.to_string(), "1 passed, 0 failed, 1 skipped");
    }

    #[test]
    fn ignored_tests_are_skips_with_their_reason() {
        let tally = read(
            "test slow ... ignored, takes an hour\ntest odd ... ignored\n\
             test result: ok. 0 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.0s\n",
        );
        assert_eq!(tally.skips, ["slow: takes an hour", "odd: marked #[ignore] without a reason"]);
    }

    #[test]
    fn a_program_that_dies_is_a_failure() {
        let tally = read(
            "running 1 test\nerror: test failed, to rerun pass `-p x --lib`\n\nCaused by:\n  \
             process didn't exit successfully: `target/debug/deps/x-1` (signal: 6, SIGABRT: process abort signal)\n",
        );
        assert_eq!(tally.failures.len(), 1);
        assert!(tally.failures[0].what.contains("SIGABRT"));
        let again = Again { program: "-p x --lib".into(), test: None, was_counted: false };
        assert_eq!(tally.failures[0].again, Some(again));
        assert!(tally.failures[0].output.lines().any(|line| line.contains("to rerun pass")));
    }

    #[test]
    fn a_program_that_fails_and_names_nothing_is_a_failure_of_its_own() {
        let tally = read(
            "error: test failed, to rerun pass `-p x --test mine`\n     Running unittests src/lib.rs (y)\n\
             test a ... FAILED\n\nfailures:\n    a\n\n\
             test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0s\n\n\
             error: test failed, to rerun pass `-p y --lib`\n",
        );
        let failures: Vec<_> = tally.failures.iter().map(|f| (&*f.what, f.again.is_some())).collect();
        assert_eq!(failures, [("`-p x --test mine` failed and named no test", false), ("a", true)]);
    }

    #[test]
    fn a_counted_failure_without_a_name_is_not_lost() {
        let tally = read(
            "test result: FAILED. 0 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0s\n",
        );
        assert_eq!(tally.failures.len(), 2);
    }
}
