//! AF_XDP as a [`Device`]: the user-level stack on an interface's receive queues, taken before the kernel's stack sees the frames.
//!
//! ```text
//!  NIC ─► XDP program (program.rs): to our address or a group? ─► XSKMAP ─► receive ring ─► a pool's buffer, as it is
//!              │ no                                                            ▲
//!              └► the kernel, as before                     fill ring ◄── free buffers of the same pool
//!  stack ─► tx.rs: one copy into a chunk ─► transmit ring ─► NIC ─► completion ring ─► the chunk is free
//! ```
//!
//! The memory of all rings' frames is one UMEM (`umem.rs`). Its first part is a [`Pool`] of its own, so that received frames go up, and to the
//! application, in the memory the kernel wrote them to; its second part are the transmit chunks.
//!
//! # URI
//! `xdp:IFACE?mode=driver|generic&mac=interface|own|ADDRESS&mtu=N&queue=N&umem=BYTES&checksum=verify|trust&xdp_pass=none|kernel`
//!
//! * `mode`: run the program in the interface's driver, or in the kernel's generic path, which every interface has. By default in the driver
//!   where that is possible.
//! * `mac`: the stack's address on the wire, by default the interface's own.
//! * `mtu`: no more than the interface's, and 3,822: a frame is in one chunk of at most a page.
//! * `queue`: the interface's first receive queue that is ours, 0 by default; each core takes one; cores beyond them send by the first core's.
//!   An interface that spreads its frames over
//!   more queues than we open is refused unless `queue` is given: frames on the others go to the kernel, and we would wait for them in vain.
//! * `umem`: memory for received frames, 8 MiB by default.
//! * `checksum=trust`: received checksums are not verified. For virtual links whose other end leaves them to be finished by the hardware
//!   that there is not (veth without `ethtool -K PEER tx off`), where they would all be wrong.
//!
//! * `xdp_pass=kernel`: datagrams that a queue's predicate rejects go to the kernel's stack, instead of nowhere.
//!
//! Takes root, or CAP_NET_RAW with CAP_BPF and CAP_NET_ADMIN.
//!
//! # Who gets which frame
//! Frames to our MAC address and to groups (broadcast, ARP and neighbour discovery among them) are ours, all others the kernel's. Nothing is
//! given to both: XDP cannot clone. So the kernel's own addresses on the interface, if it has any, are not found by their neighbours while we
//! run: give hemi an interface without.
//!
//! # Queue filters
//! The predicate of a UDP queue (`hemi::algebra::filter_by`) runs in the XDP program: what it rejects costs the kernel some nanoseconds and us
//! nothing (`filter.rs`). So does its rewrite (`hemi::algebra::map_by`), of up to 128 bytes in all, which leaves a mark before the frame
//! (`rewrite.rs`). With several cores both stay in software, because the same address may have a queue on each of them.
//!
//! # What it leaves out
//! Offloads: frames carry no metadata, so checksums are computed and verified by the stack. Frames in several chunks (jumbo). Packets
//! larger than the MTU that the other end of a veth pair hands over whole do not reach an AF_XDP socket: `ethtool -K PEER tso off gso off`
//! in generic mode (in driver mode, veth does it by itself).

mod asm;
mod attachment;
mod bpf;
mod counters;
mod device;
mod filter;
mod netlink;
mod program;
mod rewrite;
mod ring;
mod rx;
mod socket;
mod takeover;
mod tx;
mod umem;
#[cfg(test)]
mod vm;

use std::str::FromStr;

use hemi_link::{Interface, LinkWatch, MacChoice, Membership};
use hemi_net::{Device, DeviceQueue, frame::RxChecksum};
use hemi_queue::{Error, Pool, Result, Uri};

use attachment::{Attachment, Mode};
use counters::Counters;
use device::Xdp;
use filter::Rules;
pub use rewrite::take_mark;
pub use takeover::Takeover;
use umem::{Umem, UmemShape};

