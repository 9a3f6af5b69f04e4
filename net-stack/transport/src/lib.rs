//! The user-level network stack as a [`Transport`]: hemi's queues over any [`Device`].
//!
//! ```text
//!  StreamSocket / Acceptor / DatagramSocket (hemi_queue::transport): what the runtime holds
//!        │ poll_pop, start_push, ...                        ▲ wake
//!        ▼                                                  │
//!  stream/  acceptor.rs  datagram.rs    waiters, limits, life cycles; all data is in the stack
//!        │ tcp_*, udp_*                                     ▲ Event, by slot
//!        ▼                                                  │
//!  inner.rs    one turn: receive a burst, let time pass, send, wake
//!        │                                                  ▲
//!        ▼                                                  │
//!  hemi_net::Host = Stack + Device (a NIC, a TAP, a shared-memory ring, a simulated switch)
//! ```
//!
//! # How it is driven
//! [`UserTransport::open`] takes a device and the URI that named it; the executor polls the result once per turn as a [`Reactor`].
//! A push made by a task is on the wire when the turn's poll returns. Events cost the same with one connection and with
//! 100,000, and nothing here allocates per message.
//!
//! # URI
//! The device takes its own parameters first (`mac=`, `mtu=`, and what its driver knows); these are everyone's:
//!
//! | parameter | what |
//! |---|---|
//! | `ip=10.77.0.2/24` | an address and its network, IPv4 or IPv6; repeatable, at least one |
//! | `gw=10.77.0.1` | the default route, once for each family |
//! | `redirects=off` | ignore what our gateways tell of better first hops; by default it is followed |
//! | `dad=1` | ask whether anybody has our addresses before they are used: a second for IPv6, some five for IPv4; by default they are only announced and defended |
//! | `cc=cubic` | congestion control: `cubic` (default), `newreno`, `dctcp` |
//! | `rto_min=1s` | the least retransmission timeout; down to `1ms` on fast networks |
//! | `delayed_ack=40ms`, `time_wait=60s` | how long an acknowledgement may wait, how long a closed connection is remembered |
//! | `ecn`, `pacing` | ask for ECN, spread what is sent over the round trip |
//! | `fast_open=100` | listeners take data in the SYN (RFC 7413), from up to so many clients at a time that have not yet answered |
//! | `sndbuf=256K`, `rcvbuf=4M` | the send buffer; what the receive window may grow to |
//! | `pcap=FILE`, `trace` | write every frame into a file that Wireshark opens; make `tracing` events of them, target `hemi::frames` |
//! | `stats=PATH` | tell everyone who connects to a Unix socket there what the stack does ([`stats`]; the example `stacktop` shows it) |
//! | `latency`, `jitter` | a bad link next to the device: one-way delay; random extra delay of up to so much |
//! | `rate`, `queue`, `mark` | its bits per second; bytes that may wait; bytes from which on ECN marks |
//! | `loss`, `burst` | a frame is lost (`1%`, `0.01`); with it so many more |
//! | `dup`, `corrupt` | a frame arrives twice; with a flipped bit |
//! | `reorder`, `reorder_by=1ms` | a frame is held back, by up to so long |
//! | `path_mtu` | larger packets vanish without a word |
//!
//! With several cores each has its own capture, `FILE`, `FILE.1`, `FILE.2`, and the link's faults are each queue's own.
//! With an IPv6 address comes the interface's link-local one. What it deliberately leaves out: framing, tokens, descriptors (the
//! runtime's), protocols (the stack's), Unix sockets and names (other transports').
#![forbid(unsafe_code)]

mod acceptor;
mod datagram;
mod error;
mod filters;
mod inner;
mod options;
mod params;
pub mod sim;
pub mod stats;
mod stream;
mod values;
mod wrap;

use std::{fmt, rc::Rc};

use hemi_net::{Device, Host, StackConfig, cores::Seat, tcp::Snapshot};
use hemi_queue::{
    Pool, Progress, Reactor, Result, Uri, Wakeup,
    time::Instant,
    transport::{Acceptor, Caps, DatagramSocket, Endpoint, SocketOptions, StreamSocket, Transport},
};

