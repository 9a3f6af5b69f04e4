//! The fallback: an epoll to sleep in. Nothing is dispatched: a descriptor only ends the sleep, its reactor looks itself.

use std::{
    cell::Cell,
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    time::Duration,
};

pub(crate) struct Epoll {
    fd: OwnedFd,
    /// `epoll_pwait2` (Linux 5.11) is missing: timeouts in milliseconds, rounded up.
    coarse: Cell<bool>,
}

impl Epoll {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the result is checked.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a descriptor just made, owned by nobody else.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) }, coarse: Cell::new(false) })
    }

    pub(crate) fn watch(&self, fd: RawFd) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: fd as u64 };
        // SAFETY: `event` is a local that the call only reads.
        let r = unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event) };
        if r < 0 {
            let e = io::Error::last_os_error();
            if e.raw_os_error() != Some(libc::EEXIST) {
                return Err(e);
            }
        }
        Ok(())
    }

    pub(crate) fn unwatch(&self, fd: RawFd) {
        // SAFETY: DEL takes no event (null is allowed since Linux 2.6.9); an unknown descriptor is an ignored error.
        unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), libc::EPOLL_CTL_DEL, fd, std::ptr::null_mut()) };
    }

    pub(crate) fn sleep(&self, timeout: Option<Duration>) {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 8];
        let (fd, at, max) = (self.fd.as_raw_fd(), events.as_mut_ptr(), events.len() as i32);
        if !self.coarse.get() {
            let spec = timeout.map(timespec);
            let spec_ptr = spec.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
            // SAFETY: the event array and the timespec are locals that outlive the call; no signal mask.
            let r = unsafe {
                libc::syscall(libc::SYS_epoll_pwait2, fd, at, max, spec_ptr, std::ptr::null::<u8>(), 0)
            };
            if r >= 0 || io::Error::last_os_error().raw_os_error() != Some(libc::ENOSYS) {
                return; // events, timeout or a signal: the caller looks around in any case
            }
            self.coarse.set(true);
        }
        let ms = timeout.map_or(-1, |t| i32::try_from(t.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX));
        // SAFETY: as above.
        unsafe { libc::epoll_wait(fd, at, max, ms) };
    }
}

fn timespec(t: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: i64::try_from(t.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(t.subsec_nanos()),
    }
}
