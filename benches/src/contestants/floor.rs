//! The floor: a hand-written loop that never sleeps, on std's non-blocking sockets. One `recv` and one
//! `send` per message and nothing else: what the kernel itself costs.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

use super::{Contestant, FLOOR, Failure};
use crate::error::Error;
use crate::scenario::Transport;
use crate::stop::Stop;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Floor;

/// Turns between two looks at the listener and at the stop flag.
const TURNS_PER_LOOK: u32 = 256;
/// Bytes per `recv`: any datagram fits.
pub(super) const BUFFER: usize = 64 * 1024;

impl Contestant for Floor {
    fn name(&self) -> &'static str {
        FLOOR
    }

    fn about(&self) -> &'static str {
        "busy-polled recv and send on std sockets: the kernel's own cost"
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
    ) -> Result<(), Failure> {
        match transport {
            Transport::Tcp => tcp(bind, ready, stop)?,
            Transport::Udp => udp(bind, ready, stop)?,
            Transport::Units => return Err(Error::HemiOnly.into()),
        }
        Ok(())
    }
}

fn tcp(bind: SocketAddr, ready: &mut dyn FnMut(SocketAddr), stop: &Stop) -> io::Result<()> {
    let listener = TcpListener::bind(bind)?;
    listener.set_nonblocking(true)?;
    ready(listener.local_addr()?);
    let mut conns: Vec<TcpStream> = Vec::new();
    let mut buffer = vec![0; BUFFER];
    let mut turn = 0u32;
    loop {
        if turn.is_multiple_of(TURNS_PER_LOOK) {
            if stop.is_set() {
                return Ok(());
            }
            while let Some(conn) = accept(&listener)? {
                conns.push(conn);
            }
        }
        turn = turn.wrapping_add(1);
        conns.retain_mut(|conn| echo_once(conn, &mut buffer, stop));
    }
}

fn udp(bind: SocketAddr, ready: &mut dyn FnMut(SocketAddr), stop: &Stop) -> io::Result<()> {
    let socket = UdpSocket::bind(bind)?;
    socket.set_nonblocking(true)?;
    ready(socket.local_addr()?);
    let mut buffer = vec![0; BUFFER];
    let mut turn = 0u32;
    loop {
        if turn.is_multiple_of(TURNS_PER_LOOK) && stop.is_set() {
            return Ok(());
        }
        turn = turn.wrapping_add(1);
        echo_datagram(&socket, &mut buffer)?;
    }
}

/// The next connection, if one is waiting.
pub(super) fn accept(listener: &TcpListener) -> io::Result<Option<TcpStream>> {
    match listener.accept() {
        Ok((conn, _)) => {
            conn.set_nonblocking(true)?;
            conn.set_nodelay(true)?;
            Ok(Some(conn))
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Echoes what one connection has; false once it is over.
pub(super) fn echo_once(conn: &mut TcpStream, buffer: &mut [u8], stop: &Stop) -> bool {
    let mut rest = match conn.read(buffer) {
        Ok(0) => return false,
        Ok(n) => &buffer[..n],
        Err(error) => return error.kind() == ErrorKind::WouldBlock,
    };
    while !rest.is_empty() {
        match conn.write(rest) {
            Ok(n) => rest = &rest[n..],
            // The peer does not read: wait for it, but not beyond the end of the experiment.
            Err(error) if error.kind() == ErrorKind::WouldBlock && !stop.is_set() => std::hint::spin_loop(),
            Err(_) => return false,
        }
    }
    true
}

/// Echoes one datagram, if one is there; one that cannot be sent back is dropped, as UDP may.
pub(super) fn echo_datagram(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<bool> {
    match socket.recv_from(buffer) {
        Ok((n, client)) => {
            let _ = socket.send_to(&buffer[..n], client);
            Ok(true)
        }
        // A client that is gone answers what we sent with an ICMP error: no fault of ours.
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionRefused) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
