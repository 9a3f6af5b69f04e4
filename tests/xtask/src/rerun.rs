//! What fails is run once more, alone: the test programs concerned, one after the other, with nothing but the failed tests and on one thread.
//!
//! A change is refused for its own faults, so a test that fails once and then passes does not refuse it. It is a fault all the same,
//! to be mended: it is said at once, listed with what it said at the end, and counted (`N flaky`). What fails twice has failed.
//!
//! | failed | run again |
//! |---|---|
//! | tests with names | these tests |
//! | a documentation test | those of its file: rustdoc takes no names with spaces in them |
//! | a program that died | all of it |
//! | anything of which a sanitizer has reported something | nothing: that is believed the first time |
//! | a build, a step, more than [`MOST`] tests, a suite whose time is up | nothing |

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::process::Command;

use crate::tally::{Again, Failure, Tally};

/// So many failures of one command are no matter of luck.
const MOST: usize = 10;

/// What follows it among cargo's arguments is the harness's.
const SEPARATOR: &str = "--";

/// One test program to be run again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rerun {
    /// As cargo says it: `-p NAME --test NAME`.
    program: String,
    /// Its failed tests; none: it died.
    tests: Vec<String>,
}

/// What of these failures is worth a second look, by program.
pub(crate) fn reruns(failures: &[Failure]) -> Vec<Rerun> {
    if failures.len() > MOST {
        return Vec::new();
    }
    let mut reruns: Vec<Rerun> = Vec::new();
    for failure in failures {
        let Some(Again { program, test, .. }) = &failure.again else { continue };
        if failure.output.has_report() {
            continue;
        }
        let tests: Vec<String> = test.iter().cloned().collect();
        match reruns.iter_mut().find(|rerun| rerun.program == *program) {
            // Of a program that died nobody knows which tests would have failed: all of it is run.
            Some(rerun) if rerun.tests.is_empty() || tests.is_empty() => rerun.tests.clear(),
            Some(rerun) => rerun.tests.extend(tests),
            None => reruns.push(Rerun { program: program.clone(), tests }),
        }
    }
    reruns
}

impl Rerun {
    /// The command for it: `first`, which ran it among others, with the same choice of packages, so that their features, and with them
    /// the build, are the same.
    pub(crate) fn command(&self, first: &Command) -> Command {
        let arguments: Vec<&OsStr> = first.get_args().collect();
        let at = arguments.iter().position(|word| *word == SEPARATOR).unwrap_or(arguments.len());
        let (cargos, harness) = (&arguments[..at], arguments.get(at + 1..).unwrap_or_default());
        let mut command = like(first);
        command.args(packages(cargos)).args(self.target()).arg(SEPARATOR);
        if self.tests.is_empty() {
            command.args(harness);
        } else if self.is_documentation() {
            command.args(self.tests.iter().filter_map(|test| test.split_whitespace().next()));
        } else {
            command.arg("--exact").args(&self.tests);
        }
        if !command.get_args().any(|word| word == "--test-threads=1") {
            command.arg("--test-threads=1");
        }
        command
    }

    /// Moves the first run's failures that the second run did not confirm to the flaky ones.
    pub(crate) fn judge(&self, tally: &mut Tally, second: &Tally) {
        let is_mine = |failure: &Failure| failure.again.as_ref().is_some_and(|a| a.program == self.program);
        let is_mine = |failure: &Failure| is_mine(failure) && !failure.output.has_report();
        let (mine, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut tally.failures).into_iter().partition(is_mine);
        let died = second.failures.iter().any(|failure| failure.test().is_none());
        let fails_again = |test: &str| second.failures.iter().any(|failure| failure.test() == Some(test));
        let (failed, passed): (Vec<_>, Vec<_>) = mine.into_iter().partition(|failure| match failure.test() {
            _ if died => true,
            Some(test) => fails_again(test),
            None => !second.failures.is_empty(),
        });
        // Who was not there the second time, or found there that it cannot run here (after its own failure, maybe), has not passed.
        let (failed, passed) = if second.passed >= passed.len() as u64 {
            (failed, passed)
        } else {
            ([failed, passed].concat(), Vec::new())
        };
        for failure in &passed {
            tally.passed += match &failure.again {
                Some(Again { test: None, was_counted, .. }) => u64::from(!was_counted) * second.passed,
                _ => 1,
            };
        }
        tally.flaky.extend(passed);
        tally.failures = [others, failed].concat();
    }

