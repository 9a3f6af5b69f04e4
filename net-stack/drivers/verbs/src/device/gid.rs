//! Which port of a device an IP address belongs to: its RoCE v2 GID table.

use std::net::{IpAddr, Ipv6Addr};

use super::Device;
use crate::{
    error::{VerbsError, list},
    sys::{IBV_GID_TYPE_ROCE_V2, IBV_LINK_LAYER_ETHERNET, ibv_gid_entry},
};

/// More than any device we know of has in use.
const MOST: usize = 256;

/// The port whose GID table has a RoCE v2 entry for every one of `ips`, or any where there is none to look for. On InfiniBand, where GIDs are no addresses, the first port: IPoIB finds
/// the way.
pub(super) fn port_of(device: &Device, ips: &[IpAddr]) -> Result<u8, VerbsError> {
    let empty = ibv_gid_entry {
        gid: crate::sys::ibv_gid { raw: [0; 16] },
        gid_index: 0,
        port_num: 0,
        gid_type: 0,
        ndev_ifindex: 0,
    };
    let mut table = vec![empty; MOST];
    let size = size_of::<ibv_gid_entry>();
    // SAFETY: an open context and room for `MOST` entries of this size.
    let n =
        unsafe { (device.rdma.verbs.query_gid_table)(device.context(), table.as_mut_ptr(), MOST, 0, size) };
    // An old kernel cannot list them; the connection manager then finds out itself.
    let known = usize::try_from(n).unwrap_or(0);
    if n < 0 || device.port_attr(1)?.link_layer != IBV_LINK_LAYER_ETHERNET {
        return Ok(1);
    }
    let v2 = || table[..known].iter().filter(|entry| entry.gid_type == IBV_GID_TYPE_ROCE_V2);
    let none = |ip| VerbsError::NoGid {
        device: device.name.clone(),
        ip,
        have: list(v2().map(|entry| address(entry.gid.raw))),
    };
    let mut port = None;
    for &ip in ips {
        let entry = v2().find(|entry| address(entry.gid.raw) == ip).ok_or_else(|| none(ip))?;
        if *port.get_or_insert(entry.port_num) != entry.port_num {
            return Err(none(ip)); // on another port than the first
        }
    }
    Ok(port.and_then(|port| u8::try_from(port).ok()).unwrap_or(1))
}

/// RoCE v2 GIDs are IPv6 addresses, IPv4 ones mapped.
fn address(gid: [u8; 16]) -> IpAddr {
    Ipv6Addr::from(gid).to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gid_reads_as_the_address_that_it_stands_for() {
        let mut gid = [0; 16];
        gid[10..].copy_from_slice(&[0xff, 0xff, 10, 0, 0, 1]);
        assert_eq!(address(gid), IpAddr::from([10, 0, 0, 1]));
        gid[0] = 0xfe;
        assert!(address(gid).is_ipv6());
    }
}
