//! The calls on UDP sockets.

use std::{collections::VecDeque, net::SocketAddr};

use hemi_net::{Datagram, UdpError, UdpId};
use hemi_queue::Buf;

use crate::{
    sockets::{Kind, Socket, errno_of_udp, plain},
    world::{Errno, Step, World},
};

/// A UDP socket behind a descriptor.
#[derive(Debug, Default)]
pub(crate) struct Datagrams {
    id: Option<UdpId>,
    /// Received, looked at (by `poll` or `MSG_PEEK`), and not yet read.
    waiting: VecDeque<Datagram>,
    error: Option<UdpError>,
}

impl World {
    /// Open it in the stack, where it is bound, or at a free port.
    pub(crate) fn open_datagrams(&mut self, fd: i32) -> Result<(), Errno> {
        let socket = self.sock(fd)?;
        let Kind::Datagrams(Datagrams { id: None, .. }) = socket.kind else { return Ok(()) };
        let at = socket.bound.unwrap_or(Self::any(socket.v6));
        let (limit, broadcast) = (socket.options.receive_buffer.unwrap_or(1 << 20), socket.options.broadcast);
        let (id, at) = self.stack(Some(at.ip())).udp_bind(at, limit, broadcast).map_err(errno_of_udp)?;
        let socket = self.sock(fd)?;
        socket.bound = Some(at);
        if let Kind::Datagrams(d) = &mut socket.kind {
            d.id = Some(id);
        }
        Ok(())
    }

    fn udp(&mut self, fd: i32) -> Result<UdpId, Errno> {
        self.open_datagrams(fd)?;
        match &self.sock(fd)?.kind {
            Kind::Datagrams(Datagrams { id: Some(id), .. }) => Ok(*id),
            _ => Err(libc::EOPNOTSUPP),
        }
    }

    pub(crate) fn connect_datagrams(&mut self, fd: i32, to: SocketAddr) -> Result<(), Errno> {
        let id = self.udp(fd)?;
        self.stack(None).udp_connect(id, to).map_err(errno_of_udp)
    }

    /// `sendto()`: `Err(EAGAIN)` when the device's queue is full.
    pub(crate) fn send_datagram(
        &mut self,
        fd: i32,
        bytes: &[u8],
        to: Option<SocketAddr>,
    ) -> Result<usize, Errno> {
        let (id, now) = (self.udp(fd)?, self.now);
        let payload = Buf::from(bytes.to_vec()).into();
        let sent = self.stack(None).udp_send(id, payload, to.map(plain), now);
        sent.map(|()| bytes.len()).map_err(|(e, _)| errno_of_udp(e))
    }

    /// Take from the stack what has arrived.
    pub(crate) fn collect_datagrams(&mut self, fd: i32) {
        let Ok(Socket { kind: Kind::Datagrams(Datagrams { id: Some(id), .. }), .. }) = self.sock(fd) else {
            return;
        };
        let id = *id;
        loop {
            let got = self.stack(None).udp_recv(id);
            let Ok(Socket { kind: Kind::Datagrams(d), .. }) = self.sock(fd) else { return };
            match got {
                Ok(Some(datagram)) => d.waiting.push_back(datagram),
                Ok(None) => return,
                Err(error) => d.error = Some(error),
            }
        }
    }

    /// Datagrams that wait, and whether an error does.
    pub(crate) fn datagrams_ready(&mut self, fd: i32) -> (bool, bool) {
        self.collect_datagrams(fd);
        match self.sock(fd) {
            Ok(Socket { kind: Kind::Datagrams(d), .. }) => (!d.waiting.is_empty(), d.error.is_some()),
            _ => (false, false),
        }
    }

    /// `recvfrom()`.
    pub(crate) fn recv_datagram(&mut self, fd: i32, most: usize, flags: i32) -> Step<(Vec<u8>, SocketAddr)> {
        if let Err(errno) = self.udp(fd) {
            return Err(errno).into();
        }
        self.collect_datagrams(fd);
        let socket = match self.sock(fd) {
            Ok(socket) => socket,
            Err(e) => return Err(e).into(),
        };
        let wait = !socket.nonblocking && flags & libc::MSG_DONTWAIT == 0;
        let v6 = socket.v6;
        let Kind::Datagrams(d) = &mut socket.kind else { return Err(libc::EINVAL).into() };
        let datagram =
            if flags & libc::MSG_PEEK != 0 { d.waiting.front().cloned() } else { d.waiting.pop_front() };
        match (datagram, d.error.take()) {
            (Some(datagram), error) => {
                d.error = error;
                let from = if v6 { socket.shown(datagram.from) } else { datagram.from };
                let n = most.min(datagram.payload.len());
                Ok((datagram.payload[..n].to_vec(), from)).into()
            }
            (None, Some(error)) => Err(errno_of_udp(error)).into(),
            (None, None) if wait => Step::Wait(None),
            (None, None) => Err(libc::EAGAIN).into(),
        }
    }

    pub(crate) fn close_datagrams(&mut self, datagrams: &Datagrams) {
        if let Some(id) = datagrams.id {
            self.stack(None).udp_close(id);
        }
    }
}
