//! The `echo` example, as it is built and started by a stranger.

use std::{
    io::{BufRead, BufReader, Lines},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::OnceLock,
};

use hemi_tests::kernels::BACKENDS;
use rustix::process::{Pid, Signal, kill_process};

/// A running `echo`; killed when dropped.
pub(super) struct Echo {
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
    pub(super) tcp: SocketAddr,
    pub(super) udp: SocketAddr,
}

/// Call `test` with an `echo` on each backend that this machine has.
pub(super) fn each(test: impl Fn(Echo)) {
    for uri in BACKENDS {
        eprintln!("-- {uri}"); // shown when the test fails
        match hemi::Runtime::builder().net(uri).build() {
            Ok(_) => test(Echo::start(&["--net", uri])),
            Err(e) => hemi_skip::skip_part!(uri, "{e}"),
        }
    }
}

impl Echo {
    pub(super) fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(program())
            .args(["--tcp", "127.0.0.1:0", "--udp", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("echo starts");
        let mut said = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut listening = |what: &str| {
            let line = said.next().expect("echo says where it listens").expect("its output is text");
            let at = line.strip_prefix(what).unwrap_or_else(|| panic!("{line:?} is not {what:?}"));
            at.parse().expect("an address")
        };
        let (tcp, udp) = (listening("listening tcp "), listening("listening udp "));
        Self { child, said, tcp, udp }
    }

    /// Ask it to end; its closing line and how it ended.
    pub(super) fn stop(mut self, signal: Signal) -> (String, ExitStatus) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
        let last = self.said.next().expect("a closing line").expect("text");
        assert!(self.said.next().is_none(), "the closing line is the last one");
        (last, self.child.wait().expect("it ends"))
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // Has it ended already, there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program, up to date: a test program is no example's dependency, so that cargo has to be asked.
fn program() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let output = Command::new(cargo)
            .args(["build", "-p", "hemi-examples", "--example", "echo", "--message-format", "json"])
            .current_dir(root)
            .output()
            .expect("cargo runs");
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "echo does not build: {complaints}");
        let messages = String::from_utf8(output.stdout).expect("JSON is UTF-8");
        let built = messages.lines().rev().find_map(|message| {
            let (_, path) = message.split_once("\"executable\":\"")?;
            path.split_once('"').map(|(path, _)| PathBuf::from(path))
        });
        built.expect("cargo tells where it put it")
    })
}
