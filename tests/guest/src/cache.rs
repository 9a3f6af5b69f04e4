//! What is made once and kept under the target folder: an entry is made beside its place and moved there whole, under a lock, so that
//! two runs at a time and a run that was killed leave nothing half-made.

use std::env;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::{Error, Result};

/// The folder of all entries.
///
/// `HEMI_GUEST_CACHE`, else `guest` in cargo's target folder: the one that `CARGO_TARGET_DIR` names, or that the running program lies in
/// (cargo marks it with `CACHEDIR.TAG`), else in the system's folder for temporary files.
pub(crate) fn folder() -> PathBuf {
    if let Some(folder) = env::var_os("HEMI_GUEST_CACHE") {
        return folder.into();
    }
    let named = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from).filter(|folder| folder.is_absolute());
    let around = || {
        let program = env::current_exe().ok()?;
        program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file()).map(Path::to_owned)
    };
    named.or_else(around).unwrap_or_else(env::temp_dir).join("guest")
}

/// The entry `name`, made by `make` into a new folder if it is not there yet.
pub(crate) fn entry(name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let all = folder();
    fs::create_dir_all(&all).map_err(Error::file("make the folder", &all))?;
    let place = all.join(name);
    if place.is_dir() {
        return Ok(place);
    }
    let lock = all.join(format!("lock-{name}"));
    let held = File::create(&lock).map_err(Error::file("make the lock file", &lock))?;
    flock(&held, FlockOperation::LockExclusive)
        .map_err(io::Error::from)
        .map_err(Error::file("lock", &lock))?;
    if place.is_dir() {
        return Ok(place); // another run was faster
    }
    let making = all.join(format!("making-{name}"));
    if making.exists() {
        fs::remove_dir_all(&making).map_err(Error::file("remove the unfinished", &making))?;
    }
    fs::create_dir(&making).map_err(Error::file("make the folder", &making))?;
    make(&making)?;
    fs::rename(&making, &place).map_err(Error::file("move into place", &making))?;
    Ok(place)
}
