//! Transports: chosen by URI when a runtime is built, used under a name, addressed by [`Address`].
//!
//! | scheme | what | where |
//! |---|---|---|
//! | `dpdk:` | the user-level stack over DPDK's poll-mode drivers (feature `dpdk`) | crate `hemi-dpdk` |
//! | `kernel:` | kernel sockets on io_uring, epoll or busy polling (the default) | crate `hemi-kernel` |
//! | `mem:` | in-process, virtual time (the default of a simulation) | [`mem`] |
//! | `packet:` | the user-level stack over `AF_PACKET`: any interface of this machine | crate `hemi-packet` |
//! | `rdma:` | RDMA queue pairs: libibverbs and librdmacm, loaded at run time | crate `hemi-verbs` |
//! | `shm:` | the user-level stack over frame rings in memory shared with another process or thread | crate `hemi-shm` |
//! | `tap:` | the user-level stack over a TAP device: this machine's kernel is the other side | crate `hemi-tap` |
//! | `sim:` | the user-level stack over simulated links and switches, in virtual or real time | crate `hemi-net-transport`, module `sim` |
//! | `xdp:` | the user-level stack over `AF_XDP`: any interface of this machine, frames taken before the kernel's stack | crate `hemi-xdp` |
//!
//! ```
//! # fn main() -> hemi::Result<()> {
//! use hemi::{Conn, Listener, Options, Pop, Push, Runtime};
//!
//! // Two hosts on one simulated network that loses every tenth frame, in virtual time; a seed replays it exactly.
//! let host = |n: u8| format!("sim:lan?ip=10.0.0.{n}/24&latency=5ms&loss=10%");
//! let runtime = Runtime::builder().net_as("server", host(1)).net_as("client", host(2)).simulated(7).build()?;
//! runtime.block_on(async {
//!     let mut listener = Listener::bind("10.0.0.1:7000").await?;
//!     let mut client = Options::new().on("client").connect("10.0.0.1:7000").await?;
//!     client.push("through the loss").await?;
//!     let mut server = listener.pop().await?.unwrap();
//!     assert_eq!(server.pop().await?.unwrap().to_vec(), b"through the loss");
//!     println!("{}", hemi::net::snapshot("client")?.connections[0]);
//!     Ok(())
//! })
//! # }
//! ```
//!
//! A further transport is one line in the table `SCHEMES`. The module deliberately knows nothing of units and descriptors.

mod address;
pub mod mem;

use std::{cell::RefCell, fmt, rc::Rc};

pub use address::Address;
use hemi_net::{
    Device, DeviceQueue,
    cores::{Seat, Steering},
};
pub use hemi_net_transport::{StackSnapshot, stats};
use hemi_net_transport::{UserTransport, sim};
use hemi_queue::{
    Error, Pool, Reactor, Result, Uri, UriError, Wakeup,
    transport::{Caps, Transport},
};

use crate::context::Core;

/// How a scheme is opened.
struct Scheme {
    name: &'static str,
    open: fn(&Core, &Uri, &str) -> Result<Opened>,
}

/// What a driver's crate offers: it takes its own parameters of the URI, the stack takes the rest.
#[derive(Clone, Copy)]
struct Driver {
    open: fn(&Uri, &Pool, DeviceQueue) -> Result<Box<dyn Device>>,
    queues: Queues,
}

/// How many queues a device has for the cores that share it. Cores beyond that send by core 0's.
#[derive(Clone, Copy)]
enum Queues {
    /// One for each core.
    EachCore,
    /// One.
    One,
    /// As many as it says.
    Found(fn(&Uri) -> Result<usize>),
}

impl Driver {
    /// This core's queue, if there is one for it.
    fn open(self, core: &Core, uri: &Uri) -> Result<Option<Box<dyn Device>>> {
        let of = match self.queues {
            Queues::EachCore => core.cores,
            Queues::One => 1,
            Queues::Found(_) if core.cores == 1 => 1,
            Queues::Found(queues) => queues(uri)?.clamp(1, core.cores),
        };
        let queue = DeviceQueue { index: core.core_index, of };
        if queue.index < of { (self.open)(uri, &core.pool, queue).map(Some) } else { Ok(None) }
    }
}

/// A transport, and what else is known of it.
struct Opened {
    transport: Rc<dyn Transport>,
    /// It is the user-level stack.
    user: Option<Rc<UserTransport>>,
}

impl Opened {
    fn plain(transport: Rc<dyn Transport>) -> Self {
        Self { transport, user: None }
    }

