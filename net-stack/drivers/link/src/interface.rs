//! [`Interface`]: found by name, with what a driver must know of it.

use std::{
    ffi::CStr,
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use hemi_net::wire::MacAddr;
use hemi_queue::{Error, Result, Uri};

/// A network interface as it was when it was looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its number, which survives a renaming.
    pub index: u32,
    /// Its address.
    pub mac: MacAddr,
    /// The largest IP packet it carries.
    pub mtu: u32,
}

impl Interface {
    /// The interface that is the path of `uri`.
    ///
    /// # Errors
    /// [`Uri`](Error::Uri) when there is none of that name (with those that there are), when it is down, or not Ethernet.
    pub fn of(uri: &Uri) -> Result<Self> {
        let name = uri.path();
        if name.is_empty() {
            let example = names().into_iter().find(|n| n != "lo").unwrap_or_else(|| "eth0".to_owned());
            let why = format!("name an interface, for example `{}:{example}`; {}", uri.scheme(), there_are());
            return Err(uri.error(why).into());
        }
        let socket = control_socket().map_err(|e| Error::io("look up interface", name, e))?;
        let Some(mut request) = request_for(name) else {
            return Err(uri.error(format!("`{name}` is longer than an interface's name")).into());
        };
        let index = match ioctl(&socket, libc::SIOCGIFINDEX, &mut request) {
            // SAFETY: the request that succeeded fills this member.
            Ok(()) => unsafe { request.ifr_ifru.ifru_ifindex },
            Err(e) if e.raw_os_error() == Some(libc::ENODEV) => {
                return Err(uri.error(format!("there is no interface `{name}`; {}", there_are())).into());
            }
            Err(e) => return Err(Error::io("look up interface", name, e)),
        };
        let fail = |e| Error::io("look up interface", name, e);
        if !is_up(&socket, name).map_err(fail)? {
            return Err(uri.error(format!("`{name}` is down; `ip link set {name} up` first")).into());
        }
        ioctl(&socket, libc::SIOCGIFHWADDR, &mut request).map_err(fail)?;
        // SAFETY: as above.
        let address = unsafe { request.ifr_ifru.ifru_hwaddr };
        if ![libc::ARPHRD_ETHER, libc::ARPHRD_LOOPBACK].contains(&address.sa_family) {
            let why = format!("`{name}` is not an Ethernet interface (its type is {})", address.sa_family);
            return Err(uri.error(why).into());
        }
        let mut mac = MacAddr::default();
        for (octet, &c) in mac.0.iter_mut().zip(&address.sa_data) {
            *octet = c as u8;
        }
        ioctl(&socket, libc::SIOCGIFMTU, &mut request).map_err(fail)?;
        // SAFETY: as above.
        let mtu = unsafe { request.ifr_ifru.ifru_mtu };
        Ok(Self { name: name.to_owned(), index: index as u32, mac, mtu: mtu.max(0) as u32 })
    }

    /// The MTU that a stack on this interface has: the parameter `mtu=`, no more than the interface's and `most`.
    ///
    /// # Errors
    /// [`Uri`](Error::Uri) for more than that, and for less than IPv4's least, 576 (RFC 791).
    pub fn mtu_for(&self, uri: &Uri, most: u32) -> Result<u16> {
        let limit = self.mtu.min(most).min(u32::from(u16::MAX));
        let Some(wanted) = uri.take::<u32>("mtu")? else { return Ok(limit as u16) };
        if wanted > limit {
            let whose = if limit == self.mtu { &self.name } else { "this driver" };
            return Err(uri.error(format!("mtu={wanted} is more than {whose} carries ({limit})")).into());
        }
        if wanted < 576 {
            return Err(uri.error(format!("mtu={wanted} is less than 576, which IPv4 needs")).into());
        }
        Ok(wanted as u16)
    }

    /// How many receive queues the interface spreads its frames over; `None` when its driver does not say.
    pub fn receive_queues(&self) -> Option<u32> {
        /// `struct ethtool_channels` (linux/ethtool.h).
        #[repr(C)]
        #[derive(Default)]
        struct Channels {
            cmd: u32,
            max: [u32; 4],
            rx: u32,
            tx: u32,
            other: u32,
            combined: u32,
        }
        const ETHTOOL_GCHANNELS: u32 = 0x3c;
        let mut channels = Channels { cmd: ETHTOOL_GCHANNELS, ..Channels::default() };
        let mut request = request_for(&self.name)?;
        request.ifr_ifru.ifru_data = (&raw mut channels).cast();
        ioctl(&control_socket().ok()?, libc::SIOCETHTOOL, &mut request).ok()?;
        Some(channels.rx + channels.combined)
    }
}

/// `there are lo, eth0`.
fn there_are() -> String {
    match &names()[..] {
        [] => "this network namespace has none".to_owned(),
        names => format!("there are {}", names.join(", ")),
    }
}

