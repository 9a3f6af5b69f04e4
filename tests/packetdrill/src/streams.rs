//! The calls on TCP sockets.

use std::net::SocketAddr;

use hemi_net::{ConnError, ConnId, tcp::State};
use hemi_queue::{Buf, time::Instant};

use crate::{
    sockets::{Descriptor, Kind, Socket, errno_of, plain},
    world::{Errno, Step, World},
};

/// How long a cork keeps a segment back.
const CORKED: std::time::Duration = std::time::Duration::from_millis(200);

/// A connection behind a descriptor.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) conn: ConnId,
    /// Popped from the stack and not yet read.
    pub(crate) unread: Buf,
    /// The program was told of the error: an error is told once.
    told: bool,
    /// `connect` was called, and has not yet said that it succeeded.
    pub(crate) connecting: bool,
    /// `shutdown(SHUT_RD)`, and `SHUT_WR`.
    pub(crate) deaf: bool,
    shut: bool,
    /// The last state before it was closed.
    state: State,
    /// `MSG_MORE` or `TCP_CORK`: kept back until a full segment is there, or the rest comes.
    pub(crate) corked: Vec<u8>,
    /// When the first of that was written.
    corked_since: Option<Instant>,
    /// Bytes written and read, for `TCP_INFO`.
    pub(crate) written: u64,
    pub(crate) read: u64,
}

impl Stream {
    fn new(conn: ConnId, connecting: bool) -> Self {
        Self {
            conn,
            unread: Buf::new(),
            told: false,
            connecting,
            deaf: false,
            shut: false,
            state: State::Closed,
            corked: Vec::new(),
            corked_since: None,
            written: 0,
            read: 0,
        }
    }
}

impl Stream {
    /// `shutdown(SHUT_WR)` was called.
    pub(crate) fn is_shut(&self) -> bool {
        self.shut
    }

    /// An error would be news to the program.
    pub(crate) fn untold(&self) -> bool {
        !self.told
    }
}

impl World {
    /// `listen()`.
    pub(crate) fn listen(&mut self, fd: i32, backlog: i32) -> Result<(), Errno> {
        let socket = self.sock(fd)?;
        let (v6, options) = (socket.v6, socket.options.clone());
        let only_v6 = options.v6_only;
        match socket.kind {
            Kind::Listener(_) => return Ok(()),
            Kind::Fresh => {}
            Kind::Stream(_) => return Err(libc::EINVAL),
            Kind::Datagrams(_) => return Err(libc::EOPNOTSUPP),
        }
        let at = socket.bound.unwrap_or(Self::any(v6));
        let options = options.for_tcp(&self.flags);
        // As Linux has it: one more than it says.
        let backlog = usize::try_from(backlog).unwrap_or(0) + 1;
        let (id, at) =
            self.stack(Some(at.ip())).tcp_listen(at, backlog, only_v6, options).map_err(errno_of)?;
        let socket = self.sock(fd)?;
        socket.kind = Kind::Listener(id);
        socket.bound = Some(at);
        Ok(())
    }

    /// `accept4()`.
    pub(crate) fn accept(&mut self, fd: i32, nonblocking: bool) -> Step<(i32, SocketAddr)> {
        let socket = match self.sock(fd) {
            Ok(socket) => socket,
            Err(e) => return Err(e).into(),
        };
        let Kind::Listener(id) = socket.kind else { return Err(libc::EINVAL).into() };
        let (v6, wait, options, bound) =
            (socket.v6, !socket.nonblocking, socket.options.clone(), socket.bound);
        let Some(conn) = self.stack(None).tcp_accept(id) else {
            return if wait { Step::Wait(None) } else { Err(libc::EAGAIN).into() };
        };
        let (local, remote) = match self.stack(None).tcp_addresses(conn) {
            Some((local, remote)) => (Some(local), remote),
            None => (bound, Self::any(v6)),
        };
        let socket = Socket {
            v6,
            nonblocking,
            options,
            bound: local,
            kind: Kind::Stream(Box::new(Stream::new(conn, false))),
        };
        let shown = socket.shown(remote);
        self.open(Descriptor::Socket(socket)).map(|fd| (fd, shown)).into()
    }

