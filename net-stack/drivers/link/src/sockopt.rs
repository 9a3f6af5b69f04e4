//! Socket options as plain values.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

/// `setsockopt` with an integer.
pub fn set_int(socket: BorrowedFd<'_>, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: an integer names no memory.
    unsafe { set_option(socket, level, name, &value) }
}

/// `setsockopt` with a value that the kernel takes as these bytes.
///
/// # Safety
/// The value is the C structure that the option takes, and memory that it names is what the option says it must be.
pub unsafe fn set_option<T: Copy>(
    socket: BorrowedFd<'_>,
    level: i32,
    name: i32,
    value: &T,
) -> io::Result<()> {
    let len = size_of::<T>() as libc::socklen_t;
    // SAFETY: the pointer and the length are those of `value`; what it names is the caller's promise.
    let r =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, std::ptr::from_ref(value).cast(), len) };
    if r < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// `getsockopt` into `value`, of which the kernel overwrites as much as it knows.
///
/// # Safety
/// Every bit pattern is a value of `T`: an integer or a C structure of such.
pub unsafe fn get_option<T: Copy>(
    socket: BorrowedFd<'_>,
    level: i32,
    name: i32,
    value: &mut T,
) -> io::Result<()> {
    let mut len = size_of::<T>() as libc::socklen_t;
    let at = std::ptr::from_mut(value).cast();
    // SAFETY: the pointer and the length are those of `value`, and the kernel writes no more than the length.
    let r = unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, at, &raw mut len) };
    if r < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Ask for a socket buffer of `bytes` (`force`: the option that may exceed the system's limit, for the privileged); less than
/// that is no error.
pub fn try_set_buffer(socket: BorrowedFd<'_>, force: i32, plain: i32, bytes: i32) {
    if set_int(socket, libc::SOL_SOCKET, force, bytes).is_err() {
        let _ = set_int(socket, libc::SOL_SOCKET, plain, bytes);
    }
}
