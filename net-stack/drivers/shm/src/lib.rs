//! `shm:`: a network interface between two processes, or two threads, of one machine: two frame rings in shared memory.
//!
//! ```text
//!   shm:NAME?role=a|b&mac=..&mtu=1500&csum=offload|full&ring=262144
//! ```
//! Both sides open the same name (`/dev/shm/hemi-NAME`, or a path when it has a slash in it). The first is side a, the second side
//! b, a third is refused with the names of those who are there. Either may die and come back: the other goes on, its frames
//! go nowhere meanwhile as with an unplugged cable, and a fresh link begins when there are two again.
//!
//! | module | what |
//! |---|---|
//! | `device.rs` | the [`Device`]: with a link or without |
//! | `link.rs` | one life of a link: send, receive, sleep, wake |
//! | `ring/` | the protocol of the frame ring: read `ring/mod.rs` first |
//! | `area.rs`, `copy.rs` | the shared memory, and copies to and from it |
//! | `control/` | seats, sockets, and how two sides meet |
//!
//! # Trust
//! The other side is another process, perhaps a hostile one. Frames are copied once, into private memory, before anyone looks at
//! them. Of its indices and lengths only what is possible is believed, each read once; anything else ends the link, is counted
//! (`links_broken`), and a new link begins. The memory cannot be shrunk under us, and no call can block on it.
//!
//! # Speed
//! While both sides poll there is no system call. A frame's header travels in the cache line of its first bytes, so a small frame
//! costs one transfer of each of its lines. With `csum=offload` (the default, on both sides) transport checksums are
//! neither computed nor verified between the two, and TCP frames of up to 60 KiB go through whole.
//!
//! Left out on purpose: several queues (a link has one pair of rings; with several cores one of them owns it), and handing
//! over memory without a copy between threads.
#![deny(unsafe_code)]

#[allow(unsafe_code)]
mod area;
#[allow(unsafe_code)]
mod control;
#[allow(unsafe_code)]
mod copy;
mod device;
mod link;
mod params;
mod ring;
mod role;
mod stats;

use hemi_net::{Device, DeviceQueue};
use hemi_queue::{Error, Pool, Result, Uri};

/// Open one side of the interface that `uri` names; received frames are copied into buffers of `pool`.
///
/// It returns at once, whether the other side is there or not. Takes the parameters named in the crate's documentation, and leaves
/// the others to the caller, who calls [`Uri::finish`].
///
/// # Errors
/// When the name is taken by two others, the path can't be used, a parameter is wrong, or `pool` has no buffers of 64 KiB. [`Error::Unsupported`] when
/// more than one queue is asked for.
///
/// ```
/// use hemi_net::{DeviceQueue, Host, StackConfig};
/// use hemi_queue::{Pool, Uri, time::Instant};
///
/// let pool = Pool::new()?;
/// let name = std::env::temp_dir().join(format!("hemi-shm-doc-{}", std::process::id()));
/// let uri: Uri = format!("shm:{}", name.display()).parse()?;
/// let [a, b] = [hemi_shm::open(&uri, &pool, DeviceQueue::ONLY)?, hemi_shm::open(&uri, &pool, DeviceQueue::ONLY)?];
///
/// let config = |ip: &str| ip.parse().map(|cidr| StackConfig::with_addresses([cidr]));
/// let mut client = Host::new(a, config("10.0.0.1/24")?, pool.clone(), 1);
/// let mut server = Host::new(b, config("10.0.0.2/24")?, pool.clone(), 2);
/// let (listener, _) = server.stack.tcp_listen("0.0.0.0:80".parse()?, 16, false, Default::default())?;
/// client.stack.tcp_connect("10.0.0.2:80".parse()?, None, Default::default(), Instant::ZERO)?;
///
/// let begin = std::time::Instant::now();
/// while server.stack.tcp_accept(listener).is_none() {
///     let now = Instant::ZERO + begin.elapsed();
///     client.poll(now)?;
///     server.poll(now)?;
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn open(uri: &Uri, pool: &Pool, queue: DeviceQueue) -> Result<Box<dyn Device>> {
    if queue.of != 1 {
        let instead = "open it with one queue, and steer its frames to the other cores in software";
        return Err(Error::unsupported("a queue per core", "shm", instead));
    }
    let params = Params::take(uri)?;
    // A frame without a buffer waits in the ring, and all others behind it: there must be one for each.
    if pool.largest() < MAX_FRAME {
        let why =
            format!("needs a pool with buffers of {MAX_FRAME} bytes; its largest has {}", pool.largest());
        return Err(uri.error(why).into());
    }
    Ok(Box::new(device::ShmDevice::open(params, pool)?))
}

use params::Params;
use ring::MAX_FRAME;
