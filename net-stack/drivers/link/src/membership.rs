//! [`Membership`]: frames that an interface's filter would keep from us.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd},
};

use hemi_net::wire::MacAddr;

use crate::{Interface, set_option};

/// An AF_PACKET socket that receives nothing and keeps an interface's filter open for one more MAC address and for all groups,
/// until it is dropped. For drivers that have no such socket of their own.
#[derive(Debug)]
pub struct Membership {
    _socket: OwnedFd,
}

impl Membership {
    /// Open the filter for `mac` and for groups. Takes CAP_NET_RAW.
    pub fn new(interface: &Interface, mac: MacAddr) -> io::Result<Self> {
        // SAFETY: no pointers. Protocol 0: it is never given a frame.
        let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: new, and owned by nobody else.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        Self::join(socket.as_fd(), interface, mac)?;
        Ok(Self { _socket: socket })
    }

    /// The same with an AF_PACKET socket that there is already; its membership ends when it is closed.
    ///
    /// For an address that is not the interface's, the kernel asks the device to filter for it as well, and turns promiscuous mode
    /// on where the device cannot. Groups: IPv6 asks for its neighbours by multicast (RFC 4861).
    pub fn join(socket: BorrowedFd<'_>, interface: &Interface, mac: MacAddr) -> io::Result<()> {
        let mut address = [0; 8];
        address[..6].copy_from_slice(&mac.0);
        let request = |kind: i32| libc::packet_mreq {
            mr_ifindex: interface.index as i32,
            mr_type: kind as u16,
            mr_alen: 6,
            mr_address: address,
        };
        // SAFETY: the option takes a packet_mreq, which names no memory.
        let add =
            |request| unsafe { set_option(socket, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &request) };
        if mac != interface.mac {
            add(request(libc::PACKET_MR_UNICAST))?;
        }
        add(request(libc::PACKET_MR_ALLMULTI))
    }
}
