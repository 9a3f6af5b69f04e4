//! [`Socket`]: the connection behind a link, and the system calls on it.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::{
    cmsg_space,
    io::Errno,
    net::{
        self, AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
    },
};

use super::Hello;

/// A connected socket that keeps messages apart, and never blocks.
#[derive(Debug)]
pub(crate) struct Socket(OwnedFd);

/// What [`Socket::listen`] heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Nothing, or the doorbell.
    Alive,
    /// The other side is gone.
    End,
}

fn new() -> io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    Ok(net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// Listen at `path`, where nobody else can be listening: we hold the seat.
pub(crate) fn listener(path: &Path) -> io::Result<OwnedFd> {
    let address = SocketAddrUnix::new(path)?;
    let socket = new()?;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    net::bind(&socket, &address)?;
    net::listen(&socket, 1)?;
    Ok(socket)
}

impl Socket {
    /// The next connection, if one waits.
    pub(crate) fn accept(listener: &OwnedFd) -> io::Result<Option<Self>> {
        match net::accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok(fd) => Ok(Some(Self(fd))),
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Connect to `path`; `None` while nobody listens there.
    pub(crate) fn connect(path: &Path) -> io::Result<Option<Self>> {
        let socket = new()?;
        match net::connect(&socket, &SocketAddrUnix::new(path)?) {
            Ok(()) => Ok(Some(Self(socket))),
            Err(Errno::NOENT | Errno::CONNREFUSED | Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Say hello, and pass on the memory that was made for the link.
    pub(crate) fn say(&self, hello: Hello, memory: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = memory.as_slice();
        if !fds.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(fds));
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        net::sendmsg(&self.0, &[IoSlice::new(&hello.encode())], &mut control, flags)?;
        Ok(())
    }

    /// The other side's hello, once it has come. Its end, or anything else, is an error.
    pub(crate) fn hear(&self) -> io::Result<Option<(Hello, Option<OwnedFd>)>> {
        let mut bytes = [0; Hello::LEN + 1];
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let got = match net::recvmsg(&self.0, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags) {
            Ok(got) => got.bytes,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // What was sent beyond the first descriptor is closed here.
        let memory = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        if got == 0 {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let hello = Hello::decode(&bytes[..got]).ok_or_else(|| {
            let why = "the other side does not speak this version of hemi's shm protocol";
            io::Error::new(io::ErrorKind::InvalidData, why)
        })?;
        Ok(Some((hello, memory)))
    }

    /// Wake the other side. If its socket is full it has enough reasons to wake up.
    pub(crate) fn ring(&self) {
        let _ = net::send(&self.0, &[0], SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
    }

    /// Take the rings of the doorbell that have come, and look whether the other side is still there.
    pub(crate) fn listen(&self) -> Heard {
        let mut byte = [0; 1];
        // Bounded, for a peer that rings without end; what is left keeps the socket readable.
        for _ in 0..16 {
            match net::recv(&self.0, &mut byte, RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Heard::End,
                Ok(_) => {}
                Err(Errno::AGAIN | Errno::INTR) => return Heard::Alive,
                Err(_) => return Heard::End,
            }
        }
        Heard::Alive
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
