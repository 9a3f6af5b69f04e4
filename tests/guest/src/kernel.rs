//! The guest's kernel: Debian's, fetched by apt, unpacked beside the build and never installed.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::bzimage::{self, Packed};
use crate::{Error, Result, cache, tools};

/// Packages that name the newest kernel of a series, in the order in which they are tried. 6.12 passes NVMe commands through with
/// registered buffers and has every module the groups ask for; so has the default kernel of later releases, and 6.1 as a last resort. The
/// `cloud` kernels have neither `rdma_rxe` nor 9p.
const SERIES: [&str; 2] = ["linux-image-6.12-amd64", "linux-image-amd64"];

/// An unpacked kernel.
#[derive(Debug, Clone)]
pub struct Kernel {
    version: String,
    folder: PathBuf,
}

impl Kernel {
    /// The kernel that apt offers, from the cache where it is there already.
    ///
    /// # Errors
    /// apt has no such package or cannot fetch it; the package is not as expected.
    pub fn get(say: &dyn Fn(&str)) -> Result<Self> {
        if let Some(found) = Self::kept() {
            return Ok(found);
        }
        let package = resolve()?;
        let version = version(&package).to_owned();
        let folder = cache::entry(&format!("kernel-{version}"), |folder| {
            say(&format!("fetching {package} (about 100 MB), once"));
            fetch(&package, folder)?;
            say("unpacking the kernel, once");
            unpack(&package, &version, folder)
        })?;
        Ok(Self { version, folder })
    }

    /// One that an earlier run has left: no question to apt, and the same kernel until the cache is removed.
    fn kept() -> Option<Self> {
        let entries = fs::read_dir(cache::folder()).ok()?.filter_map(Result::ok);
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let version = names.filter_map(|name| name.strip_prefix("kernel-").map(str::to_owned)).max()?;
        Some(Self { folder: cache::folder().join(format!("kernel-{version}")), version })
    }

    /// `6.12.117+deb12-amd64`, as `uname -r` tells in the guest.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The uncompressed kernel, an ELF file that QEMU boots directly.
    pub fn image(&self) -> PathBuf {
        self.folder.join("vmlinux")
    }

    /// The folder that the paths in `modules.dep` are relative to.
    pub(crate) fn modules(&self) -> PathBuf {
        self.folder.join("lib/modules").join(&self.version)
    }
}

/// `linux-image-6.12.117+deb12-amd64`: what the first known package of [`SERIES`] depends on.
fn resolve() -> Result<String> {
    let mut updated = false;
    loop {
        for series in SERIES {
            let answer = tools::answer(Command::new("apt-cache").args(["depends", "--important", series]));
            let text = String::from_utf8_lossy(&answer.unwrap_or_default()).into_owned();
            let depends = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
            if let Some(package) = depends.map(str::trim).find(|name| name.starts_with("linux-image-")) {
                return Ok(package.to_owned());
            }
        }
        // A fresh machine has no package lists. Only root may fetch them.
        if updated || tools::answer(Command::new("apt-get").args(["-q", "update"])).is_err() {
            return Err(Error::NoKernelPackage { looked_for: SERIES.join(", ") });
        }
        updated = true;
    }
}

fn version(package: &str) -> &str {
    package.strip_prefix("linux-image-").unwrap_or(package)
}

fn fetch(package: &str, folder: &Path) -> Result<()> {
    let mut apt = Command::new(tools::find("apt-get")?);
    // Without it apt warns, as root, that its own user may not write here.
    apt.current_dir(folder).args(["-q", "-o", "APT::Sandbox::User=", "download", package]);
    match tools::answer(&mut apt) {
        Ok(_) => Ok(()),
        Err(first) => {
            // Old package lists name versions that are no longer served.
            if tools::answer(Command::new("apt-get").args(["-q", "update"])).is_err() {
                return Err(first);
            }
            tools::answer(&mut apt).map(drop)
        }
    }
}

/// Leaves `vmlinux` and `lib/modules/VERSION` with its `modules.dep`, and nothing else.
fn unpack(package: &str, version: &str, folder: &Path) -> Result<()> {
    let unusable = |why: &str| Error::Kernel { package: package.to_owned(), why: why.to_owned() };
    let files = fs::read_dir(folder).map_err(Error::file("list", folder))?;
    let mut paths = files.filter_map(Result::ok).map(|entry| entry.path());
    let archive = paths
        .find(|path| path.extension().is_some_and(|end| end == "deb"))
        .ok_or_else(|| unusable("apt has left no .deb file"))?;
    let tree = folder.join("tree");
    tools::answer(Command::new(tools::find("dpkg")?).arg("-x").arg(&archive).arg(&tree))?;
    let image = tree.join("boot").join(format!("vmlinuz-{version}"));
    let bytes = fs::read(&image).map_err(Error::file("read", &image))?;
    let (packed, payload) = bzimage::payload(&bytes).map_err(|why| unusable(&why))?;
    decompress(packed, payload, &folder.join("vmlinux"))?;
    tools::answer(Command::new(tools::find("depmod")?).arg("-b").arg(&tree).arg(version))?;
    let lib = folder.join("lib");
    fs::rename(tree.join("lib"), &lib).map_err(Error::file("move into place", &lib))?;
    fs::remove_dir_all(&tree).map_err(Error::file("remove", &tree))?;
    fs::remove_file(&archive).map_err(Error::file("remove", &archive))
}

fn decompress(packed: Packed, payload: &[u8], to: &Path) -> Result<()> {
    let program = match packed {
        Packed::Zstd => tools::find("zstd")?,
        Packed::Xz => tools::find("xz")?,
        Packed::Gzip => "gzip".into(),
    };
    let failed = |why: String| Error::Command { command: format!("{} -dc", program.display()), why };
    let out = File::create(to).map_err(Error::file("write", to))?;
    let mut child = Command::new(&program)
        .arg("-dc")
        .stdin(Stdio::piped())
        .stdout(out)
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(payload));
    let status = child.wait().map_err(|error| failed(error.to_string()))?;
    match written {
        Ok(()) if status.success() => Ok(()),
        Ok(()) => Err(failed(status.to_string())),
        Err(error) => Err(failed(error.to_string())),
    }
}