    /// `connect()`. The same call is tried again while it blocks.
    pub(crate) fn connect(&mut self, fd: i32, to: SocketAddr, began: &mut bool) -> Step<()> {
        let to = plain(to);
        let socket = match self.sock(fd) {
            Ok(socket) => socket,
            Err(e) => return Err(e).into(),
        };
        let wait = !socket.nonblocking;
        match &socket.kind {
            Kind::Listener(_) => return Err(libc::EISCONN).into(),
            Kind::Datagrams(_) => return self.connect_datagrams(fd, to).into(),
            Kind::Stream(stream) => {
                let (conn, connecting) = (stream.conn, stream.connecting);
                return self.connected(fd, conn, connecting, wait, *began);
            }
            Kind::Fresh => {}
        }
        *began = true;
        let conn = match self.open_stream(fd, to, false) {
            Ok(conn) => conn,
            Err(errno) => return Err(errno).into(),
        };
        if self.stack(None).tcp_is_deferred(conn) {
            return self.connected(fd, conn, true, wait, true);
        }
        if wait { Step::Wait(None) } else { Err(libc::EINPROGRESS).into() }
    }

    /// Begin to connect: `fast` by Fast Open, in any case.
    pub(crate) fn open_stream(&mut self, fd: i32, to: SocketAddr, fast: bool) -> Result<ConnId, Errno> {
        let now = self.now;
        let (bound, options) = (self.sock(fd)?.bound, self.sock(fd)?.options.clone());
        let fast = fast || (options.fast_open_connect && self.flags.fast_open.client());
        let options = if fast { options.for_fast_open(&self.flags) } else { options.for_tcp(&self.flags) };
        let local = bound.map(|at| {
            if at.ip().is_ipv4() == to.is_ipv4() {
                at
            } else {
                SocketAddr::new(Self::any(to.is_ipv6()).ip(), at.port())
            }
        });
        let stack = self.stack(local.map(|l| l.ip()));
        let conn = stack.tcp_connect(to, local, options, now).map_err(errno_of)?;
        let local = self.stack(None).tcp_addresses(conn).map(|a| a.0);
        if let Ok(socket) = self.sock(fd) {
            socket.kind = Kind::Stream(Box::new(Stream::new(conn, true)));
            socket.bound = local;
        }
        Ok(conn)
    }

    /// How an active open stands.
    fn connected(&mut self, fd: i32, conn: ConnId, connecting: bool, wait: bool, began: bool) -> Step<()> {
        let stack = self.stack(None);
        let (state, failed) = (stack.tcp_state(conn), stack.tcp_error(conn).is_some());
        if failed && connecting {
            let errno = self.take_error(fd);
            // A socket whose connect failed may try another address.
            if let Ok(socket) = self.sock(fd) {
                socket.kind = Kind::Fresh;
            }
            return Err(errno.unwrap_or(libc::ECONNABORTED)).into();
        }
        if !connecting {
            return Err(libc::EISCONN).into();
        }
        if self.stack(None).tcp_is_deferred(conn) {
            // What is written opens it: for the program it is connected.
            if let Ok(Socket { kind: Kind::Stream(stream), .. }) = self.sock(fd) {
                stream.connecting = false;
            }
            return Ok(()).into();
        }
        if state.is_synchronized() {
            if let Ok(Socket { kind: Kind::Stream(stream), .. }) = self.sock(fd) {
                stream.connecting = false;
            }
            return Ok(()).into();
        }
        match (wait, began) {
            (true, _) => Step::Wait(None),
            (false, _) => Err(libc::EALREADY).into(),
        }
    }

    /// The connection's error, if the program was not told of it yet.
    pub(crate) fn take_error(&mut self, fd: i32) -> Option<Errno> {
        let Ok(Socket { kind: Kind::Stream(stream), .. }) = self.sock(fd) else { return None };
        let (conn, told) = (stream.conn, stream.told);
        let stack = self.stack(None);
        let error = stack.tcp_error(conn).filter(|_| !told)?;
        let Ok(Socket { kind: Kind::Stream(stream), .. }) = self.sock(fd) else { return None };
        stream.told = true;
        // The peer had finished already: that it resets the rest breaks the pipe.
        let finished = stream.state == State::CloseWait;
        Some(if error == ConnError::Reset && finished { libc::EPIPE } else { errno_of(error) })
    }

