//! Messages as lengths of a byte stream.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};

use super::link::Link;
use crate::error::Error;
use crate::payload::{LONGEST, Payload};

pub(super) struct TcpLink {
    stream: TcpStream,
    size: u64,
    /// Bytes that may be sent.
    offered: u64,
    /// Bytes that the socket took.
    sent: u64,
    /// Bytes that came back.
    received: u64,
}

impl TcpLink {
    pub(super) fn connect(server: SocketAddr, size: usize) -> Result<Self, Error> {
        let open = || {
            let stream = TcpStream::connect(server)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            Ok(stream)
        };
        let stream = open().map_err(|source| Error::Connect { server, source })?;
        Ok(Self { stream, size: size as u64, offered: 0, sent: 0, received: 0 })
    }
}

impl AsFd for TcpLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Link for TcpLink {
    fn offer(&mut self) {
        self.offered += self.size;
    }

    fn flush(&mut self, payload: &Payload) -> Result<bool, Error> {
        while self.sent < self.offered {
            let len = (self.offered - self.sent).min(LONGEST as u64) as usize;
            match self.stream.write(payload.slice(self.sent, len)) {
                Ok(n) => self.sent += n as u64,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(source) => return Err(Error::Io { doing: "sending", source }),
            }
        }
        Ok(true)
    }

    fn receive(
        &mut self,
        buffer: &mut [u8],
        payload: &Payload,
        whole: &mut dyn FnMut(Range<u64>),
    ) -> Result<(), Error> {
        let n = match self.stream.read(buffer) {
            Ok(0) => return Err(Error::Closed { received: self.received }),
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(source) => return Err(Error::Io { doing: "receiving", source }),
        };
        // More than was sent is no echo, even if it looks like one.
        let unsent = (self.received + n as u64 > self.sent).then_some(self.sent);
        if let Some(offset) = unsent.or_else(|| payload.first_difference(self.received, &buffer[..n])) {
            return Err(Error::Corrupt { offset });
        }
        let before = self.received / self.size;
        self.received += n as u64;
        let after = self.received / self.size;
        if before < after {
            whole(before..after);
        }
        Ok(())
    }
}
