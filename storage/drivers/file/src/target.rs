//! Opening a file or a block device: what it is, what it can, and the lock.

use std::{
    fs::{File, OpenOptions},
    io,
    os::{
        fd::AsRawFd,
        unix::fs::{FileTypeExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    str::FromStr,
};

use hemi_queue::{Error, Result, Uri};

use crate::{
    device::{Kind, Op},
    sys,
};

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading, without a lock.
    Read,
    /// Reading and writing what is there.
    Write,
    /// Making it. A file that is there already is not touched; a block device is there always.
    Create,
    /// Making it, or emptying what is there.
    Overwrite,
}

/// How a write is made durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sync {
    /// As suits the device: `Dsync` where it has FUA, or no cache that loses anything; else `Flush`, because a direct write with
    /// `RWF_DSYNC` is then a write and a flush too, the second of which waits for a kernel worker: milliseconds on a busy machine.
    #[default]
    Auto,
    /// By the write itself (`RWF_DSYNC`: FUA where the device has it).
    Dsync,
    /// By an `fdatasync` after it.
    Flush,
}

impl FromStr for Sync {
    type Err = &'static str;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s {
            "auto" => Ok(Self::Auto),
            "dsync" => Ok(Self::Dsync),
            "flush" => Ok(Self::Flush),
            _ => Err("must be `auto`, `dsync` or `flush`"),
        }
    }
}

/// How a file is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileOptions {
    /// Past the page cache, where the file system can. Default: true.
    pub direct: bool,
    /// How a write is made durable.
    pub sync: Sync,
    /// The least and the most that it may be grown to, in bytes.
    pub len: (u64, u64),
    /// Refuse to write what another process writes. Default: true.
    pub lock: bool,
    /// Tell io_uring of the file, and of [`FileDevice::register`](crate::FileDevice::register)'s memory, beforehand. Default: true.
    pub registered: bool,
}

impl Default for FileOptions {
    fn default() -> Self {
        Self { direct: true, sync: Sync::Auto, len: (0, u64::MAX), lock: true, registered: true }
    }
}

impl FileOptions {
    /// Take this driver's parameters out of `uri`.
    pub fn from_uri(uri: &Uri) -> Result<Self> {
        let mut options = Self::default();
        options.direct = uri.take("direct")?.unwrap_or(options.direct);
        options.sync = uri.take("sync")?.unwrap_or(options.sync);
        options.registered = uri.take("registered")?.unwrap_or(options.registered);
        Ok(options)
    }
}

/// An open file or block device.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) file: File,
    pub(crate) path: PathBuf,
    pub(crate) direct: bool,
    pub(crate) is_device: bool,
    pub(crate) is_loop: bool,
    pub(crate) read_only: bool,
    pub(crate) len: u64,
    /// The least that can be read and written, and what memory is aligned to.
    pub(crate) sector: u32,
    pub(crate) sync: Sync,
    pub(crate) max_len: u64,
}

