//! RDMA queue pairs as queues: the transport `rdma:`, over libibverbs and librdmacm.
//!
//! ```text
//!  StreamSocket / Acceptor (hemi_queue::transport): what the runtime holds
//!        │ poll_pop, start_push, ...                        ▲ wake
//!        ▼                                                  │
//!  stream/  acceptor.rs     set-up and end, waiters
//!        │                                                  ▲
//!  hemi_rdma::Connection    units, credits, rendezvous, failures: the protocol, without a device
//!        │ work requests                                    ▲ completions
//!        ▼                                                  │
//!  inner.rs    one turn: poll the completion queue, refill the shared receive queue, post
//!        │                                                  ▲
//!        ▼                                                  │
//!  device/  cm/             libibverbs and librdmacm, wrapped      sys/  their C, loaded at run time
//! ```
//!
//! A unit is a message: nothing is framed, nothing is copied that the device can carry. There is one completion queue and one
//! shared receive queue for all connections of a core.
//!
//! # How it is driven
//! [`Verbs::open`] makes a [`Transport`]; the executor polls it once per turn as a [`Reactor`]. What tasks pushed in a batch leaves in the
//! turn after it, with one doorbell for each queue pair. A core that sleeps is woken through the completion channel.
//!
//! # URI
//! `rdma:DEVICE?ip=ADDRESS`: `DEVICE` as `rdma link` names it (`rxe0`, `mlx5_0`); without it, the first that has the address.
//!
//! | parameter | what |
//! |---|---|
//! | `ip=10.0.0.1` | an address of this end, IPv4 or IPv6, with a RoCE v2 GID on the device; repeatable. Without, the routes decide |
//! | `buffer=16K` | the size of a receive buffer: units up to this travel as one message, larger ones are read by the peer. Soft-RoCE: a packet |
//! | `window=32` | receive buffers for each connection: its peer's credits |
//! | `recv=8192` | receive buffers of all connections together, at most; memory is taken as it is needed |
//! | `depth=128` | work requests that a queue pair holds |
//! | `inline=256` | units up to this are copied into the work request (where the device can) |
//! | `reads=16` | RDMA READs of a connection at a time; `0`: large units come in pieces instead. Soft-RoCE: 0, see below |
//! | `rendezvous=16385` | units from so many bytes on are read out of the sender's memory (peers must be trusted, see below) |
//! | `unit=1G` | the largest unit |
//! | `cq=32768` | completions that the completion queue holds: each connection needs `depth` and `window` of them |
//! | `mtu=4096` | bytes of a packet, 256 to 4096; no more than the path has |
//! | `timeout=67ms` | how long an acknowledgement may take, rounded up to 4.096 µs · 2^n; else what the connection manager computes |
//! | `retries=7`, `rnr_retries=7` | after a time-out; after "receiver not ready" (7: for ever) |
//! | `keepalive=15s` | an idle peer is probed after so long; `0s`: never |
//!
//! # Soft-RoCE
//! Linux' emulation (`rdma_rxe`) makes mistakes when a packet is lost, or only late. Seen on 6.12: an RDMA READ completed with success and
//! without its bytes (a plain acknowledgement that was sent twice is taken for its answer), or failed with `IBV_WC_REM_ACCESS_ERR` after its
//! retry, or took its queue pair with it; a SEND of several packets overran its buffer (`IBV_WC_LOC_QP_OP_ERR`). Messages of one packet it
//! gets right. So over such a device a receive buffer is a packet long, and larger units come in pieces, unless `buffer=` and
//! `reads=` say otherwise; and one-sided reads and atomics are to be relied on only where nothing is lost. It also takes `retries=7`
//! for "for ever"; who is dead is found by keep-alive, which has a clock of its own.
//!
//! # Peers must be trusted
//! A unit that the peer READs is named by its address and the key of the whole pool region that it lies in, and all regions of a core are
//! in one protection domain. So a peer that was told of one unit can read everything in that region, receive buffers and other
//! connections' units too, until its queue pair stops; and keys can be guessed. Nobody can write there. `reads=0` keeps the *peer's* memory
//! from being announced, not this end's: that is the peer's choice. Connect to, and accept from, only whom you would show that memory.
//!
//! What it deliberately leaves out: framing, tokens, descriptors (the runtime's), the protocol of units (`hemi-rdma`'s), datagrams.

