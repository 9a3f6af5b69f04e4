//! One descriptor for three: completions, connection events, device events.

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
};

/// An epoll set that is readable when one of its descriptors is.
pub(crate) struct WakeSet(OwnedFd);

/// Which of them is readable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    pub(crate) completions: bool,
    /// Events of connections, or of the device.
    pub(crate) control: bool,
}

const COMPLETIONS: u64 = 0;
const CONTROL: u64 = 1;

impl WakeSet {
    pub(crate) fn new(completions: RawFd, control: [RawFd; 2]) -> io::Result<Self> {
        // SAFETY: a flag only.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just made, owned by nobody else.
        let set = Self(unsafe { OwnedFd::from_raw_fd(fd) });
        for (fd, what) in [(completions, COMPLETIONS), (control[0], CONTROL), (control[1], CONTROL)] {
            let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: what };
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

    /// One look at all of them, without waiting.
    pub(crate) fn ready(&self) -> Ready {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 3];
        // SAFETY: an open descriptor, and room for three events.
        let n = unsafe { libc::epoll_wait(self.fd(), events.as_mut_ptr(), 3, 0) };
        // An error is no answer: look at all of them.
        let Ok(n) = usize::try_from(n) else { return Ready { completions: true, control: true } };
        let has = |what| events[..n].iter().any(|event| event.u64 == what);
        Ready { completions: has(COMPLETIONS), control: has(CONTROL) }
    }
}
