//! Echo of 64 bytes between two devices, without a runtime: bare frames, UDP and TCP. Both sides poll.

#![allow(dead_code)] // each benchmark has its own part of it

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant as Clock},
};

use hemi_net::{ConnId, Device, Host, RxFrame, StackConfig, TcpOptionsConfig, TxFrame, TxQueue};
use hemi_queue::{Buf, Pool, Sga, time::Instant};

/// Round trips per reading of the clock.
const TRIPS: u32 = 20;
/// How long a sample takes, and how long before it nothing is recorded.
pub(crate) const SAMPLE: Duration = Duration::from_millis(100);
const WARM_UP: Duration = Duration::from_millis(20);
/// Bytes of a message.
pub(crate) const SIZE: usize = 64;
/// Polls of an idle side between two looks at the clock, which cost as much as several polls.
const POLLS_PER_LOOK: u32 = 16;

/// One side's device and pool.
pub(crate) type Side = (Box<dyn Device>, Pool);

/// A clock that is read seldom while nothing happens.
pub(crate) struct Time {
    begin: Clock,
    pub(crate) now: Instant,
    left: u32,
}

impl Time {
    pub(crate) fn new() -> Self {
        Self { begin: Clock::now(), now: Instant::ZERO, left: 0 }
    }

    pub(crate) fn now(&mut self) -> Instant {
        if self.left == 0 {
            self.now = Instant::ZERO + self.begin.elapsed();
            self.left = POLLS_PER_LOOK;
        }
        self.left -= 1;
        self.now
    }
}

/// A host on a side, with an address.
pub(crate) fn host((device, pool): Side, address: &str) -> Host<Box<dyn Device>> {
    Host::new(device, StackConfig::with_addresses([address.parse().expect("an address")]), pool, 5)
}

/// Nanoseconds per trip: the tenth percentile of the readings, because interference only adds, and on a machine that does other work
/// most are interrupted. (The latency lab's rows have the whole distribution.)
pub(crate) fn measure(mut trip: impl FnMut()) -> f64 {
    let mut readings = Vec::new();
    // The first trip finds the other side and its address.
    trip();
    let begin = Clock::now();
    while begin.elapsed() < WARM_UP + SAMPLE {
        let reading = Clock::now();
        (0..TRIPS).for_each(|_| trip());
        if begin.elapsed() > WARM_UP {
            readings.push(reading.elapsed().as_nanos() as f64 / f64::from(TRIPS));
        }
    }
    readings.sort_by(f64::total_cmp);
    readings.get(readings.len() / 10).copied().unwrap_or(f64::INFINITY)
}

/// As long as a TCP segment with a message in it.
pub(crate) fn frame() -> TxFrame {
    let mut frame = TxFrame::new(Sga::new());
    frame.head_mut(66 + SIZE).fill(7);
    frame
}

fn next_frame(device: &mut dyn Device, time: &mut Time, got: &mut Vec<RxFrame>, over: &AtomicBool) {
    got.clear();
    while device.rx_burst(time.now(), 64, got).expect("alive") == 0 && !over.load(Ordering::Relaxed) {}
}

/// Round trips of a frame.
pub(crate) fn frames((mut device, _): Side) -> f64 {
    let (mut time, mut queue, mut got) = (Time::new(), TxQueue::new(8), Vec::new());
    let never = AtomicBool::new(false);
    measure(|| {
        queue.push(frame());
        // Until the link is there.
        while device.tx_burst(time.now(), &mut queue).expect("alive") == 0 {
            device.rx_burst(time.now(), 64, &mut got).expect("alive");
        }
        next_frame(&mut *device, &mut time, &mut got, &never);
    })
}

/// A frame for every frame.
pub(crate) fn frames_back((mut device, _): Side, over: &AtomicBool) {
    let (mut time, mut queue, mut got) = (Time::new(), TxQueue::new(8), Vec::new());
    while !over.load(Ordering::Relaxed) {
        next_frame(&mut *device, &mut time, &mut got, over);
        queue.push(frame());
        device.tx_burst(time.now(), &mut queue).expect("alive");
    }
}