mod acceptor;
mod cm;
mod device;
mod error;
mod exported;
#[cfg(test)]
mod in_guest;
mod inner;
mod params;
mod stream;
mod sys;
mod wake;

use std::{fmt, rc::Rc};

use hemi_queue::{
    Error, Pool, Progress, Reactor, Result, Uri, Wakeup,
    time::Instant,
    transport::{Acceptor, Caps, DatagramSocket, Endpoint, SocketOptions, StreamSocket, Transport},
};

pub use error::VerbsError;
pub use exported::ExportedRegion;
use inner::Inner;
use params::Params;
pub use stream::{OneSidedOp, RdmaSocket};

/// One RDMA device as a transport. See the crate's documentation for how it is driven.
///
/// ```
/// use hemi_queue::{Pool, Uri};
/// use hemi_verbs::Verbs;
///
/// let uri: Uri = "rdma:rxe7?ip=10.0.0.1".parse()?;
/// match Verbs::open(&uri, &Pool::new()?) {
///     Ok(rdma) => println!("{rdma:?}"),
///     // No rdma-core, no such device, no such address: what is missing, and how to get it.
///     Err(error) => assert!(error.to_string().starts_with("rdma: ")),
/// }
/// # Ok::<(), hemi_queue::Error>(())
/// ```
pub struct Verbs {
    inner: Rc<Inner>,
}

impl Verbs {
    /// Open the device that `uri` names, sending from buffers of `pool` without a copy, and receiving into such.
    ///
    /// # Errors
    /// [`Uri`](Error::Uri) for a parameter that is unknown or wrong; a [`VerbsError`] in [`Error::Other`] when rdma-core, the
    /// device, its address, or locked memory is missing.
    pub fn open(uri: &Uri, pool: &Pool) -> Result<Rc<Self>> {
        let params = Params::take(uri)?;
        uri.finish()?;
        Ok(Rc::new(Self { inner: Inner::open(params, pool)? }))
    }
}

impl Reactor for Verbs {
    fn poll(&self, now: Instant) -> Progress {
        self.inner.turn(now)
    }

    fn deadline(&self) -> Option<Instant> {
        self.inner.deadline()
    }

    fn wakeup(&self) -> Wakeup {
        // Descriptors of a device that is gone are readable for ever.
        if self.inner.is_lost() { Wakeup::Core } else { Wakeup::Fd(self.inner.wake_fd()) }
    }

    fn prepare_park(&self) -> Progress {
        self.inner.prepare_park()
    }

    fn unpark(&self) {
        self.inner.unpark();
    }

    fn shutdown(&self) {
        self.inner.shutdown();
    }

    fn is_quiet(&self) -> bool {
        self.inner.is_quiet()
    }
}

impl Transport for Verbs {
    fn scheme(&self) -> &'static str {
        "rdma"
    }

    fn caps(&self) -> Caps {
        Caps { native_units: true, tcp: false, udp: false, unix: false, names: false, acked: true }
    }

    fn listen(&self, at: &Endpoint, options: &SocketOptions) -> Result<Rc<dyn Acceptor>> {
        acceptor::listen(&self.inner, at, options)
    }

    fn connect(&self, to: &Endpoint, options: &SocketOptions) -> Result<Rc<dyn StreamSocket>> {
        stream::connect(&self.inner, to, options)
    }

    fn bind(&self, _: &Endpoint, _: &SocketOptions) -> Result<Rc<dyn DatagramSocket>> {
        let instead = "it carries reliable connections: use a Conn, or a datagram socket on `kernel:`";
        Err(Error::unsupported("a datagram socket", "rdma", instead))
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}

impl Drop for Verbs {
    fn drop(&mut self) {
        self.inner.end();
    }
}

impl fmt::Debug for Verbs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.describe())
    }
}