    /// The user-level stack on this core's queue of the device that `driver` opens.
    fn over(core: &Core, uri: &Uri, name: &str, scheme: &'static str, driver: Driver) -> Result<Self> {
        if core.is_simulated() {
            let why = "a simulation has no such device; it runs on `mem:` or on simulated networks, `sim:`";
            return Err(uri.error(why).into());
        }
        let device = driver.open(core, uri)?;
        Self::user(core, uri, scheme, device, seat(core, uri, name)?)
    }

    /// The user-level stack on a port of a simulated switch.
    fn simulated(core: &Core, uri: &Uri, name: &str) -> Result<Self> {
        if core.cores > 1 {
            let device = (core.core_index == 0).then(|| sim::open(uri, &core.pool, core.seed)).transpose()?;
            return Self::user(core, uri, "sim", device, seat(core, uri, name)?);
        }
        let sim::Place { device, seat } = sim::place(uri, &core.pool, core.seed)?;
        Self::user(core, uri, "sim", device, seat)
    }

    /// The user-level stack on `device`, with those of other cores if this core has a seat among them.
    fn user(
        core: &Core,
        uri: &Uri,
        scheme: &'static str,
        device: Option<Box<dyn Device>>,
        seat: Option<Seat>,
    ) -> Result<Self> {
        // Hosts of one runtime must not draw the same numbers.
        let text = uri.to_string();
        let mixed = text
            .bytes()
            .fold(core.seed, |seed, byte| (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        let user = match (device, seat) {
            (device, Some(seat)) => {
                UserTransport::open_on_core(scheme, uri, device, &core.pool, mixed, seat)?
            }
            (Some(device), None) => UserTransport::open(scheme, uri, device, &core.pool, mixed)?,
            (None, None) => return Err(uri.error("there is no such queue").into()),
        };
        Ok(Self { transport: Rc::clone(&user) as Rc<dyn Transport>, user: Some(user) })
    }
}

/// This core's seat among those of the program, if there are several.
fn seat(core: &Core, uri: &Uri, name: &str) -> Result<Option<Seat>> {
    if core.cores == 1 {
        return Ok(None);
    }
    let why = || uri.error(format!("at most {} cores share addresses", Steering::CORES));
    Ok(Some(core.groups.seat(name, core).ok_or_else(why)?))
}

/// What this build knows.
const SCHEMES: &[Scheme] = &[
    #[cfg(feature = "dpdk")]
    Scheme {
        name: "dpdk",
        open: |core, uri, name| {
            Opened::over(core, uri, name, "dpdk", Driver { open: hemi_dpdk::open, queues: Queues::EachCore })
        },
    },
    Scheme { name: "kernel", open: kernel },
    Scheme { name: "mem", open: |core, uri, _| Ok(Opened::plain(Rc::new(mem::Mem::open(uri, core.seed)?))) },
    Scheme {
        name: "packet",
        open: |core, uri, name| {
            Opened::over(
                core,
                uri,
                name,
                "packet",
                Driver { open: hemi_packet::open, queues: Queues::EachCore },
            )
        },
    },
    Scheme { name: "rdma", open: rdma },
    Scheme {
        name: "shm",
        open: |core, uri, name| {
            Opened::over(core, uri, name, "shm", Driver { open: hemi_shm::open, queues: Queues::One })
        },
    },
    Scheme {
        name: "tap",
        open: |core, uri, name| {
            Opened::over(core, uri, name, "tap", Driver { open: hemi_tap::open, queues: Queues::EachCore })
        },
    },
    Scheme {
        name: "xdp",
        open: |core, uri, name| {
            let queues = Queues::Found(hemi_xdp::queues);
            Opened::over(core, uri, name, "xdp", Driver { open: hemi_xdp::open, queues })
        },
    },
    Scheme { name: "sim", open: Opened::simulated },
];

fn kernel(core: &Core, uri: &Uri, _: &str) -> Result<Opened> {
    let Some(park) = &core.park else {
        let why = "a simulation has no kernel; it runs on `mem:` or on simulated wires";
        return Err(uri.error(why).into());
    };
    Ok(Opened::plain(hemi_kernel::Kernel::open(uri, &core.pool, park)?))
}

fn rdma(core: &Core, uri: &Uri, _: &str) -> Result<Opened> {
    if core.is_simulated() {
        let why = "a simulation has no RDMA device; it runs on `mem:` or on simulated networks, `sim:`";
        return Err(uri.error(why).into());
    }
    Ok(Opened::plain(hemi_verbs::Verbs::open(uri, &core.pool)?))
}

/// The open transports of one runtime.
#[derive(Default)]
pub(crate) struct Transports {
    open: RefCell<Vec<Named>>,
}

struct Named {
    name: String,
    opened: Opened,
}

impl Transports {
    /// The transport that `name` was given to; the empty name is the first one.
    ///
    /// A runtime for which none was named opens its default at the first use: `kernel:`, in a simulation `mem:`.
    pub(crate) fn find(core: &Core, name: &str) -> Result<Rc<dyn Transport>> {
        Self::with(core, name, |opened| Rc::clone(&opened.transport))
    }

    fn with<R>(core: &Core, name: &str, look: impl FnOnce(&Opened) -> R) -> Result<R> {
        let this = &core.transports;
        if this.open.borrow().is_empty() {
            add(core, "", if core.is_simulated() { "mem:" } else { "kernel:" })?;
        }
        let open = this.open.borrow();
        let found = if name.is_empty() { open.first() } else { open.iter().find(|n| n.name == name) };
        if let Some(named) = found {
            return Ok(look(&named.opened));
        }
        let names: Vec<_> = open.iter().map(|n| n.name.as_str()).collect();
        let why = format!("no transport has this name; there are: {}", names.join(", "));
        Err(UriError::new(name, why).into())
    }
}

impl fmt::Debug for Transports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = self.open.borrow();
        f.debug_map().entries(open.iter().map(|n| (&n.name, n.opened.transport.describe()))).finish()
    }
}

