//! [`Place`]: a folder, or a loop device over a file in it.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Failure, cli::On};

/// Bytes of a loop device.
const LOOP: u64 = 768 << 20;

/// Where logs and `fio`'s file lie. What it made is gone with it.
#[derive(Debug)]
pub struct Place {
    on: On,
    /// A folder of our own.
    folder: PathBuf,
    device: Option<PathBuf>,
}

impl Place {
    /// Make it in `dir`.
    ///
    /// # Errors
    /// No such folder, no space; no right to make a loop device.
    pub fn new(dir: &Path, on: On) -> Result<Self, Failure> {
        let folder = dir.join(format!("hemi-log-lab-{}-{on:?}", std::process::id()).to_lowercase());
        std::fs::create_dir(&folder).map_err(|e| format!("cannot make {}: {e}", folder.display()))?;
        let mut place = Self { on, folder, device: None };
        if on == On::Loop {
            let backing = place.folder.join("disk");
            File::create(&backing)?.set_len(LOOP)?;
            super::fio::lay_out(&backing, LOOP)?;
            let made =
                Command::new("losetup").args(["-f", "--show", "--direct-io=on"]).arg(&backing).output()?;
            if !made.status.success() {
                let said = String::from_utf8_lossy(&made.stderr).into_owned();
                return Err(format!("no loop device: {}", said.trim()).into());
            }
            place.device = Some(PathBuf::from(String::from_utf8_lossy(&made.stdout).trim()));
        }
        Ok(place)
    }

    /// What it is.
    pub fn on(&self) -> On {
        self.on
    }

    /// Where the log called `name` lies; all names are one on a device.
    pub fn path(&self, name: &str) -> PathBuf {
        self.device.clone().unwrap_or_else(|| self.folder.join(name))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(device) = &self.device {
            let _ = Command::new("losetup").arg("-d").arg(device).status();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
