//! DPDK's poll-mode drivers as a [`Device`]: the user-level stack on a NIC, or on one of DPDK's virtual devices.
//!
//! # URI
//! `dpdk:0000:3b:00.1?...` a PCI device, `dpdk:net_memif0,role=client,socket=/tmp/x.sock?...` a virtual one with its arguments, as DPDK writes them.
//!
//! * `mac=ADDRESS` (default: the port's), `mtu=N` (default: the port's), `offload=false`: use no checksum or segmentation offload.
//! * `peer=trusted`: the process on the other side of a `virtio_user`, or of a memif client with `zero-copy=yes`, may have all of our EAL memory (see below).
//! * `heap=BYTES`: memory added to the core's pool that the port can send from, where it cannot send from any (default 16 MiB).
//! * `eal=ARGUMENT,ARGUMENT...`: DPDK's environment (EAL) starts once per process, with the first device's; without them it takes huge pages where
//!   there are some free (`--in-memory`), and none otherwise (`--no-huge --no-shconf -m 256`), which a plain user may.
//!
//! # Building
//! With the feature `dpdk`, on a system with libdpdk 22.11 or later and libclang (`apt-get install libdpdk-dev libclang-dev`). Otherwise this crate
//! needs nothing, and [`open`] answers what is missing.
//!
//! # What is copied, and what is not
//! ```text
//!   mempool ◄──────── given back when the last Buf is dropped ─────────┐
//!      │ driver receives into an mbuf                                  │
//!      └──────────────────────────────► the same memory is the Buf ────┘ that the application pops (rx.rs)
//!   Buf pushed ──► carrier mbuf behind a header mbuf ──► driver; the Buf lives until the driver lets go of the carrier (tx.rs)
//! ```
//! * *Received*: an mbuf goes up as it is. The application may hold 2048 of them per queue; the driver's reserve (its receive descriptors, what `net_tap` and `af_xdp`
//!   hold besides, and 768) stays with it, and what comes then is
//!   copied (`rx_reserve`). Packets in several mbufs are copied into one buffer.
//! * *Sent*: payloads of more than 256 bytes ride where they are, in chains, where the port offers those and they were seen to arrive whole: `memif`,
//!   `vhost`, `tap`, `af_packet` from any memory; NICs from EAL's (received buffers, and the core's pool as far as `heap` goes). Others
//!   (`af_xdp` corrupts chains) are sent copies.
//! * *Memory that another process maps*: `virtio_user`, and memif clients with `zero-copy=yes`, hand all of EAL's memory to their other side, which could
//!   change it at any time. So nothing in it is handed up, and payloads are not sent from it: one copy each way, unless `peer=trusted` is said. While
//!   another port of the process hands data up in EAL's memory, such a port is refused; once there was one, later ports copy. A memif without
//!   `zero-copy`, and vhost, copy into our own mbufs: private. The copies protect the data only: DPDK's own mbuf and mempool structures lie in the same
//!   memory, so a hostile peer of a `virtio_user` (or of a zero-copy memif client) can still take the process over.
//!
//! Every queue pair belongs to one core. Checksums, segmentation and joining of segments (TSO, LRO) are asked for where the port has them; with several cores,
//! each has its queue pair. A port with RSS is told the stack's key and table, and then spreads flows as the stack does (`rss.rs`); the stack passes on what came to
//! another core than it belongs to, so a port without (memif: the queue that it was sent on) serves too. Both ends of a memif open the same number of
//! queues; where they did not, the core that cannot be heard gets an error that says so, some ten seconds later.
//!
//! # Queue filters
//! On `net_af_xdp` the predicates and rewrites of UDP queues run in an XDP program before the driver (`filters.rs`), which takes CAP_SYS_ADMIN, one core, and an interface
//! without a dispatcher of libxdp's (no bpffs mounted, or `LIBXDP_SKIP_DISPATCHER=1` in the environment). `xdp_pass=kernel`: what a predicate rejects goes to the kernel's stack.
//! Other ports: in software.
//!
//! # What it leaves out
//! Flow rules: no driver that runs without a NIC takes one that says what a predicate says. Interrupts: a parked core looks again every 50 µs.
//!
//! # Drivers, and what is known of them (DPDK 22.11)
//! * `net_memif`: no rights, no huge pages. A *client* whose server dies calls it again, ten times a second. A *server* may crash inside DPDK when its client
//!   goes away while it is polled: be the client where that matters. A
//!   server that is closed cannot be opened again by the same process at once: its socket goes a moment later, and DPDK keeps the name of what failed. DPDK believes the other side's descriptors: a hostile one can
//!   make it read beyond the shared memory. `shm:` does not.
//! * `net_vhost` with `net_virtio_user` on the other side: the latter with `eal=--no-huge,--no-shconf,-m,128`, or `--single-file-segments` with huge
//!   pages; vhost first. `tso=1` on vhost gives both sides segmentation.
//! * `net_af_packet`: the driver has the kernel put fragmented datagrams together, and cuts what is larger than its frames. For datagrams
//!   larger than the MTU say `framesz=32768,blocksz=65536,framecnt=128`.
//! * `net_af_xdp`: one queue per interface. `net_tap`: its segmentation refuses segments that fill the MTU, and is not used.
//! * A socket that a killed memif server or vhost has left behind is removed, if nobody listens at it.

