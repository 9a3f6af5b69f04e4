//! [`Guest`]: an example as a program beside the test, in the network namespace of the test's thread.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

/// A running example; killed when dropped.
pub struct Guest {
    child: Running,
    _said: BufReader<ChildStdout>,
}

impl Guest {
    /// Start an example on the transport `uri`, and wait until its first line says that it serves.
    ///
    /// # Panics
    /// When it does not.
    pub fn spawn(example: &str, uri: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new(program(example))
            .args(["--net", uri])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example starts");
        let mut said = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        said.read_line(&mut line).expect("text");
        assert!(
            line.starts_with("ready") || line.starts_with("listening"),
            "{example} on {uri} says {line:?}"
        );
        Self { child: Running(child), _said: said }
    }

    /// It ends when it is asked to, with success.
    ///
    /// # Panics
    /// When it does not.
    pub fn stop(mut self) {
        kill_process(Pid::from_child(&self.child.0), Signal::TERM).expect("it runs");
        assert!(self.child.0.wait().expect("it ends").success());
    }
}

/// Another program beside the test; killed when dropped.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Has it ended already, there is nothing to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An example's program, up to date: a test program is no example's dependency, so that cargo has to be asked.
fn program(example: &str) -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "-p", "hemi-examples", "--example", example, "--message-format", "json"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{example}: {}", String::from_utf8_lossy(&output.stderr));
    let messages = String::from_utf8(output.stdout).expect("JSON is UTF-8");
    let built = messages.lines().rev().find_map(|message| {
        let (_, path) = message.split_once("\"executable\":\"")?;
        path.split_once('"').map(|(path, _)| PathBuf::from(path))
    });
    built.expect("cargo tells where it put it")
}
