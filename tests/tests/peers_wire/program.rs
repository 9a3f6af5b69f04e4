//! An example as it is built and started by a stranger.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Lines},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::OnceLock,
};

use rustix::process::{Pid, Signal, kill_process};

/// A running example; killed when dropped.
pub(super) struct Program {
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Program {
    pub(super) fn start(example: &str, arguments: &[&str]) -> Self {
        let mut child = command(example)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("an example starts");
        let said = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        Self { child, said }
    }

    /// What it says next; `None` when it has said its last.
    pub(super) fn line(&mut self) -> Option<String> {
        self.said.next().map(|line| line.expect("its output is text"))
    }

    /// Where it says that it listens: `what` is `tcp` or `udp`.
    pub(super) fn listening(&mut self, what: &str) -> SocketAddr {
        let line = self.line().expect("it says where it listens");
        let at = line.strip_prefix(&format!("listening {what} "));
        at.unwrap_or_else(|| panic!("{line:?} is not where it listens")).parse().expect("an address")
    }

    /// Ask it to end; what it still says, and how it ended.
    pub(super) fn stop(mut self, signal: Signal) -> (Vec<String>, ExitStatus) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
        let mut rest = Vec::new();
        while let Some(line) = self.line() {
            rest.push(line);
        }
        (rest, self.child.wait().expect("it ends"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Has it ended already, there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The example, up to date, as a command.
pub(super) fn command(example: &str) -> Command {
    let mut command = Command::new(examples().get(example).unwrap_or_else(|| panic!("no example {example}")));
    command.env_remove("HEMI_NET");
    command
}

/// A test program is no example's dependent, so that cargo has to be asked.
fn examples() -> &'static HashMap<String, PathBuf> {
    static EXAMPLES: OnceLock<HashMap<String, PathBuf>> = OnceLock::new();
    EXAMPLES.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let output = Command::new(cargo)
            .args(["build", "-p", "hemi-examples", "--examples", "--message-format", "json"])
            .current_dir(root)
            .output()
            .expect("cargo runs");
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the examples do not build: {complaints}");
        let messages = String::from_utf8(output.stdout).expect("JSON is UTF-8");
        let paths = messages.lines().filter_map(|message| {
            let (_, path) = message.split_once("\"executable\":\"")?;
            path.split_once('"').map(|(path, _)| PathBuf::from(path))
        });
        paths.filter_map(|path| Some((path.file_name()?.to_str()?.to_owned(), path))).collect()
    })
}
