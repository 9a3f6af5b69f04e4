//! Sockets that a killed process has left behind.

use std::{
    fs, io,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::{ffi::OsStrExt, fs::FileTypeExt},
    },
    path::Path,
};

/// Remove the socket that a port's driver is to make (a memif server's, vhost's), if one is there at which nobody listens: DPDK would say that the address is
/// in use, for ever.
pub(crate) fn remove_socket(name: &str, arguments: &str) {
    let value = |key: &str| arguments.split(',').find_map(|argument| argument.strip_prefix(key));
    let (kind, path) = if name.starts_with("net_memif") && value("role=") == Some("server") {
        // By default the name is abstract, and goes with its process.
        let named = value("socket-abstract=") == Some("no");
        (libc::SOCK_SEQPACKET, value("socket=").filter(|_| named))
    } else if name.starts_with("net_vhost") && value("client=").is_none_or(|client| client == "0") {
        (libc::SOCK_STREAM, value("iface="))
    } else {
        return;
    };
    let Some(path) = path.map(Path::new) else { return };
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if is_socket && is_deserted(path, kind).unwrap_or(false) {
        tracing::debug!("removing {}, at which nobody listens", path.display());
        let _ = fs::remove_file(path);
    }
}

/// Whether a call is refused because nobody is there.
fn is_deserted(path: &Path, kind: i32) -> io::Result<bool> {
    let mut address =
        libc::sockaddr_un { sun_family: libc::AF_UNIX as libc::sa_family_t, sun_path: [0; 108] };
    let bytes = path.as_os_str().as_bytes();
    if bytes.len() >= address.sun_path.len() {
        return Ok(false);
    }
    for (to, &from) in address.sun_path.iter_mut().zip(bytes) {
        *to = from.cast_signed();
    }
    // SAFETY: numbers only.
    let socket = unsafe { libc::socket(libc::AF_UNIX, kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just opened, and nobody else's.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: a complete address of this length.
    let connected = unsafe {
        libc::connect(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of_val(&address) as libc::socklen_t,
        )
    };
    Ok(connected < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::ECONNREFUSED))
}