/// The names of all interfaces in this network namespace.
fn names() -> Vec<String> {
    let mut names = Vec::new();
    // SAFETY: the list is freed below, after its last use.
    let list = unsafe { libc::if_nameindex() };
    let mut at = list;
    // SAFETY: the list ends with an entry whose index is 0; until then each has a name that ends with 0.
    unsafe {
        while !at.is_null() && (*at).if_index != 0 {
            names.push(CStr::from_ptr((*at).if_name).to_string_lossy().into_owned());
            at = at.add(1);
        }
        if !list.is_null() {
            libc::if_freenameindex(list);
        }
    }
    names
}

/// A socket for questions about interfaces.
pub(crate) fn control_socket() -> io::Result<OwnedFd> {
    // SAFETY: no pointers; the new descriptor is owned by nobody else.
    unsafe {
        match libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(OwnedFd::from_raw_fd(fd)),
        }
    }
}

/// A request about `name`; `None` when it is too long for one.
fn request_for(name: &str) -> Option<libc::ifreq> {
    // SAFETY: all zeroes is a valid ifreq: an empty name, null pointers.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.len() >= request.ifr_name.len() {
        return None;
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    Some(request)
}

fn ioctl(socket: &OwnedFd, what: libc::Ioctl, request: &mut libc::ifreq) -> io::Result<()> {
    // SAFETY: every request used in this crate reads and writes one ifreq, and what its pointer names, set by the caller.
    if unsafe { libc::ioctl(socket.as_raw_fd(), what, std::ptr::from_mut(request)) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Whether the interface is administratively up.
pub(crate) fn is_up(socket: &OwnedFd, name: &str) -> io::Result<bool> {
    Ok(flags(socket, name)? & libc::IFF_UP != 0)
}

/// Its flags (`IFF_UP`, ...).
pub(crate) fn flags(socket: &OwnedFd, name: &str) -> io::Result<i32> {
    let mut request = request_for(name).ok_or(io::ErrorKind::InvalidInput)?;
    ioctl(socket, libc::SIOCGIFFLAGS, &mut request)?;
    // SAFETY: the request that succeeded fills this member.
    Ok(i32::from(unsafe { request.ifr_ifru.ifru_flags }))
}

/// The name that the interface of number `index` has now.
pub(crate) fn name_of(socket: &OwnedFd, index: u32) -> io::Result<String> {
    // SAFETY: all zeroes is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_ifru.ifru_ifindex = index as i32;
    ioctl(socket, libc::SIOCGIFNAME, &mut request)?;
    let name = request.ifr_name.map(|c| c as u8);
    Ok(String::from_utf8_lossy(name.split(|&c| c == 0).next().unwrap_or_default()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(uri: &str) -> Result<Interface> {
        Interface::of(&uri.parse().unwrap())
    }

    #[test]
    fn loopback_is_found() {
        let lo = match find("packet:lo") {
            Ok(lo) => lo,
            Err(e) => hemi_skip::skip!("no loopback interface that is up: {e}"),
        };
        assert_eq!((&lo.name[..], lo.mac), ("lo", MacAddr([0; 6])));
        assert!(lo.mtu >= 1500);
        let socket = control_socket().unwrap();
        assert_eq!(name_of(&socket, lo.index).unwrap(), "lo");
        assert!(is_up(&socket, "lo").unwrap());
    }

    #[test]
    fn a_wrong_name_is_answered_with_the_right_ones() {
        let e = find("packet:hemi-none").unwrap_err().to_string();
        assert!(e.contains("no interface `hemi-none`") && e.contains("there are "), "{e}");
        let e = find("xdp:").unwrap_err().to_string();
        assert!(e.contains("name an interface, for example `xdp:"), "{e}");
        let e = find("packet:a-name-of-more-than-fifteen-letters").unwrap_err().to_string();
        assert!(e.contains("longer than an interface's name"), "{e}");
    }

    #[test]
    fn an_mtu_is_checked() {
        let eth = Interface { name: "eth7".into(), index: 7, mac: MacAddr([2; 6]), mtu: 1500 };
        let mtu = |uri: &str, most| eth.mtu_for(&uri.parse().unwrap(), most);
        assert_eq!(mtu("packet:eth7", 9000).unwrap(), 1500);
        assert_eq!(mtu("packet:eth7", 1400).unwrap(), 1400);
        assert_eq!(mtu("packet:eth7?mtu=1280", 9000).unwrap(), 1280);
        for (uri, most, says) in [
            ("packet:eth7?mtu=1501", 9000, "more than eth7 carries (1500)"),
            ("packet:eth7?mtu=1450", 1400, "more than this driver carries (1400)"),
            ("packet:eth7?mtu=575", 9000, "IPv4 needs"),
            ("packet:eth7?mtu=big", 9000, "mtu=big"),
        ] {
            let e = mtu(uri, most).unwrap_err().to_string();
            assert!(e.contains(says), "{e}");
        }
    }
}
