//! [`StatsSocket`]: who looks, and what they have not read yet.

use std::{
    cell::{Cell, RefCell},
    fs::{self, File},
    io::{self, ErrorKind, Write},
    os::unix::{
        fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use hemi_queue::{Error, Result, time::Instant};
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with},
};

use super::Sample;
use crate::StackSnapshot;

/// Between two samples.
const EVERY: Duration = Duration::from_millis(250);
/// Who may look at the same time; others are turned away.
const VIEWERS: usize = 8;
/// How many stacks may share a path, each with a number behind it.
const STACKS: usize = 256;

/// The socket at which a stack tells what it does. The file goes with it.
#[derive(Debug)]
pub(crate) struct StatsSocket {
    path: PathBuf,
    /// The file that it has made there.
    file: Option<FileId>,
    listener: UnixListener,
    viewers: RefCell<Vec<Viewer>>,
    next: Cell<Instant>,
}

#[derive(Debug)]
struct Viewer {
    stream: UnixStream,
    /// What it has not taken yet: never more than one sample.
    rest: Vec<u8>,
}

impl StatsSocket {
    /// Listen at `path`, or at the first of `path.1`, `path.2`, ... at which nobody does.
    pub(crate) fn open(path: &str) -> Result<Self> {
        let mut candidates = (0..STACKS).map(|n| match n {
            0 => PathBuf::from(path),
            n => PathBuf::from(format!("{path}.{n}")),
        });
        let failed = |e| Error::io("listen for viewers (`stats=`) at", path, e);
        let taken = || failed(io::Error::from_raw_os_error(libc::EADDRINUSE));
        let (path, listener) =
            candidates.find_map(|at| bind(at).transpose()).ok_or_else(taken)?.map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let file = file_at(&path);
        Ok(Self { path, file, listener, viewers: RefCell::default(), next: Cell::new(Instant::ZERO) })
    }

    /// When [`turn`](Self::turn) has something to do again.
    pub(crate) fn deadline(&self) -> Instant {
        self.next.get()
    }

    /// Let viewers in and tell them what `look` sees, if it is time.
    pub(crate) fn turn(&self, now: Instant, look: impl FnOnce() -> StackSnapshot) {
        if now < self.next.get() {
            return;
        }
        self.next.set(now + EVERY);
        let viewers = &mut *self.viewers.borrow_mut();
        while let Ok((stream, _)) = self.listener.accept() {
            if viewers.len() < VIEWERS && stream.set_nonblocking(true).is_ok() {
                viewers.push(Viewer { stream, rest: Vec::new() });
            }
        }
        viewers.retain_mut(Viewer::flush);
        if viewers.iter().all(|viewer| !viewer.rest.is_empty()) {
            return;
        }
        // A sample is numbers, names and addresses: it can't fail to become text.
        let Ok(mut line) = serde_json::to_vec(&Sample::new(look(), now)) else { return };
        line.push(b'\n');
        for viewer in viewers.iter_mut().filter(|viewer| viewer.rest.is_empty()) {
            viewer.rest.clone_from(&line);
        }
        viewers.retain_mut(Viewer::flush);
    }
}

impl Drop for StatsSocket {
    fn drop(&mut self) {
        // Left behind, it would be taken over by the next one who asks for it. It may be another's by now.
        if self.file.is_some() && file_at(&self.path) == self.file {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Viewer {
    /// Send what it takes; false when it is gone.
    fn flush(&mut self) -> bool {
        while !self.rest.is_empty() {
            match self.stream.write(&self.rest) {
                Ok(n) if n > 0 => drop(self.rest.drain(..n)),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Ok(_) | Err(_) => return false,
            }
        }
        true
    }
}

/// Listen at `path`; `None` when somebody does already. A socket that a dead process has left behind is replaced.
fn bind(path: PathBuf) -> io::Result<Option<(PathBuf, UnixListener)>> {
    match UnixListener::bind(&path) {
        Ok(listener) => Ok(Some((path, listener))),
        Err(e) if e.kind() == ErrorKind::AddrInUse => {
            if !is_left_behind(&path) {
                return Ok(None);
            }
            // One at a time, and having looked again: the second one would remove what the first has put there.
            let Some(_lock) = Lock::of(&path).filter(|_| is_left_behind(&path)) else { return Ok(None) };
            fs::remove_file(&path)?;
            match UnixListener::bind(&path) {
                Ok(listener) => Ok(Some((path, listener))),
                Err(e) if e.kind() == ErrorKind::AddrInUse => Ok(None),
                Err(e) => Err(e),
            }
        }
        Err(e) => Err(e),
    }
}

/// A plain file refuses connections too, and is not ours to remove.
fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket())
}

fn is_left_behind(path: &Path) -> bool {
    is_socket(path) && probe(path) == Err(Errno::CONNREFUSED)
}

/// Connect, without waiting for room among those who wait to be let in: where there is none, somebody listens.
fn probe(path: &Path) -> rustix::io::Result<()> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)
}

/// The device and the number of a file: another one in its place has others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId(u64, u64);

impl From<fs::Metadata> for FileId {
    fn from(meta: fs::Metadata) -> Self {
        Self(meta.dev(), meta.ino())
    }
}

fn file_at(path: &Path) -> Option<FileId> {
    fs::symlink_metadata(path).ok().map(FileId::from)
}

/// The right to replace a path; held by nobody else, and given up when it is dropped or the process dies.
struct Lock {
    at: PathBuf,
    _file: File,
}

impl Lock {
    fn of(path: &Path) -> Option<Self> {
        let at = PathBuf::from(format!("{}.lock", path.display()));
        let mut options = File::options();
        let file = options.write(true).create(true).custom_flags(libc::O_NOFOLLOW).open(&at).ok()?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
        // The one before may have removed the file in between.
        let is_there = file_at(&at) == file.metadata().ok().map(FileId::from);
        is_there.then_some(Self { at, _file: file })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.at);
    }
}
