//! Readiness: an epoll of cold descriptors. Nothing is in flight in the kernel, so nothing can outlive its owner.
//!
//! A descriptor is registered once, edge-triggered, the first time that somebody must be told of it; a hot
//! stream never is. No edge is lost: a socket is always tried once more after it was registered or became idle, and only
//! a try that found nothing (`EAGAIN`) makes us wait for an edge.

use std::{
    cell::Cell,
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    rc::Rc,
};

use hemi_queue::{Error, Result};

use crate::{
    Backend,
    acceptor::Listening,
    datagram::Datagram,
    inner::{Inner, Socket},
    stream::{Life, Stream},
    sys,
};

/// Events taken per turn.
const BURST: usize = 128;
/// Connections accepted from one listener per turn.
const ACCEPTS: usize = 16;
/// While hot sockets are being tried, only every so many turns look at the cold ones.
const COLD_EVERY: u32 = 8;

const IN: i32 = libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR;
const OUT: i32 = libc::EPOLLOUT | libc::EPOLLHUP | libc::EPOLLERR;

pub(crate) struct Ready {
    epoll: OwnedFd,
    backend: Backend,
    turns: Cell<u32>,
    /// Something is registered.
    used: Cell<bool>,
}

impl Ready {
    pub(crate) fn new(backend: Backend) -> Result<Self> {
        // SAFETY: no pointers; the result is checked.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(Error::io("epoll_create1", "", io::Error::last_os_error()));
        }
        // SAFETY: a descriptor just made, owned by nobody else.
        let epoll = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { epoll, backend, turns: Cell::new(0), used: Cell::new(false) })
    }

    pub(crate) fn backend(&self) -> Backend {
        self.backend
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }

    fn register(&self, fd: RawFd, id: usize) -> io::Result<()> {
        self.used.set(true);
        let events = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;
        let mut event = libc::epoll_event { events: events as u32, u64: id as u64 };
        // SAFETY: `event` is a local that the call only reads.
        let r = unsafe { libc::epoll_ctl(self.fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event) };
        if r < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Tell us of data, of room, of the outcome of a connect.
    pub(crate) fn arm(&self, stream: &Rc<Stream>) {
        if stream.registered.get() {
            return;
        }
        match self.register(stream.fd, stream.id.get()) {
            Ok(()) => stream.registered.set(true),
            // ENOMEM or ENOSPC (fs.epoll.max_user_watches): this stream is told the truth, the others go on.
            Err(e) => {
                let errno = e.raw_os_error().unwrap_or(libc::EIO);
                stream.recv_failed(errno);
                stream.send_failed(errno);
            }
        }
    }

    /// Tell us of datagrams and of room.
    pub(crate) fn arm_datagram(&self, socket: &Rc<Datagram>) {
        if socket.registered.get() {
            return;
        }
        match self.register(socket.fd, socket.id.get()) {
            Ok(()) => socket.registered.set(true),
            Err(e) => socket.failed(e.raw_os_error().unwrap_or(libc::EIO)),
        }
    }

    pub(crate) fn arm_accept(&self, listening: &Rc<Listening>) {
        if !listening.armed.replace(true) {
            if let Err(e) = self.register(listening.fd, listening.id.get())
                && e.raw_os_error() != Some(libc::EEXIST)
            {
                return listening.accept_failed(e.raw_os_error().unwrap_or(libc::EIO));
            }
            Self::accept(listening);
        }
    }

    fn accept(listening: &Rc<Listening>) {
        for _ in 0..ACCEPTS {
            match sys::accept(listening.fd) {
                Ok(fd) if listening.accepted(fd) => {}
                Ok(_) => return listening.armed.set(false),
                Err(libc::EAGAIN) => return,
                Err(libc::EINTR) => {}
                Err(errno) => {
                    listening.armed.set(false);
                    return listening.accept_failed(errno);
                }
            }
        }
        // More may wait, and no edge will tell: look again in the next turn.
        listening.armed.set(false);
        listening.again();
    }

    pub(crate) fn turn(&self, inner: &Rc<Inner>) -> bool {
        if !self.used.get() {
            return false;
        }
        let turn = self.turns.get().wrapping_add(1);
        self.turns.set(turn);
        if !inner.hot.is_empty() && !turn.is_multiple_of(COLD_EVERY) {
            return false;
        }
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; BURST];
        // SAFETY: the array is a local of the length given.
        let n = unsafe { libc::epoll_wait(self.fd(), events.as_mut_ptr(), BURST as i32, 0) };
        if n <= 0 {
            return false;
        }
        for event in &events[..n as usize] {
            let (id, bits) = (event.u64 as usize, event.events as i32);
            match inner.socket(id) {
                Some(Socket::Stream(stream)) => Self::stream(&stream, bits),
                Some(Socket::Listening(listening)) if listening.armed.get() => Self::accept(&listening),
                Some(Socket::Datagram(socket)) => {
                    if bits & OUT != 0 {
                        socket.writable();
                    }
                    if bits & IN != 0 {
                        socket.readable();
                    }
                }
                _ => {}
            }
        }
        true
    }

    fn stream(stream: &Rc<Stream>, bits: i32) {
        if stream.life.get() == Life::Connecting && bits & OUT != 0 {
            stream.connect_done();
        }
        if bits & OUT != 0 {
            stream.writable();
        }
        if bits & (IN & !libc::EPOLLIN) != 0 {
            stream.rx.hung_up.set(true);
        }
        if bits & IN != 0 {
            stream.readable();
        }
    }
}
