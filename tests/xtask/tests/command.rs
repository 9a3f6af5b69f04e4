//! The test command as its user sees it, on a small workspace with every way a test can end.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Tests that pass, fail, are ignored, skip themselves, skip a part; and a program that dies.
const LIB: &str = r#"
//! ```
//! assert_eq!(1 + 1, 2);
//! ```
#[cfg(test)]
mod tests {
    #[test]
    fn passes() {}
    #[test]
    fn fails() { panic!("on purpose") }
    #[test]
    #[ignore = "takes an hour"]
    fn ignored() {}
    #[test]
    fn skips() -> Result<(), String> { hemi_skip::skip!("no {} here", "unicorn") }
    #[test]
    fn skips_a_part() { hemi_skip::skip_part!("backend uring", "not permitted"); }
    #[test]
    fn lacks_a_program() { let _ = hemi_skip::program!("hemi-no-such-program", "unicorn"); unreachable!() }
    mod peers_wire {
        #[test]
        fn nc() {}
    }
}
"#;
/// Tests that fail, or kill their program, the first time only; and what shows that no more than they is run again.
const LUCK: &str = r#"
    use std::{fs, path::Path};
    fn is_first(name: &str) -> bool {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        !file.exists() && fs::write(file, "").is_ok()
    }
    #[test]
    fn flaky() { assert!(!is_first("flaky"), "bad luck") }
    #[test]
    fn passes() { assert!(is_first("passes"), "it was run again") }
    #[test]
    fn fails() { panic!("each time") }
"#;
const DIES_ONCE: &str = r#"
    #[test]
    fn dies_once() {
        let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("dies-once");
        if !file.exists() {
            std::fs::write(file, "").unwrap();
            std::process::abort();
        }
    }
"#;
const DIES: &str = "#[test] fn dies() { std::process::abort() }";

/// A workspace of one package in a folder of its own, and `cargo xtask test` in it.
struct Fixture(PathBuf);

