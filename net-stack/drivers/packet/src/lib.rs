//! AF_PACKET as a [`Device`]: the user-level stack on any interface of this machine, beside the kernel.
//!
//! ```text
//!  kernel ──► receive ring (TPACKET_V2, mapped) ──► rx/: one copy into a pool's buffer ──► stack
//!                └ frames larger than a slot wait in the socket ──► recvmsg ┘
//!  stack  ──► tx.rs: sendmmsg that gathers heads and payloads (one copy, the kernel's) ──► past the queueing discipline
//! ```
//!
//! # URI
//! `packet:IFACE?mac=own|interface|ADDRESS&mtu=N&ring=BYTES&offload=on|off`
//!
//! * `mac`: the stack's address on the wire. `own` (the default) is a locally administered one; the interface is told to let it
//!   through (promiscuous where it cannot filter), and the kernel's own stack takes no notice of frames for it. With `interface`, both stacks
//!   receive every frame: give the interface no address in the kernel (`ip addr flush dev IFACE`), or the kernel answers our
//!   connections' segments with resets.
//! * `mtu`: no more than the interface's, which is the default.
//! * `ring`: memory of the receive ring, 4 MiB by default.
//! * `offload=off`: checksums are computed and TCP is cut by us instead of the kernel or the hardware.
//!
//! Takes CAP_NET_RAW: root, or a user in a namespace of their own (`unshare -Urn`).
//!
//! # What it does
//! * Frames that come in are filtered in the kernel (`filter.rs`): ours, and groups'. Our own are not looped back
//!   (PACKET_IGNORE_OUTGOING).
//! * Every frame has a `virtio_net_hdr` before it (`vnet.rs`), in both directions. It tells that a checksum is verified, or unfinished because
//!   the frame never left this machine (a veth pair), and of frames that hold several packets: TCP's go up as they are, UDP's are cut
//!   (`uso.rs`). Towards the kernel it asks for checksums and for TCP segmentation, so that a push leaves in frames of up to 64 KB.
//! * With several queues, a fanout group gives each flow to the core that it belongs to (`fanout.rs`, `rss.rs`).
//!
//! # What it leaves out
//! Reaching the kernel's stack on the same interface: what we send goes out, and what the kernel sends is not shown to us. (A veth pair
//! joins the two.) A transmit ring: `ARCHITECTURE.md` says what was measured.

mod counters;
mod device;
mod fanout;
mod filter;
mod ring;
mod rss;
mod rx;
mod socket;
mod tx;
mod uso;
mod vnet;

use std::{fs::File, str::FromStr};

use hemi_link::{Interface, LinkWatch, MacChoice};
use hemi_net::{Device, DeviceQueue};
use hemi_queue::{Error, Pool, Result, Uri};

use device::Packet;

/// Open queue `queue` of the interface that `uri` names, receiving into buffers of `pool`.
///
/// Takes the parameters that are its own (see the crate's documentation), and leaves the rest of `uri` to the caller.
///
/// # Errors
/// [`Uri`](Error::Uri) for an interface that does not exist (with a list of those that do), that is down or no Ethernet, and for a
/// parameter's bad value; [`Io`](Error::Io) when the kernel refuses, with the capability that is missing.
///
/// ```
/// use hemi_net::DeviceQueue;
/// use hemi_queue::Pool;
///
/// let no_such = hemi_packet::open(&"packet:hemi-none".parse()?, &Pool::new()?, DeviceQueue::ONLY);
/// let says = no_such.err().unwrap().to_string();
/// assert!(says.contains("there is no interface `hemi-none`; there are"), "{says}");
/// # Ok::<(), hemi_queue::Error>(())
/// ```
pub fn open(uri: &Uri, pool: &Pool, queue: DeviceQueue) -> Result<Box<dyn Device>> {
    let interface = Interface::of(uri)?;
    let mac = MacChoice::take(uri, &interface, MacChoice::Own)?;
    let mtu = interface.mtu_for(uri, u32::from(u16::MAX))?;
    let ring_bytes = uri.take::<usize>("ring")?.unwrap_or(4 << 20);
    if !(64 << 10..=1 << 30).contains(&ring_bytes) {
        return Err(uri.error("the ring has between 65536 and 1073741824 bytes (64 KiB and 1 GiB)").into());
    }
    let offload = uri.take::<Switch>("offload")?.unwrap_or(Switch::On);
    let fail = |what| {
        let name = &interface.name;
        move |e| Error::io(what, name, e)
    };

    let socket = socket::open(&interface)?;
    let mut ring = socket.configure(&interface, mac, mtu, ring_bytes)?;
    if queue.of > 1 {
        fanout::join(&socket, &uri.to_string()).map_err(fail("join the fanout group of"))?;
        ring.discard_all(|| rx::skip(&socket)); // of the frames since the bind, the others of the group have copies
    }
    let watch = LinkWatch::new(&interface).map_err(fail("watch interface"))?;
    let device = Packet::new(socket, ring, watch, pool, mac, mtu, offload == Switch::On)?;
    Ok(Box::new(device.in_group_of(queue.of)))
}

/// The interface of `uri` with nothing of this crate between it and the caller, but for the filter that leaves frames to `mac=` and to groups: each
/// read of the file is one frame, each write sends one, and neither blocks. What a device of hemi's is measured against
/// (`benches/benches/wire.rs`).
///
/// # Errors
/// As for [`open`].
pub fn bare(uri: &Uri) -> Result<File> {
    let interface = Interface::of(uri)?;
    let mac = MacChoice::take(uri, &interface, MacChoice::Own)?;
    let socket = socket::open(&interface)?;
    socket.into_bare(&interface, mac).map_err(|e| Error::io("bind to", &interface.name, e))
}

/// The value of a parameter that is on or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Switch {
    On,
    Off,
}

impl FromStr for Switch {
    type Err = &'static str;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s {
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            _ => Err("must be `on` or `off`"),
        }
    }
}