/// Open the transports that the builder was given, as (name, URI); an empty name means the URI's scheme.
pub(crate) fn open(core: &Rc<Core>, uris: &[(String, String)]) -> Result<()> {
    uris.iter().try_for_each(|(name, uri)| add(core, name, uri))
}

fn add(core: &Core, name: &str, text: &str) -> Result<()> {
    let uri: Uri = text.parse().map_err(|_| unknown(text))?;
    let Some(scheme) = SCHEMES.iter().find(|s| s.name == uri.scheme()) else {
        return Err(unknown(text));
    };
    let name = if name.is_empty() { scheme.name } else { name };
    let opened = (scheme.open)(core, &uri, name)?;
    let transport = &opened.transport;
    let mut open = core.transports.open.borrow_mut();
    if open.iter().any(|n| n.name == name) {
        let why = format!("the name `{name}` is taken; give this one another with net_as(name, uri)");
        return Err(UriError::new(text, why).into());
    }
    tracing::debug!(name, "{}", transport.describe());
    if let (Wakeup::Fd(fd), Some(park)) = (transport.wakeup(), &core.park) {
        park.watch(fd)?;
    }
    core.add_reactor(Rc::clone(transport) as Rc<dyn Reactor>);
    open.push(Named { name: name.to_owned(), opened });
    Ok(())
}

#[cold]
fn unknown(uri: &str) -> Error {
    UriError::new(uri, format!("unknown scheme; this build knows: {}", schemes())).into()
}

/// The URI schemes that this build knows, for messages and `--help`.
///
/// ```
/// assert!(hemi::net::schemes().contains("mem:"));
/// ```
pub fn schemes() -> String {
    let names: Vec<_> = SCHEMES.iter().map(|s| format!("{}:", s.name)).collect();
    names.join(", ")
}

/// What the transport called `name` (empty: the default one) of the current runtime can carry.
///
/// # Errors
/// [`Error::NoRuntime`] outside of one, and when there is no such transport.
pub fn caps(name: &str) -> Result<Caps> {
    let core = crate::context::current()?;
    Ok(Transports::find(&core, name)?.caps())
}

/// A line for people about the transport called `name` (empty: the default one) of the current runtime.
///
/// # Errors
/// As for [`caps`].
pub fn describe(name: &str) -> Result<String> {
    let core = crate::context::current()?;
    Ok(Transports::find(&core, name)?.describe())
}

/// What the user-level stack of the transport called `name` (empty: the default one) has done and holds: its connections as `ss`
/// shows them, its counters as `netstat -s` does.
///
/// # Errors
/// As for [`caps`]; [`Error::Unsupported`] when the transport is not a user-level stack.
pub fn snapshot(name: &str) -> Result<StackSnapshot> {
    let core = crate::context::current()?;
    let (user, transport) = Transports::with(&core, name, |o| (o.user.clone(), o.transport.scheme()))?;
    let instead = "ask a transport that runs the user-level stack; for the kernel's there are ss and netstat";
    let unsupported = || Error::unsupported("a snapshot of its connections", transport, instead);
    user.map(|user| user.snapshot()).ok_or_else(unsupported)
}
