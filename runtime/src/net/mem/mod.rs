//! `mem:`, the transport inside the process: what simulations and the portable suite run on.
//!
//! ```text
//!   mem:[NETWORK][?latency=50us&jitter=10us&stream=units|bytes&mss=1460&ip=127.0.0.1]
//! ```
//!
//! Streams and datagrams by IP address, Unix path or plain name. A stream keeps units (one push is one pop) unless
//! `stream=bytes`, which cuts what is pushed into pieces of at most `mss` bytes and so is a byte stream like TCP. With `latency`
//! everything takes that long to arrive, and up to `jitter` longer, drawn from the runtime's seed; a stream's order never
//! changes, datagrams may overtake each other when there is jitter. Transports with the same network name on one thread
//! reach each other; without a name a transport is a network of its own.
//!
//! | file | what |
//! |---|---|
//! | `network.rs` | who listens where |
//! | `flight.rs` | what is on its way, and until when |
//! | `pipe.rs` | one direction of a stream: the units that arrived, the bound, the end |
//! | `stream.rs`, `acceptor.rs`, `datagram.rs` | the sockets |
//!
//! It deliberately never loses, corrupts or limits the rate of anything: impairment belongs to the simulated wires below
//! the user-level stack. Time comes from the turn, so a simulation runs it in virtual time.

mod acceptor;
mod datagram;
mod flight;
mod network;
mod pipe;
mod stream;

#[cfg(test)]
mod tests;

use std::{fmt, net::IpAddr, rc::Rc, time::Duration};

use hemi_queue::{
    Error, Progress, Reactor, Result, Span, Uri, Wakeup,
    time::Instant,
    transport::{Acceptor, Caps, DatagramSocket, Endpoint, SocketOptions, StreamSocket, Transport},
};

use self::{
    acceptor::MemAcceptor, datagram::MemDatagram, flight::Flight, network::Network, stream::MemStream,
};

/// The in-process transport; see the [module](self).
pub struct Mem {
    host: Rc<Host>,
}

/// One transport's place in a network.
struct Host {
    network: Rc<Network>,
    flight: Flight,
    ip: IpAddr,
    /// Streams are cut into pieces of this many bytes; `None` keeps units.
    mss: Option<usize>,
}

impl Mem {
    /// Open `uri`; delays are drawn from `seed`.
    ///
    /// ```
    /// use hemi::net::mem::Mem;
    /// use hemi_queue::transport::Transport;
    ///
    /// let mem = Mem::open(&"mem:?latency=50us&jitter=5us".parse()?, 1)?;
    /// assert!(mem.caps().native_units);
    /// let refused = Mem::open(&"mem:?lag=1ms".parse()?, 1).unwrap_err().to_string();
    /// assert!(refused.contains("knows: ip, jitter, latency, mss, stream"));
    /// # Ok::<(), hemi::Error>(())
    /// ```
    pub fn open(uri: &Uri, seed: u64) -> Result<Self> {
        let latency = uri.take::<Span>("latency")?.map_or(Duration::ZERO, |s| s.0);
        let jitter = uri.take::<Span>("jitter")?.map_or(Duration::ZERO, |s| s.0);
        let stream = uri.take::<String>("stream")?.unwrap_or_else(|| "units".to_owned());
        let mss = uri.take::<usize>("mss")?;
        let ip = uri.take::<IpAddr>("ip")?.unwrap_or(IpAddr::from([127, 0, 0, 1]));
        uri.finish()?;
        let mss = match (stream.as_str(), mss) {
            ("bytes", Some(0)) => return Err(uri.error("`mss` is at least 1").into()),
            ("bytes", mss) => Some(mss.unwrap_or(1460)),
            ("units", None) => None,
            ("units", Some(_)) => return Err(uri.error("`mss` needs `stream=bytes`").into()),
            _ => return Err(uri.error("`stream` is `units` or `bytes`").into()),
        };
        let flight = Flight::new(latency, jitter, seed);
        Ok(Self { host: Rc::new(Host { network: network::find(uri.path()), flight, ip, mss }) })
    }
}

impl Reactor for Mem {
    fn poll(&self, now: Instant) -> Progress {
        if self.host.flight.poll(now) { Progress::Busy } else { Progress::Idle }
    }

    fn deadline(&self) -> Option<Instant> {
        self.host.flight.deadline()
    }

    fn wakeup(&self) -> Wakeup {
        Wakeup::Core // all that happens by itself has a deadline
    }

    fn prepare_park(&self) -> Progress {
        if self.host.flight.has_fresh() { Progress::Busy } else { Progress::Idle }
    }
}

impl Transport for Mem {
    fn scheme(&self) -> &'static str {
        "mem"
    }

    fn caps(&self) -> Caps {
        Caps {
            native_units: self.host.mss.is_none(),
            tcp: true,
            udp: true,
            unix: true,
            names: true,
            acked: true,
        }
    }

    fn listen(&self, at: &Endpoint, options: &SocketOptions) -> Result<Rc<dyn Acceptor>> {
        Ok(MemAcceptor::bind(&self.host, at, options)?)
    }

    fn connect(&self, to: &Endpoint, options: &SocketOptions) -> Result<Rc<dyn StreamSocket>> {
        Ok(MemStream::connect(&self.host, to, options)?)
    }

    fn bind(&self, at: &Endpoint, options: &SocketOptions) -> Result<Rc<dyn DatagramSocket>> {
        Ok(MemDatagram::bind(&self.host, at, options)?)
    }

    fn describe(&self) -> String {
        let units = if self.host.mss.is_none() { "units" } else { "bytes" };
        format!("mem: in-process, streams of {units}, {}", self.host.flight)
    }
}

impl fmt::Debug for Mem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

fn os_error(op: &'static str, target: &Endpoint, errno: i32) -> Error {
    Error::errno(op, target, errno)
}
