//! The URI parameters that every user-level transport knows, parsed into a stack's configuration.

use std::{net::IpAddr, time::Duration};

use hemi_net::{Caps, Cidr, Route, StackConfig, TcpConfig, tcp::Algorithm, wire::MacAddr};
use hemi_queue::{Span, Uri, UriError};

use crate::values::{Flag, Size};

/// Take the stack's parameters out of `uri`.
pub(crate) fn stack(uri: &Uri, caps: &Caps) -> Result<StackConfig, UriError> {
    let mut config = StackConfig::with_addresses(addresses(uri, caps.mac)?);
    config.routes = routes(uri, &config.addresses)?;
    if let Some(Flag(on)) = uri.take("redirects")? {
        config.redirects = on;
    }
    if let Some(Flag(on)) = uri.take("dad")? {
        config.detect_duplicates = on;
    }
    tcp(uri, &mut config.tcp)?;
    if config.tcp.recv_buffer_max < usize::from(caps.mtu) {
        return Err(uri.error("`rcvbuf` is less than one packet; make it 64K or more"));
    }
    Ok(config)
}

fn addresses(uri: &Uri, mac: MacAddr) -> Result<Vec<Cidr>, UriError> {
    let mut all = uri.take_all::<Cidr>("ip")?;
    if all.is_empty() {
        let why = "a user-level stack needs an address of its own; add `ip=ADDRESS/PREFIX`, for example `ip=10.77.0.2/24`";
        return Err(uri.error(why));
    }
    for cidr in &all {
        let unfit = match cidr.address {
            IpAddr::V4(ip) => {
                ip.is_unspecified()
                    || ip.is_loopback()
                    || ip.is_multicast()
                    || ip.is_broadcast()
                    || cidr.broadcast() == Some(ip)
            }
            IpAddr::V6(ip) => ip.is_unspecified() || ip.is_loopback() || ip.is_multicast(),
        };
        if unfit {
            return Err(uri.error(format!("`ip={cidr}`: a host can't have this address")));
        }
    }
    // RFC 4291 section 2.1: All interfaces are required to have at least one Link-Local unicast address.
    let v6 = |c: &&Cidr| c.address.is_ipv6();
    let link_local = |c: &Cidr| matches!(c.address, IpAddr::V6(ip) if ip.is_unicast_link_local());
    if all.iter().any(|c| v6(&c)) && !all.iter().any(link_local) {
        all.push(Cidr::link_local(mac));
    }
    Ok(all)
}

fn routes(uri: &Uri, addresses: &[Cidr]) -> Result<Vec<Route>, UriError> {
    let mut routes: Vec<Route> = Vec::new();
    for gateway in uri.take_all::<IpAddr>("gw")? {
        if !addresses.iter().any(|c| c.contains(gateway)) {
            let why = "a gateway must be in the network of one of the `ip=` addresses";
            return Err(uri.error(format!("`gw={gateway}`: {why}")));
        }
        let everywhere = match gateway {
            IpAddr::V4(_) => Cidr::new([0; 4], 0),
            IpAddr::V6(_) => Cidr::new([0_u16; 8], 0),
        };
        if routes.iter().any(|r| r.network == everywhere) {
            return Err(uri.error("`gw` is given twice for one family; there is one default route for each"));
        }
        routes.push(Route { network: everywhere, gateway });
    }
    Ok(routes)
}

fn tcp(uri: &Uri, tcp: &mut TcpConfig) -> Result<(), UriError> {
    if let Some(congestion) = uri.take::<Algorithm>("cc")? {
        tcp.congestion = congestion;
    }
    if let Some(rto) = span(uri, "rto_min", Duration::from_millis(1), tcp.rto_max)? {
        tcp.rto_min = rto;
    }
    if let Some(time) = span(uri, "time_wait", Duration::ZERO, Duration::from_secs(600))? {
        tcp.time_wait = time;
    }
    // RFC 9293, MUST-59: within 0.5 seconds.
    if let Some(delay) = span(uri, "delayed_ack", Duration::ZERO, Duration::from_millis(500))? {
        tcp.delayed_ack = delay;
    }
    if let Some(Flag(on)) = uri.take("ecn")? {
        tcp.ecn = on;
    }
    if let Some(Flag(on)) = uri.take("pacing")? {
        tcp.pacing = on;
    }
    if let Some(pending) = uri.take::<u16>("fast_open")? {
        tcp.fast_open = pending.into();
    }
    if let Some(bytes) = buffer(uri, "sndbuf")? {
        tcp.send_buffer = bytes;
    }
    if let Some(bytes) = buffer(uri, "rcvbuf")? {
        tcp.recv_buffer_max = bytes;
        tcp.recv_buffer = tcp.recv_buffer.min(bytes);
    }
    Ok(())
}

