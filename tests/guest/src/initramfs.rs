//! The guest's first file system: busybox, the modules of one group in the order in which they are loaded, and two scripts.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cpio::Archive;
use crate::kernel::Kernel;
use crate::modules::Dependencies;
use crate::{Error, Group, Result, cache, tools};

/// What every guest needs to see the host's files.
const ALWAYS: [&str; 3] = ["9pnet_virtio", "9p", "overlay"];
const INIT: &str = include_str!("inside/init.sh");

/// The file with the group's initramfs, from the cache where it is there already.
///
/// # Errors
/// The kernel lacks a module, or a program of the host failed.
pub fn get(kernel: &Kernel, group: Group, say: &dyn Fn(&str)) -> Result<PathBuf> {
    let busybox = tools::find("busybox")?;
    let mut hasher = DefaultHasher::new();
    (INIT, group.set_up(), group.modules(), &busybox).hash(&mut hasher);
    let name = format!("initramfs-{}-{group}-{:016x}", kernel.version(), hasher.finish());
    let folder = cache::entry(&name, |folder| {
        say(&format!("building the initramfs of the group `{group}`, once"));
        let file = folder.join("initramfs.cpio");
        fs::write(&file, build(kernel, group, &busybox)?).map_err(Error::file("write", &file))
    })?;
    Ok(folder.join("initramfs.cpio"))
}

fn build(kernel: &Kernel, group: Group, busybox: &Path) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for folder in ["bin", "dev", "proc", "sys", "modules", "host", "newroot"] {
        archive.folder(folder);
    }
    // The kernel opens it as the first process's standard output, before anything is mounted.
    archive.character_device("dev/console", 5, 1);
    let program = fs::read(busybox).map_err(Error::file("read", busybox))?;
    archive.program("bin/busybox", &program);
    archive.program("init", INIT.as_bytes());
    archive.program("set-up", group.set_up().as_bytes());
    for (index, path) in files(kernel, group)?.iter().enumerate() {
        // Numbered: the script loads them in the order of their names.
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.split(".ko").next().unwrap_or_default();
        archive.program(&format!("modules/{index:03}-{name}.ko"), &unpacked(path)?);
    }
    Ok(archive.finish())
}

/// The module files, in loading order.
fn files(kernel: &Kernel, group: Group) -> Result<Vec<PathBuf>> {
    let modules = kernel.modules();
    let list = modules.join("modules.dep");
    let text = fs::read_to_string(&list).map_err(Error::file("read", &list))?;
    let built_in = modules.join("modules.builtin");
    let built_in = fs::read_to_string(&built_in).map_err(Error::file("read", &built_in))?;
    let is_built_in = |module: &&str| built_in.lines().any(|line| line.ends_with(&format!("/{module}.ko")));
    let wanted: Vec<_> = ALWAYS.iter().chain(group.modules()).copied().filter(|m| !is_built_in(m)).collect();
    let order = Dependencies::parse(&text).order(&wanted).map_err(|module| Error::Module {
        version: kernel.version().to_owned(),
        module,
        group: group.name(),
    })?;
    Ok(order.into_iter().map(|path| modules.join(path)).collect())
}

/// The module's bytes; busybox's `insmod` does not unpack.
fn unpacked(path: &Path) -> Result<Vec<u8>> {
    match path.extension().and_then(|end| end.to_str()) {
        Some("xz") => tools::answer(Command::new(tools::find("xz")?).arg("-dc").arg(path)),
        Some("zst") => tools::answer(Command::new(tools::find("zstd")?).arg("-qdc").arg(path)),
        _ => fs::read(path).map_err(Error::file("read", path)),
    }
}
