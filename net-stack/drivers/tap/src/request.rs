//! [`Request`]: what `ioctl` is asked about an interface by name.

use std::{io, os::fd::AsRawFd};

/// A `struct ifreq`.
pub(crate) struct Request(libc::ifreq);

impl Request {
    pub(crate) fn new(name: &str) -> io::Result<Self> {
        // SAFETY: all zeroes is a valid ifreq: an empty name, null pointers.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        if name.len() >= request.ifr_name.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the name is too long for an interface"));
        }
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *to = from as libc::c_char;
        }
        Ok(Self(request))
    }

    /// Ask. `what` is a request that takes an ifreq and no pointer in it.
    pub(crate) fn ioctl(&mut self, on: &impl AsRawFd, what: libc::Ioctl) -> io::Result<()> {
        // SAFETY: reads and writes one ifreq.
        match unsafe { libc::ioctl(on.as_raw_fd(), what, &raw mut self.0) } {
            0.. => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    pub(crate) fn flags(&self) -> libc::c_short {
        // SAFETY: every member is valid for any bytes.
        unsafe { self.0.ifr_ifru.ifru_flags }
    }

    pub(crate) fn set_flags(&mut self, flags: libc::c_short) {
        self.0.ifr_ifru.ifru_flags = flags;
    }

    /// The MTU or the index.
    pub(crate) fn number(&self) -> libc::c_int {
        // SAFETY: as above.
        unsafe { self.0.ifr_ifru.ifru_mtu }
    }

    pub(crate) fn set_number(&mut self, number: libc::c_int) {
        self.0.ifr_ifru.ifru_mtu = number;
    }

    pub(crate) fn address(&self) -> libc::sockaddr {
        // SAFETY: as above.
        unsafe { self.0.ifr_ifru.ifru_addr }
    }

    /// An IPv4 address, in network byte order.
    pub(crate) fn set_ipv4(&mut self, octets: [u8; 4]) {
        // struct sockaddr_in: two bytes of port before the address.
        let mut data = [0; 14];
        for (to, from) in data[2..6].iter_mut().zip(octets) {
            *to = from as libc::c_char;
        }
        self.0.ifr_ifru.ifru_addr =
            libc::sockaddr { sa_family: libc::AF_INET as libc::sa_family_t, sa_data: data };
    }
}
