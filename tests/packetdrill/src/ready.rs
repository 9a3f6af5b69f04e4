//! What a descriptor is ready for: `poll` and `epoll`.

use std::{collections::BTreeMap, time::Duration};

use hemi_net::tcp::State;
use hemi_queue::time::Instant;

use crate::{
    sockets::{Descriptor, Kind, Socket},
    world::{Errno, Step, World},
};

/// A member of an epoll set.
#[derive(Debug, Clone, Copy)]
struct Member {
    events: u32,
    data: u64,
    /// What it was ready for when last told, and how much it had received and could take then (`EPOLLET` tells changes).
    told: Option<Reading>,
    /// `EPOLLONESHOT`, and it was told.
    spent: bool,
}

/// What edges are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reading {
    events: u32,
    received: usize,
}

/// An epoll set.
#[derive(Debug, Default)]
pub(crate) struct Epoll {
    members: BTreeMap<i32, Member>,
}

impl World {
    /// The events of `poll.h` that hold for a descriptor.
    pub(crate) fn readiness(&mut self, fd: i32) -> Result<i16, Errno> {
        Ok(self.reading(fd)?.events as i16)
    }

    fn reading(&mut self, fd: i32) -> Result<Reading, Errno> {
        let socket = self.sock(fd)?;
        let low = socket.options.receive_low.max(1);
        let low_unsent = socket.options.not_sent_low();
        let mut events = 0_i16;
        let mut received = 0;
        match &socket.kind {
            Kind::Fresh => events = libc::POLLOUT | libc::POLLHUP,
            Kind::Listener(id) => {
                let id = *id;
                if self.stack(None).tcp_pending(id) > 0 {
                    events = libc::POLLIN | libc::POLLRDNORM;
                }
            }
            Kind::Datagrams(_) => {
                let (readable, error) = self.datagrams_ready(fd);
                events = libc::POLLOUT | libc::POLLWRNORM;
                events |= if readable { libc::POLLIN | libc::POLLRDNORM } else { 0 };
                events |= if error { libc::POLLERR } else { 0 };
            }
            Kind::Stream(stream) => {
                let (conn, unread, deaf, shut) =
                    (stream.conn, stream.unread.len(), stream.deaf, stream.is_shut());
                let read = stream.read as usize;
                let untold = stream.untold();
                let stack = self.stack(None);
                let state = stack.tcp_state(conn);
                let error = stack.tcp_error(conn).is_some();
                let queued = stack.snapshot(conn).map_or(0, |s| s.recv_queue);
                let ended = stack.tcp_is_at_end(conn) || peer_finished(state);
                let (room, limit) =
                    (stack.tcp_send_room(conn), stack.snapshot(conn).map_or(0, |s| s.send_queue));
                received = read + unread + queued;
                if unread + queued >= low || ended || error || deaf {
                    events |= libc::POLLIN | libc::POLLRDNORM;
                }
                if ended || deaf || error {
                    events |= libc::POLLRDHUP;
                }
                let unsent = stack
                    .snapshot(conn)
                    .map_or(0, |s| s.send_queue.saturating_sub(s.unacknowledged as usize));
                let room = if unsent < low_unsent { room } else { 0 };
                let deferred = self.stack(None).tcp_is_deferred(conn);
                if (state.may_send() || deferred) && !shut && room > limit / 2
                    || error
                    || shut && state != State::SynSent
                {
                    events |= libc::POLLOUT | libc::POLLWRNORM;
                }
                if error && untold {
                    events |= libc::POLLERR;
                }
                if state == State::Closed || state == State::TimeWait || (ended || deaf) && shut {
                    events |= libc::POLLHUP;
                }
            }
        }
        Ok(Reading { events: u32::from(events as u16), received })
    }

    /// `poll()`: the events of each descriptor.
    pub(crate) fn poll(&mut self, wanted: &[(i32, i16)], until: Option<Instant>) -> Step<Vec<i16>> {
        let mut answers = Vec::with_capacity(wanted.len());
        for &(fd, events) in wanted {
            let always = libc::POLLERR | libc::POLLHUP | libc::POLLNVAL;
            answers.push(match self.readiness(fd) {
                _ if fd < 0 => 0,
                Ok(ready) => ready & (events | always),
                Err(_) => libc::POLLNVAL,
            });
        }
        if answers.iter().any(|a| *a != 0) || until.is_some_and(|at| at <= self.now) {
            return Ok(answers).into();
        }
        Step::Wait(until)
    }

    /// When a timeout in milliseconds is over; negative: never.
    pub(crate) fn until(&self, timeout: i32) -> Option<Instant> {
        u64::try_from(timeout).ok().map(|ms| self.now + Duration::from_millis(ms))
    }

    fn epoll(&mut self, fd: i32) -> Result<&mut Epoll, Errno> {
        match self.descriptors.get_mut(&fd) {
            Some(Descriptor::Epoll(epoll)) => Ok(epoll),
            Some(Descriptor::Socket(_)) => Err(libc::EINVAL),
            None => Err(libc::EBADF),
        }
    }

