//! The `echo` example on every backend.

use std::{net::SocketAddr, process::ExitStatus};

use hemi_tests::kernels::BACKENDS;
use rustix::process::Signal;

use super::program::Program;

/// A running `echo`.
pub(super) struct Echo {
    program: Program,
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
        let ports = ["--tcp", "127.0.0.1:0", "--udp", "127.0.0.1:0"];
        let mut program = Program::start("echo", &[&ports, arguments].concat());
        let (tcp, udp) = (program.listening("tcp"), program.listening("udp"));
        Self { program, tcp, udp }
    }

    /// Ask it to end; its closing line and how it ended.
    pub(super) fn stop(self, signal: Signal) -> (String, ExitStatus) {
        let (mut said, status) = self.program.stop(signal);
        let last = said.pop().expect("a closing line");
        assert!(said.is_empty(), "the closing line is the only one: {said:?}");
        (last, status)
    }
}