/// Open receive and transmit queue `queue` of the interface that `uri` names. Received frames are in a pool of the device's own; `pool` is
/// for what comes in while the application holds all of that.
///
/// Takes the parameters that are its own (see the crate's documentation), and leaves the rest of `uri` to the caller.
///
/// # Errors
/// [`Uri`](Error::Uri) for an interface that does not exist (with a list of those that do), that is down or no Ethernet, or has more queues
/// than are opened, and for a parameter's bad value; [`Io`](Error::Io) when the kernel refuses, with what is missing.
///
/// ```
/// use hemi_net::DeviceQueue;
/// use hemi_queue::Pool;
///
/// let no_such = hemi_xdp::open(&"xdp:hemi-none".parse()?, &Pool::new()?, DeviceQueue::ONLY);
/// let says = no_such.err().unwrap().to_string();
/// assert!(says.contains("there is no interface `hemi-none`; there are"), "{says}");
/// # Ok::<(), hemi_queue::Error>(())
/// ```
pub fn open(uri: &Uri, pool: &Pool, queue: DeviceQueue) -> Result<Box<dyn Device>> {
    let interface = Interface::of(uri)?;
    let mac = MacChoice::take(uri, &interface, MacChoice::Interface)?;
    let mtu = interface.mtu_for(uri, UmemShape::MAX_MTU)?;
    let mode = uri.take::<Mode>("mode")?;
    let bytes = uri.take::<usize>("umem")?.unwrap_or(8 << 20);
    let shape = UmemShape::new(mtu, bytes)
        .ok_or_else(|| uri.error("umem has between 2097152 and 1073741824 bytes (2 MiB and 1 GiB)"))?;
    let trust = uri.take::<Trust>("checksum")?.unwrap_or(Trust::Verify);
    let rejected_pass = match uri.take::<String>("xdp_pass")?.as_deref() {
        None | Some("none") => false,
        Some("kernel") => true,
        Some(_) => return Err(uri.error("`xdp_pass` is `kernel`, or `none` (the default)").into()),
    };
    let first = uri.take::<u32>("queue")?;
    let opened = queue.of as u32;
    match interface.receive_queues() {
        Some(n) if first.is_none() && n > opened => {
            let name = &interface.name;
            let why = format!(
                "{name} spreads frames over {n} receive queues, and {opened} would be opened: \
                 `ethtool -L {name} combined {opened}`, or say by `queue=` which is ours"
            );
            return Err(uri.error(why).into());
        }
        _ => {}
    }
    let number = first.unwrap_or(0) + queue.index as u32;
    let fail = |what| {
        let name = &interface.name;
        move |e| Error::io(what, name, e)
    };

    let attachment = Attachment::of(&interface, mac, mode, uri)?;
    let umem = Umem::new(shape).map_err(fail("map a UMEM for"))?;
    let (socket, rings) = socket::open(&interface, &umem, number)?;
    attachment.redirect(number, &socket).map_err(fail("direct frames to us on"))?;
    let membership = Membership::new(&interface, mac).map_err(fail("open the address filter of"))?;
    let watch = LinkWatch::new(&interface).map_err(fail("watch interface"))?;
    let checksum = if trust == Trust::Trust { RxChecksum::Good } else { RxChecksum::Unknown };
    let rx = rx::RxPath::new(&umem, rings.fill, rings.rx, pool, checksum)?;
    let tx = tx::TxPath::new(umem, rings.tx, rings.completion);
    Ok(Box::new(Xdp {
        socket,
        rx,
        tx,
        watch,
        mac,
        mtu,
        attachment,
        number,
        counters: Counters::default(),
        rules: Rules::NONE,
        rejected_pass,
        retry: None,
        _membership: membership,
    }))
}

/// How many receive queues the interface that `uri` names spreads its frames over: so many cores can have one each.
///
/// # Errors
/// [`Uri`](Error::Uri) for an interface that does not exist.
pub fn queues(uri: &Uri) -> Result<usize> {
    Ok(Interface::of(uri)?.receive_queues().map_or(1, |n| n as usize))
}

/// The parameter `checksum=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    Verify,
    Trust,
}

impl FromStr for Trust {
    type Err = &'static str;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s {
            "verify" => Ok(Self::Verify),
            "trust" => Ok(Self::Trust),
            _ => Err("must be `verify` or `trust`"),
        }
    }
}
