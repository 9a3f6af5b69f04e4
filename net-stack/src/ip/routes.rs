//! Routes: connected networks first, then the longest prefix.

use std::net::IpAddr;

use super::{Addresses, Cidr};

/// A way to a network through a gateway on the link. The default route has a prefix of 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The network.
    pub network: Cidr,
    /// Who forwards for it.
    pub gateway: IpAddr,
}

/// The routing table. A handful of entries: a list, longest prefix first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Routes {
    list: Vec<Route>,
}

impl Routes {
    pub(crate) fn add(&mut self, route: Route) {
        let at = self.list.partition_point(|r| r.network.prefix >= route.network.prefix);
        self.list.insert(at, route);
    }

    /// The station on the link to hand a packet for `dst` to.
    pub(crate) fn next_hop(&self, addresses: &Addresses, dst: IpAddr) -> Option<IpAddr> {
        let connected = addresses.iter().any(|c| c.contains(dst))
            || matches!(dst, IpAddr::V6(ip) if ip.is_unicast_link_local() || ip.is_multicast())
            || matches!(dst, IpAddr::V4(ip) if ip.is_broadcast() || ip.is_multicast());
        if connected {
            return Some(dst);
        }
        self.list.iter().find(|r| r.network.contains(dst)).map(|r| r.gateway)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longest_prefix_wins_and_the_link_needs_no_gateway() {
        let ip = |s: &str| s.parse::<IpAddr>().expect("ip");
        let mut addresses = Addresses::default();
        addresses.add("10.0.0.1/24".parse().expect("valid"));
        let mut routes = Routes::default();
        assert_eq!(routes.next_hop(&addresses, ip("8.8.8.8")), None);
        for (network, gateway) in
            [("0.0.0.0/0", "10.0.0.254"), ("10.9.0.0/16", "10.0.0.9"), ("10.9.9.0/24", "10.0.0.99")]
        {
            routes.add(Route { network: network.parse().expect("valid"), gateway: ip(gateway) });
        }
        for (dst, hop) in [
            ("10.0.0.7", "10.0.0.7"),
            ("8.8.8.8", "10.0.0.254"),
            ("10.9.1.1", "10.0.0.9"),
            ("10.9.9.1", "10.0.0.99"),
        ] {
            assert_eq!(routes.next_hop(&addresses, ip(dst)), Some(ip(hop)));
        }
        assert_eq!(routes.next_hop(&addresses, ip("2001:db8::1")), None);
    }
}