    /// `read()` and its kin; `peek` leaves the bytes. `None` asks again later.
    pub(crate) fn read(&mut self, fd: i32, most: usize, flags: i32) -> Step<Vec<u8>> {
        let socket = match self.sock(fd) {
            Ok(socket) => socket,
            Err(e) => return Err(e).into(),
        };
        let wait = !socket.nonblocking && flags & libc::MSG_DONTWAIT == 0;
        let low =
            if flags & libc::MSG_WAITALL != 0 { most } else { 1.max(socket.options.receive_low.min(most)) };
        let stream = match &mut socket.kind {
            Kind::Stream(stream) => stream,
            Kind::Datagrams(_) => return Err(libc::EINVAL).into(),
            Kind::Fresh | Kind::Listener(_) => return Err(libc::ENOTCONN).into(),
        };
        let (conn, deaf) = (stream.conn, stream.deaf);
        self.fill(fd, most.max(1));
        let (state, at_end) = (self.stack(None).tcp_state(conn), self.stack(None).tcp_is_at_end(conn));
        let have = self.unread(fd);
        if have == 0 {
            if let Some(errno) = self.take_error(fd) {
                return Err(errno).into();
            }
            if at_end || deaf {
                return Ok(Vec::new()).into();
            }
            if matches!(state, State::SynSent | State::SynReceived) && !wait {
                return Err(libc::EAGAIN).into();
            }
        }
        if have < low && !(at_end || deaf) && wait {
            return Step::Wait(None);
        }
        if have == 0 && most > 0 {
            return Err(libc::EAGAIN).into();
        }
        let Ok(Socket { kind: Kind::Stream(stream), .. }) = self.sock(fd) else {
            return Err(libc::EBADF).into();
        };
        let n = most.min(stream.unread.len());
        let bytes = stream.unread[..n].to_vec();
        if flags & libc::MSG_PEEK == 0 {
            stream.unread.advance(n);
            stream.read += n as u64;
        }
        Ok(bytes).into()
    }

    /// Pop from the stack until `most` bytes are at hand, or no more are there.
    fn fill(&mut self, fd: i32, most: usize) {
        while self.unread(fd) < most {
            let Ok(Socket { kind: Kind::Stream(stream), .. }) = self.sock(fd) else { return };
            let (conn, now) = (stream.conn, self.now);
            let Ok(Some(more)) = self.stack(None).tcp_pop(conn, now) else { return };
            let Ok(Socket { kind: Kind::Stream(stream), .. }) = self.sock(fd) else { return };
            if stream.unread.is_empty() {
                stream.unread = more;
            } else {
                let mut joined = stream.unread.to_vec();
                joined.extend_from_slice(&more);
                stream.unread = Buf::from(joined);
            }
        }
    }

    /// Remember the states of all connections while they have one.
    pub(crate) fn note_states(&mut self) {
        let Self { stack: Some(stack), descriptors, .. } = self else { return };
        for descriptor in descriptors.values_mut() {
            if let Descriptor::Socket(Socket { kind: Kind::Stream(stream), .. }) = descriptor {
                let state = stack.tcp_state(stream.conn);
                if state != State::Closed {
                    stream.state = state;
                }
            }
        }
    }

    /// Bytes popped and not read.
    pub(crate) fn unread(&mut self, fd: i32) -> usize {
        match self.sock(fd) {
            Ok(Socket { kind: Kind::Stream(stream), .. }) => stream.unread.len(),
            _ => 0,
        }
    }

    /// `write()` and its kin. `done` counts what a blocking call has handed over so far.
    pub(crate) fn write(&mut self, fd: i32, bytes: &[u8], flags: i32, done: &mut usize) -> Step<usize> {
        let socket = match self.sock(fd) {
            Ok(socket) => socket,
            Err(e) => return Err(e).into(),
        };
        let wait = !socket.nonblocking && flags & libc::MSG_DONTWAIT == 0;
        let corked = socket.options.cork || flags & libc::MSG_MORE != 0;
        let low = socket.options.not_sent_low();
        let stream = match &socket.kind {
            Kind::Stream(stream) => stream,
            Kind::Datagrams(_) => return Err(libc::EINVAL).into(),
            Kind::Fresh | Kind::Listener(_) => return Err(libc::EPIPE).into(),
        };
        let (conn, held, shut) = (stream.conn, stream.corked.len(), stream.shut);
        let stack = self.stack(None);
        let (state, room) = (stack.tcp_state(conn), stack.tcp_send_room(conn));
        let closed = shut || stack.tcp_error(conn).is_some();
        if closed || !(state.may_send() || matches!(state, State::SynSent | State::SynReceived)) {
            let errno = self.take_error(fd).unwrap_or(libc::EPIPE);
            return if *done > 0 { Ok(*done) } else { Err(errno) }.into();
        }
        let connecting = !state.may_send();
        let mut room = room.saturating_sub(held);
        let may = wait || !connecting;
        loop {
            // With `TCP_NOTSENT_LOWAT` it goes on as far as what is written leaves at once.
            let n = (bytes.len() - *done).min(room).min(low.saturating_sub(self.unsent(fd)));
            if n == 0 || !may {
                break;
            }
            if let Err(errno) = self.hand_over(fd, &bytes[*done..*done + n], corked) {
                return if *done > 0 { Ok(*done) } else { Err(errno) }.into();
            }
            (*done, room) = (*done + n, room - n);
            self.flush();
        }
        match *done {
            n if n == bytes.len() => Ok(n).into(),
            _ if wait => Step::Wait(None),
            0 => Err(libc::EAGAIN).into(),
            n => Ok(n).into(),
        }
    }

