//! Calls that open a connection and send at once: `MSG_FASTOPEN`, a write after `TCP_FASTOPEN_CONNECT`, and FreeBSD's `sendto` after
//! `TCP_FASTOPEN`.
//!
//! | socket | what goes with the SYN | a call that may not wait | one that may |
//! |---|---|---|---|
//! | no cookie is known | the wish for one | `EINPROGRESS`, nothing was taken | waits for the SYN-ACK, then writes |
//! | a cookie is | what fits | so many bytes | waits for the SYN-ACK, then writes the rest |
//! | FreeBSD's way | as above | all of it | all of it, at once |

use std::net::SocketAddr;

use hemi_net::{ConnId, tcp::State};
use hemi_queue::Buf;

use crate::{
    sockets::{Kind, plain},
    world::{Errno, Step, World},
};

/// How far such a call is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Opening {
    /// It has opened the connection.
    began: bool,
    /// Bytes handed over.
    done: usize,
}

impl World {
    /// `sendto()` and its kin, also of a connection that is not yet open.
    pub(crate) fn write_or_open(
        &mut self,
        fd: i32,
        bytes: &[u8],
        flags: i32,
        to: Option<SocketAddr>,
        opening: &mut Opening,
    ) -> Step<usize> {
        let by_flag = flags & libc::MSG_FASTOPEN != 0;
        let client = self.flags.fast_open.client();
        if by_flag && !client {
            return Err(libc::EOPNOTSUPP).into();
        }
        let socket = match self.sock(fd) {
            Ok(socket) => socket,
            Err(e) => return Err(e).into(),
        };
        let wait = !socket.nonblocking && flags & libc::MSG_DONTWAIT == 0;
        let (connects, places) = (socket.options.fast_open_connect, socket.options.fast_open);
        match (&socket.kind, to) {
            (Kind::Fresh, Some(to)) if by_flag || connects => {
                let to = plain(to);
                self.begin_fast(fd, to, bytes, wait, opening)
            }
            (Kind::Fresh, Some(to)) if places.is_some_and(|n| n > 0) && client => {
                let to = plain(to);
                // It is queued whole, and as much of it goes with the SYN as may.
                self.open_stream(fd, to, true).and_then(|conn| self.hand(conn, bytes)).into()
            }
            (Kind::Stream(stream), _) => {
                let conn = stream.conn;
                if opening.began {
                    return self.go_on(fd, conn, bytes, flags, wait, opening);
                }
                if self.stack(None).tcp_is_deferred(conn) {
                    return self.carry(conn, bytes, wait, opening);
                }
                if by_flag && self.stack(None).tcp_state(conn) == State::SynSent {
                    return Err(libc::EALREADY).into();
                }
                self.write(fd, bytes, flags, &mut opening.done)
            }
            _ => self.write(fd, bytes, flags, &mut opening.done),
        }
    }

    fn begin_fast(
        &mut self,
        fd: i32,
        to: SocketAddr,
        bytes: &[u8],
        wait: bool,
        opening: &mut Opening,
    ) -> Step<usize> {
        match self.open_stream(fd, to, true) {
            Ok(conn) => self.carry(conn, bytes, wait, opening),
            Err(errno) => Err(errno).into(),
        }
    }

    /// The connection's SYN waits, or asks for a cookie: it leaves, with what it may carry.
    fn carry(&mut self, conn: ConnId, bytes: &[u8], wait: bool, opening: &mut Opening) -> Step<usize> {
        opening.began = true;
        let now = self.now;
        let stack = self.stack(None);
        let room = if stack.tcp_is_deferred(conn) { stack.tcp_deferred_room(conn, now) } else { 0 };
        let n = room.min(bytes.len());
        if n == 0 {
            self.stack(None).tcp_open_now(conn, now);
        } else if let Err(errno) = self.hand(conn, &bytes[..n]) {
            return Err(errno).into();
        }
        opening.done = n;
        self.flush();
        match n {
            _ if wait => Step::Wait(None),
            0 => Err(libc::EINPROGRESS).into(),
            n => Ok(n).into(),
        }
    }

    /// A call that waits: when the handshake is over, the rest is written.
    fn go_on(
        &mut self,
        fd: i32,
        conn: ConnId,
        bytes: &[u8],
        flags: i32,
        wait: bool,
        opening: &mut Opening,
    ) -> Step<usize> {
        let stack = self.stack(None);
        let (state, failed) = (stack.tcp_state(conn), stack.tcp_error(conn).is_some());
        if failed {
            return Err(self.take_error(fd).unwrap_or(libc::EPIPE)).into();
        }
        if wait && matches!(state, State::SynSent | State::SynReceived) {
            return Step::Wait(None);
        }
        if opening.done == bytes.len() {
            Ok(opening.done).into()
        } else {
            self.write(fd, bytes, flags, &mut opening.done)
        }
    }

    fn hand(&mut self, conn: ConnId, bytes: &[u8]) -> Result<usize, Errno> {
        let now = self.now;
        if !bytes.is_empty() {
            let unit = Buf::from(bytes.to_vec()).into();
            self.stack(None).tcp_push(conn, unit, now).map_err(|(e, _)| crate::sockets::errno_of(e))?;
        }
        Ok(bytes.len())
    }
}