/// TCP and UDP echo on port 7 of 10.0.0.2.
pub(crate) fn echo(side: Side, over: &AtomicBool) {
    let mut host = host(side, "10.0.0.2/24");
    let mut time = Time::new();
    let at = "0.0.0.0:7".parse().expect("valid");
    let (listener, _) = host.stack.tcp_listen(at, 8, false, TcpOptionsConfig::default()).expect("free");
    let (socket, _) = host.stack.udp_bind(at, 1 << 20, false).expect("free");
    let mut conn = None;
    while !over.load(Ordering::Relaxed) {
        let now = time.now();
        host.poll(now).expect("alive");
        while let Some(event) = host.stack.poll_event() {
            std::hint::black_box(event);
        }
        if conn.is_none() {
            conn = host.stack.tcp_accept(listener);
        }
        let mut work = false;
        if let Some(conn) = conn {
            while let Ok(Some(part)) = host.stack.tcp_pop(conn, now) {
                host.stack.tcp_push(conn, part.into(), now).map_err(|(e, _)| e).expect("room");
                work = true;
            }
        }
        while let Ok(Some(datagram)) = host.stack.udp_recv(socket) {
            let to = Some(datagram.from);
            host.stack.udp_send(socket, datagram.payload.into(), to, now).map_err(|(e, _)| e).expect("room");
            work = true;
        }
        if work {
            host.flush(now).expect("alive");
        }
    }
}

pub(crate) fn message(pool: &Pool) -> Buf {
    let mut buffer = pool.try_alloc(SIZE).expect("memory");
    buffer.put(&[7; SIZE]);
    buffer.freeze()
}

/// Round trips to the UDP echo.
pub(crate) fn udp(side: Side) -> f64 {
    let mut host = host(side, "10.0.0.1/24");
    let mut time = Time::new();
    let (socket, _) = host.stack.udp_bind("0.0.0.0:0".parse().expect("valid"), 1 << 20, false).expect("free");
    let to = Some("10.0.0.2:7".parse().expect("valid"));
    measure(|| {
        let unit = message(host.stack.pool()).into();
        let now = time.now();
        host.stack.udp_send(socket, unit, to, now).map_err(|(e, _)| e).expect("room");
        host.flush(now).expect("alive");
        while host.stack.udp_recv(socket).expect("open").is_none() {
            host.poll(time.now()).expect("alive");
            while host.stack.poll_event().is_some() {}
        }
    })
}

/// Connected to the TCP echo.
pub(crate) fn connected(side: Side) -> (Host<Box<dyn Device>>, Time, ConnId) {
    let mut host = host(side, "10.0.0.1/24");
    let mut time = Time::new();
    let mut options = TcpOptionsConfig::default();
    options.nodelay = true;
    let to = "10.0.0.2:7".parse().expect("valid");
    let conn = host.stack.tcp_connect(to, None, options, time.now()).expect("a route");
    while !host.stack.tcp_state(conn).is_synchronized() {
        host.poll(time.now()).expect("alive");
    }
    (host, time, conn)
}

/// Round trips to the TCP echo.
pub(crate) fn tcp(side: Side) -> f64 {
    let (mut host, mut time, conn) = connected(side);
    measure(|| {
        let unit = message(host.stack.pool()).into();
        let now = time.now();
        host.stack.tcp_push(conn, unit, now).map_err(|(e, _)| e).expect("room");
        host.flush(now).expect("alive");
        let mut got = 0;
        while got < SIZE {
            host.poll(time.now()).expect("alive");
            while host.stack.poll_event().is_some() {}
            while let Some(part) = host.stack.tcp_pop(conn, time.now).expect("open") {
                got += part.len();
            }
        }
    })
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
