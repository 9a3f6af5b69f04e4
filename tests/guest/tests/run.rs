//! The runner as its user sees it: what goes into a guest and what comes out.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Built by cargo for this test program.
const RUNNER: &str = env!("CARGO_BIN_EXE_hemi-guest");

/// An empty folder of this test's own.
fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn run(group: &str, options: &[&str], program: &[&str]) -> Command {
    let mut command = Command::new(RUNNER);
    command.args(["run", "--group", group]).args(options).arg("--").args(program);
    command
}

macro_rules! needs_qemu {
    () => {
        if let Some(missing) = hemi_guest::missing() {
            hemi_skip::skip!("{missing}");
        }
    };
}

#[test]
fn a_program_that_is_not_there_is_named_before_anything_boots() {
    needs_qemu!();
    let guest = hemi_guest::Guest::new(hemi_guest::Group::Bare).time_limit(Duration::from_secs(1));
    let shared = guest.clone().write_to(Path::new("./hemi-no-such-folder"));
    for error in [
        guest.run("./hemi-no-such-program".as_ref(), &[]).unwrap_err(),
        shared.run("true".as_ref(), &[OsString::from("x")]).unwrap_err(),
    ] {
        assert!(error.to_string().contains("./hemi-no-such-"), "{error}");
    }
}

#[test]
fn an_unknown_group_is_refused_with_those_there_are() {
    let output = run("infiniband", &[], &["true"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("infiniband") && said.contains("rdma, nvme"), "{said}");
}

mod in_qemu {
    use super::*;

    #[test]
    fn streams_status_environment_and_folders_are_the_callers() {
        needs_qemu!();
        let folder = scratch("streams");
        let shared = folder.join("with 'quotes' and, commas");
        fs::create_dir(&shared).unwrap();
        let script = r#"
            echo "out $HEMI_TEST_WORD $HEMI_GUEST $1"
            echo "err $(pwd)" >&2
            echo inside > inside.txt && echo ok > "$2/result.txt"
            kill -TERM $$
        "#;
        let words = ["sh", "-c", script, "sh", "it's $1", shared.to_str().unwrap()];
        let output = run("bare", &["--write", shared.to_str().unwrap()], &words)
            .current_dir(&folder)
            .env("HEMI_TEST_WORD", "two  words")
            .output()
            .unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "out two  words bare it's $1\n", "{err}");
        assert!(err.contains(&format!("err {}\n", folder.display())), "{err}");
        assert_eq!(output.status.code(), Some(128 + 15), "ended by SIGTERM");
        assert_eq!(fs::read_to_string(shared.join("result.txt")).unwrap(), "ok\n");
        assert!(!folder.join("inside.txt").exists(), "the host's files are read-only");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_program_without_end_is_killed_with_its_guest() {
        needs_qemu!();
        let output =
            run("bare", &["--timeout", "20"], &["sh", "-c", "echo begun; sleep 3600"]).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(124), "{err}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "begun\n");
        assert!(err.contains("killed after 20 s: the program was running"), "{err}");
        // The job's folder is kept, with the console in it, and nobody holds it any more.
        let console = err.lines().find_map(|line| line.split("kept in ").nth(1)).unwrap();
        let console = Path::new(console.trim_end_matches(':'));
        assert!(console.is_file(), "{}", console.display());
        let name = console.parent().unwrap().to_str().unwrap();
        assert_eq!(qemus_with(name), 0);
        fs::remove_dir_all(console.parent().unwrap()).unwrap();
    }

    /// How many processes have this in their command line.
    fn qemus_with(word: &str) -> usize {
        let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
        lines.filter(|line| String::from_utf8_lossy(line).contains(word)).count()
    }

    #[test]
    fn a_guest_that_panics_is_reported_with_its_console() {
        needs_qemu!();
        let crash = "echo c > /proc/sysrq-trigger; sleep 3600";
        let output = run("bare", &[], &["sh", "-c", crash]).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(125), "{err}");
        assert!(err.contains("sysrq triggered crash"), "{err}");
    }

    /// The clean link and the lossy wire, with programs that are not ours.
    #[test]
    fn verbs_and_the_connection_manager_work_on_every_link() {
        needs_qemu!();
        for (program, package) in
            [("ibv_rc_pingpong", "ibverbs-utils"), ("rping", "rdmacm-utils"), ("rdma", "iproute2")]
        {
            if hemi_skip::find_program(program).is_none() {
                hemi_skip::skip!("{program} is not installed (apt-get install {package})");
            }
        }
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/verbs.sh");
        let output = run("rdma", &[], &["sh", "-e", script]).output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{out}\n{err}");
        assert!(out.ends_with("every link works\n"), "{out}\n{err}");
    }
}
