//! A hand-written epoll loop: sleeps until something is ready, then one `recv` and one `send` per
//! ready connection. What a good blocking server costs.

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::{Errno, Result};

use super::floor::{BUFFER, accept, echo_datagram, echo_once};
use super::{Contestant, Failure};
use crate::error::Error;
use crate::scenario::Transport;
use crate::stop::Stop;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Epoll;

/// The token of the listener or the socket.
const FIRST: u64 = u64::MAX;
/// How long a wait may last before the stop flag is looked at again.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

impl Contestant for Epoll {
    fn name(&self) -> &'static str {
        "epoll"
    }

    fn about(&self) -> &'static str {
        "epoll_wait, recv and send in a hand-written loop"
    }

    fn serves(&self, transport: Transport) -> bool {
        transport != Transport::Units
    }

    fn serve(
        &self,
        transport: Transport,
        bind: SocketAddr,
        ready: &mut dyn FnMut(SocketAddr),
        stop: &Stop,
    ) -> std::result::Result<(), Failure> {
        let set = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        match transport {
            Transport::Tcp => {
                let listener = TcpListener::bind(bind)?;
                listener.set_nonblocking(true)?;
                epoll::add(&set, &listener, epoll::EventData::new_u64(FIRST), epoll::EventFlags::IN)?;
                ready(listener.local_addr()?);
                tcp(&set, &listener, stop)
            }
            Transport::Udp => {
                let socket = UdpSocket::bind(bind)?;
                socket.set_nonblocking(true)?;
                epoll::add(&set, &socket, epoll::EventData::new_u64(FIRST), epoll::EventFlags::IN)?;
                ready(socket.local_addr()?);
                udp(&set, &socket, stop)
            }
            Transport::Units => Err(Error::HemiOnly.into()),
        }
    }
}

fn tcp(set: &OwnedFd, listener: &TcpListener, stop: &Stop) -> std::result::Result<(), Failure> {
    let mut conns: Vec<Option<TcpStream>> = Vec::new();
    let mut buffer = vec![0; BUFFER];
    let mut events = Vec::with_capacity(256);
    while !stop.is_set() {
        wait(set, &mut events)?;
        for event in &events {
            let token = event.data.u64();
            if token == FIRST {
                while let Some(conn) = accept(listener)? {
                    let token = epoll::EventData::new_u64(conns.len() as u64);
                    epoll::add(set, &conn, token, epoll::EventFlags::IN)?;
                    conns.push(Some(conn));
                }
            } else if let Some(conn) = &mut conns[token as usize]
                && !echo_once(conn, &mut buffer, stop)
            {
                // Closing takes it out of the set.
                conns[token as usize] = None;
            }
        }
    }
    Ok(())
}

fn udp(set: &OwnedFd, socket: &UdpSocket, stop: &Stop) -> std::result::Result<(), Failure> {
    let mut buffer = vec![0; BUFFER];
    let mut events = Vec::with_capacity(1);
    while !stop.is_set() {
        wait(set, &mut events)?;
        if !events.is_empty() {
            echo_datagram(socket, &mut buffer)?;
        }
    }
    Ok(())
}

fn wait(set: &OwnedFd, events: &mut Vec<epoll::Event>) -> Result<()> {
    events.clear();
    match epoll::wait(set, spare_capacity(events), Some(&LOOK)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno),
    }
}