use inner::Inner;
use stats::StatsSocket;

/// The user-level stack on one device, as a transport. See the crate's documentation for how it is driven.
///
/// ```
/// use std::task::{Context, Poll, Waker};
/// use hemi_net_transport::{UserTransport, sim};
/// use hemi_queue::{Pool, Reactor, Uri, time::Instant, transport::{SocketOptions, Transport}};
///
/// let pool = Pool::new()?;
/// let open = |text: &str| {
///     let uri: Uri = text.parse()?;
///     let device = sim::open(&uri, &pool, 1)?;
///     UserTransport::open("sim", &uri, device, &pool, 1)
/// };
/// let (server, client) = (open("sim:lan?ip=10.0.0.1/24")?, open("sim:lan?ip=10.0.0.2/24")?);
/// let any: std::net::SocketAddr = "10.0.0.1:80".parse().unwrap();
/// let listener = server.listen(&any.into(), &SocketOptions::default())?;
/// let conn = client.connect(&any.into(), &SocketOptions::default())?;
/// let mut cx = Context::from_waker(Waker::noop());
/// let _accepted = (0..).find_map(|turn| {
///     // One turn, as the executor does it.
///     server.poll(Instant::from_nanos(turn));
///     client.poll(Instant::from_nanos(turn));
///     match listener.poll_accept(&mut cx) {
///         Poll::Ready(accepted) => Some(accepted),
///         Poll::Pending => None,
///     }
/// });
/// # Ok::<(), hemi_queue::Error>(())
/// ```
pub struct UserTransport {
    inner: Rc<Inner>,
    scheme: &'static str,
    /// The addresses and the congestion control.
    about: String,
    stats: Option<StatsSocket>,
}

impl UserTransport {
    /// Put a stack on `device`, configured by the parameters of `uri` that the device's driver has not taken; everything random
    /// comes from `seed`.
    ///
    /// # Errors
    /// [`Uri`](hemi_queue::Error::Uri) for a parameter that is missing, unknown or wrong.
    pub fn open(
        scheme: &'static str,
        uri: &Uri,
        device: Box<dyn Device>,
        pool: &Pool,
        seed: u64,
    ) -> Result<Rc<Self>> {
        let config = params::stack(uri, &device.caps())?;
        let device = wrap::wrap(uri, device, pool, seed, 0)?;
        let stats = stats_socket(uri)?;
        uri.finish()?;
        Ok(Self::start(scheme, device, config, stats, pool, seed, None))
    }

    /// The same on one of several cores with the same addresses, opened in the order of their [`Seat`]s. `device` is this core's queue; a core that has
    /// none sends by core 0's, and is given `None`.
    ///
    /// # Errors
    /// As for [`open`](Self::open); and when the cores' queues have different MAC addresses.
    pub fn open_on_core(
        scheme: &'static str,
        uri: &Uri,
        device: Option<Box<dyn Device>>,
        pool: &Pool,
        seed: u64,
        mut seat: Seat,
    ) -> Result<Rc<Self>> {
        let owned = device.is_some();
        let mut device = if let Some(device) = device {
            device
        } else {
            let why = "core 0 opens the device, and has not done so";
            Box::new(seat.borrow_device().ok_or_else(|| uri.error(why))?)
        };
        let config = params::stack(uri, &device.caps())?;
        let stats = stats_socket(uri)?;
        // The parameters of device, link and captures are those of the cores that have a queue.
        if owned {
            seat.steer(&mut *device);
            if seat.group().caps().is_some_and(|first| first.mac != device.caps().mac) {
                let why = "the queues of one device must have one MAC address; give it by `mac=`";
                return Err(uri.error(why).into());
            }
            device = wrap::wrap(uri, device, pool, seed, seat.index())?;
            uri.finish()?;
        }
        Ok(Self::start(scheme, device, config, stats, pool, seed, Some(seat)))
    }

