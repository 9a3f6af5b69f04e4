//! `tap:`: a TAP device: Ethernet frames to and from the Linux kernel of this machine.
//!
//! ```text
//!   tap:DEV?mac=..&mtu=1500&csum=offload|full&host=10.77.0.1/24&host=fd00::1/64
//! ```
//! The device is made if there is none of that name, brought up, and gone again when the last queue of it is closed (unless it was
//! made to stay by `ip tuntap add`). That needs the right to administer the network: root, `CAP_NET_ADMIN`, or a plain user
//! inside `unshare -Urn`. `host=` gives the kernel's side an address, so that one command makes a stack that answers
//! `ping`; `mac=` is the stack's own address, not the kernel's.
//!
//! | module | what |
//! |---|---|
//! | `device.rs` | the [`Device`]: bursts, buffers, what errors mean |
//! | `tun.rs` | the descriptor: attach, read a frame, write a frame |
//! | `vnet.rs` | the header in front of each frame: checksums and segmentation left to the other side |
//! | `interface.rs`, `request.rs` | the kernel's side: MTU, up, addresses |
//!
//! With `csum=offload` (the default) frames come and go as inside the kernel: transport checksums unfinished, TCP frames of up to
//! 64 KiB uncut, so that a large transfer costs one system call per 64 KiB. With several queues (one per core) the kernel
//! sends each flow to the queue that it last heard the flow from.
//!
//! Left out on purpose: segmented UDP (nobody would take it apart), and reading ahead by io_uring: one system call per frame is
//! what this device costs.
#![deny(unsafe_code)]

mod device;
#[allow(unsafe_code)]
mod interface;
mod params;
#[allow(unsafe_code)]
mod request;
mod stats;
#[allow(unsafe_code)]
mod tun;
mod vnet;

use std::fs::File;

use hemi_net::{Device, DeviceQueue};
use hemi_queue::{Error, Pool, Result, Uri};

/// Open one queue of the device that `uri` names; received frames are put into buffers of `pool`.
///
/// The interface is that of the calling thread's network namespace. Takes the parameters named in the crate's documentation, and
/// leaves the others to the caller, who calls [`Uri::finish`]. Queue 0 configures the interface; open it first.
///
/// # Errors
/// When the caller may not, when another program has the device, when the name or a parameter is wrong; each says what to do.
///
/// ```no_run
/// use hemi_net::{DeviceQueue, Host, StackConfig};
/// use hemi_queue::{Pool, Uri, time::Instant};
///
/// // As root, or in `unshare -Urn`: afterwards the kernel's `ping 10.77.0.2` is answered.
/// let pool = Pool::new()?;
/// let uri: Uri = "tap:hemi0?host=10.77.0.1/24".parse()?;
/// let device = hemi_tap::open(&uri, &pool, DeviceQueue::ONLY)?;
/// uri.finish()?;
/// let mut host = Host::new(device, StackConfig::with_addresses(["10.77.0.2/24".parse()?]), pool, 7);
/// let begin = std::time::Instant::now();
/// loop {
///     host.poll(Instant::ZERO + begin.elapsed())?;
/// }
/// # #[allow(unreachable_code)]
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn open(uri: &Uri, pool: &Pool, queue: DeviceQueue) -> Result<Box<dyn Device>> {
    Ok(Box::new(device::TapDevice::open(uri, pool, queue)?))
}

/// The device `name` with nothing of this crate between it and the caller: each read of the file is one frame, each write sends one, and
/// neither blocks. What a device of hemi's is measured against (`benches/benches/wire.rs`).
///
/// # Errors
/// As for [`open`].
pub fn bare(name: &str) -> Result<File> {
    tun::Tun::open_bare(name).map_err(|e| Error::io("open", format!("tap:{name}"), e))
}