    /// `--test NAME`, without the package.
    fn target(&self) -> Vec<&str> {
        let mut words = Vec::new();
        let mut all = self.program.split_whitespace();
        while let Some(word) = all.next() {
            if matches!(word, "-p" | "--package") {
                all.next();
            } else {
                words.push(word);
            }
        }
        words
    }

    fn is_documentation(&self) -> bool {
        self.program.ends_with("--doc")
    }
}

/// `-p NAME --lib: TEST, TEST`
impl fmt::Display for Rerun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tests = if self.tests.is_empty() { "all of it".into() } else { self.tests.join(", ") };
        write!(f, "{}: {tests}", self.program)
    }
}

/// Cargo's arguments without the choice of targets.
fn packages(arguments: &[&OsStr]) -> Vec<OsString> {
    let mut kept = Vec::new();
    let mut all = arguments.iter();
    while let Some(word) = all.next() {
        match word.to_str() {
            Some("--tests" | "--lib" | "--bins" | "--examples" | "--benches" | "--doc" | "--all-targets") => {
            }
            Some("--test" | "--bin" | "--example" | "--bench") => drop(all.next()),
            _ => kept.push((*word).to_owned()),
        }
    }
    kept
}

/// The same command, without its arguments.
fn like(first: &Command) -> Command {
    let mut command = Command::new(first.get_program());
    if let Some(folder) = first.get_current_dir() {
        command.current_dir(folder);
    }
    for (name, value) in first.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// The same command, to be run now.
pub(crate) fn copy(first: &Command) -> Command {
    let mut command = like(first);
    command.args(first.get_args());
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libtest::Reader;

    /// Two programs of which one has two failed tests and the other died, as cargo and libtest say it.
    const FIRST: &str = "\
     Running unittests src/lib.rs (target/debug/deps/one-1)
running 3 tests
test a ... ok
test m::b ... FAILED
test m::c ... FAILED

failures:

---- m::b stdout ----
thread 'm::b' panicked at x.rs:1:2:
too slow

---- m::c stdout ----
thread 'm::c' panicked at x.rs:9:2:
wrong

failures:
    m::b
    m::c

test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s

error: test failed, to rerun pass `-p one --lib`
     Running tests/dies.rs (target/debug/deps/dies-1)
running 2 tests
error: test failed, to rerun pass `-p one --test dies`

Caused by:
  process didn't exit successfully: `target/debug/deps/dies-1` (signal: 6, SIGABRT: process abort signal)
error: 2 targets failed:
    `-p one --lib`
    `-p one --test dies`
";
    const OK: &str =
        "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 9 filtered out; finished in 0.1s\n";

    fn read(text: &str) -> Tally {
        let mut reader = Reader::default();
        text.lines().for_each(|line| reader.line(line));
        reader.finish()
    }

    fn words(command: &Command) -> String {
        command.get_args().map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn only_what_failed_is_run_again() {
        let tally = read(FIRST);
        let reruns = reruns(&tally.failures);
        let mut first = Command::new("cargo");
        first.args(["test", "--workspace", "--tests", "--no-fail-fast", "--", "--skip", "netns::"]);
        first.env("A", "1").env_remove("B").current_dir("/");
        let commands: Vec<_> = reruns.iter().map(|rerun| rerun.command(&first)).collect();
        assert_eq!(
            commands.iter().map(words).collect::<Vec<_>>(),
            [
                "test --workspace --no-fail-fast --lib -- --exact m::b m::c --test-threads=1",
                "test --workspace --no-fail-fast --test dies -- --skip netns:: --test-threads=1"
            ]
        );
        assert_eq!(commands[0].get_current_dir(), first.get_current_dir());
        assert!(commands[0].get_envs().eq(first.get_envs()));
        // A row of the suite `guest`, and a documentation test.
        let mut guest = Command::new("cargo");
        guest.args(["test", "--config", "x=['y', '--']", "-p", "v", "--test", "verbs", "--lib", "--"]);
        guest.args(["in_guest::", "--test-threads=1"]);
        let rerun = Rerun { program: "-p v --test verbs".into(), tests: vec!["in_guest::x".into()] };
        assert_eq!(
            words(&rerun.command(&guest)),
            "test --config x=['y', '--'] -p v --test verbs -- --exact in_guest::x --test-threads=1"
        );
        let tests = vec!["src/a.rs - a::b (line 3)".into()];
        let rerun = Rerun { program: "-p v --doc".into(), tests };
        let mut doc = Command::new("cargo");
        doc.args(["test", "--workspace", "--doc"]);
        assert_eq!(words(&rerun.command(&doc)), "test --workspace --doc -- src/a.rs --test-threads=1");
    }

    #[test]
    fn what_passes_then_is_flaky_and_what_fails_again_has_failed() {
        let mut tally = read(FIRST);
        let reruns = reruns(&tally.failures);
        let second = read(
            "test m::b ... ok\ntest m::c ... FAILED\n\nfailures:\n    m::c\n\n\
             test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s\n\n\
             error: test failed, to rerun pass `-p one --lib`\n",
        );
        reruns[0].judge(&mut tally, &second);
        reruns[1].judge(&mut tally, &read(OK));
        assert_eq!(tally.failures.iter().map(|f| &*f.what).collect::<Vec<_>>(), ["m::c"]);
        assert!(tally.failures[0].output.lines().any(|line| line == "wrong"));
        assert_eq!(tally.flaky.len(), 2);
        assert_eq!(tally.flaky[0].what, "m::b");
        assert_eq!(
            tally.flaky[0].output.headline(),
            "thread 'm::b' panicked at x.rs:1:2: too slow",
            "what it said the first time"
        );
        assert!(tally.flaky[1].what.contains("SIGABRT"));
        // `a`, `m::b`, and the two of the program that died.
        assert_eq!(tally.to_string(), "4 passed, 1 failed, 0 skipped, 2 flaky");
    }

    #[test]
    fn what_did_not_run_again_has_not_passed() {
        for second in ["error: could not compile `one` (lib test)\n", &OK.replace("2 passed", "0 passed")] {
            let mut tally = read(FIRST);
            let reruns = reruns(&tally.failures);
            reruns[0].judge(&mut tally, &read(second));
            assert_eq!((tally.failures.len(), tally.flaky.len()), (3, 0), "{second}");
        }
    }

    #[test]
    fn what_is_skipped_the_second_time_has_not_passed() {
        let mut tally = read(FIRST);
        let reruns = reruns(&tally.failures);
        let skipped = format!("SKIPPED: m::b: no device\nSKIPPED: m::c: no device\n{OK}");
        reruns[0].judge(&mut tally, &read(&skipped));
        assert_eq!((tally.failures.len(), tally.flaky.len()), (3, 0));
    }

    #[test]
    fn a_program_that_dies_again_has_failed() {
        let mut tally = read(FIRST);
        let reruns = reruns(&tally.failures);
        let died = read(&FIRST[FIRST.find("     Running tests/dies.rs").unwrap()..]);
        reruns[0].judge(&mut tally, &died);
        reruns[1].judge(&mut tally, &died);
        assert_eq!((tally.failures.len(), tally.flaky.len()), (3, 0));
    }

    #[test]
    fn what_is_no_luck_is_not_run_again() {
        let report = FIRST.replace(
            "Caused by:",
            "==1==ERROR: AddressSanitizer: heap-use-after-free on address 0x1\n\nCaused by:",
        );
        let report = &report[report.find("     Running tests/dies.rs").unwrap()..];
        assert_eq!(reruns(&read(report).failures), []);
        // As long as it is in life: much before it, and the map of its shadow bytes behind it.
        let tests = "test t ... ok\n".repeat(40);
        let shadow = "  0x502000000080: fa fa fa fa\n".repeat(40);
        let long = report
            .replace("running 2 tests\n", &tests)
            .replace("\n\nCaused by:", &format!("\n{shadow}\nCaused by:"));
        assert_eq!(reruns(&read(&long).failures), []);
        // A test that started the program that has something to report.
        let child =
            FIRST.replace("too slow", "==1==ERROR: AddressSanitizer: heap-use-after-free on address 0x1");
        assert_eq!(reruns(&read(&child).failures)[0].tests, ["m::c"]);
        let many = (0..=MOST).map(|n| Failure {
            what: n.to_string(),
            again: Some(Again { program: "--lib".into(), test: Some(n.to_string()), was_counted: true }),
            ..Failure::default()
        });
        assert_eq!(reruns(&many.collect::<Vec<_>>()), []);
        let build = Failure { what: "`cargo test` ended with exit status: 101".into(), ..Failure::default() };
        assert_eq!(reruns(&[build]), []);
    }
}
