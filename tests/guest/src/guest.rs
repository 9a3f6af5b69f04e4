//! The one call: from a program's name to its exit status.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::job::Job;
use crate::kernel::Kernel;
use crate::output::Progress;
use crate::qemu::{self, Machine};
use crate::{Error, Group, Result, initramfs, tools};

/// The group of the guest that the calling program runs in, if it does.
///
/// ```
/// assert_eq!(hemi_guest::here(), None); // doc tests run on the host
/// ```
pub fn here() -> Option<Group> {
    env::var("HEMI_GUEST").ok()?.parse().ok()
}

/// How programs are run in a guest. Each [`run`](Self::run) boots one of its own.
#[derive(Debug, Clone)]
pub struct Guest {
    group: Group,
    limit: Duration,
    shares: Vec<PathBuf>,
}

impl Guest {
    /// A guest with the devices of `group`, and a time limit of ten minutes for the program.
    pub fn new(group: Group) -> Self {
        Self { group, limit: Duration::from_secs(600), shares: Vec::new() }
    }

    /// Sets how long the program may run. Be generous: the guest's processors are emulated, and slow down with whatever else this
    /// machine does. Booting has a limit of its own.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Lets the program write to this folder of the host, at the same path. Everywhere else, what it writes goes to the guest's memory.
    #[must_use]
    pub fn write_to(mut self, folder: &Path) -> Self {
        self.shares.push(folder.to_owned());
        self
    }

    /// Fetches and builds what the first run would: kernel and initramfs.
    ///
    /// # Errors
    /// Something is missing here, or apt cannot fetch the kernel.
    pub fn prepare(&self) -> Result<()> {
        let progress = Progress::new();
        let done = self.machine(&|text| progress.say(text)).map(drop);
        progress.clear();
        done
    }

    /// Runs `program`, a path or a name to look for in `PATH`, in the caller's working folder and with its environment. What it writes
    /// to its standard output and error comes out of the caller's. Gives its exit status: the code, or 128 + the signal's number.
    ///
    /// # Errors
    /// Everything but the program's own failure: something is missing here, the guest does not come up, the time is up.
    pub fn run(&self, program: &OsStr, arguments: &[OsString]) -> Result<i32> {
        self.run_into(program, arguments, io::stdout(), io::stderr())
    }

    /// As [`run`](Self::run), with the program's two streams written to `out` and `err` as they come.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    pub fn run_into(
        &self,
        program: &OsStr,
        arguments: &[OsString],
        out: impl io::Write + Send + 'static,
        err: impl io::Write + Send + 'static,
    ) -> Result<i32> {
        let progress = Progress::new();
        let result = self.drive(&progress, program, arguments, out, err);
        progress.clear();
        result
    }

    fn drive(
        &self,
        progress: &Progress,
        program: &OsStr,
        arguments: &[OsString],
        out: impl io::Write + Send + 'static,
        err: impl io::Write + Send + 'static,
    ) -> Result<i32> {
        let machine = self.machine(&|text| progress.say(text))?;
        let program = absolute(program)?;
        let shares = self.shares.iter().map(|folder| canonical(folder)).collect::<Result<Vec<_>>>()?;
        let mut job = Job::new(self.group, &shares, &program, arguments)?;
        let result = machine.run(&job, &shares, self.limit, progress, out, err);
        if result.is_err() {
            job.keep();
        }
        result
    }

    fn machine(&self, say: &dyn Fn(&str)) -> Result<Machine> {
        if let Some(error) = tools::missing() {
            return Err(error);
        }
        let kernel = Kernel::get(say)?;
        let initramfs = initramfs::get(&kernel, self.group, say)?;
        Ok(Machine { group: self.group, kernel, initramfs, boot_limit: qemu::BOOT_LIMIT })
    }
}

/// A path is made absolute; a bare name is left to the guest's shell, which has the caller's `PATH`.
fn absolute(program: &OsStr) -> Result<OsString> {
    if Path::new(program).components().count() > 1 {
        canonical(Path::new(program)).map(PathBuf::into_os_string)
    } else {
        Ok(program.to_owned())
    }
}

fn canonical(path: &Path) -> Result<PathBuf> {
    path.canonicalize().map_err(Error::file("find", path))
}