    /// `epoll_ctl()`.
    pub(crate) fn epoll_ctl(
        &mut self,
        epfd: i32,
        op: i32,
        fd: i32,
        event: Option<(u32, u64)>,
    ) -> Result<(), Errno> {
        self.sock(fd)?;
        let epoll = self.epoll(epfd)?;
        let known = epoll.members.contains_key(&fd);
        match (op, event) {
            (libc::EPOLL_CTL_DEL, _) if known => {
                epoll.members.remove(&fd);
            }
            (libc::EPOLL_CTL_ADD, Some(_)) if known => return Err(libc::EEXIST),
            (libc::EPOLL_CTL_MOD | libc::EPOLL_CTL_DEL, _) if !known => return Err(libc::ENOENT),
            (libc::EPOLL_CTL_ADD | libc::EPOLL_CTL_MOD, Some((events, data))) => {
                epoll.members.insert(fd, Member { events, data, told: None, spent: false });
            }
            _ => return Err(libc::EINVAL),
        }
        Ok(())
    }

    /// `epoll_wait()`: events and their data.
    pub(crate) fn epoll_wait(
        &mut self,
        epfd: i32,
        most: usize,
        until: Option<Instant>,
    ) -> Step<Vec<(u32, u64)>> {
        let members: Vec<(i32, Member)> = match self.epoll(epfd) {
            Ok(epoll) => epoll.members.iter().map(|(fd, m)| (*fd, *m)).collect(),
            Err(e) => return Err(e).into(),
        };
        let mut told = Vec::new();
        for (fd, mut member) in members {
            if told.len() >= most || member.spent {
                continue;
            }
            let Ok(reading) = self.reading(fd) else { continue };
            let wanted = reading.events & (member.events | (libc::EPOLLERR | libc::EPOLLHUP) as u32);
            let news = member.told != Some(Reading { events: wanted, ..reading });
            let edge = member.events & libc::EPOLLET as u32 != 0;
            if wanted != 0 && (news || !edge) {
                told.push((wanted, member.data));
                member.spent = member.events & libc::EPOLLONESHOT as u32 != 0;
            }
            member.told = Some(Reading { events: wanted, ..reading });
            if let Ok(epoll) = self.epoll(epfd) {
                epoll.members.insert(fd, member);
            }
        }
        if !told.is_empty() || until.is_some_and(|at| at <= self.now) {
            return Ok(told).into();
        }
        Step::Wait(until)
    }

    /// A closed descriptor leaves every set.
    pub(crate) fn forget_in_epolls(&mut self, fd: i32) {
        for descriptor in self.descriptors.values_mut() {
            if let Descriptor::Epoll(epoll) = descriptor {
                epoll.members.remove(&fd);
            }
        }
    }

    /// What `TCP_INQ` asks for: bytes that are left to read, or one for the end that is.
    pub(crate) fn queue_to_tell(&mut self, fd: i32) -> Result<Option<i32>, Errno> {
        let socket = self.sock(fd)?;
        let (true, Kind::Stream(stream)) = (socket.options.tell_queue, &socket.kind) else { return Ok(None) };
        let conn = stream.conn;
        let (unread, ..) = self.queued(fd)?;
        let ended = peer_finished(self.stack(None).tcp_state(conn));
        Ok(Some(if unread == 0 { ended.into() } else { unread as i32 }))
    }

    /// `FIONREAD` and `SIOCOUTQ`, `SIOCOUTQNSD`: bytes to be read; not acknowledged; not sent.
    pub(crate) fn queued(&mut self, fd: i32) -> Result<(usize, usize, usize), Errno> {
        match &self.sock(fd)?.kind {
            Kind::Stream(stream) => {
                let (conn, unread, corked) = (stream.conn, stream.unread.len(), stream.corked.len());
                let Some(s) = self.stack(None).snapshot(conn) else { return Ok((unread, 0, 0)) };
                let fin = s.unacknowledged.min(1) as usize
                    * usize::from(matches!(s.state, State::FinWait1 | State::LastAck | State::Closing));
                let unsent = s.send_queue.saturating_sub(s.unacknowledged as usize);
                Ok((unread + s.recv_queue, s.send_queue + corked + fin, unsent + corked))
            }
            Kind::Listener(_) => Err(libc::EINVAL),
            Kind::Fresh | Kind::Datagrams(_) => Ok((0, 0, 0)),
        }
    }
}

/// Whether the peer's FIN has come.
fn peer_finished(state: State) -> bool {
    matches!(state, State::CloseWait | State::LastAck | State::Closing | State::TimeWait)
}

impl Socket {
    /// What `F_GETFL` answers.
    pub(crate) fn status_flags(&self) -> i32 {
        libc::O_RDWR | if self.nonblocking { libc::O_NONBLOCK } else { 0 }
    }
}
