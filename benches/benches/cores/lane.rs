//! [`Lane`]: one core's share of the server, the clients of its flows, and the wire between them.

use std::net::SocketAddr;

use hemi_net::{
    ConnId, Event, Host, ListenerId, StackConfig, TcpOptionsConfig,
    cores::{Seat, Steering},
    sim::Pipe,
};
use hemi_queue::{Buf, Pool, time::Instant};

use crate::echo::{SIZE, message};

const CONNECTIONS: usize = 32;
/// Connections that stay, and their ports with them.
const KEPT: usize = CONNECTIONS + 1;
const CHUNK: usize = 60 << 10;
/// Virtual nanoseconds of a turn.
const TURN: u64 = 1_000;
const SERVER: [u8; 4] = [10, 0, 0, 1];
const ECHO: u16 = 7;
const SINK: u16 = 9;

type End = Host<Pipe>;

pub(crate) struct Lane {
    server: End,
    client: End,
    now: Instant,
    sink: ListenerId,
    echoing: Vec<ConnId>,
    bulk: Option<ConnId>,
    /// The connections at the server whose bytes go nowhere.
    sinks: Vec<ConnId>,
    /// Local addresses whose flows come to this core.
    ports: Vec<SocketAddr>,
    next: usize,
    small: Buf,
    large: Buf,
    swallowed: usize,
    pub(crate) rate: f64,
}

impl Lane {
    /// The lane of core `number`, which has a seat of a group or is on its own.
    pub(crate) fn new(number: usize, seat: Option<Seat>) -> Self {
        let pool = Pool::new().expect("memory");
        let [ours, theirs] = Pipe::pair(1500, false, &pool);
        let rule: Option<Steering> = seat.as_ref().map(|seat| seat.group().steering().clone());
        let mut server = end(theirs, SERVER, &pool);
        if let Some(seat) = seat {
            server.join(seat);
        }
        let here = [10, 0, 1, number as u8 + 1];
        let client = end(ours, here, &pool);
        let is_ours = |at: &SocketAddr, port| {
            rule.as_ref().is_none_or(|rule| rule.core_of(*at, (SERVER, port).into()) == number)
        };
        let all = (20_000..60_000).map(|port| SocketAddr::from((here, port)));
        let ports: Vec<_> = all.filter(|at| is_ours(at, ECHO) && is_ours(at, SINK)).take(2048).collect();
        let listen = |server: &mut End, port| {
            let at = (SERVER, port).into();
            server.stack.tcp_listen(at, 128, false, TcpOptionsConfig::default()).expect("free").0
        };
        listen(&mut server, ECHO);
        let sink = listen(&mut server, SINK);
        let small = message(&pool);
        let mut large = pool.try_alloc(CHUNK).expect("memory");
        large.set_len(CHUNK);
        let mut lane = Self {
            server,
            client,
            now: Instant::ZERO,
            sink,
            echoing: Vec::new(),
            bulk: None,
            sinks: Vec::new(),
            ports,
            next: 0,
            small,
            large: large.freeze(),
            swallowed: 0,
            rate: 0.0,
        };
        lane.echoing = (0..CONNECTIONS).map(|_| lane.connect(ECHO)).collect();
        lane.bulk = Some(lane.connect(SINK));
        lane
    }

    /// A new connection to `port`, established at both ends.
    fn connect(&mut self, port: u16) -> ConnId {
        let from = self.ports[self.next];
        self.next += 1;
        if self.next == self.ports.len() {
            self.next = KEPT;
        }
        let to = (SERVER, port).into();
        let options = TcpOptionsConfig::default();
        let conn = self.client.stack.tcp_connect(to, Some(from), options, self.now).expect("a route");
        while !self.client.stack.tcp_state(conn).is_synchronized() {
            self.turn();
        }
        self.turn();
        conn
    }

    /// A turn of both hosts; bytes that came back to the client.
    fn turn(&mut self) -> usize {
        self.now = self.now.plus_nanos(TURN);
        let now = self.now;
        self.client.poll(now).expect("alive");
        self.server.poll(now).expect("alive");
        while let Some(event) = self.server.stack.poll_event() {
            match event {
                Event::Acceptable(listener) => {
                    while let Some(conn) = self.server.stack.tcp_accept(listener) {
                        if listener == self.sink {
                            self.sinks.push(conn);
                        }
                    }
                }
                Event::Tcp(conn, what) => {
                    while let Ok(Some(part)) = self.server.stack.tcp_pop(conn, now) {
                        if self.sinks.contains(&conn) {
                            self.swallowed += read(&part);
                        } else {
                            let pushed = self.server.stack.tcp_push(conn, part.into(), now);
                            pushed.map_err(|(e, _)| e).expect("room");
                        }
                    }
                    if what.closed() {
                        self.server.stack.tcp_release(conn, now);
                    }
                }
                _ => {}
            }
        }
        self.server.flush(now).expect("alive");
        self.client.poll(now).expect("alive");
        let mut came = 0;
        while let Some(event) = self.client.stack.poll_event() {
            let Event::Tcp(conn, _) = event else { continue };
            while let Ok(Some(part)) = self.client.stack.tcp_pop(conn, now) {
                came += part.len();
            }
        }
        came
    }

    /// A message on each connection, and its echo.
    pub(crate) fn request(&mut self) -> f64 {
        for conn in &self.echoing {
            let pushed = self.client.stack.tcp_push(*conn, self.small.clone().into(), self.now);
            pushed.map_err(|(e, _)| e).expect("room");
        }
        let mut came = 0;
        while came < CONNECTIONS * SIZE {
            came += self.turn();
        }
        CONNECTIONS as f64
    }

    /// Bytes to the server, of which it reads every one.
    pub(crate) fn transfer(&mut self) -> f64 {
        let Some(bulk) = self.bulk else { return 0.0 };
        while self.client.stack.tcp_send_room(bulk) > 0 {
            let pushed = self.client.stack.tcp_push(bulk, self.large.clone().into(), self.now);
            pushed.map_err(|(e, _)| e).expect("room");
        }
        let before = self.swallowed;
        while self.swallowed == before {
            self.turn();
        }
        (self.swallowed - before) as f64
    }

    /// A connection more, and no more.
    pub(crate) fn open(&mut self) -> f64 {
        let conn = self.connect(ECHO);
        self.client.stack.tcp_abort(conn, self.now);
        self.client.stack.tcp_release(conn, self.now);
        self.turn();
        1.0
    }
}

fn end(device: Pipe, address: [u8; 4], pool: &Pool) -> End {
    let [a, b, c, d] = address;
    let address = format!("{a}.{b}.{c}.{d}/16").parse().expect("valid");
    Host::new(device, StackConfig::with_addresses([address]), pool.clone(), 5)
}

/// Touch every byte; how many there are.
fn read(bytes: &[u8]) -> usize {
    let (words, _) = bytes.as_chunks::<8>();
    std::hint::black_box(words.iter().fold(0_u64, |sum, word| sum ^ u64::from_ne_bytes(*word)));
    bytes.len()
}