#[cfg(dpdk)]
mod counters;
#[cfg(dpdk)]
mod device;
#[cfg(dpdk)]
mod eal;
#[cfg(dpdk)]
mod exposure;
#[cfg(dpdk)]
mod filters;
#[cfg(dpdk)]
pub mod floor;
#[cfg(all(feature = "dpdk", not(dpdk)))]
#[path = "floor/absent.rs"]
pub mod floor;
#[cfg(dpdk)]
mod lcore;
#[cfg(dpdk)]
mod log;
#[cfg(dpdk)]
mod mbuf;
#[cfg(dpdk)]
mod mempool;
#[cfg(dpdk)]
mod port;
#[cfg(dpdk)]
mod rss;
#[cfg(dpdk)]
mod rx;
#[cfg(dpdk)]
mod setup;
#[cfg(dpdk)]
mod stale;
#[cfg(dpdk)]
mod tx;
#[cfg(dpdk)]
mod xstats;

use hemi_net::{Device, DeviceQueue};
use hemi_queue::{Pool, Result, Uri};

/// The version of DPDK that this build binds to; `None` when it has none.
pub const VERSION: Option<&str> = option_env!("HEMI_DPDK_VERSION");

/// Open queue pair `queue` of the DPDK port that `uri` names. What cannot be received without a copy goes into buffers of `pool`, to which memory
/// is added that the port can send from, where it cannot send from any.
///
/// Takes the parameters that are its own (see the crate's documentation), and leaves the rest of `uri` to the caller.
///
/// # Errors
/// When EAL does not start, when the port is not there, is in use, or refuses, with DPDK's own log lines about it;
/// [`Unsupported`](hemi_queue::Error::Unsupported) in a build without DPDK.
#[cfg(dpdk)]
pub fn open(uri: &Uri, pool: &Pool, queue: DeviceQueue) -> Result<Box<dyn Device>> {
    let heap = uri.take::<usize>("heap")?.unwrap_or(16 << 20);
    let rejected_pass = match uri.take::<String>("xdp_pass")?.as_deref() {
        None | Some("none") => false,
        Some("kernel") => true,
        Some(_) => return Err(uri.error("`xdp_pass` is `kernel`, or `none` (the default)").into()),
    };
    let (port, queue) = open_queue(uri, queue)?;
    Ok(Box::new(device::Dpdk::new(port, queue, pool, heap, rejected_pass)?))
}

/// The port of a URI, started, and one of its queue pairs.
#[cfg(dpdk)]
fn open_queue(uri: &Uri, queue: DeviceQueue) -> Result<(std::sync::Arc<port::Port>, port::Queue)> {
    let mac = uri.take::<hemi_net::wire::MacAddr>("mac")?;
    let mtu = uri.take::<u16>("mtu")?;
    if let Some(mtu) = mtu.filter(|&mtu| mtu < port::LEAST_MTU) {
        return Err(uri.error(format!("`mtu={mtu}`: choose 68 or more, and 1280 or more for IPv6")).into());
    }
    let trusted = uri.take::<Peer>("peer")?.is_some_and(|peer| peer.trusted);
    let offload = uri.take::<bool>("offload")?.unwrap_or(true);
    let arguments = uri.take::<String>("eal")?;
    if uri.path().is_empty() {
        return Err(uri.error("name a port: `dpdk:0000:3b:00.1` or `dpdk:net_memif0,role=server`").into());
    }
    eal::start(uri.path(), arguments.as_deref())?;
    let (name, arguments) = uri.path().split_once(',').unwrap_or((uri.path(), ""));
    let asked =
        port::Asked { arguments: arguments.to_owned(), queues: queue.of as u16, mac, mtu, trusted, offload };
    if !lcore::register() {
        tracing::debug!("DPDK knows this thread by no name: it has no cache of mbufs");
    }
    let port = port::Port::of(name, asked)?;
    let queue = port.take(queue.index)?;
    Ok((port, queue))
}

/// The parameter `peer=`.
#[cfg(dpdk)]
struct Peer {
    trusted: bool,
}

#[cfg(dpdk)]
impl std::str::FromStr for Peer {
    type Err = &'static str;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s {
            "trusted" => Ok(Self { trusted: true }),
            "stranger" => Ok(Self { trusted: false }),
            _ => Err("must be `trusted` or `stranger`"),
        }
    }
}

/// As documented for builds with DPDK; this one has none.
///
/// # Errors
/// [`Unsupported`](hemi_queue::Error::Unsupported), with what is missing.
#[cfg(not(dpdk))]
pub fn open(_: &Uri, _: &Pool, _: DeviceQueue) -> Result<Box<dyn Device>> {
    let how = if cfg!(feature = "dpdk") {
        "at build time pkg-config found no libdpdk 22.11 or later: apt-get install libdpdk-dev libclang-dev, and build again"
    } else {
        "build with the feature `dpdk`, on a system with libdpdk 22.11 or later"
    };
    Err(hemi_queue::Error::unsupported("opening a DPDK port", "dpdk", how))
}

#[cfg(all(test, not(dpdk)))]
mod tests {
    use super::*;

    #[test]
    fn without_dpdk_it_says_so() {
        let opened = open(&"dpdk:net_null0".parse().unwrap(), &Pool::new().unwrap(), DeviceQueue::ONLY);
        let says = opened.err().unwrap().to_string();
        assert!(says.contains("libdpdk 22.11 or later"), "{says}");
    }
}
