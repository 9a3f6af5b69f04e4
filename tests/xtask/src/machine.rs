//! What is on this machine: the workspace, the toolchain, programs, and the right to install.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, Result};

/// The workspace that the command was called in, as cargo sees it.
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    /// Cargo's target directory; suites with flags of their own build in folders of their own below it.
    pub(crate) target: PathBuf,
    /// The names of the workspace's packages.
    pub(crate) packages: BTreeSet<String>,
}

impl Workspace {
    /// Asks `cargo metadata`.
    pub(crate) fn find() -> Result<Self> {
        let text = answer(cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
        let json: serde_json::Value = serde_json::from_str(&text)?;
        let path = |key| json[key].as_str().map(PathBuf::from).ok_or(Error::MetadataField(key));
        let packages = json["packages"].as_array().ok_or(Error::MetadataField("packages"))?;
        let packages = packages.iter().filter_map(|package| package["name"].as_str().map(str::to_owned));
        Ok(Self {
            root: path("workspace_root")?,
            target: path("target_directory")?,
            packages: packages.collect(),
        })
    }
}

/// The cargo that runs us, without the variables that it sets for the program it runs: they describe the
/// `xtask` package, and a nested cargo has no use for them.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || matches!(&*text, "CARGO_MANIFEST_DIR" | "CARGO_MANIFEST_PATH") {
            command.env_remove(name);
        }
    }
    command
}

/// The compiler that cargo uses.
pub(crate) fn rustc() -> Command {
    Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
}

/// The triple of this machine, as `rustc -vV` tells.
pub(crate) fn host_triple() -> Result<String> {
    let text = answer(rustc().arg("-vV"))?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| Error::Failed {
        command: "rustc -vV".into(),
        stderr: "its answer has no `host:` line".into(),
    })
}

/// True when the command can be run and succeeds; its output is thrown away.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// Where a program is: on the PATH, or in the system folders that a plain user's PATH leaves out.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    find_program_in(name, &path)
}

fn find_program_in(name: &str, path: &OsStr) -> Option<PathBuf> {
    let system = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
    env::split_paths(path).chain(system).map(|folder| folder.join(name)).find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Standard output of a command that must succeed.
fn answer(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|source| Error::Start { program, source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Failed { command: format!("{command:?}"), stderr })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_on_the_path_only_when_they_can_be_run() {
        assert!(find_program("sh").is_some());
        assert!(find_program("hemi-no-such-program").is_none());
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert!(find_program_in("Cargo.toml", here.as_os_str()).is_none(), "a file, but not a program");
    }

    #[test]
    fn the_workspace_holds_this_package() {
        let workspace = Workspace::find().unwrap();
        assert!(workspace.packages.contains("xtask"));
        assert!(workspace.root.join("Cargo.toml").is_file());
    }

    #[test]
    fn the_host_triple_names_this_architecture() {
        assert!(host_triple().unwrap().contains(env::consts::ARCH));
    }
}
