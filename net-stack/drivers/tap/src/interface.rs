//! [`Interface`]: the kernel's side of the device: up, with an MTU and perhaps addresses.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use hemi_net::{Cidr, wire::MacAddr};

use crate::request::Request;

/// The kernel's side of a device.
pub(crate) struct Interface<'a> {
    name: &'a str,
    socket: OwnedFd,
}

impl<'a> Interface<'a> {
    pub(crate) fn new(name: &'a str) -> io::Result<Self> {
        Ok(Self { name, socket: socket(libc::AF_INET)? })
    }

    fn ask(&self, what: libc::Ioctl) -> io::Result<Request> {
        let mut request = Request::new(self.name)?;
        request.ioctl(&self.socket, what)?;
        Ok(request)
    }

    /// Its address, which ours must differ from.
    pub(crate) fn mac(&self) -> io::Result<MacAddr> {
        let octets = self.ask(libc::SIOCGIFHWADDR)?.address().sa_data;
        Ok(MacAddr(std::array::from_fn(|i| octets[i] as u8)))
    }

    /// Set what is not so already: who may use a device that was made for him may not be allowed to change it.
    pub(crate) fn set_mtu(&self, mtu: u16) -> io::Result<()> {
        let mut request = self.ask(libc::SIOCGIFMTU)?;
        if request.number() == i32::from(mtu) {
            return Ok(());
        }
        request.set_number(mtu.into());
        request.ioctl(&self.socket, libc::SIOCSIFMTU)
    }

    pub(crate) fn bring_up(&self) -> io::Result<()> {
        let mut request = self.ask(libc::SIOCGIFFLAGS)?;
        let up = libc::IFF_UP as libc::c_short;
        if request.flags() & up != 0 {
            return Ok(());
        }
        request.set_flags(request.flags() | up);
        request.ioctl(&self.socket, libc::SIOCSIFFLAGS)
    }

    /// Give the kernel an address on it.
    pub(crate) fn add_address(&self, cidr: Cidr) -> io::Result<()> {
        match cidr.address {
            IpAddr::V4(address) => self.add_v4(address, cidr.prefix),
            IpAddr::V6(address) => self.add_v6(address, cidr.prefix),
        }
    }

    fn add_v4(&self, address: Ipv4Addr, prefix: u8) -> io::Result<()> {
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
        for (what, octets) in
            [(libc::SIOCSIFADDR, address.octets()), (libc::SIOCSIFNETMASK, mask.to_be_bytes())]
        {
            let mut request = Request::new(self.name)?;
            request.set_ipv4(octets);
            request.ioctl(&self.socket, what)?;
        }
        Ok(())
    }

    fn add_v6(&self, address: Ipv6Addr, prefix: u8) -> io::Result<()> {
        // Nobody but us is on this link: no need to wait until it has asked around. Where it can't be said it waits.
        let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{}/accept_dad", self.name), "0");
        let request = libc::in6_ifreq {
            ifr6_addr: libc::in6_addr { s6_addr: address.octets() },
            ifr6_prefixlen: prefix.into(),
            ifr6_ifindex: self.ask(libc::SIOCGIFINDEX)?.number(),
        };
        let socket = socket(libc::AF_INET6)?;
        // SAFETY: reads one in6_ifreq.
        match unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFADDR, &raw const request) } {
            0.. => Ok(()),
            _ => match io::Error::last_os_error() {
                e if e.raw_os_error() == Some(libc::EEXIST) => Ok(()),
                e => Err(e),
            },
        }
    }
}

/// A socket to ask with.
fn socket(family: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: no pointers; the new descriptor is owned by nobody else.
    unsafe {
        match libc::socket(family, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(OwnedFd::from_raw_fd(fd)),
        }
    }
}
