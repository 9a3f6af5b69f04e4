//! DPDK's poll-mode drivers as a [`Device`]: the user-level stack on a NIC, or on one of DPDK's virtual devices.
//!
//! # URI
//! `dpdk:0000:3b:00.1?...` a PCI device, `dpdk:net_memif0,role=client,socket=/tmp/x.sock?...` a virtual one with its arguments, as DPDK writes them.
//! Parameters: `mac=ADDRESS` (default: the port's), `mtu=N` (default: the port's), `eal=ARGUMENT,ARGUMENT...`.
//!
//! DPDK's environment (EAL) starts once per process, with the first device's `eal=`; without one it takes huge pages where there are some
//! free (`--in-memory`), and none otherwise (`--no-huge --no-shconf -m 256`), which a plain user may.
//!
//! # Building
//! With the feature `dpdk`, on a system with libdpdk 22.11 or later and libclang (`apt-get install libdpdk-dev libclang-dev`). Otherwise this crate
//! needs nothing, and [`open`] answers what is missing.
//!
//! # What it does
//! Bursts both ways with one copy each (counted): a received packet, in however many pieces, goes into one buffer of the core's pool, a frame
//! with all its pieces into one mbuf. So the drivers' differences in external memory and chained buffers do not matter, memory that a
//! memif peer maps is read once, and an mbuf never stays with the application. Checksums are asked for where the port has them in both
//! TCP and UDP. With several cores, each has its queue pair, if the port spreads flows by RSS; a port that cannot is refused.
//!
//! # What it leaves out
//! Zero copy, TCP segmentation, flow rules. Interrupts: a parked core looks again every 50 µs.
//!
//! Virtual devices whose use with hemi is tested: `net_memif`, `net_tap`. With `net_af_packet` of 22.11, fragmented
//! datagrams of the kernel were seen not to arrive: use `packet:` instead.
//!
//! A memif *server* of DPDK 22.11 may crash inside DPDK when its client goes away while it is polled: be the client where that matters.

#[cfg(dpdk)]
mod counters;
#[cfg(dpdk)]
mod device;
#[cfg(dpdk)]
mod eal;
#[cfg(dpdk)]
mod exposure;
#[cfg(dpdk)]
pub mod floor;
#[cfg(all(feature = "dpdk", not(dpdk)))]
#[path = "floor/absent.rs"]
pub mod floor;
#[cfg(dpdk)]
mod lcore;
#[cfg(dpdk)]
mod mbuf;
#[cfg(dpdk)]
mod mempool;
#[cfg(dpdk)]
mod port;
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
    let (port, queue) = open_queue(uri, queue)?;
    Ok(Box::new(device::Dpdk::new(port, queue, pool, heap)?))
}

/// The port of a URI, started, and one of its queue pairs.
#[cfg(dpdk)]
fn open_queue(uri: &Uri, queue: DeviceQueue) -> Result<(std::sync::Arc<port::Port>, port::Queue)> {
    let mac = uri.take::<hemi_net::wire::MacAddr>("mac")?;
    let mtu = uri.take::<u16>("mtu")?;
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
