//! Tests in a process of their own.
//!
//! Limits, open descriptors, signals and the log belong to a process, and the harness runs many tests in one. [`alone!`](crate::alone!)
//! starts the test's own program again with just that test, and the test's body runs there; [`command`] is the same by
//! hand, for a test whose other half speaks to it.

use std::{
    env,
    ffi::OsStr,
    process::{Command, Stdio},
};

/// In the second process: the name of the test that it was started for.
const TEST: &str = "HEMI_TEST_ALONE";

/// The rest of the calling test runs in a process of its own. In the harness's process the test ends here, with that
/// process's outcome.
///
/// ```
/// # // a documentation test has no name in a harness
/// fn descriptors_come_back() {
///     hemi_tests::alone!();
///     let before = hemi_tests::meter::descriptors();
///     // ...
///     assert_eq!(hemi_tests::meter::descriptors(), before);
/// }
/// ```
#[macro_export]
macro_rules! alone {
    () => {
        if !$crate::alone::is_alone() {
            return $crate::alone::run($crate::test_name!(), |command| command);
        }
    };
    ($how:expr) => {
        if !$crate::alone::is_alone() {
            return $crate::alone::run($crate::test_name!(), $how);
        }
    };
}

/// The calling test as the harness knows it: its path without the crate.
#[macro_export]
macro_rules! test_name {
    () => {{
        fn here() {}
        let path = ::core::any::type_name_of_val(&here);
        let path = path.strip_suffix("::here").unwrap_or(path);
        path.split_once("::").map_or(path, |(_, test)| test)
    }};
}

/// Whether this is the second process.
pub fn is_alone() -> bool {
    env::var_os(TEST).is_some()
}

/// This program again, as a process that runs only `test`.
pub fn command(test: &str) -> Command {
    // Not `current_exe`'s name but what it is: the file may have been replaced by a build meanwhile.
    command_of(test, "/proc/self/exe")
}

/// As [`command`], from another copy of the program.
pub fn command_of(test: &str, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(TEST, test);
    command
}

/// Run `test` in a second process, changed by `how`, to its end.
///
/// # Panics
/// When it failed, with everything that it said.
pub fn run(test: &str, how: impl FnOnce(&mut Command) -> &mut Command) {
    let mut command = command(test);
    let output = how(&mut command).stdin(Stdio::null()).output().expect("the test's own program starts");
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    for line in complained.lines().filter(|line| line.starts_with("SKIPPED")) {
        eprintln_uncaptured(line);
    }
    assert!(output.status.success(), "in its own process: {}\n{said}{complained}", output.status);
    assert!(said.contains("1 passed"), "{test} is no test of this program:\n{said}{complained}");
}

/// A line past the harness's capture, as `hemi-skip` writes them.
fn eprintln_uncaptured(line: &str) {
    use std::io::Write as _;
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}