fn span(uri: &Uri, key: &'static str, least: Duration, most: Duration) -> Result<Option<Duration>, UriError> {
    match uri.take::<Span>(key)? {
        Some(Span(d)) if d < least || d > most => {
            Err(uri.error(format!("`{key}={d:?}`: choose something between {least:?} and {most:?}")))
        }
        other => Ok(other.map(|s| s.0)),
    }
}

fn buffer(uri: &Uri, key: &'static str) -> Result<Option<usize>, UriError> {
    const LEAST: usize = 4 << 10;
    const MOST: usize = 1 << 30;
    match uri.take::<Size>(key)? {
        Some(Size(n)) if !(LEAST..=MOST).contains(&n) => {
            Err(uri.error(format!("`{key}={n}`: choose something between 4K and 1G")))
        }
        other => Ok(other.map(|s| s.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<StackConfig, String> {
        let uri: Uri = text.parse().map_err(|e: UriError| e.to_string())?;
        let config = stack(&uri, &Caps::ethernet(MacAddr([2, 0, 0, 0, 0, 1]))).map_err(|e| e.to_string())?;
        uri.finish().map_err(|e| e.to_string())?;
        Ok(config)
    }

    #[test]
    fn everything_that_can_be_said() {
        let config = parse(
            "tap:x?ip=10.0.0.2/24&ip=fd00::2/64&gw=10.0.0.1&gw=fd00::1&cc=newreno&rto_min=5ms&time_wait=1s&ecn&pacing=on\
             &sndbuf=2M&rcvbuf=64K&delayed_ack=1ms&dad=1&redirects=off&fast_open=100",
        )
        .unwrap();
        let addresses: Vec<_> = config.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["10.0.0.2/24", "fd00::2/64", "fe80::ff:fe00:1/64"]);
        assert_eq!((config.routes.len(), config.detect_duplicates, config.redirects), (2, true, false));
        let tcp = &config.tcp;
        assert_eq!((tcp.congestion, tcp.ecn, tcp.pacing), (Algorithm::NewReno, true, true));
        assert_eq!((tcp.rto_min, tcp.time_wait), (Duration::from_millis(5), Duration::from_secs(1)));
        assert_eq!((tcp.send_buffer, tcp.recv_buffer_max), (2 << 20, 64 << 10));
        assert_eq!(tcp.fast_open, 100);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (bad, says) in [
            ("tap:x", "ip=ADDRESS/PREFIX"),
            ("tap:x?ip=10.0.0.2", "prefix length"),
            ("tap:x?ip=10.0.0.255/24", "can't have this address"),
            ("tap:x?ip=127.0.0.1/8", "can't have this address"),
            ("tap:x?ip=10.0.0.2/24&gw=10.0.1.1", "must be in the network"),
            ("tap:x?ip=10.0.0.2/24&gw=10.0.0.1&gw=10.0.0.3", "twice"),
            ("tap:x?ip=10.0.0.2/24&cc=bbr", "cubic"),
            ("tap:x?ip=10.0.0.2/24&rto_min=10us", "between 1ms and 60s"),
            ("tap:x?ip=10.0.0.2/24&sndbuf=1", "between 4K and 1G"),
            ("tap:x?ip=10.0.0.2/24&speed=9", "knows: cc, dad, delayed_ack, ecn, fast_open, gw, ip, pacing"),
        ] {
            let why = parse(bad).unwrap_err();
            assert!(why.contains(says), "{bad}: {why}");
        }
    }
}
