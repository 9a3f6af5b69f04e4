//! `Endpoint`s and socket addresses.

use std::path::PathBuf;

use hemi_queue::{Error, Result, transport::Endpoint};
use socket2::{Domain, SockAddr};

/// The kernel's address and family for an endpoint.
pub(crate) fn to_sock(at: &Endpoint) -> Result<(Domain, SockAddr)> {
    match at {
        Endpoint::Ip(a) => Ok((Domain::for_address(*a), SockAddr::from(*a))),
        Endpoint::Unix(path) => {
            let addr = SockAddr::unix(path).map_err(|e| Error::io("address", path.display(), e))?;
            Ok((Domain::UNIX, addr))
        }
        _ => Err(Error::unsupported(
            "an address that is a name",
            "kernel",
            "use an IP address and port, or a Unix path",
        )),
    }
}

pub(crate) fn from_sock(a: &SockAddr) -> Endpoint {
    if let Some(ip) = a.as_socket() {
        return Endpoint::Ip(ip);
    }
    Endpoint::Unix(a.as_pathname().map(PathBuf::from).unwrap_or_default())
}
