//! Opening a namespace: what kind of file it is, what the device says, and the lock.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    str::FromStr,
};

use hemi_queue::{Error, Result, Uri};

use crate::{Identity, Passthrough, identify, sys};

/// What a namespace is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading, without a lock.
    Read,
    /// Reading and writing.
    Write,
}

/// How a write is made durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sync {
    /// By the write itself: forced unit access.
    #[default]
    Fua,
    /// By a flush after it.
    Flush,
}

impl FromStr for Sync {
    type Err = &'static str;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s {
            "fua" => Ok(Self::Fua),
            "flush" => Ok(Self::Flush),
            _ => Err("must be `fua` or `flush`"),
        }
    }
}

/// How a namespace is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NvmeOptions {
    /// How a write is made durable.
    pub sync: Sync,
    /// Use no more than so many bytes, from the first on. Of zones all are used.
    pub limit: u64,
}

impl Default for NvmeOptions {
    fn default() -> Self {
        Self { sync: Sync::Fua, limit: u64::MAX }
    }
}

impl NvmeOptions {
    /// Take this driver's parameters out of `uri`.
    pub fn from_uri(uri: &Uri) -> Result<Self> {
        Ok(Self { sync: uri.take("sync")?.unwrap_or_default(), ..Self::default() })
    }
}

/// An open namespace.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) file: File,
    /// The same namespace's block device, where it has one: held, so that no file system and no `log:` writes there, too.
    _claimed: Option<File>,
    pub(crate) path: PathBuf,
    pub(crate) nsid: u32,
    pub(crate) read_only: bool,
    pub(crate) identity: Identity,
}

/// The command set of zones.
const ZONED: u8 = 2;

impl Target {
    pub(crate) fn open(path: &Path, access: Access) -> Result<Self> {
        let fail = |op, e| Error::io(op, path.display(), e);
        if let Some(why) = std::fs::metadata(path).ok().and_then(|meta| wrong_kind(meta.file_type())) {
            return Err(fail("open", io::Error::new(io::ErrorKind::InvalidInput, why)));
        }
        let mut how = OpenOptions::new();
        how.read(true).write(access == Access::Write).custom_flags(libc::O_CLOEXEC);
        let file = how.open(path).map_err(|e| fail("open", explain(e)))?;
        let nsid = sys::namespace_id(&file).map_err(|e| {
            let why = "not an NVMe namespace; its character device is called /dev/ng0n1 or alike";
            let foreign = e.raw_os_error() == Some(libc::ENOTTY);
            fail("open", if foreign { io::Error::new(io::ErrorKind::InvalidInput, why) } else { explain(e) })
        })?;
        if access == Access::Write {
            sys::lock(&file).map_err(|e| fail("lock", e))?;
        }
        let claimed = if access == Access::Write { claim(path)? } else { None };
        let identity = identity(&file, nsid).map_err(|e| fail("identify", explain(e)))?;
        let (path, read_only) = (path.to_owned(), access == Access::Read);
        Ok(Self { file, _claimed: claimed, path, nsid, read_only, identity })
    }
}

/// The block device that goes with the character device `path`.
fn block_device(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?.strip_prefix("ng")?;
    Some(Path::new("/dev").join(format!("nvme{name}")))
}

/// Take the namespace's block device for this process alone, if it has one.
fn claim(path: &Path) -> Result<Option<File>> {
    // `path` may be a link, or a node of another name.
    let meta = std::fs::metadata(path).map_err(|e| Error::io("open", path.display(), e))?;
    let (major, minor) = (libc::major(meta.rdev()), libc::minor(meta.rdev()));
    let known = std::fs::canonicalize(format!("/sys/dev/char/{major}:{minor}"));
    let Some(block) = known.or_else(|_| std::fs::canonicalize(path)).ok().and_then(|p| block_device(&p))
    else {
        return Ok(None);
    };
    let mut how = OpenOptions::new();
    how.read(true).custom_flags(libc::O_CLOEXEC | libc::O_EXCL);
    match how.open(&block) {
        Ok(file) => Ok(Some(file)),
        // Zones that this kernel cannot show have none.
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound) || e.raw_os_error() == Some(libc::ENXIO) => {
            Ok(None)
        }
        Err(e) => {
            let why = match e.kind() {
                io::ErrorKind::ResourceBusy => {
                    "in use: mounted, or another process (or another queue of this one) writes it; unmount or stop that, or open with `mode=ro`"
                }
                _ => "who writes the namespace keeps others from its block device, and must be let read that",
            };
            Err(Error::io("claim", block.display(), io::Error::new(e.kind(), format!("{e}: {why}"))))
        }
    }
}

/// Whether the namespace whose character device is `path` has zones, and so wants [`NvmeZones`](crate::NvmeZones).
///
/// # Errors
/// As for opening it.
pub fn is_zoned(path: &Path) -> Result<bool> {
    Ok(Target::open(path, Access::Read)?.identity.zoned.is_some())
}

/// Why a file of this kind is no namespace's character device.
fn wrong_kind(kind: std::fs::FileType) -> Option<&'static str> {
    if kind.is_char_device() {
        None
    } else if kind.is_block_device() {
        Some("a block device; give the namespace's character device (/dev/ng0n1), or use `log:` for this one")
    } else {
        Some("not a device; give an NVMe namespace's character device (/dev/ng0n1), or use `log:` for a file")
    }
}

fn explain(e: io::Error) -> io::Error {
    match e.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => {
            let why = format!(
                "{e}: passing commands through is root's, or of whom the device's file lets read and write"
            );
            io::Error::new(e.kind(), why)
        }
        Some(libc::ENOENT) => {
            io::Error::new(e.kind(), "no such device; `nvme list` shows those that there are")
        }
        _ => e,
    }
}

fn identity(file: &File, nsid: u32) -> io::Result<Identity> {
    let identify = |nsid, cns, csi| {
        let mut answer = vec![0; identify::LEN];
        sys::admin(file, Passthrough::identify(nsid, cns, csi), &mut answer).map(|()| answer)
    };
    let unsuitable = |e| io::Error::new(io::ErrorKind::Unsupported, e);
    // Controllers before NVMe 1.3 do not know the list, and have no zones.
    let set = identify(nsid, 3, 0).map_or(0, |list| identify::command_set(&list));
    let (controller, namespace) = (identify(0, 1, 0)?, identify(nsid, 0, 0)?);
    let identity = Identity::parse(&controller, &namespace).map_err(unsuitable)?;
    match set {
        0 => Ok(identity),
        ZONED => {
            let (controller, zones) = (identify(0, 6, ZONED)?, identify(nsid, 5, ZONED)?);
            identity.with_zones(&controller, &zones, &namespace).map_err(unsuitable)
        }
        other => {
            let why = format!("a namespace of command set {other}: neither blocks nor zones");
            Err(io::Error::new(io::ErrorKind::Unsupported, why))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_device_has_a_block_device_beside_it() {
        let of = |path| block_device(Path::new(path));
        assert_eq!(of("/sys/devices/virtual/nvme-generic/ng0n1"), Some(PathBuf::from("/dev/nvme0n1")));
        assert_eq!(of("/dev/hemi-blocks"), None);
    }
}
