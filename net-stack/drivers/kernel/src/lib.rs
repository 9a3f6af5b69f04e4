//! Kernel sockets as queues: TCP, UDP and Unix sockets over io_uring, epoll or plain polling.
//!
//! ```text
//!  StreamSocket / Acceptor / DatagramSocket (hemi_queue::transport): what the runtime holds
//!        │ poll_pop, start_push, ...                        ▲ wake
//!        ▼                                                  │
//!  stream/  acceptor.rs  datagram/    what a socket is: queues, limits, life cycle; the same on every backend
//!        │ wants data / has data to send / is blocked       ▲ received, readable, writable, sent
//!        ▼                                                  │
//!  hot.rs      the few sockets where data is expected now: tried directly with a non-blocking recv
//!  uring/      the cold ones: multishot operations into rings of pooled buffers   ┐ one of the two,
//!  ready/      the cold ones: epoll, or nothing while awake (`poll`)              ┘ `Engine`
//! ```
//!
//! # How it is driven
//! [`Kernel::open`] makes a [`Transport`]; the executor polls it once per turn as a [`Reactor`], after
//! [`Park::poll`](hemi_park::Park::poll), which delivers the ring's completions. Nothing here knows of tasks, tokens or framing.
//!
//! # URI
//! `kernel:?backend=uring|epoll|poll`. Without `backend` it is io_uring where the park has one, else epoll. Four more
//! parameters are for measurements and tests: `hot=N`, the most busy sockets that are tried directly (0: none); `batch=N`, how
//! many streams must have something to send for the sends to go through the ring together; `files=N`, how many streams may
//! have their descriptor registered with the ring; `old=true`, use nothing newer than Linux 6.0.
//!
//! Read `inner.rs` (the turn) and `stream/mod.rs` (the life of a connection) first.

mod acceptor;
mod addr;
mod datagram;
mod fill;
mod hot;
mod inner;
mod options;
mod ready;
mod stream;
mod sys;
mod timers;
mod uring;

use std::{fmt, rc::Rc, str::FromStr};

use hemi_park::Park;
use hemi_queue::{
    Pool, Progress, Reactor, Result, Uri, Wakeup,
    time::Instant,
    transport::{Acceptor, Caps, DatagramSocket, Endpoint, SocketOptions, StreamSocket, Transport},
};

use inner::Inner;

/// How the kernel tells us of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// io_uring: multishot operations on the core's ring.
    Uring,
    /// Edge-triggered epoll.
    Epoll,
    /// Waiting sockets are tried every turn; epoll only to sleep.
    Poll,
}

impl FromStr for Backend {
    type Err = &'static str;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s {
            "uring" | "io_uring" => Ok(Self::Uring),
            "epoll" => Ok(Self::Epoll),
            "poll" => Ok(Self::Poll),
            _ => Err("must be `uring`, `epoll` or `poll`"),
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uring => "io_uring",
            Self::Epoll => "epoll",
            Self::Poll => "poll",
        })
    }
}

/// Where direct system calls end and the engine begins. The defaults were measured: `benches/README.md`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tuning {
    /// Up to so many busy sockets are tried directly, every turn.
    pub(crate) hot: usize,
    /// From so many streams to flush in a turn on, sends go through the ring in one batch.
    pub(crate) batch: usize,
    /// Slots for registered files.
    pub(crate) files: u32,
    /// Use nothing newer than Linux 6.0.
    pub(crate) old: bool,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { hot: 4, batch: 8, files: 1024, old: false }
    }
}

/// The kernel's sockets as a transport. See the crate's documentation for how it is driven.
///
/// ```
/// use std::task::{Context, Poll, Waker};
/// use hemi_kernel::Kernel;
/// use hemi_park::{Park, ParkConfig};
/// use hemi_queue::{Pool, Reactor, time::Instant, transport::{Endpoint, SocketOptions, Transport}};
///
/// let park = Park::new(&ParkConfig::default())?;
/// let kernel = Kernel::open(&"kernel:".parse()?, &Pool::new()?, &park)?;
/// let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
/// let listener = kernel.listen(&any.into(), &SocketOptions::default())?;
/// let at = listener.local_addr()?;
/// let _client = kernel.connect(&at, &SocketOptions::default())?;
/// let mut cx = Context::from_waker(Waker::noop());
/// let mut turn = 0;
/// let _server = loop {
///     // One turn, as the executor does it.
///     park.poll();
///     kernel.poll(Instant::from_nanos(turn));
///     turn += 1;
///     if let Poll::Ready(accepted) = listener.poll_accept(&mut cx) {
///         break accepted?;
///     }
/// };
/// # Ok::<(), hemi_queue::Error>(())
/// ```
pub struct Kernel {
    inner: Rc<Inner>,
}

impl Kernel {
    /// Open the transport that `uri` describes, receiving into buffers of `pool` and waiting in `park`.
    ///
    /// # Errors
    /// [`Uri`](hemi_queue::Error::Uri) for an unknown parameter or value, or `backend=uring` where the park has no io_uring.
    pub fn open(uri: &Uri, pool: &Pool, park: &Rc<Park>) -> Result<Rc<Self>> {
        if !uri.path().is_empty() {
            return Err(uri.error("takes no path; write `kernel:` or `kernel:?backend=...`").into());
        }
        let wanted = uri.take::<Backend>("backend")?;
        let mut tuning = Tuning::default();
        if let Some(hot) = uri.take("hot")? {
            tuning.hot = hot;
        }
        if let Some(batch) = uri.take("batch")? {
            tuning.batch = batch;
        }
        if let Some(files) = uri.take("files")? {
            tuning.files = files;
        }
        if let Some(old) = uri.take("old")? {
            tuning.old = old;
        }
        uri.finish()?;
        let backend = match (wanted, park.ring().is_some()) {
            (Some(Backend::Uring), false) => {
                return Err(uri.error("this system has no usable io_uring; use backend=epoll").into());
            }
            (Some(backend), _) => backend,
            (None, true) => Backend::Uring,
            (None, false) => Backend::Epoll,
        };
        Ok(Rc::new(Self { inner: Inner::open(backend, wanted.is_some(), tuning, pool, park)? }))
    }

    /// The backend in use.
    pub fn backend(&self) -> Backend {
        self.inner.engine.backend()
    }
}

impl Reactor for Kernel {
    fn poll(&self, now: Instant) -> Progress {
        self.inner.turn(now)
    }

    fn deadline(&self) -> Option<Instant> {
        self.inner.deadline()
    }

    fn wakeup(&self) -> Wakeup {
        self.inner.engine.wakeup()
    }

    fn prepare_park(&self) -> Progress {
        self.inner.prepare_park()
    }

    fn shutdown(&self) {
        self.inner.shutdown();
    }

    fn is_quiet(&self) -> bool {
        self.inner.is_quiet()
    }
}

impl Transport for Kernel {
    fn scheme(&self) -> &'static str {
        "kernel"
    }

    fn caps(&self) -> Caps {
        Caps { native_units: false, tcp: true, udp: true, unix: true, names: false, acked: true }
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
        self.inner.engine.describe()
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        self.inner.end();
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel").field("backend", &self.backend()).finish_non_exhaustive()
    }
}
