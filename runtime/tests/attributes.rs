//! `#[hemi::main]` and `#[hemi::test]` on the real runtime. (What must not compile: `runtime/macros/tests`.)

use std::{
    cell::Cell,
    process::{Command, Output},
    rc::Rc,
    time::Duration,
};

use hemi::Error;

#[hemi::test]
async fn tasks_run() {
    let seen = Rc::new(Cell::new(0));
    let task = hemi::spawn({
        let seen = Rc::clone(&seen);
        async move { seen.set(seen.get() + 1) }
    });
    task.await.unwrap();
    assert_eq!(seen.get(), 1);
}

#[hemi::test(idle = "park")]
async fn a_result_may_be_returned_early() -> Result<(), Box<dyn std::error::Error>> {
    let number: u32 = "12".parse()?;
    if number == 12 {
        return Ok(());
    }
    Err("not reached".into())
}

#[hemi::test(sim)]
async fn an_hour_of_virtual_time_passes_at_once() {
    let start = hemi::time::now();
    hemi::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(hemi::time::now() - start, Duration::from_secs(3600));
}

#[hemi::test(sim)]
#[should_panic(expected = "deadlock")]
async fn a_simulation_that_cannot_go_on_fails() {
    std::future::pending::<()>().await;
}

#[hemi::test(net = "nonsense:")]
#[should_panic(expected = "nonsense")]
async fn an_unknown_transport_fails_a_test_with_the_reason() {}

#[hemi::test]
#[should_panic(expected = "on purpose")]
async fn a_failed_assertion_fails_the_test() {
    hemi::yield_now().await;
    panic!("on purpose");
}

/// `main`s of every return type, run as programs: a test starts its own executable again, with the name of the
/// `main` in the environment.
mod programs {
    use super::*;

    const PROGRAM: &str = "HEMI_TEST_PROGRAM";

    #[hemi::main(idle = "busy")]
    async fn runs() -> hemi::Result<()> {
        hemi::yield_now().await;
        println!("ran");
        Ok(())
    }

    #[hemi::main(net = "nonsense:")]
    async fn result() -> Result<(), Error> {
        println!("ran");
        Ok(())
    }

    #[hemi::main(net = "nonsense:")]
    async fn foreign_result() -> Result<(), std::num::ParseIntError> {
        println!("ran");
        Ok(())
    }

    #[hemi::main(net = "nonsense:")]
    async fn unit() {
        println!("ran");
    }

    #[hemi::main(net = "nonsense:")]
    async fn never() -> ! {
        println!("ran");
        std::process::exit(0)
    }

    /// In a started program: becomes it. The test's own name is what the program is started by.
    fn become_program() {
        match std::env::var(PROGRAM).as_deref() {
            Ok("runs") => runs().unwrap(),
            Ok("result") => match result() {
                Err(error) => {
                    eprintln!("returned: {error}");
                    std::process::exit(1);
                }
                Ok(()) => unreachable!("there is no such transport"),
            },
            Ok("foreign_result") => foreign_result().unwrap(),
            Ok("unit") => unit(),
            Ok("never") => never(),
            Ok(other) => panic!("no program {other}"),
            Err(_) => return,
        }
        std::process::exit(0);
    }

    fn run(test: &str, program: &str) -> Output {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", test, "--nocapture"]).env(PROGRAM, program);
        command.env_remove("HEMI_NET").output().unwrap()
    }

    #[test]
    fn a_main_runs() {
        become_program();
        let output = run("programs::a_main_runs", "runs");
        assert!(output.status.success(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("ran"));
    }

    #[test]
    fn a_main_without_a_runtime_ends_with_the_reason() {
        become_program();
        for program in ["result", "foreign_result", "unit", "never"] {
            let output = run("programs::a_main_without_a_runtime_ends_with_the_reason", program);
            assert_eq!(output.status.code(), Some(1), "{program}: {output:?}");
            let reason = String::from_utf8_lossy(&output.stderr);
            let how = if program == "result" { "returned: " } else { "hemi: " };
            assert!(
                reason.lines().any(|line| line.starts_with(how) && line.contains("nonsense")),
                "{reason}"
            );
            assert!(!String::from_utf8_lossy(&output.stdout).contains("ran"), "{program}: {output:?}");
        }
    }
}
