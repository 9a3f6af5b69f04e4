//! The AF_XDP socket: its memory told, its rings mapped, bound to one receive queue.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use hemi_link::{Interface, get_option, set_int, set_option};
use hemi_queue::{Error, Result};

use crate::{
    attachment::not_permitted,
    ring::{Rings, Sizes},
    umem::Umem,
};

/// An AF_XDP socket.
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

/// A socket for receive queue `number` of `interface`, with its frames in `umem`.
pub(crate) fn open(interface: &Interface, umem: &Umem, number: u32) -> Result<(Socket, Rings)> {
    let name = &interface.name;
    // SAFETY: no pointers.
    let fd = unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        let e = io::Error::last_os_error();
        return Err(not_permitted("open an AF_XDP socket on", name, e));
    }
    // SAFETY: new, and owned by nobody else.
    let socket = Socket(unsafe { OwnedFd::from_raw_fd(fd) });
    let rings = configure(&socket, umem).map_err(|e| match e.raw_os_error() {
        Some(libc::ENOBUFS) => {
            Error::io("register memory with", format_args!("{name} (raise `ulimit -l`)"), e)
        }
        _ => Error::io("set up the rings of", name, e),
    })?;
    bind(&socket, interface, number).map_err(|e| match e.raw_os_error() {
        Some(libc::EBUSY) => {
            Error::io("bind to", format_args!("{name} (another socket has its receive queue {number})"), e)
        }
        Some(libc::EINVAL) => {
            Error::io("bind to", format_args!("{name} (has it a receive queue {number}?)"), e)
        }
        _ => not_permitted("bind to", name, e),
    })?;
    Ok((socket, rings))
}

fn configure(socket: &Socket, umem: &Umem) -> io::Result<Rings> {
    let fd = socket.as_fd();
    let shape = umem.shape;
    let memory = libc::xdp_umem_reg {
        addr: umem.base().as_ptr().expose_provenance() as u64,
        len: shape.bytes() as u64,
        chunk_size: shape.chunk as u32,
        headroom: 0,
        flags: 0,
        tx_metadata_len: 0,
    };
    // SAFETY: the option takes an xdp_umem_reg. The memory that it names is kept by the device for longer than the socket, and the kernel
    // writes only to chunks that are in the fill ring.
    unsafe { set_option(fd, libc::SOL_XDP, libc::XDP_UMEM_REG, &memory)? };
    let size = |n: usize| n.next_power_of_two() as u32;
    let sizes = Sizes { receive: size(shape.received), transmit: size(shape.sent) };
    for (ring, entries) in [
        (libc::XDP_UMEM_FILL_RING, sizes.receive),
        (libc::XDP_UMEM_COMPLETION_RING, sizes.transmit),
        (libc::XDP_RX_RING, sizes.receive),
        (libc::XDP_TX_RING, sizes.transmit),
    ] {
        set_int(fd, libc::SOL_XDP, ring, entries as i32)?;
    }
    // SAFETY: all zeroes is a valid value: integers only.
    let mut offsets: libc::xdp_mmap_offsets = unsafe { std::mem::zeroed() };
    // SAFETY: integers only. (A kernel before 5.4 writes less, without the flags; it is refused at the bind.)
    unsafe { get_option(fd, libc::SOL_XDP, libc::XDP_MMAP_OFFSETS, &mut offsets)? };
    Rings::map(fd, &offsets, sizes)
}

fn bind(socket: &Socket, interface: &Interface, number: u32) -> io::Result<()> {
    let at = libc::sockaddr_xdp {
        sxdp_family: libc::AF_XDP as u16,
        // Without XDP_COPY or XDP_ZEROCOPY, the kernel takes the better one that the driver has.
        sxdp_flags: libc::XDP_USE_NEED_WAKEUP,
        sxdp_ifindex: interface.index,
        sxdp_queue_id: number,
        sxdp_shared_umem_fd: 0,
    };
    let len = size_of_val(&at) as libc::socklen_t;
    // SAFETY: the address is a local of the length given.
    let r = unsafe { libc::bind(socket.as_raw_fd(), (&raw const at).cast(), len) };
    if r < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

impl Socket {
    /// Tell the kernel that there is something to send.
    pub(crate) fn kick_transmit(&self) -> io::Result<()> {
        // SAFETY: no bytes and no address.
        let r = unsafe {
            libc::sendto(self.as_raw_fd(), std::ptr::null(), 0, libc::MSG_DONTWAIT, std::ptr::null(), 0)
        };
        if r < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Tell the kernel that there is room to receive into.
    pub(crate) fn kick_receive(&self) {
        // SAFETY: no bytes and no address. The answer tells nothing: it is not how errors of receiving are told.
        unsafe {
            let null = std::ptr::null_mut();
            libc::recvfrom(self.as_raw_fd(), null, 0, libc::MSG_DONTWAIT, null.cast(), null.cast());
        }
    }
}
