//! hemi as the client too: what a program sees that runs on hemi at both ends.
//!
//! Closed loop only. One message at a time is sent and awaited by one task. Otherwise, per connection, two tasks share the depth: one sends a message for every credit it
//! pops, the other checks what comes back and returns the credit; credits travel through a queue, like
//! everything else in hemi. Datagrams are sent and awaited by one task, which gives up on a whole window
//! when nothing comes for a while.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hemi::{Buf, Conn, Idle, Pool, Pop, Push, Queue, Runtime, TcpQueue, UdpQueue};

use super::{Driven, GRACE, LOST_AFTER, nanoseconds};
use crate::error::Error;
use crate::payload::Payload;
use crate::recorder::Recorder;
use crate::scenario::{Pace, SMALLEST_DATAGRAM, Scenario, Transport};

/// Bytes per push of a long message.
const PIECE: usize = 16 * 1024;

/// Drives the echo server at `server` from a busy hemi runtime on the calling thread.
///
/// # Errors
/// [`Error::ClosedLoopOnly`]; otherwise as [`drive`](super::drive).
pub fn drive(server: SocketAddr, scenario: &Scenario) -> Result<Driven, Error> {
    drive_over(None, server, scenario)
}

/// The same over the network that a URI names, by default what hemi's builder chooses.
///
/// # Errors
/// As [`drive`].
pub fn drive_over(net: Option<&str>, server: SocketAddr, scenario: &Scenario) -> Result<Driven, Error> {
    scenario.check()?;
    if scenario.pace != Pace::Closed {
        return Err(Error::ClosedLoopOnly);
    }
    let mut builder = Runtime::builder().idle(Idle::Busy);
    if let Some(net) = net {
        builder = builder.net(net);
    }
    let runtime = builder.build().map_err(failed("starting"))?;
    let client = Rc::new(Client::new(scenario).map_err(failed("mapping a pool"))?);
    runtime.block_on(async {
        let connections: Vec<_> = (0..scenario.connections)
            .map(|_| match scenario.transport {
                Transport::Tcp if scenario.depth == 1 && scenario.size <= PIECE => {
                    hemi::spawn(one_by_one(server, client.clone()))
                }
                Transport::Tcp => hemi::spawn(stream(server, client.clone())),
                Transport::Udp => hemi::spawn(datagrams(server, client.clone())),
                Transport::Units => hemi::spawn(units(server, client.clone())),
            })
            .collect();
        for connection in connections {
            connection.await.map_err(|panic| Error::Io {
                doing: "running the client's task",
                source: std::io::Error::other(panic.to_string()),
            })??;
        }
        Ok::<(), Error>(())
    })?;
    client.result()
}

/// What all connections share.
struct Client {
    scenario: Scenario,
    payload: Payload,
    pool: Pool,
    begin: Instant,
    latencies: RefCell<Recorder>,
    last: Cell<u64>,
    lost: Cell<u64>,
}

impl Client {
    fn new(scenario: &Scenario) -> hemi::Result<Self> {
        Ok(Self {
            scenario: scenario.clone(),
            payload: Payload::new(),
            pool: Pool::new()?,
            begin: Instant::now(),
            latencies: RefCell::default(),
            last: Cell::new(0),
            lost: Cell::new(0),
        })
    }

    fn now(&self) -> u64 {
        self.begin.elapsed().as_nanos() as u64
    }

    /// When recording begins and ends.
    fn window(&self) -> (u64, u64) {
        let from = nanoseconds(self.scenario.warm_up);
        (from, from + nanoseconds(self.scenario.measure))
    }

    /// Whether enough has been seen. As in the kernel client, a first answer is waited for.
    fn is_over(&self, now: u64) -> bool {
        let (_, until) = self.window();
        now >= until && (self.latencies.borrow().count() > 0 || now >= until + GRACE)
    }

    fn record(&self, sent: u64, now: u64) {
        if sent >= self.window().0 {
            self.latencies.borrow_mut().record(now.saturating_sub(sent));
            self.last.set(now);
        }
    }

    /// Bytes of the stream in a buffer of their own; waits for room in the pool.
    async fn buffer(&self, head: &[u8], offset: u64, len: usize) -> Result<Buf, Error> {
        let mut buffer =
            self.pool.alloc(head.len() + len).await.map_err(|error| failed("allocating")(error.into()))?;
        buffer.put(head);
        buffer.put(self.payload.slice(offset, len));
        Ok(buffer.freeze())
    }

    fn result(&self) -> Result<Driven, Error> {
        let latencies = self.latencies.take();
        if latencies.count() == 0 {
            return Err(Error::Silence);
        }
        let elapsed = self.last.get().saturating_sub(self.window().0).max(1);
        let rate = latencies.count() as f64 * 1e9 / elapsed as f64;
        Ok(Driven { latencies, rate, lost: self.lost.get(), ceiling: None })
    }
}

/// One short message at a time needs neither credits nor a second task.
async fn one_by_one(server: SocketAddr, client: Rc<Client>) -> Result<(), Error> {
    let mut conn = TcpQueue::connect(server).await.map_err(failed("connecting"))?;
    let size = client.scenario.size as u64;
    let (mut offset, mut now) = (0, client.now());
    while !client.is_over(now) {
        let buffer = client.buffer(&[], offset, size as usize).await?;
        conn.push(buffer).await.map_err(failed("sending"))?;
        let end = offset + size;
        while offset < end {
            let Some(buffer) = conn.pop().await.map_err(failed("receiving"))? else {
                return Err(Error::Closed { received: offset });
            };
            if let Some(offset) = client.payload.first_difference(offset, &buffer) {
                return Err(Error::Corrupt { offset });
            }
            offset += buffer.len() as u64;
        }
        let sent = std::mem::replace(&mut now, client.now());
        client.record(sent, now);
    }
    Ok(())
}

