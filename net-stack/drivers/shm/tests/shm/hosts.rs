//! Two hosts with a shm link between them, driven by one thread.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant as Clock},
};

use hemi_net::{ConnId, Device, DeviceQueue, Host, StackConfig, TcpOptionsConfig};
use hemi_queue::{Buf, Pool, Uri, time::Instant};

/// How long anything may take on a machine that is busy elsewhere.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) type ShmHost = Host<Box<dyn Device>>;

/// A name that no other test and no other process uses.
pub(crate) fn name() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("hemi-shm-test-{}-{n}", std::process::id()))
}

pub(crate) fn open(uri: &str) -> hemi_queue::Result<(Box<dyn Device>, Pool)> {
    let uri: Uri = uri.parse()?;
    let pool = Pool::new()?;
    let device = hemi_shm::open(&uri, &pool, DeviceQueue::ONLY)?;
    uri.finish()?;
    Ok((device, pool))
}

/// A host that is `number` on 10.0.0.0/24 and fd00::/64.
pub(crate) fn host(uri: &str, number: u8) -> ShmHost {
    let (device, pool) = open(uri).expect("the seat is free");
    let addresses = [format!("10.0.0.{number}/24"), format!("fd00::{number}/64")];
    let mut config = StackConfig::with_addresses(addresses.iter().map(|a| a.parse().expect("valid")));
    config.tcp.rto_min = Duration::from_millis(20);
    Host::new(device, config, pool, u64::from(number))
}

/// The real time, as the hosts' clock.
pub(crate) struct Time(Clock);

impl Time {
    pub(crate) fn new() -> Self {
        Self(Clock::now())
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::ZERO + self.0.elapsed()
    }

    /// Fails a test that waits too long for something.
    pub(crate) fn check(&self, what: &str) {
        assert!(self.0.elapsed() < PATIENCE, "no {what} within {PATIENCE:?}");
    }
}

pub(crate) fn stream(n: usize) -> Vec<u8> {
    (0..n as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// Both hosts and the time.
pub(crate) struct Pair {
    pub(crate) hosts: [ShmHost; 2],
    pub(crate) time: Time,
}

impl Pair {
    pub(crate) fn new(first: &str, second: &str) -> Self {
        Self { hosts: [host(first, 1), host(second, 2)], time: Time::new() }
    }

    pub(crate) fn poll(&mut self) {
        for host in &mut self.hosts {
            host.poll(self.time.now()).expect("the device is there");
        }
    }

    /// A connection from the first to the second, at `address`.
    pub(crate) fn connect(&mut self, address: &str, port: u16) -> (ConnId, ConnId) {
        let at = if address.contains(':') { "[::]:0" } else { "0.0.0.0:0" };
        let mut at: std::net::SocketAddr = at.parse().expect("valid");
        at.set_port(port);
        let (listener, _) =
            self.hosts[1].stack.tcp_listen(at, 8, false, TcpOptionsConfig::default()).expect("a free port");
        let to = std::net::SocketAddr::new(address.parse().expect("valid"), port);
        let a = self.hosts[0].stack.tcp_connect(to, None, TcpOptionsConfig::default(), self.time.now());
        let a = a.expect("a route");
        loop {
            self.poll();
            self.time.check("connection");
            if let Some(b) = self.hosts[1].stack.tcp_accept(listener) {
                return (a, b);
            }
        }
    }

    /// Send `n` bytes in both directions at once, and check them.
    pub(crate) fn transfer(&mut self, conns: [ConnId; 2], n: usize) {
        let bytes = stream(n);
        let (mut sent, mut got) = ([0; 2], [Vec::new(), Vec::new()]);
        while got.iter().any(|got| got.len() < n) {
            self.time.check("end of the transfer");
            let now = self.time.now();
            for (i, host) in self.hosts.iter_mut().enumerate() {
                while sent[i] < n && host.stack.tcp_send_room(conns[i]) > 0 {
                    let end = (sent[i] + 50_000).min(n);
                    let unit = Buf::from(bytes[sent[i]..end].to_vec());
                    host.stack.tcp_push(conns[i], unit.into(), now).map_err(|(e, _)| e).expect("room");
                    sent[i] = end;
                }
                while let Some(part) = host.stack.tcp_pop(conns[i], now).expect("connected") {
                    got[i].extend_from_slice(&part);
                }
            }
            self.poll();
        }
        assert!(got.iter().all(|got| *got == bytes), "the bytes differ");
    }
}

pub(crate) fn counter(device: &dyn Device, wanted: &str) -> u64 {
    let mut found = None;
    device.counters(&mut |name, value| {
        if name == wanted {
            found = Some(value);
        }
    });
    found.expect("there is such a counter")
}
