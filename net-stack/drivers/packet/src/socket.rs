//! The AF_PACKET socket: opened, told everything, and only then bound, so that no frame comes before its time.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use hemi_link::{Interface, Mapping, Membership, get_option, set_int, set_option, try_set_buffer};
use hemi_net::wire::MacAddr;
use hemi_queue::{Error, Result};

use crate::{filter, ring::RxRing, vnet::VnetHeader};

/// Room that the kernel may queue large frames in before we fetch them, and that frames of ours may take until the interface has them.
const BUFFER: i32 = 4 << 20;

/// An AF_PACKET socket.
#[derive(Debug)]
pub(crate) struct Socket(OwnedFd);

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// A new socket that receives nothing yet.
pub(crate) fn open(interface: &Interface) -> Result<Socket> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no pointers. Protocol 0: nothing is received before the bind.
    let fd = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
    if fd < 0 {
        let e = io::Error::last_os_error();
        let how = match e.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => {
                " (which takes CAP_NET_RAW: be root, or `setcap cap_net_raw+ep PROGRAM`, or use a namespace of your own, `unshare -Urn`)"
            }
            _ => "",
        };
        return Err(Error::io("open an AF_PACKET socket on", format_args!("{}{how}", interface.name), e));
    }
    // SAFETY: new, and owned by nobody else.
    Ok(Socket(unsafe { OwnedFd::from_raw_fd(fd) }))
}

impl Socket {
    /// Set it up for frames to `mac` of IP packets of up to `mtu`, map its ring of about `ring_bytes`, and bind it.
    pub(crate) fn configure(
        &self,
        interface: &Interface,
        mac: MacAddr,
        mtu: u16,
        ring_bytes: usize,
    ) -> Result<RxRing> {
        let fail = |what| {
            let name = &interface.name;
            move |e| Error::io(what, name, e)
        };
        let fd = self.as_fd();
        let packet = |name, value| set_int(fd, libc::SOL_PACKET, name, value);
        packet(libc::PACKET_VERSION, libc::tpacket_versions::TPACKET_V2 as i32)
            .map_err(fail("choose TPACKET_V2 on"))?;
        packet(libc::PACKET_VNET_HDR, 1).map_err(fail("turn PACKET_VNET_HDR on for"))?;
        // The rest of these makes it better where the kernel knows it.
        for (option, value) in [
            (libc::PACKET_QDISC_BYPASS, 1),
            (libc::PACKET_IGNORE_OUTGOING, 1),
            (libc::PACKET_COPY_THRESH, 1), // frames larger than a slot go to the socket's queue
        ] {
            if let Err(e) = packet(option, value) {
                tracing::warn!("{}: the kernel has no AF_PACKET option {option}: {e}", interface.name);
            }
        }
        try_set_buffer(fd, libc::SO_RCVBUFFORCE, libc::SO_RCVBUF, BUFFER);
        try_set_buffer(fd, libc::SO_SNDBUFFORCE, libc::SO_SNDBUF, BUFFER);
        self.attach(&filter::for_station(mac)).map_err(fail("attach a socket filter on"))?;
        Membership::join(fd, interface, mac).map_err(fail("open the address filter of"))?;

        let shape = RingShape::new(mtu, ring_bytes);
        // SAFETY: the option takes a tpacket_req, which names no memory.
        unsafe { set_option(fd, libc::SOL_PACKET, libc::PACKET_RX_RING, &shape.request()) }
            .map_err(fail("set up a receive ring on"))?;
        let mapping = Mapping::of(fd, shape.bytes(), 0).map_err(fail("map the receive ring of"))?;
        let ring = RxRing::new(mapping, shape.slot, shape.slots());
        self.bind(interface).map_err(fail("bind to"))?;
        Ok(ring)
    }

    /// Set it up for frames to `mac`, without a ring and without headers before frames: each read is a frame, each write sends one.
    pub(crate) fn into_bare(self, interface: &Interface, mac: MacAddr) -> io::Result<File> {
        let fd = self.as_fd();
        for option in [libc::PACKET_QDISC_BYPASS, libc::PACKET_IGNORE_OUTGOING] {
            set_int(fd, libc::SOL_PACKET, option, 1)?;
        }
        self.attach(&filter::for_station(mac))?;
        Membership::join(fd, interface, mac)?;
        self.bind(interface)?;
        Ok(File::from(self.0))
    }

    /// Take out the error that the socket has, if any. Whether it means something, the interface's state tells.
    pub(crate) fn forget_error(&self) {
        let mut error: libc::c_int = 0;
        // SAFETY: an integer.
        let _ = unsafe { get_option(self.as_fd(), libc::SOL_SOCKET, libc::SO_ERROR, &mut error) };
    }

    /// Send through the interface's queueing discipline from now on.
    pub(crate) fn use_qdisc(&self) -> io::Result<()> {
        set_int(self.as_fd(), libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, 0)
    }

    fn attach(&self, program: &[libc::sock_filter]) -> io::Result<()> {
        let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut() };
        // SAFETY: the option takes a sock_fprog; the kernel copies the instructions that it names.
        unsafe { set_option(self.as_fd(), libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program) }
    }

    fn bind(&self, interface: &Interface) -> io::Result<()> {
        // SAFETY: all zeroes is a valid address: integers only.
        let mut at: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        at.sll_family = libc::AF_PACKET as u16;
        at.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        at.sll_ifindex = interface.index as i32;
        let len = size_of_val(&at) as libc::socklen_t;
        // SAFETY: the address is a local of the length given.
        let r = unsafe { libc::bind(self.as_raw_fd(), (&raw const at).cast(), len) };
        if r < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// How the ring's memory is cut (Documentation/networking/packet_mmap.rst): blocks of physically contiguous pages, and in each a whole
/// number of slots.
#[derive(Clone, Copy, Debug)]
struct RingShape {
    slot: usize,
    block: usize,
    blocks: usize,
}

impl RingShape {
    /// Bytes before a frame in its slot, at most: the header, an address, alignment, the `virtio_net_hdr`.
    const BEFORE: usize = 96 + VnetHeader::LEN;

    /// Slots that hold a frame of the MTU, up to 16 KiB: larger frames, and those of several packets, come through the socket.
    fn new(mtu: u16, bytes: usize) -> Self {
        let slot = (Self::BEFORE + 18 + usize::from(mtu)).next_power_of_two().clamp(2 << 10, 16 << 10);
        let block = 64 << 10;
        Self { slot, block, blocks: (bytes / block).max(1) }
    }

    fn bytes(self) -> usize {
        self.block * self.blocks
    }

    fn slots(self) -> usize {
        self.bytes() / self.slot
    }

    fn request(self) -> libc::tpacket_req {
        libc::tpacket_req {
            tp_block_size: self.block as u32,
            tp_block_nr: self.blocks as u32,
            tp_frame_size: self.slot as u32,
            tp_frame_nr: self.slots() as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_hold_the_mtu_and_fill_their_blocks() {
        for (mtu, slot) in
            [(576, 2048), (1500, 2048), (1900, 2048), (4000, 8192), (9000, 16384), (65535, 16384)]
        {
            let shape = RingShape::new(mtu, 4 << 20);
            assert_eq!((shape.slot, shape.bytes()), (slot, 4 << 20), "mtu {mtu}");
            assert_eq!(shape.block % shape.slot, 0);
            assert_eq!(shape.slots() * shape.slot, shape.bytes());
        }
        assert_eq!(RingShape::new(1500, 64 << 10).slots(), 32);
    }
}
