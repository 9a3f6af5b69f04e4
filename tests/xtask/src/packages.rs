//! Getting what is missing through Debian's package manager, or saying how.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::unistd::geteuid;

use crate::error::Result;
use crate::machine::{find_program, succeeds};
use crate::process::{self, End};
use crate::screen::Screen;

/// Something that tests use, and the Debian package that brings it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tool {
    /// A program by its name, or a file by its path.
    pub(crate) program: &'static str,
    pub(crate) package: &'static str,
}

impl Tool {
    fn is_here(self) -> bool {
        if self.program.contains('/') {
            Path::new(self.program).exists()
        } else {
            find_program(self.program).is_some()
        }
    }
}

/// How long apt may take: slow mirrors, and other apt runs that hold its lock.
const LIMIT: Duration = Duration::from_secs(15 * 60);
const APT: &str = "apt-get";

/// How packages can be installed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Root,
    /// `sudo` answers without asking for a password.
    Sudo,
    /// A person has to do it.
    ByHand,
    /// Not a Debian-like system.
    NoApt,
}

impl Way {
    fn here() -> Self {
        if find_program(APT).is_none() {
            Self::NoApt
        } else if geteuid().is_root() {
            Self::Root
        } else if succeeds(Command::new("sudo").args(["-n", "true"])) {
            Self::Sudo
        } else {
            Self::ByHand
        }
    }
}

/// Those of the tools that are not on this machine.
pub(crate) fn missing(tools: &[Tool]) -> Vec<Tool> {
    tools.iter().copied().filter(|tool| !tool.is_here()).collect()
}

/// The command that a person would type to install the tools' packages.
pub(crate) fn by_hand(tools: &[Tool]) -> String {
    format!("sudo {APT} install {}", names(tools).join(" "))
}

/// Installs the tools' packages when it may; says loudly what happens instead when it may not. Tests that
/// need what is still missing afterwards skip themselves.
pub(crate) fn install(tools: &[Tool], screen: &Screen) -> Result<()> {
    let programs: Vec<_> = tools.iter().map(|tool| tool.program).collect();
    screen.heading(&format!("packages: {} not found", programs.join(", ")));
    let way = Way::here();
    match way {
        Way::Root | Way::Sudo => {}
        Way::ByHand => {
            screen.line("WARNING: no right to install packages (not root, and sudo asks for a password).");
            screen.line("WARNING: tests that need these programs are skipped. To run them too, first:");
            screen.line(&format!("    {}", by_hand(tools)));
            return Ok(());
        }
        Way::NoApt => {
            screen.line(&format!("WARNING: no {APT} here: tests that need these programs are skipped."));
            screen.line(&format!("The Debian packages that bring them: {}", names(tools).join(" ")));
            return Ok(());
        }
    }
    // A fresh machine has no package lists, or old ones that name versions no longer served. Where the update
    // fails (one source of several out of reach), the lists that are there may still do.
    apt(way, &["update"], screen)?;
    let installed = apt(way, &install_arguments(tools), screen)?;
    if !installed || !missing(tools).is_empty() {
        screen
            .line("WARNING: the packages could not be installed; tests that need them are skipped. By hand:");
        screen.line(&format!("    {}", by_hand(tools)));
    }
    Ok(())
}

fn names(tools: &[Tool]) -> Vec<&'static str> {
    tools.iter().map(|tool| tool.package).collect::<BTreeSet<_>>().into_iter().collect()
}

fn install_arguments(tools: &[Tool]) -> Vec<&'static str> {
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(names(tools));
    arguments
}

fn apt(way: Way, arguments: &[&str], screen: &Screen) -> Result<bool> {
    let mut command = match way {
        Way::Sudo => {
            let mut sudo = Command::new("sudo");
            sudo.args(["-n", "DEBIAN_FRONTEND=noninteractive", APT]);
            sudo
        }
        _ => Command::new(APT),
    };
    command.env("DEBIAN_FRONTEND", "noninteractive").arg("--quiet=2").args(arguments);
    screen.line(&format!("{APT} {}", arguments.join(" ")));
    let end = process::run(command, Instant::now() + LIMIT, |line| screen.line(line))?;
    Ok(matches!(end, End::Exited(status) if status.success()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHELL: Tool = Tool { program: "sh", package: "dash" };
    const NC: Tool = Tool { program: "hemi-no-such-nc", package: "netcat-openbsd" };
    const SOCAT: Tool = Tool { program: "hemi-no-such-socat", package: "socat" };

    #[test]
    fn only_what_is_not_there_is_missing() {
        assert_eq!(missing(&[SHELL, NC]), [NC]);
    }

    #[test]
    fn a_file_is_looked_for_where_it_should_be() {
        let here = Tool { program: "/dev/null", package: "base-files" };
        let gone = Tool { program: "/dev/hemi-no-such", package: "base-files" };
        assert_eq!(missing(&[here, gone]), [gone]);
    }

    #[test]
    fn the_command_by_hand_names_each_package_once() {
        let other = Tool { program: "hemi-no-such-ncat", ..NC };
        assert_eq!(by_hand(&[SOCAT, NC, other]), "sudo apt-get install netcat-openbsd socat");
    }
}