    /// Bytes that were written and have not been sent.
    pub(crate) fn unsent(&mut self, fd: i32) -> usize {
        let Ok(Socket { kind: Kind::Stream(stream), .. }) = self.sock(fd) else { return 0 };
        let conn = stream.conn;
        let snapshot = self.stack(None).snapshot(conn);
        snapshot.map_or(0, |s| s.send_queue.saturating_sub(s.unacknowledged as usize))
    }

    /// Give bytes to the stack, but what a cork keeps back.
    fn hand_over(&mut self, fd: i32, bytes: &[u8], corked: bool) -> Result<(), Errno> {
        let Ok(Socket { kind: Kind::Stream(stream), .. }) = self.sock(fd) else { return Err(libc::EBADF) };
        stream.written += bytes.len() as u64;
        let conn = stream.conn;
        stream.corked.extend_from_slice(bytes);
        let mut ready = std::mem::take(&mut stream.corked);
        let since = stream.corked_since.take();
        if corked {
            let mss = self.stack(None).snapshot(conn).map_or(1, |s| usize::from(s.mss)).max(1);
            let rest = ready.split_off(ready.len() / mss * mss);
            let now = self.now;
            if let Ok(Socket { kind: Kind::Stream(stream), .. }) = self.sock(fd) {
                stream.corked_since = (!rest.is_empty()).then(|| since.unwrap_or(now));
                stream.corked = rest;
            }
        }
        if ready.is_empty() {
            return Ok(());
        }
        let now = self.now;
        self.stack(None).tcp_push(conn, Buf::from(ready).into(), now).map_err(|(e, _)| errno_of(e))?;
        Ok(())
    }

    /// When the first cork is to be pulled: Linux keeps nothing back for longer than 200 ms.
    pub(crate) fn cork_alarm(&self) -> Option<Instant> {
        self.corks().map(|(_, at)| at).min()
    }

    fn corks(&self) -> impl Iterator<Item = (i32, Instant)> + '_ {
        self.descriptors.iter().filter_map(|(fd, descriptor)| match descriptor {
            Descriptor::Socket(Socket { kind: Kind::Stream(stream), .. }) if !stream.corked.is_empty() => {
                Some((*fd, stream.corked_since? + CORKED))
            }
            _ => None,
        })
    }

    /// Pull the corks whose time has come.
    pub(crate) fn pull_corks(&mut self) {
        let due: Vec<i32> = self.corks().filter(|(_, at)| *at <= self.now).map(|(fd, _)| fd).collect();
        for fd in due {
            // A connection that takes no more has an error to tell by itself.
            let _ = self.uncork(fd);
        }
    }

    /// The cork is pulled.
    pub(crate) fn uncork(&mut self, fd: i32) -> Result<(), Errno> {
        match self.sock(fd) {
            Ok(Socket { kind: Kind::Stream(stream), .. }) if !stream.corked.is_empty() => {
                self.hand_over(fd, &[], false)
            }
            _ => Ok(()),
        }
    }

    /// `shutdown()`.
    pub(crate) fn shutdown(&mut self, fd: i32, how: i32) -> Result<(), Errno> {
        self.uncork(fd)?;
        let now = self.now;
        let socket = self.sock(fd)?;
        match &mut socket.kind {
            Kind::Stream(stream) => {
                let (read, write) = match how {
                    libc::SHUT_RD => (true, false),
                    libc::SHUT_WR => (false, true),
                    libc::SHUT_RDWR => (true, true),
                    _ => return Err(libc::EINVAL),
                };
                stream.deaf |= read;
                stream.shut |= write;
                let conn = stream.conn;
                if self.stack(None).tcp_state(conn) == State::Closed {
                    return Err(libc::ENOTCONN);
                }
                if write {
                    self.stack(None).tcp_shutdown(conn, now);
                }
                Ok(())
            }
            Kind::Listener(id) => {
                let id = *id;
                socket.kind = Kind::Fresh;
                self.stack(None).tcp_close_listener(id, now);
                Ok(())
            }
            _ => Err(libc::ENOTCONN),
        }
    }

    /// The last descriptor of a connection is closed.
    pub(crate) fn close_stream(&mut self, stream: Stream) {
        let now = self.now;
        let Stream { conn, unread, corked, .. } = stream;
        let stack = self.stack(None);
        if !corked.is_empty() {
            // Whether the connection still takes it or not: nobody is left to hear of it.
            let _ = stack.tcp_push(conn, Buf::from(corked).into(), now);
        }
        if unread.is_empty() {
            stack.tcp_close(conn, now);
        } else {
            // RFC 1122 section 4.2.2.13: data that was received and not read is lost, and the peer must know.
            stack.tcp_abort(conn, now);
        }
        stack.tcp_release(conn, now);
    }
}