impl Fixture {
    fn new(name: &str) -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let skip = Path::new(env!("CARGO_MANIFEST_DIR")).join("../skip");
        let fixture = Self(root);
        fixture.begin_anew();
        fixture.write("Cargo.toml", "[workspace]\nmembers = [\"one\"]\nresolver = \"3\"\n");
        fixture.write(
            "one/Cargo.toml",
            &format!(
                "[package]\nname = \"one\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
                 [dev-dependencies]\nhemi-skip = {{ path = '{}' }}\n",
                skip.display()
            ),
        );
        fixture
    }

    /// As if none of its tests had ever been run.
    fn begin_anew(&self) {
        let _ = fs::remove_dir_all(self.0.join("target/tmp"));
        fs::create_dir_all(self.0.join("target/tmp")).unwrap();
    }

    fn write(&self, file: &str, text: &str) -> &Self {
        let file = self.0.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        self.subcommand("test", arguments)
    }

    fn subcommand(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.current_dir(&self.0).args([name, "--no-install"]).args(arguments);
        command.env("CARGO_TARGET_DIR", self.0.join("target")).env_remove("RUSTFLAGS");
        command
    }

    fn test(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn every_way_to_end_is_counted_and_explained() {
    let fixture = Fixture::new("every-way");
    fixture.write("one/src/lib.rs", LIB).write("one/tests/dies.rs", DIES);
    let output = fixture.test(&["--only", "unit"]);
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(text.lines().last(), Some("2 passed, 2 failed, 4 skipped"), "{text}");
    for line in [
        "FAILED   unit: tests::fails",
        "SKIPPED  unit: tests::ignored: takes an hour",
        "SKIPPED  unit: one::tests::skips: no unicorn here",
        "SKIPPED  unit: one::tests::skips_a_part: backend uring: not permitted",
        "SKIPPED  unit: one::tests::lacks_a_program: hemi-no-such-program is not installed (apt-get install unicorn)",
    ] {
        assert!(text.lines().any(|other| other == line), "no line {line:?} in:\n{text}");
    }
    assert!(
        text.lines().any(|line| line.starts_with("FAILED   unit: ") && line.contains("SIGABRT")),
        "{text}"
    );
    // What the failed test said is repeated at the end, without its back trace.
    let (_, summary) = text.rsplit_once("==== summary").unwrap();
    let (_, said) = summary.split_once("---- unit: tests::fails\n").expect("its section");
    let said: Vec<_> = said.lines().take_while(|line| !line.is_empty()).collect();
    assert!(said.iter().any(|line| line.trim() == "on purpose"), "{said:?}");
    assert!(
        !said.iter().any(|line| line.contains("begin_unwind") || line.contains("rust_begin")),
        "{said:?}"
    );
}

#[test]
fn what_fails_is_run_once_more_alone_and_flaky_if_it_passes() {
    let fixture = Fixture::new("luck");
    fixture
        .write("one/src/lib.rs", "")
        .write("one/tests/luck.rs", LUCK)
        .write("one/tests/dies.rs", DIES_ONCE);
    let output = fixture.test(&["--only", "unit"]);
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(text.lines().last(), Some("3 passed, 1 failed, 0 skipped, 2 flaky"), "{text}");
    let (during, summary) = text.rsplit_once("==== summary").unwrap();
    let told = "flaky: failed once, passed when run again: thread 'flaky'";
    assert!(during.lines().any(|line| line.starts_with(&format!("FLAKY: {told}"))), "{during}");
    let listed: Vec<_> = summary.lines().filter(|line| line.starts_with("FLAKY ")).collect();
    let [dies, flaky] = listed[..] else { panic!("{listed:?}") };
    assert!(dies.contains("SIGABRT"), "{dies}");
    assert!(flaky.starts_with(&format!("FLAKY    unit: {told}")) && flaky.ends_with(": bad luck"), "{flaky}");
    // What it said is not forgotten.
    let (_, said) = summary.split_once("---- FLAKY unit: flaky\n").expect("its section");
    assert!(said.lines().take_while(|line| !line.is_empty()).any(|line| line.trim() == "bad luck"), "{said}");
    assert!(summary.lines().any(|line| line == "FAILED   unit: fails"), "{summary}");

    fixture.write("one/tests/luck.rs", &LUCK.replace("panic!(\"each time\")", ""));
    fixture.begin_anew();
    assert!(fixture.test(&["--only", "unit"]).status.success(), "flaky tests do not fail a run");
}

#[test]
fn after_a_failure_it_goes_on() {
    let fixture = Fixture::new("goes-on");
    fixture.write("one/src/lib.rs", &LIB.replace("fn passes() {}", "fn passes()  {}"));
    let output = fixture.subcommand("ci", &["--only", "unit", "--only", "doc"]).output().unwrap();
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let (_, summary) = text.rsplit_once("==== summary").unwrap();
    let failed: Vec<_> = summary.lines().filter(|line| line.starts_with("FAILED")).collect();
    let [format, test] = failed[..] else { panic!("{failed:?} in:\n{text}") };
    assert!(format.starts_with("FAILED   fmt: `cargo fmt --all --check` ended with"), "{format}");
    assert_eq!(test, "FAILED   unit: tests::fails");
    assert!(summary.contains("fn passes()  {}"), "rustfmt's words are repeated: {summary}");
    // clippy and rustdoc pass, 2 unit tests do, and the documentation's.
    assert!(text.lines().last().unwrap().starts_with("5 passed, 2 failed, "), "{text}");
}

#[test]
fn several_suites_add_up() {
    let fixture = Fixture::new("several");
    let lib = LIB.replace("panic!(\"on purpose\")", "");
    fixture.write("one/src/lib.rs", &lib);
    let output = fixture.test(&["--only", "unit", "--only", "peers-wire", "--only", "doc", "--only", "loom"]);
    let text = text(&output);
    assert!(output.status.success(), "{text}");
    // unit 3 (passes, fails, skips_a_part), peers-wire 1, doc 1
    assert_eq!(text.lines().last(), Some("5 passed, 0 failed, 4 skipped"), "{text}");
}

#[test]
fn a_build_that_fails_is_a_failure() {
    let fixture = Fixture::new("broken");
    fixture.write("one/src/lib.rs", "this is not Rust");
    let output = fixture.test(&["--only", "unit"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output).lines().last(), Some("0 passed, 1 failed, 0 skipped"));
}

#[test]
fn an_interrupt_leaves_no_process_behind() {
    let fixture = Fixture::new("interrupt");
    fixture.write(
        "one/src/lib.rs",
        r#"
        #[test]
        fn sleeps() {
            use std::io::Write as _;
            writeln!(std::io::stderr(), "sleeping as {}", std::process::id()).unwrap();
            std::thread::sleep(std::time::Duration::from_secs(600));
        }
        "#,
    );
    let mut xtask = fixture.command(&["--only", "unit"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(xtask.stdout.take().unwrap()).lines().map(Result::unwrap);
    let sleeper = lines.find_map(|line| line.split_once("sleeping as ").map(|(_, pid)| pid.to_owned()));
    let sleeper = sleeper.expect("the test program announces itself");

    kill(Pid::from_raw(xtask.id() as i32), Signal::SIGINT).unwrap();
    assert_eq!(xtask.wait().unwrap().code(), Some(130));
    // SIGKILL takes effect a moment after it was sent; the sleep would outlive any patience.
    let gone = (0..30_000).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        let stat = fs::read_to_string(format!("/proc/{sleeper}/stat")).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    });
    assert!(gone, "the test program {sleeper} still runs");
}

#[test]
fn an_unknown_suite_is_answered_with_the_known_ones() {
    let fixture = Fixture::new("unknown");
    let output = fixture.test(&["--only", "nonsense"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(stderr.contains("peers-wire") && stderr.contains("nonsense"), "{stderr}");
}

#[test]
fn the_list_names_packages() {
    let fixture = Fixture::new("list");
    let output = fixture.test(&["--list"]);
    assert!(output.status.success());
    assert!(text(&output).contains("Debian packages: netcat-openbsd socat"));
}
