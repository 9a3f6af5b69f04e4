//! Peers that do not know hemi: `std` sockets, and threads.

use std::{
    any::Any,
    ffi::OsStr,
    future::Future,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    ops::Deref,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use crate::kernels::HANG;

/// A plain client. Its blocking calls end with an error instead of hanging.
///
/// # Panics
/// When nobody listens there.
pub fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).expect("somebody listens");
    stream.set_read_timeout(Some(HANG)).expect("a socket takes a timeout");
    stream.set_write_timeout(Some(HANG)).expect("a socket takes a timeout");
    stream
}

/// End a connection by a reset.
///
/// # Panics
/// When the socket takes no linger time.
pub fn reset(stream: TcpStream) {
    let linger = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    linger.expect("a socket takes a linger time");
    drop(stream);
}

/// Receive a datagram. The end of an io_uring on this thread may interrupt a call that has a timeout.
///
/// # Panics
/// When none comes.
pub fn recv(socket: &UdpSocket, datagram: &mut [u8]) -> usize {
    loop {
        match socket.recv(datagram) {
            Ok(len) => return len,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => panic!("no datagram: {e}"),
        }
    }
}

/// Run `work` on a thread of its own; the future gives what it returned.
///
/// # Panics
/// The future does, when `work` did.
pub fn thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> impl Future<Output = T> {
    let (tell, told) = futures::channel::oneshot::channel();
    let thread = std::thread::spawn(move || {
        let _ = tell.send(work()); // nobody waits any more: the test has failed elsewhere
    });
    async move {
        let value = told.await;
        let ended: Result<(), Box<dyn Any + Send>> = thread.join();
        match (value, ended) {
            (Ok(value), Ok(())) => value,
            (_, Err(panic)) => std::panic::resume_unwind(panic),
            (Err(_), Ok(())) => unreachable!("the thread told before it ended"),
        }
    }
}

/// A path that nobody has, for a Unix socket.
pub fn fresh_path(what: &str) -> SocketPath {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    SocketPath(std::env::temp_dir().join(format!("hemi-{}-{what}-{number}.sock", std::process::id())))
}

/// Where a Unix socket is bound. What is there is removed with it: a kernel's socket leaves its file behind.
#[derive(Debug)]
pub struct SocketPath(PathBuf);

impl Drop for SocketPath {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0); // nobody may have bound it
    }
}

impl Deref for SocketPath {
    type Target = Path;
    fn deref(&self) -> &Path {
        &self.0
    }
}

impl AsRef<Path> for SocketPath {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl AsRef<OsStr> for SocketPath {
    fn as_ref(&self) -> &OsStr {
        self.0.as_os_str()
    }
}

/// `len` bytes whose order can be checked: see [`check`].
pub fn pattern(from: u64, len: usize) -> Vec<u8> {
    (from..from + len as u64).map(byte_at).collect()
}

/// Whether `bytes` are those of the [`pattern`] that begin at `from`.
pub fn check(from: u64, bytes: &[u8]) -> bool {
    (from..).zip(bytes).all(|(at, byte)| byte_at(at) == *byte)
}

/// No period that a buffer's size could hide.
fn byte_at(at: u64) -> u8 {
    (at ^ (at >> 8).wrapping_mul(31) ^ (at >> 16).wrapping_mul(17)) as u8
}

/// Write `len` bytes of the [`pattern`].
///
/// # Errors
/// The stream's.
pub fn write_pattern(mut to: impl Write, len: u64) -> io::Result<()> {
    for from in (0..len).step_by(CHUNK) {
        to.write_all(&pattern(from, CHUNK.min((len - from) as usize)))?;
    }
    Ok(())
}

/// Read to the end; the number of bytes, all of which were the [`pattern`].
///
/// # Errors
/// The stream's.
///
/// # Panics
/// At the first byte that is not the pattern's.
pub fn read_pattern(mut from: impl Read) -> io::Result<u64> {
    let (mut total, mut buffer) = (0, vec![0; CHUNK]);
    loop {
        let len = match from.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(len) => len,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        assert!(check(total, &buffer[..len]), "wrong bytes after {total}");
        total += len as u64;
    }
}

const CHUNK: usize = 32 << 10;
