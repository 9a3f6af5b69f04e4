//! The load generator: a plain kernel client, closed loop, that checks every byte and knows how much
//! of its time it was busy, and therefore how fast it could have gone.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::epoll;
use serde::{Deserialize, Serialize};

use super::MESSAGE;
use super::pattern::{LONGEST, Pattern};

/// What one run saw.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Load {
    /// Messages echoed in the measured time.
    pub messages: u64,
    /// Messages per second.
    pub rate: f64,
    /// Median round trip in nanoseconds; only with one message in flight.
    pub p50: Option<u64>,
    /// Messages per second of the time this client was not waiting for the server: the most it could
    /// have driven.
    pub ceiling: Option<f64>,
}

struct Conn {
    stream: TcpStream,
    /// Bytes of the stream sent so far.
    sent: u64,
    /// Bytes of the stream that may be sent: what came back, plus the window.
    allowed: u64,
    /// Bytes of the stream received so far.
    received: u64,
}

impl Conn {
    fn open(server: SocketAddr, depth: usize) -> io::Result<Self> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, sent: 0, allowed: (depth * MESSAGE) as u64, received: 0 })
    }

    /// Sends what the window allows.
    fn fill(&mut self, pattern: &Pattern) -> io::Result<()> {
        while self.sent < self.allowed {
            let len = ((self.allowed - self.sent) as usize).min(LONGEST);
            match self.stream.write(pattern.slice(self.sent, len)) {
                Ok(n) => self.sent += n as u64,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes what has arrived, checks it, and opens the window for as many whole messages. Returns
    /// how many messages were completed; `None` when nothing was there.
    fn take(&mut self, buffer: &mut [u8], pattern: &Pattern) -> io::Result<Option<u64>> {
        let n = match self.stream.read(buffer) {
            Ok(0) => {
                return Err(io::Error::new(ErrorKind::UnexpectedEof, "the server closed the connection"));
            }
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        };
        if buffer[..n] != *pattern.slice(self.received, n) {
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                format!("the echo differs from what was sent within {n} bytes of offset {}", self.received),
            ));
        }
        let before = self.received / MESSAGE as u64;
        self.received += n as u64;
        let whole = self.received / MESSAGE as u64 - before;
        self.allowed += whole * MESSAGE as u64;
        Ok(Some(whole))
    }
}

/// One connection, one message at a time, polled without sleeping.
pub fn ping_pong(server: SocketAddr, warm_up: Duration, measure: Duration) -> io::Result<Load> {
    let pattern = Pattern::new();
    let mut conn = Conn::open(server, 1)?;
    let mut buffer = vec![0; 4096];
    let mut trips: Vec<u64> = Vec::with_capacity(1 << 20);
    let begin = Instant::now();
    let mut start = begin;
    loop {
        conn.fill(&pattern)?;
        let mut whole = 0;
        while whole == 0 {
            whole = conn.take(&mut buffer, &pattern)?.unwrap_or(0);
        }
        let end = Instant::now();
        if end - begin >= warm_up {
            trips.push((end - start).as_nanos() as u64);
        }
        start = end;
        if end - begin >= warm_up + measure {
            break;
        }
    }
    trips.sort_unstable();
    let total: u64 = trips.iter().sum();
    let rate = trips.len() as f64 / (total as f64 / 1e9);
    let p50 = trips.get(trips.len() / 2).copied();
    Ok(Load { messages: trips.len() as u64, rate, p50, ceiling: None })
}

/// `connections` connections with `depth` messages in flight on each.
pub fn stream(
    server: SocketAddr,
    connections: usize,
    depth: usize,
    warm_up: Duration,
    measure: Duration,
) -> io::Result<Load> {
    let pattern = Pattern::new();
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut conns = Vec::with_capacity(connections);
    for token in 0..connections {
        let conn = Conn::open(server, depth)?;
        epoll::add(&poll, &conn.stream, epoll::EventData::new_u64(token as u64), epoll::EventFlags::IN)?;
        conns.push(conn);
    }
    for conn in &mut conns {
        conn.fill(&pattern)?;
    }
    let mut buffer = vec![0; LONGEST];
    let mut events = Vec::with_capacity(connections);
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    let begin = Instant::now();
    let mut clock = begin;
    let (mut messages, mut idle, mut since) = (0u64, Duration::ZERO, None);
    loop {
        events.clear();
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), Some(&now))?;
        for event in &events {
            let conn = &mut conns[event.data.u64() as usize];
            messages += conn.take(&mut buffer, &pattern)?.unwrap_or(0);
            conn.fill(&pattern)?;
        }
        let turn_end = Instant::now();
        if events.is_empty() {
            idle += turn_end - clock;
        }
        clock = turn_end;
        match since {
            None if clock - begin >= warm_up => {
                since = Some(clock);
                (messages, idle) = (0, Duration::ZERO);
            }
            Some(since) if clock - since >= measure => {
                let elapsed = clock - since;
                let busy = elapsed - idle;
                return Ok(Load {
                    messages,
                    rate: messages as f64 / elapsed.as_secs_f64(),
                    p50: None,
                    ceiling: Some(messages as f64 / busy.as_secs_f64()),
                });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::floor;
    use std::sync::mpsc;

    fn floor_server(serve: fn(SocketAddr, Box<dyn FnOnce(SocketAddr)>) -> io::Result<()>) -> SocketAddr {
        let (tx, rx) = mpsc::channel();
        std::thread::spawn(move || {
            let bind = SocketAddr::from(([127, 0, 0, 1], 0));
            serve(bind, Box::new(move |addr| tx.send(addr).expect("the test waits")))
        });
        rx.recv().expect("the server says where it listens")
    }

    #[test]
    fn one_at_a_time_and_many_are_echoed_by_both_floors() {
        let brief = Duration::from_millis(20);
        for serve in [
            |bind, ready: Box<dyn FnOnce(SocketAddr)>| floor::serve_epoll(bind, ready),
            |bind, ready: Box<dyn FnOnce(SocketAddr)>| floor::serve_spin(bind, ready),
        ] {
            let server = floor_server(serve);
            let single = ping_pong(server, brief, brief).expect("echoed");
            assert!(single.messages > 0 && single.p50.is_some());
            let many = stream(server, 8, 4, brief, brief).expect("echoed");
            assert!(many.messages > 0 && many.ceiling > Some(many.rate * 0.99));
        }
    }

    #[test]
    fn a_wrong_byte_is_an_error() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let server = listener.local_addr().expect("an address");
        std::thread::spawn(move || {
            let (mut conn, _) = listener.accept().expect("a client");
            let mut message = [0; MESSAGE];
            conn.read_exact(&mut message).expect("a message");
            message[17] ^= 1;
            conn.write_all(&message).expect("an echo");
            let _ = conn.read(&mut message);
        });
        let error = ping_pong(server, Duration::ZERO, Duration::from_secs(1)).expect_err("a wrong echo");
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    }
}
