//! Programs of the host that a run needs, and how they are called.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::{Error, Result};

/// Each program, and the Debian package that brings it. `rdma` and `tc` are used by the group `rdma` inside.
const NEEDED: [(&str, &str); 8] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("busybox", "busybox-static"),
    ("depmod", "kmod"),
    ("zstd", "zstd"),
    ("xz", "xz-utils"),
    ("apt-get", "apt"),
    ("dpkg", "dpkg"),
    ("setpriv", "util-linux"),
];

/// What is missing on this machine to run guests at all, in the words of an error; a test skips itself with it.
pub fn missing() -> Option<Error> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        return Some(Error::Architecture(std::env::consts::ARCH));
    }
    NEEDED
        .iter()
        .find(|(program, _)| hemi_skip::find_program(program).is_none())
        .map(|&(program, package)| Error::Missing { program, package })
}

/// Where one of the needed programs is.
pub(crate) fn find(program: &str) -> Result<PathBuf> {
    let (program, package) =
        NEEDED.into_iter().find(|(name, _)| *name == program).unwrap_or(("a program", "coreutils"));
    hemi_skip::find_program(program).ok_or(Error::Missing { program, package })
}

/// Runs a command to its end; its standard output, or what it complained about.
pub(crate) fn answer(command: &mut Command) -> Result<Vec<u8>> {
    let failed = |command: &Command, why: String| {
        let words: Vec<_> = [command.get_program()]
            .into_iter()
            .chain(command.get_args())
            .map(OsStr::to_string_lossy)
            .collect();
        Error::Command { command: words.join(" "), why }
    };
    let output = command.stdin(Stdio::null()).env("LC_ALL", "C").output();
    match output {
        Ok(output) if output.status.success() => Ok(output.stdout),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let last: Vec<_> = said.lines().rev().take(3).collect();
            Err(failed(command, format!("{}: {}", output.status, last.join(" / "))))
        }
        Err(error) => Err(failed(command, error.to_string())),
    }
}
