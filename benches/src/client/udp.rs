//! Messages as datagrams: eight bytes of number, then the stream's bytes for that number.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};

use super::link::Link;
use crate::error::Error;
use crate::payload::Payload;
use crate::scenario::SMALLEST_DATAGRAM;

pub(super) struct UdpLink {
    socket: UdpSocket,
    size: usize,
    /// Datagrams that may be sent.
    offered: u64,
    /// Datagrams that the socket took.
    sent: u64,
    /// The datagram being sent.
    datagram: Vec<u8>,
}

impl UdpLink {
    pub(super) fn connect(server: SocketAddr, size: usize) -> Result<Self, Error> {
        let open = || {
            let any: SocketAddr =
                if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
            let socket = UdpSocket::bind(any)?;
            socket.connect(server)?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        };
        let socket = open().map_err(|source| Error::Connect { server, source })?;
        Ok(Self { socket, size, offered: 0, sent: 0, datagram: vec![0; size] })
    }
}

impl AsFd for UdpLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Link for UdpLink {
    fn offer(&mut self) {
        self.offered += 1;
    }

    fn flush(&mut self, payload: &Payload) -> Result<bool, Error> {
        while self.sent < self.offered {
            let (number, body) = self.datagram.split_at_mut(SMALLEST_DATAGRAM);
            number.copy_from_slice(&self.sent.to_le_bytes());
            body.copy_from_slice(payload.slice(body_offset(self.sent, self.size), body.len()));
            match self.socket.send(&self.datagram) {
                Ok(_) => self.sent += 1,
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
        let n = match self.socket.recv(buffer) {
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(source) => return Err(Error::Io { doing: "receiving", source }),
        };
        let Some((number, body)) = buffer[..n].split_first_chunk().filter(|_| n == self.size) else {
            return Err(Error::Corrupt { offset: self.sent * self.size as u64 });
        };
        let number = u64::from_le_bytes(*number);
        let at = body_offset(number, self.size);
        if number >= self.sent || payload.first_difference(at, body).is_some() {
            return Err(Error::Corrupt { offset: number.wrapping_mul(self.size as u64) });
        }
        whole(number..number + 1);
        Ok(())
    }
}

/// Where in the stream the body of a datagram is taken from.
fn body_offset(number: u64, size: usize) -> u64 {
    number.wrapping_mul(size as u64)
}
