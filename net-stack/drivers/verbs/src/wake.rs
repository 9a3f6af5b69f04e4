//! One descriptor for three: completions, connection events, device events.

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
};

/// An epoll set that is readable when one of its descriptors is.
pub(crate) struct WakeSet(OwnedFd);

impl WakeSet {
    pub(crate) fn new(fds: impl IntoIterator<Item = RawFd>) -> io::Result<Self> {
        // SAFETY: a flag only.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just made, owned by nobody else.
        let set = Self(unsafe { OwnedFd::from_raw_fd(fd) });
        for fd in fds {
            let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: fd as u64 };
            // SAFETY: both descriptors are open, and the event is copied.
            if unsafe { libc::epoll_ctl(set.fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(set)
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
