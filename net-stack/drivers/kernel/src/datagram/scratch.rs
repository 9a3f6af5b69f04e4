//! Receiving several datagrams with one system call.
//!
//! The kernel writes into fixed slots, each as large as a datagram can be; what came is copied into pooled buffers of its
//! size. So a datagram is never truncated for want of room in a receive buffer, a small one pins little, and an application
//! that holds on to datagrams cannot take the slots.

use std::{
    mem::zeroed,
    net::{Ipv4Addr, SocketAddr},
    os::fd::RawFd,
};

use hemi_queue::transport::Endpoint;
use socket2::{SockAddr, SockAddrStorage};

use crate::{
    addr,
    sys::{Errno, NO_IOVEC, errno},
};

/// Datagrams per call.
pub(super) const BURST: usize = 8;
/// The largest datagram: more than UDP can carry.
pub(super) const LARGEST: usize = 64 << 10;

pub(crate) struct Scratch {
    /// Zeroed and not touched before use: untouched pages take no memory.
    bytes: Vec<u8>,
    names: [libc::sockaddr_storage; BURST],
    vecs: [libc::iovec; BURST],
    headers: [libc::mmsghdr; BURST],
}

/// One datagram: its sender, its bytes, or its length if it was longer than [`LARGEST`].
pub(super) struct Arrived<'a> {
    pub(super) from: Endpoint,
    pub(super) bytes: Result<&'a [u8], usize>,
}

impl Scratch {
    pub(crate) fn new() -> Box<Self> {
        Box::new(Self {
            bytes: vec![0; BURST * LARGEST],
            // SAFETY: all zeroes is a valid address storage: AF_UNSPEC.
            names: unsafe { zeroed() },
            vecs: [NO_IOVEC; BURST],
            // SAFETY: all zeroes is a valid header: null pointers with zero lengths.
            headers: unsafe { zeroed() },
        })
    }

    /// Take one datagram: cheaper than a burst of one.
    #[inline]
    pub(super) fn receive_one(&mut self, fd: RawFd, each: impl FnOnce(Arrived<'_>)) -> Result<usize, Errno> {
        let slot = &mut self.bytes[..LARGEST];
        let name = &mut self.names[0];
        let mut name_len = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
        // SAFETY: the slot, the name and its length are ours, of the lengths given, for the whole call.
        let n = unsafe {
            let name = std::ptr::from_mut(name).cast();
            libc::recvfrom(fd, slot.as_mut_ptr().cast(), slot.len(), flags, name, &raw mut name_len)
        };
        if n < 0 {
            return Err(errno());
        }
        let n = n as usize;
        // With MSG_TRUNC the result is the datagram's whole length.
        let bytes = if n > LARGEST { Err(n) } else { Ok(&slot[..n]) };
        each(Arrived { from: endpoint(name, name_len), bytes });
        Ok(1)
    }

    /// Take what has arrived, at most a burst, and show each to `each`. Returns how many.
    pub(super) fn receive(&mut self, fd: RawFd, mut each: impl FnMut(Arrived<'_>)) -> Result<usize, Errno> {
        let slots = self.bytes.chunks_exact_mut(LARGEST);
        for (((slot, vec), name), header) in
            slots.zip(&mut self.vecs).zip(&mut self.names).zip(&mut self.headers)
        {
            *vec = libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: LARGEST };
            header.msg_hdr.msg_name = std::ptr::from_mut(name).cast();
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_hdr.msg_iov = vec;
            header.msg_hdr.msg_iovlen = 1;
        }
        let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
        // SAFETY: the headers, names, vectors and slots are this object's own, of the lengths given, for the whole call.
        let n = unsafe {
            libc::recvmmsg(fd, self.headers.as_mut_ptr(), BURST as u32, flags as _, std::ptr::null_mut())
        };
        if n < 0 {
            return Err(errno());
        }
        let n = n as usize;
        for at in 0..n {
            let header = &self.headers[at];
            let len = header.msg_len as usize;
            let bytes = if header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 || len > LARGEST {
                Err(len)
            } else {
                Ok(&self.bytes[at * LARGEST..at * LARGEST + len])
            };
            each(Arrived { from: endpoint(&self.names[at], header.msg_hdr.msg_namelen), bytes });
        }
        Ok(n)
    }
}

#[inline]
fn endpoint(name: &libc::sockaddr_storage, len: libc::socklen_t) -> Endpoint {
    if i32::from(name.ss_family) == libc::AF_INET {
        // SAFETY: the family says that this is a `sockaddr_in`, which is smaller and less aligned than the storage.
        let v4 = unsafe { &*std::ptr::from_ref(name).cast::<libc::sockaddr_in>() };
        let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
        return Endpoint::Ip(SocketAddr::from((ip, u16::from_be(v4.sin_port))));
    }
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: `sockaddr_storage` is the type that `SockAddrStorage` stands for.
    unsafe { *storage.view_as::<libc::sockaddr_storage>() = *name };
    // SAFETY: filled by the kernel with an address of this length.
    addr::from_sock(&unsafe { SockAddr::new(storage, len) })
}