impl Target {
    pub(crate) fn open(path: &Path, access: Access, options: &FileOptions) -> Result<Self> {
        let fail = |op, e| Error::io(op, path.display(), e);
        let kind = std::fs::metadata(path).map(|m| m.file_type());
        let is_device = matches!(&kind, Ok(t) if t.is_block_device());
        match &kind {
            Ok(t) if t.is_dir() => {
                let why = "a directory; give the name of a file in it, or of a block device";
                return Err(fail("open", io::Error::new(io::ErrorKind::IsADirectory, why)));
            }
            Ok(t) if !t.is_file() && !t.is_block_device() => {
                let why = "neither a file nor a block device: a log cannot lie there";
                return Err(fail("open", io::Error::new(io::ErrorKind::InvalidInput, why)));
            }
            _ => {}
        }
        let new = matches!(access, Access::Create | Access::Overwrite) && !is_device;
        let mut how = OpenOptions::new();
        how.read(true).write(access != Access::Read).custom_flags(libc::O_CLOEXEC);
        match access {
            Access::Create if new => how.create_new(true),
            Access::Overwrite if new => how.create(true),
            _ => &mut how,
        };
        let explain = |e: io::Error| match e.kind() {
            io::ErrorKind::AlreadyExists => io::Error::new(
                e.kind(),
                "is there already and was not touched; open it, or choose another name",
            ),
            io::ErrorKind::NotFound if !new => io::Error::new(e.kind(), "no such log; create it first"),
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                io::Error::new(e.kind(), format!("{e}; open with `mode=ro` to read only"))
            }
            io::ErrorKind::ResourceBusy => io::Error::new(
                e.kind(),
                "in use: mounted, or another process (or another queue of this one) writes it; unmount or stop that, or open with `mode=ro`",
            ),
            _ => e,
        };
        // Of a block device, the kernel's claim too: file systems know nothing of locks.
        let claim = is_device && access != Access::Read && options.lock;
        let flags = libc::O_CLOEXEC | if claim { libc::O_EXCL } else { 0 };
        let (file, direct) =
            open_direct(&mut how, path, options.direct, flags).map_err(|e| fail("open", explain(e)))?;
        if access != Access::Read && options.lock {
            sys::lock(file.as_raw_fd()).map_err(|e| fail("lock", e))?;
        }
        if access == Access::Overwrite && new {
            file.set_len(0).map_err(|e| fail("truncate", e))?;
        }
        if new && options.len.0 > 0 {
            // Space that is promised now is not missing later.
            if let Err(e) = sys::allocate(&file, 0, options.len.0) {
                let _ = std::fs::remove_file(path);
                return Err(fail("allocate", e));
            }
            // The name must survive too.
            sync_directory(path).map_err(|e| fail("sync the directory of", e))?;
        }
        if access == Access::Write && !direct {
            sys::forget_cached(&file).map_err(|e| fail("sync", e))?;
        }
        let (len, sector) = if is_device {
            sys::device_size(file.as_raw_fd()).map_err(|e| fail("ask the size of", e))?
        } else {
            let len = file.metadata().map_err(|e| fail("stat", e))?.len();
            (len, sys::direct_alignment(&file).filter(|_| direct).unwrap_or(512))
        };
        let max_len = if is_device { len } else { options.len.1.max(len) };
        let (path, read_only) = (path.to_owned(), access == Access::Read);
        let sync = match options.sync {
            Sync::Auto if sys::writes_through(&file) => Sync::Dsync,
            Sync::Auto => Sync::Flush,
            chosen => chosen,
        };
        let is_loop = is_device && sys::is_loop(&file);
        Ok(Self { file, path, direct, is_device, is_loop, read_only, len, sector, sync, max_len })
    }

    /// Whether the kernel has a thread of its own finish the operation, rather than the device's interrupt: a sync is never done in
    /// place, nor is what follows a write with `RWF_DSYNC`; a loop device is a thread; the page cache is filled by the caller.
    pub(crate) fn hands_over(&self, op: &Op) -> bool {
        match op.kind {
            Kind::Write => op.dsync || self.is_loop,
            Kind::Read => self.is_loop,
            Kind::Sync | Kind::Allocate { .. } | Kind::Punch { .. } | Kind::Trim { .. } => true,
        }
    }

    /// Make it `len` bytes long, or leave it longer than that, where the file system cannot promise space. The kernel's answer.
    #[cold]
    pub(crate) fn grow(&self, len: u64) -> i32 {
        if self.is_device {
            return -libc::EOPNOTSUPP;
        }
        let grown =
            self.file.metadata().and_then(|m| if m.len() < len { self.file.set_len(len) } else { Ok(()) });
        grown.map_or_else(|e| -e.raw_os_error().unwrap_or(libc::EIO), |()| 0)
    }
}

/// Past the page cache, where that is wanted and possible.
fn open_direct(how: &mut OpenOptions, path: &Path, direct: bool, flags: i32) -> io::Result<(File, bool)> {
    if direct {
        match how.custom_flags(flags | libc::O_DIRECT).open(path) {
            // A file system without direct I/O; it has made the file all the same.
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) => {
                how.create_new(false);
                tracing::info!(path = %path.display(), "no O_DIRECT here: the log goes through the page cache");
            }
            other => return other.map(|file| (file, true)),
        }
    }
    how.custom_flags(flags).open(path).map(|file| (file, false))
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}
