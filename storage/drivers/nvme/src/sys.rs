//! System calls that std has not.

use std::{fs::File, io, os::fd::AsRawFd};

use crate::{Passthrough, status};

const ID: libc::c_ulong = 0x4e40;
const ADMIN_CMD: libc::c_ulong = 0xc048_4e41;
const IO_CMD: libc::c_ulong = 0xc048_4e43;

/// The namespace's number: an error where the file is no namespace.
pub(crate) fn namespace_id(file: &File) -> io::Result<u32> {
    // SAFETY: no memory is passed.
    let id = unsafe { libc::ioctl(file.as_raw_fd(), ID) };
    u32::try_from(id).map_err(|_| io::Error::last_os_error())
}

/// An admin command that fills `answer`, at once.
pub(crate) fn admin(file: &File, command: Passthrough, answer: &mut [u8]) -> io::Result<()> {
    passthrough(file, ADMIN_CMD, command, answer)
}

/// A command that fills `answer`, at once. Its numbers must not ask for more than that.
pub(crate) fn io(file: &File, command: Passthrough, answer: &mut [u8]) -> io::Result<()> {
    passthrough(file, IO_CMD, command, answer)
}

fn passthrough(
    file: &File,
    request: libc::c_ulong,
    mut command: Passthrough,
    answer: &mut [u8],
) -> io::Result<()> {
    command.addr = answer.as_mut_ptr().expose_provenance() as u64;
    command.data_len = answer.len() as u32;
    // SAFETY: the structure is the one that the request reads and writes (72 bytes); the kernel moves `data_len` bytes at `addr`, which
    // are borrowed exclusively for the call.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), request, &raw mut command) };
    if result < 0 { Err(io::Error::last_os_error()) } else { status::outcome(result) }
}

/// The lock of the one that writes, on this very open file description.
pub(crate) fn lock(file: &File) -> io::Result<()> {
    // SAFETY: no memory is passed.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
        return Ok(());
    }
    let e = io::Error::last_os_error();
    if e.kind() == io::ErrorKind::WouldBlock {
        let why =
            "another process (or another queue of this one) writes this log; stop it, or open with `mode=ro`";
        return Err(io::Error::new(io::ErrorKind::ResourceBusy, why));
    }
    Err(e)
}
