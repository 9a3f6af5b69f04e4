//! [`Seat`]: one of the two places at a link, held by a lock that the kernel gives back when its holder dies.

use std::{
    fs::{File, OpenOptions},
    io,
    os::{
        fd::AsRawFd,
        unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use crate::role::Role;

/// How long an open waits for a holder that is just leaving.
const PATIENCE: Duration = Duration::from_millis(200);
const STEP: Duration = Duration::from_millis(5);
/// Bytes of a holder's line in the file.
const LINE: usize = 16;

/// A seat, locked until it is dropped or its process ends.
///
/// Byte 0 of the file is the lock of a, byte 1 that of b: locks of the open file description, so they also hold between two
/// threads of one process. The file's text says who holds them, for people.
#[derive(Debug)]
pub(crate) struct Seat {
    file: File,
    path: PathBuf,
    pub(crate) role: Role,
}

impl Seat {
    /// Take the seat asked for, or else the first that is free.
    pub(crate) fn take(path: &Path, wanted: Option<Role>) -> io::Result<Self> {
        let mut waited = Duration::ZERO;
        loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
                .open(path)?;
            let candidates = wanted.map_or(&[Role::A, Role::B][..], |role| match role {
                Role::A => &[Role::A],
                Role::B => &[Role::B],
            });
            for &role in candidates {
                // Who left in the meantime may have removed the file that we locked.
                if lock(&file, role)? && is_at(&file, path) {
                    let seat = Self { file, path: path.to_owned(), role };
                    let line = format!("{role} {:<13}\n", std::process::id());
                    // Only for people: that it can't be written is no reason to fail.
                    let _ = seat.file.write_all_at(line.as_bytes(), (role as usize * LINE) as u64);
                    return Ok(seat);
                }
            }
            if waited >= PATIENCE {
                let holders = std::fs::read_to_string(path).unwrap_or_default();
                let holders = holders.split_whitespace().collect::<Vec<_>>().join(" ");
                let seat = wanted.map_or("both sides are".to_owned(), |role| format!("side {role} is"));
                let why = format!("{seat} taken (role and process: {holders})");
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, why));
            }
            thread::sleep(STEP);
            waited += STEP;
        }
    }

    /// Where the socket of a listens.
    pub(crate) fn socket_path(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".sock");
        name.into()
    }
}

impl Drop for Seat {
    /// The last to leave removes the file, holding both locks: who had opened it finds out that it is gone, and starts anew.
    fn drop(&mut self) {
        if matches!(lock(&self.file, self.role.other()), Ok(true)) && is_at(&self.file, &self.path) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Whether this file is still what the path leads to.
fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(ours), Ok(there)) = (file.metadata(), path.symlink_metadata()) else { return false };
    (ours.dev(), ours.ino()) == (there.dev(), there.ino())
}

/// Try to lock the byte of `role`.
fn lock(file: &File, role: Role) -> io::Result<bool> {
    // SAFETY: all zeroes is a valid flock.
    let mut request: libc::flock = unsafe { std::mem::zeroed() };
    request.l_type = libc::F_WRLCK as libc::c_short;
    request.l_whence = libc::SEEK_SET as libc::c_short;
    request.l_start = role as libc::off_t;
    request.l_len = 1;
    // SAFETY: an open file and a valid request.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const request) } == 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EACCES) => Ok(false),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path() -> PathBuf {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        std::env::temp_dir().join(format!("hemi-seat-{}-{n}", std::process::id()))
    }

    #[test]
    fn first_a_then_b_then_nobody() {
        let path = path();
        let a = Seat::take(&path, None).unwrap();
        let b = Seat::take(&path, None).unwrap();
        assert_eq!((a.role, b.role), (Role::A, Role::B));
        let error = Seat::take(&path, None).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
        assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
        drop(a);
        assert_eq!(Seat::take(&path, None).unwrap().role, Role::A);
        assert!(path.exists(), "b is still there");
        drop(b);
        assert!(!path.exists(), "the last has tidied up");
    }

    #[test]
    fn a_seat_can_be_chosen() {
        let path = path();
        let b = Seat::take(&path, Some(Role::B)).unwrap();
        assert!(Seat::take(&path, Some(Role::B)).unwrap_err().to_string().contains("side b is taken"));
        assert_eq!(Seat::take(&path, None).unwrap().role, Role::A);
        drop(b);
    }
}