async fn stream(server: SocketAddr, client: Rc<Client>) -> Result<(), Error> {
    let conn = TcpQueue::connect(server).await.map_err(failed("connecting"))?;
    let (mut replies, mut requests) = conn.split();
    let size = client.scenario.size as u64;
    let credits: Queue<()> = hemi::queue(client.scenario.depth);
    let stamps: Rc<RefCell<VecDeque<u64>>> = Rc::default();

    let (sending, allowed, sent_at) = (client.clone(), credits.clone(), stamps.clone());
    let sender = hemi::spawn(async move {
        let mut sent = 0;
        while let Some(()) = allowed.pop().await.map_err(failed("awaiting a credit"))? {
            sent_at.borrow_mut().push_back(sending.now());
            let end = sent + size;
            while sent < end {
                let piece = (end - sent).min(PIECE as u64) as usize;
                let buffer = sending.buffer(&[], sent, piece).await?;
                requests.push(buffer).await.map_err(failed("sending"))?;
                sent += piece as u64;
            }
        }
        Ok::<(), Error>(())
    });

    for _ in 0..client.scenario.depth {
        credits.push(()).await.map_err(failed("giving a credit"))?;
    }
    let mut received = 0;
    while !client.is_over(client.now()) {
        let Some(buffer) = replies.pop().await.map_err(failed("receiving"))? else {
            return Err(Error::Closed { received });
        };
        if let Some(offset) = client.payload.first_difference(received, &buffer) {
            return Err(Error::Corrupt { offset });
        }
        let before = received / size;
        received += buffer.len() as u64;
        let now = client.now();
        for _ in before..received / size {
            let sent = stamps.borrow_mut().pop_front().ok_or(Error::Corrupt { offset: received })?;
            client.record(sent, now);
            credits.push(()).await.map_err(failed("giving a credit"))?;
        }
    }
    sender.abort();
    Ok(())
}

/// Units keep their order and none is lost: the oldest in flight is the next that comes.
async fn units(server: SocketAddr, client: Rc<Client>) -> Result<(), Error> {
    let mut conn = Conn::connect(server).await.map_err(failed("connecting"))?;
    let size = client.scenario.size as u64;
    let mut flight: VecDeque<u64> = VecDeque::with_capacity(client.scenario.depth);
    let (mut sent, mut received) = (0, 0);
    while !client.is_over(client.now()) {
        while flight.len() < client.scenario.depth {
            let buffer = client.buffer(&[], sent, size as usize).await?;
            flight.push_back(client.now());
            conn.push(buffer).await.map_err(failed("sending"))?;
            sent += size;
        }
        let Some(unit) = conn.pop().await.map_err(failed("receiving"))? else {
            return Err(Error::Closed { received });
        };
        let unit = Buf::from(unit);
        if unit.len() as u64 != size {
            return Err(Error::Corrupt { offset: received });
        }
        if let Some(offset) = client.payload.first_difference(received, &unit) {
            return Err(Error::Corrupt { offset });
        }
        received += size;
        if let Some(at) = flight.pop_front() {
            client.record(at, client.now());
        }
    }
    Ok(())
}

async fn datagrams(server: SocketAddr, client: Rc<Client>) -> Result<(), Error> {
    let any: SocketAddr = if server.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
    let mut socket = UdpQueue::bind(any).await.map_err(failed("opening a socket"))?;
    socket.connect(server).await.map_err(failed("connecting"))?;
    let size = client.scenario.size;
    let body = size - SMALLEST_DATAGRAM;
    let mut flight: VecDeque<(u64, u64)> = VecDeque::with_capacity(client.scenario.depth);
    let mut next = 0u64;
    while !client.is_over(client.now()) {
        while flight.len() < client.scenario.depth {
            let buffer = client.buffer(&next.to_le_bytes(), next.wrapping_mul(size as u64), body).await?;
            flight.push_back((next, client.now()));
            socket.push(buffer).await.map_err(failed("sending"))?;
            next += 1;
        }
        let patience = Duration::from_nanos(LOST_AFTER);
        let Ok(reply) = hemi::time::timeout(patience, socket.pop()).await else {
            client.lost.set(client.lost.get() + flight.len() as u64);
            flight.clear();
            continue;
        };
        let Some(unit) = reply.map_err(failed("receiving"))? else {
            return Err(Error::Closed { received: next });
        };
        let datagram = Buf::from(unit);
        let Some((number, body)) = datagram.split_first_chunk().filter(|_| datagram.len() == size) else {
            return Err(Error::Corrupt { offset: next * size as u64 });
        };
        let number = u64::from_le_bytes(*number);
        let at = number.wrapping_mul(size as u64);
        if number >= next || client.payload.first_difference(at, body).is_some() {
            return Err(Error::Corrupt { offset: at });
        }
        // One that was given up on is in flight no longer.
        if let Some(place) = flight.iter().position(|(sent, _)| *sent == number)
            && let Some((_, sent)) = flight.remove(place)
        {
            client.record(sent, client.now());
        }
    }
    Ok(())
}

fn failed(doing: &'static str) -> impl Fn(hemi::Error) -> Error {
    move |error| Error::Io { doing, source: error.into() }
}