    fn start(
        scheme: &'static str,
        device: Box<dyn Device>,
        config: StackConfig,
        stats: Option<StatsSocket>,
        pool: &Pool,
        seed: u64,
        seat: Option<Seat>,
    ) -> Rc<Self> {
        let mut about: Vec<_> = config.addresses.iter().map(ToString::to_string).collect();
        about.push(config.tcp.congestion.to_string());
        let mut host = Host::new(device, config, pool.clone(), seed);
        if let Some(seat) = seat {
            about.push(format!("core {} of {}", seat.index(), seat.group().cores()));
            host.join(seat);
        }
        Rc::new(Self { inner: Inner::new(host), scheme, about: about.join(", "), stats })
    }

    fn about(&self) -> String {
        let device = self.inner.device(|device| device.describe());
        format!("{}: the user-level stack on {device}; {}", self.scheme, self.about)
    }

    /// What the stack and its device have done and hold, for people.
    pub fn snapshot(&self) -> StackSnapshot {
        let (connections, counters) =
            self.inner.stack(|stack, _| (stack.snapshots().collect(), *stack.counters()));
        let mut device = Vec::new();
        self.inner.device(|d| d.counters(&mut |name, value| device.push((name.to_owned(), value))));
        StackSnapshot { about: self.about(), connections, counters, device }
    }
}

/// What [`UserTransport::snapshot`] tells: `ss` and `netstat -s` of one stack.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StackSnapshot {
    /// The device and the addresses, in a line.
    pub about: String,
    /// Every connection; those in TIME-WAIT and half-open ones are not among them.
    pub connections: Vec<Snapshot>,
    /// What the stack has seen, with a name for each reason a frame was dropped.
    pub counters: hemi_net::Counters,
    /// The device's own counters.
    pub device: Vec<(String, u64)>,
}

/// The socket for viewers that `stats=` asks for; each core has its own.
fn stats_socket(uri: &Uri) -> Result<Option<StatsSocket>> {
    let path = uri.take::<String>("stats")?;
    path.map(|path| StatsSocket::open(&path)).transpose()
}

impl Reactor for UserTransport {
    fn poll(&self, now: Instant) -> Progress {
        let progress = self.inner.turn(now);
        if let Some(stats) = &self.stats {
            stats.turn(now, || self.snapshot());
        }
        progress
    }

    fn deadline(&self) -> Option<Instant> {
        let stats = self.stats.as_ref().map(StatsSocket::deadline);
        self.inner.deadline().into_iter().chain(stats).min()
    }

    fn wakeup(&self) -> Wakeup {
        // A descriptor of a device that is gone is readable for ever.
        if self.inner.is_lost() { Wakeup::Core } else { self.inner.device(|device| device.wakeup()) }
    }

    fn prepare_park(&self) -> Progress {
        self.inner.prepare_park()
    }

    fn unpark(&self) {
        self.inner.device(Device::unpark);
    }

    fn shutdown(&self) {
        self.inner.shutdown();
    }

    fn is_quiet(&self) -> bool {
        self.inner.is_quiet()
    }

    fn stands_by(&self) -> bool {
        self.inner.stands_by()
    }
}

impl Transport for UserTransport {
    fn scheme(&self) -> &'static str {
        self.scheme
    }

    fn caps(&self) -> Caps {
        Caps { native_units: false, tcp: true, udp: true, unix: false, names: false, acked: true }
    }

    fn listen(&self, at: &Endpoint, options: &SocketOptions) -> Result<Rc<dyn Acceptor>> {
        acceptor::listen(&self.inner, at, options)
    }

    fn connect(&self, to: &Endpoint, options: &SocketOptions) -> Result<Rc<dyn StreamSocket>> {
        stream::connect(&self.inner, to, options)
    }

    fn bind(&self, at: &Endpoint, options: &SocketOptions) -> Result<Rc<dyn DatagramSocket>> {
        datagram::bind(&self.inner, at, options)
    }

    fn describe(&self) -> String {
        self.about()
    }
}

impl Drop for UserTransport {
    fn drop(&mut self) {
        self.inner.end();
    }
}

impl fmt::Debug for UserTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.about())
    }
}
