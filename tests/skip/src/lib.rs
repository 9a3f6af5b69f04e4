//! How a test says that it cannot run on this machine.
//!
//! A test that needs a program, a right or a kernel feature looks for it first, and where it is missing
//! calls [`skip!`]: the test ends there, and one line, past the harness's capture, says which test was
//! skipped and why. `cargo xtask test` counts these lines and repeats the reasons at its end, so that a
//! green run never hides what it did not run. [`program!`] does both for a program.
//!
//! ```
//! // with #[test] above it, in a test program
//! fn the_shell_can_add() {
//!     let sh = hemi_skip::program!("sh", "dash"); // the program, and the Debian package that brings it
//!     let status = std::process::Command::new(sh).args(["-c", "exit $((1 + 1))"]).status().unwrap();
//!     assert_eq!(status.code(), Some(2));
//! }
//! # the_shell_can_add();
//! ```
//!
//! A test that goes on without a part of itself (one of several backends, say) calls [`skip_part!`].
//!
//! The lines are `SKIPPED: TEST: WHY` and `SKIPPED IN PART: TEST: WHAT: WHY`, on standard error, each by
//! one write. Left out on purpose: switches to skip a test by. What is there is used.
#![forbid(unsafe_code)]

use std::env;
use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Ends the calling test with success and announces it as skipped, with a reason in the words of
/// [`format!`]. For tests that return `()` or a `Result<(), E>`, async ones included.
#[macro_export]
macro_rules! skip {
    ($($why:tt)+) => {
        return $crate::skipped($crate::here!(), ::core::format_args!($($why)+))
    };
}

/// Announces that the calling test runs without a part of itself, and goes on:
/// `skip_part!("backend uring", "not permitted here: {error}")`.
#[macro_export]
macro_rules! skip_part {
    ($what:expr, $($why:tt)+) => {
        $crate::skipped_in_part($crate::here!(), &$what, ::core::format_args!($($why)+))
    };
}

/// The path of a program that the calling test needs, or else a [`skip!`] that names the Debian package
/// which brings it: `program!("nc", "netcat-openbsd")`.
#[macro_export]
macro_rules! program {
    ($program:expr, $package:expr) => {
        match $crate::find_program($program) {
            ::core::option::Option::Some(path) => path,
            ::core::option::Option::None => {
                $crate::skip!("{} is not installed (apt-get install {})", $program, $package)
            }
        }
    };
}

/// The path of the function that this is written in.
#[doc(hidden)]
#[macro_export]
macro_rules! here {
    () => {{
        fn here() {}
        ::core::any::type_name_of_val(&here)
    }};
}

/// What a test may return; a skipped test has not failed.
pub trait Outcome {
    /// The value that a skipped test returns.
    fn skipped() -> Self;
}

impl Outcome for () {
    fn skipped() -> Self {}
}

impl<E> Outcome for Result<(), E> {
    fn skipped() -> Self {
        Ok(())
    }
}

/// Where a program is: on the `PATH`, or in the system folders that a plain user's `PATH` leaves out.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(system).map(|folder| folder.join(name)).find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[doc(hidden)]
pub fn skipped<R: Outcome>(here: &str, why: fmt::Arguments<'_>) -> R {
    announce(format!("SKIPPED: {}: {why}", test_name(here)));
    R::skipped()
}

#[doc(hidden)]
pub fn skipped_in_part(here: &str, what: &dyn fmt::Display, why: fmt::Arguments<'_>) {
    announce(format!("SKIPPED IN PART: {}: {what}: {why}", test_name(here)));
}

/// `crate::module::test` of `crate::module::test::{{closure}}::here`.
fn test_name(here: &str) -> String {
    let outer = here.strip_suffix("::here").unwrap_or(here);
    outer.replace("::{{closure}}", "")
}

/// One line by one write, so that lines of tests that run side by side do not mix; straight to standard
/// error, for the harness keeps back what passing tests print through `println!` and `eprintln!`.
fn announce(mut line: String) {
    line = line.replace('\n', " ");
    let _ = line.write_char('\n');
    let _ = io::stderr().write_all(line.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_named_by_its_path() {
        assert_eq!(test_name(crate::here!()), "hemi_skip::tests::a_test_is_named_by_its_path");
        let closure = || test_name(crate::here!());
        assert_eq!(closure(), "hemi_skip::tests::a_test_is_named_by_its_path");
    }

    #[test]
    fn async_blocks_do_not_show_in_the_name() {
        assert_eq!(test_name("a::b::{{closure}}::{{closure}}::here"), "a::b");
    }

    #[test]
    fn programs_are_found_where_they_are() {
        assert!(find_program("sh").is_some_and(|path| path.is_absolute()));
        assert_eq!(find_program("hemi-no-such-program"), None);
    }

    #[test]
    fn a_program_that_is_there_skips_nothing() {
        let sh: PathBuf = crate::program!("sh", "dash");
        assert!(sh.ends_with("sh"));
    }
}
