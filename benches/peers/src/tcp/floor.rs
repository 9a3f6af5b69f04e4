//! The floors: what a server costs that is nothing but system calls.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use rustix::event::epoll;

use crate::peer::ECHO_BUFFER;

/// Turns of the spinning server between two looks at its listener.
const TURNS_PER_ACCEPT: u32 = 256;

/// Busy polling: `recv` on every connection in turn, for ever.
pub fn serve_spin(bind: SocketAddr, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    let listener = listen(bind, ready)?;
    let mut conns: Vec<TcpStream> = Vec::new();
    let mut buffer = vec![0; ECHO_BUFFER];
    let mut turn = 0u32;
    loop {
        if turn % TURNS_PER_ACCEPT == 0
            && let Some(conn) = accept(&listener)?
        {
            conns.push(conn);
            continue;
        }
        turn = turn.wrapping_add(1);
        conns.retain_mut(|conn| echo_once(conn, &mut buffer));
    }
}

/// An epoll loop: waits for readiness, then one `recv` and one `send` per ready connection.
pub fn serve_epoll(bind: SocketAddr, ready: impl FnOnce(SocketAddr)) -> io::Result<()> {
    const LISTENER: u64 = u64::MAX;
    let listener = listen(bind, ready)?;
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&poll, &listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
    let mut conns: Vec<Option<TcpStream>> = Vec::new();
    let mut buffer = vec![0; ECHO_BUFFER];
    let mut events = Vec::with_capacity(256);
    loop {
        events.clear();
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in &events {
            let token = event.data.u64();
            if token == LISTENER {
                while let Some(conn) = accept(&listener)? {
                    let token = epoll::EventData::new_u64(conns.len() as u64);
                    epoll::add(&poll, &conn, token, epoll::EventFlags::IN)?;
                    conns.push(Some(conn));
                }
            } else if let Some(conn) = &mut conns[token as usize]
                && !echo_once(conn, &mut buffer)
            {
                // Closing takes it out of the set.
                conns[token as usize] = None;
            }
        }
    }
}

fn listen(bind: SocketAddr, ready: impl FnOnce(SocketAddr)) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(bind)?;
    listener.set_nonblocking(true)?;
    ready(listener.local_addr()?);
    Ok(listener)
}

fn accept(listener: &TcpListener) -> io::Result<Option<TcpStream>> {
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

/// Echoes what is there; false once the connection is over.
fn echo_once(conn: &mut TcpStream, buffer: &mut [u8]) -> bool {
    let mut rest = match conn.read(buffer) {
        Ok(0) => return false,
        Ok(n) => &buffer[..n],
        Err(error) => return error.kind() == ErrorKind::WouldBlock,
    };
    while !rest.is_empty() {
        match conn.write(rest) {
            Ok(n) => rest = &rest[n..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::hint::spin_loop(),
            Err(_) => return false,
        }
    }
    true
}
