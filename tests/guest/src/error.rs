//! What can go wrong around a run; what goes wrong in the program is its exit status.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A run that did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program of the host is missing.
    #[error("{program} is not installed here; it comes with: sudo apt-get install {package}")]
    Missing {
        /// What was looked for.
        program: &'static str,
        /// The Debian package that brings it.
        package: &'static str,
    },
    /// The guest's kernel and QEMU's settings are those of one architecture.
    #[error("the guest is made for x86_64 Linux with Debian's package manager; this is {0}")]
    Architecture(&'static str),
    /// No package with a kernel is known to apt.
    #[error(
        "apt knows no kernel package (looked for {looked_for}); on Debian `apt-get update` fetches the package lists, then try again"
    )]
    NoKernelPackage {
        /// The names that were tried.
        looked_for: String,
    },
    /// The kernel package is not as expected.
    #[error("the kernel package {package} cannot be used: {why}")]
    Kernel {
        /// The package's name.
        package: String,
        /// What was found.
        why: String,
    },
    /// A module that a group needs is not in the kernel package.
    #[error("kernel {version} has no module {module}, which the group `{group}` needs")]
    Module {
        /// The kernel's version.
        version: String,
        /// The module's name.
        module: &'static str,
        /// The group that asks for it.
        group: &'static str,
    },
    /// A program of the host failed.
    #[error("`{command}` failed: {why}")]
    Command {
        /// The command as typed.
        command: String,
        /// What it said.
        why: String,
    },
    /// A file of the host.
    #[error("cannot {what} {}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The machine did not come up, or ended before the program did.
    #[error("the guest ended without the program's status ({status}); the end of its console, kept in {}:\n{tail}", console.display())]
    Died {
        /// How QEMU ended.
        status: String,
        /// Where the whole console is.
        console: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// The guest could not make its devices ready.
    #[error("the guest could not set up the group `{group}`; the end of its console, kept in {}:\n{tail}", console.display())]
    Setup {
        /// The group.
        group: &'static str,
        /// Where the whole console is.
        console: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// The time limit has passed; QEMU was killed.
    #[error("killed after {} s: {phase}; the end of the guest's console, kept in {}:\n{tail}", limit.as_secs(), console.display())]
    TimedOut {
        /// What the guest was doing.
        phase: &'static str,
        /// The limit.
        limit: Duration,
        /// Where the whole console is.
        console: PathBuf,
        /// Its last lines.
        tail: String,
    },
}

impl Error {
    /// For `map_err` at a call on a file.
    pub(crate) fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { what, path, source }
    }
}

/// With [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
