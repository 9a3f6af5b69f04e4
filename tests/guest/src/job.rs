//! One run's folder, shared with the guest: the scripts that it runs, and what it writes down.
//!
//! | file | written by | says |
//! |---|---|---|
//! | `main.sh` | host | the second stage of the guest's first process |
//! | `set-up.sh` | host | makes the group's devices ready |
//! | `shares.sh` | host | mounts the folders that the program may write to |
//! | `program.sh` | host | the working folder, the environment, and the program with its arguments |
//! | `phase` | guest | `running` once the program starts, `set-up` if that failed |
//! | `status` | guest | the program's exit status; its last word |
//! | `console.log` | QEMU | what the kernel and the scripts said |

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use crate::{Error, Group, Result, cache};

/// How long the folder of a run that failed is kept, for whoever wants to read its console.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// Variables that speak of the host's folders for temporary files: the guest has its own `/tmp`.
const NOT_PASSED: [&str; 3] = ["TMPDIR", "PWD", "OLDPWD"];

/// The folder of one run. It is removed with this, unless it is [kept](Self::keep).
#[derive(Debug)]
pub struct Job {
    folder: PathBuf,
    kept: bool,
}

impl Job {
    /// A new folder that holds the scripts for `program` with `arguments`, run in the caller's working folder with the caller's environment.
    ///
    /// # Errors
    /// The folder cannot be made or written to.
    pub fn new(group: Group, shares: &[PathBuf], program: &OsStr, arguments: &[OsString]) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let all = cache::folder();
        remove_old(&all);
        let name = format!("job-{}-{}", process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let folder = all.join(name);
        fs::create_dir_all(&folder).map_err(Error::file("make the folder", &folder))?;
        let job = Self { folder, kept: false };
        job.write("main.sh", include_bytes!("inside/main.sh"))?;
        job.write("set-up.sh", group.set_up().as_bytes())?;
        job.write("shares.sh", &mounts(shares))?;
        let here = env::current_dir().map_err(Error::file("find", Path::new("the working folder")))?;
        let variables = env::vars_os().chain([("HEMI_GUEST".into(), group.name().into())]);
        job.write("program.sh", &script(&here, variables, program, arguments))?;
        Ok(job)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where QEMU writes the console to.
    pub fn console(&self) -> PathBuf {
        self.folder.join("console.log")
    }

    /// The last lines of the console, or those from where the kernel gave up.
    pub fn console_tail(&self) -> String {
        const LINES: usize = 30;
        let bytes = fs::read(self.console()).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<_> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        let panic = lines.iter().position(|line| line.contains("Kernel panic") || line.contains("Oops:"));
        let from = panic.unwrap_or(lines.len().saturating_sub(LINES));
        lines[from..].iter().take(LINES).copied().collect::<Vec<_>>().join("\n")
    }

    /// The program has been started.
    pub fn is_running(&self) -> bool {
        self.read("phase").is_some_and(|phase| phase == "running")
    }

    /// The devices could not be made ready.
    pub fn set_up_failed(&self) -> bool {
        self.read("phase").is_some_and(|phase| phase == "set-up")
    }

    /// The program's exit status, once it has one: its code, or 128 + the number of the signal that ended it.
    pub fn status(&self) -> Option<i32> {
        self.read("status")?.parse().ok()
    }

    /// Leaves the folder for the reader of its console.
    pub fn keep(&mut self) {
        self.kept = true;
    }

    fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.folder.join(name)).ok().map(|text| text.trim().to_owned())
    }

    fn write(&self, name: &str, contents: &[u8]) -> Result<()> {
        let file = self.folder.join(name);
        fs::write(&file, contents).map_err(Error::file("write", &file))
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if !self.kept {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// Folders of runs that failed, or were killed, long ago.
fn remove_old(all: &Path) {
    let is_old = |entry: &fs::DirEntry| {
        let changed = entry.metadata().and_then(|meta| meta.modified()).ok();
        changed.and_then(|at| SystemTime::now().duration_since(at).ok()).is_some_and(|age| age > KEPT)
    };
    for entry in fs::read_dir(all).into_iter().flatten().filter_map(Result::ok) {
        if entry.file_name().as_bytes().starts_with(b"job-") && is_old(&entry) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn mounts(shares: &[PathBuf]) -> Vec<u8> {
    let mut script = Vec::new();
    for (index, folder) in shares.iter().enumerate() {
        // The folder is there, it is the host's; but for one below /run, which is the guest's own.
        for part in [&b"mkdir -p "[..], &quoted(folder.as_os_str()), b"\nmount -t 9p -o "] {
            script.extend_from_slice(part);
        }
        let options = format!("trans=virtio,version=9p2000.L,msize=131072,cache=mmap share{index} ");
        script.extend_from_slice(options.as_bytes());
        script.extend_from_slice(&quoted(folder.as_os_str()));
        script.push(b'\n');
    }
    script
}

fn script(
    here: &Path,
    variables: impl Iterator<Item = (OsString, OsString)>,
    program: &OsStr,
    arguments: &[OsString],
) -> Vec<u8> {
    let mut script = Vec::new();
    for (name, value) in variables.filter(|(name, _)| is_passed(name)) {
        for part in [b"export ", name.as_bytes(), b"=", &quoted(&value), b"\n"] {
            script.extend_from_slice(part);
        }
    }
    // A folder of the host that the guest does not have (one below /tmp) is no reason not to run.
    for part in [&b"cd "[..], &quoted(here.as_os_str()), b" 2>/dev/null || cd /\nexec"] {
        script.extend_from_slice(part);
    }
    for word in [program].into_iter().chain(arguments.iter().map(OsString::as_os_str)) {
        script.push(b' ');
        script.extend_from_slice(&quoted(word));
    }
    script.push(b'\n');
    script
}

/// A shell could not have given it to us otherwise, but `env` could.
fn is_passed(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    let is_name = bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
        && bytes.first().is_some_and(|b| !b.is_ascii_digit());
    is_name && !NOT_PASSED.iter().any(|not| name == *not)
}

/// In single quotes, as the shell reads it back unchanged.
fn quoted(word: &OsStr) -> Vec<u8> {
    let mut quoted = vec![b'\''];
    for &byte in word.as_bytes() {
        match byte {
            b'\'' => quoted.extend_from_slice(br"'\''"),
            byte => quoted.push(byte),
        }
    }
    quoted.push(b'\'');
    quoted
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_shell_reads_words_back_unchanged() {
        let words = ["plain", "two words", "it's", "$HOME `x` \"y\" \\", "", "-n", "*"].map(OsString::from);
        let variables = [
            (OsString::from("HEMI_QUOTED"), OsString::from("a'b\n c")),
            (OsString::from("not-a-name"), OsString::from("x")),
        ];
        let mut expected = b"a'b\n c|".to_vec();
        for word in &words {
            expected.extend_from_slice(format!("{}|", word.to_str().unwrap()).as_bytes());
        }
        let mut arguments = vec!["-c".into(), r#"printf '%s|' "$HEMI_QUOTED" "$@""#.into(), "sh".into()];
        arguments.extend(words);
        let text =
            script(Path::new("/hemi no such folder"), variables.into_iter(), "sh".as_ref(), &arguments);
        let output = Command::new("sh").arg("-c").arg(OsStr::from_bytes(&text)).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&expected));
    }

    #[test]
    fn temporary_folders_of_the_host_stay_there() {
        assert!(!is_passed("TMPDIR".as_ref()));
        assert!(!is_passed("A=B".as_ref()) && !is_passed("1A".as_ref()) && !is_passed("".as_ref()));
        assert!(is_passed("RUST_BACKTRACE".as_ref()));
    }
}
