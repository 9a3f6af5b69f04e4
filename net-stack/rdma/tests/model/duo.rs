//! One connection between two devices, step by step.

use std::time::Duration;

use hemi_queue::{Buf, Pool, PoolConfig, Sga, buf::ClassConfig, time::Instant};
use hemi_rdma::{Config, Connection, Hello, Popped};

use super::{Device, device::transmit};

/// Client (0) and server (1), and the time.
pub struct Duo {
    pub devices: [Device; 2],
    pub now: Instant,
}

/// Buffers of 64, 256, 2048 bytes.
pub fn pool() -> Pool {
    let classes = [64, 256, 2048].map(|size| ClassConfig { size }).to_vec();
    Pool::with(&PoolConfig { classes, limit: 8 << 20, region: 2 << 20 }).expect("memory")
}

impl Duo {
    /// Established, and traced.
    pub fn new(client: Config, server: Config) -> Self {
        let mut duo = Self::meeting(client, server);
        let now = duo.now;
        let reply = duo.devices[1].qps[0].conn.hello();
        duo.client().established(Some(&reply), now);
        duo.server().established(None, now);
        for device in &mut duo.devices {
            device.trace = Some(Vec::new());
        }
        duo
    }

    /// The server has the client's hello, and the client nothing.
    pub fn meeting(client: Config, server: Config) -> Self {
        let mut devices = [client, server].map(|config| Device::new(pool(), 1000, config.buffer as usize));
        let [a, b] = &mut devices;
        let mut active = Connection::connecting(0, client, &a.budget).expect("room");
        a.post_receives();
        let hello = Hello::parse(&active.hello()).expect("ours");
        let passive = Connection::accepting(0, server, &b.budget, hello).expect("room");
        b.post_receives();
        a.add(active, &client);
        b.add(passive, &server);
        Self { devices, now: Instant::from_nanos(1) }
    }

    pub fn client(&mut self) -> &mut Connection {
        &mut self.devices[0].qps[0].conn
    }

    pub fn server(&mut self) -> &mut Connection {
        &mut self.devices[1].qps[0].conn
    }

    pub fn conn(&mut self, side: usize) -> &mut Connection {
        &mut self.devices[side].qps[0].conn
    }

    /// A unit of one registered buffer of `side`.
    pub fn unit(&self, side: usize, len: usize, fill: u8) -> Sga {
        let mut buf = self.devices[side].pool.try_alloc(len).expect("memory");
        buf.set_len(len);
        buf.fill(fill);
        buf.freeze().into()
    }

    /// A unit of registered buffers of `part` bytes.
    pub fn parts(&self, side: usize, len: usize, part: usize, fill: u8) -> Sga {
        let bytes = vec![fill; len];
        bytes
            .chunks(part)
            .map(|chunk| {
                let mut buf = self.devices[side].pool.try_alloc(chunk.len()).expect("memory");
                buf.put(chunk);
                Buf::from(buf)
            })
            .collect()
    }

    pub fn push(&mut self, side: usize, unit: impl Into<Sga>) {
        self.conn(side).push(unit.into()).map_err(|(refusal, _)| refusal).expect("accepted");
    }

    /// The driver's turn of `side`, everything it has posted on the wire, and its completions.
    pub fn turn(&mut self, side: usize) -> bool {
        let mut busy = self.devices[side].drive(1000, self.now);
        if self.conn(side).wants_disconnect() {
            self.devices[side].flush(0);
            self.conn(side).stopped();
            self.devices[side ^ 1].qps[0].disconnect_notice = true;
            busy = true;
        }
        let [a, b] = &mut self.devices;
        let (from, to) = if side == 0 { (a, b) } else { (b, a) };
        while transmit(from, Some(to), 0) {
            busy = true;
        }
        self.devices[side].complete(0, 1000) | self.devices[side ^ 1].complete(0, 1000) | busy
    }

    /// Turns of both, until nothing happens.
    pub fn settle(&mut self) {
        while self.turn(0) | self.turn(1) {}
    }

    /// What `side` has put on the wire since it was last asked.
    pub fn trace(&mut self, side: usize) -> Vec<String> {
        self.devices[side].trace.replace(Vec::new()).expect("traced")
    }

    /// The next unit that has arrived at `side`.
    pub fn pop(&mut self, side: usize) -> Option<Vec<u8>> {
        match self.conn(side).pop().expect("no failure") {
            Popped::Unit(unit) => Some(unit.to_vec()),
            Popped::Pending => None,
            Popped::End => panic!("the end"),
        }
    }

    /// Whether the peer of `side` has finished, and all was popped.
    pub fn is_at_end(&mut self, side: usize) -> bool {
        matches!(self.conn(side).pop(), Ok(Popped::End))
    }

    pub fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    /// Buffers in use at `side`, but for those that are posted for receiving.
    pub fn held(&self, side: usize) -> usize {
        self.devices[side].pool.stats().in_use - self.devices[side].receives()
    }
}
