//! [`Params`]: what an `rdma:` URI says.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::RangeInclusive,
    str::FromStr,
    time::Duration,
};

use hemi_queue::{Error, Result, Span, Uri, UriError};
use hemi_rdma::{Config, MAX_WINDOW, MIN_BUFFER, MIN_WINDOW, Work};

use crate::{
    device::qp::{Capacity, Patience},
    error::VerbsError,
};

/// How the transport was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Params {
    pub(crate) device: String,
    /// Addresses of this end, each with a GID; none: whatever the system's routes say.
    pub(crate) ips: Vec<IpAddr>,
    /// Receive buffers in the shared queue, at most.
    pub(crate) recv: usize,
    /// Completions that the queue has room for.
    pub(crate) completions: usize,
    pub(crate) patience: Patience,
    /// The URI says how large receive buffers are, and how many RDMA READs there may be.
    said: (bool, bool),
    /// For every connection; socket options add theirs.
    pub(crate) conn: Config,
}

/// Bytes as people write them: K, M, G are powers of 1024.
struct Size(u64);

impl FromStr for Size {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WHAT: &str = "write bytes, with K, M or G for powers of 1024, for example `16K`";
        let (digits, shift) = match text.as_bytes().last() {
            Some(b'k' | b'K') => (&text[..text.len() - 1], 10),
            Some(b'm' | b'M') => (&text[..text.len() - 1], 20),
            Some(b'g' | b'G') => (&text[..text.len() - 1], 30),
            _ => (text, 0),
        };
        let number: u64 = digits.parse().map_err(|_| WHAT)?;
        number.checked_mul(1 << shift).map(Self).ok_or(WHAT)
    }
}

impl Params {
    pub(crate) fn take(uri: &Uri) -> Result<Self, UriError> {
        let ips = uri.take_all::<IpAddr>("ip")?;
        if let Some(bad) = ips.iter().find(|ip| ip.is_unspecified() || ip.is_multicast()) {
            return Err(uri.error(format!("`ip={bad}`: give an address of the interface below the device")));
        }
        let mut conn = Config {
            inline: 256,
            max_sge: 8,
            keep_alive: Some(Duration::from_secs(15)),
            ..Config::default()
        };
        let buffer_said = uri.take::<String>("buffer")?;
        if let Some(text) = &buffer_said {
            conn.buffer = checked(uri, "buffer", text, u64::from(MIN_BUFFER)..=1 << 20, size)? as u32;
        }
        conn.window =
            within(uri, "window", MIN_WINDOW.into(), MAX_WINDOW.into(), conn.window.into(), number)? as u16;
        let least = Config::MIN_SEND_DEPTH.into();
        conn.send_depth = within(uri, "depth", least, 1 << 14, conn.send_depth.into(), number)? as u16;
        conn.inline = within(uri, "inline", 0, 1 << 12, conn.inline.into(), size)? as u16;
        let reads_said = uri.take::<String>("reads")?;
        if let Some(text) = &reads_said {
            conn.reads = checked(uri, "reads", text, 0..=64, number)? as u16;
        }
        conn.largest_unit = within(uri, "unit", 1, u64::MAX >> 1, conn.largest_unit, size)?;
        let from = u64::from(conn.buffer) + 1;
        conn.rendezvous_from = within(uri, "rendezvous", 1, u64::from(u32::MAX), from, size)? as u32;
        if let Some(Span(idle)) = uri.take("keepalive")? {
            conn.keep_alive = (!idle.is_zero()).then_some(idle);
        }
        let recv = within(uri, "recv", MIN_WINDOW.into(), 1 << 16, 8192, number)? as usize;
        let completions = within(uri, "cq", 64, 1 << 22, 32 << 10, number)? as usize;
        let (device, said) = (uri.path().to_owned(), (buffer_said.is_some(), reads_said.is_some()));
        Ok(Self { device, ips, recv, completions, patience: patience(uri)?, said, conn })
    }

    /// Messages of one packet, and no RDMA READs, unless the URI says otherwise: what soft-RoCE can be relied on for (the crate's documentation).
    pub(crate) fn suit_soft_roce(&mut self, packet: u32) {
        let (buffer_said, reads_said) = self.said;
        if !buffer_said {
            self.conn.buffer = self.patience.mtu.map_or(packet, |mtu| packet.min(128 << mtu));
        }
        if !reads_said {
            self.conn.reads = 0;
        }
    }

    /// What a queue pair is asked for.
    pub(crate) fn capacity(&self) -> Capacity {
        let conn = &self.conn;
        // Control messages go inline whatever units do.
        let inline = usize::from(conn.inline).max(Work::MAX_CONTROL);
        Capacity { requests: conn.send_depth.into(), pieces: conn.max_sge.into(), inline }
    }

    /// Ask for no more than the device grants.
    pub(crate) fn fit(&mut self, granted: &Capacity, device: &str) -> Result<(), VerbsError> {
        if granted.inline < Work::MAX_CONTROL {
            return Err(VerbsError::Verb {
                verb: "64 bytes of inline data",
                device: device.to_owned(),
                cure: "control messages need as much; this device cannot be used",
                source: io::Error::from_raw_os_error(libc::EOPNOTSUPP),
            });
        }
        let conn = &mut self.conn;
        conn.inline = conn.inline.min(granted.inline as u16);
        conn.max_sge = conn.max_sge.min(granted.pieces as u8);
        conn.send_depth = conn.send_depth.min(granted.requests as u16);
        Ok(())
    }

    /// The address to listen at: an unspecified one stands for the transport's own of that family.
    pub(crate) fn listen_at(&self, at: SocketAddr) -> Result<SocketAddr> {
        if self.ips.is_empty() || self.ips.contains(&at.ip()) {
            return Ok(at);
        }
        let own = self.ips.iter().find(|ip| ip.is_ipv4() == at.is_ipv4());
        match own {
            Some(ip) if at.ip().is_unspecified() => Ok(SocketAddr::new(*ip, at.port())),
            _ => Err(Error::errno("listen", at, libc::EADDRNOTAVAIL)),
        }
    }

    /// The address to connect from.
    pub(crate) fn connect_from(&self, to: SocketAddr, bind_to: Option<SocketAddr>) -> Option<SocketAddr> {
        let own =
            || self.ips.iter().find(|ip| ip.is_ipv4() == to.is_ipv4()).map(|ip| SocketAddr::new(*ip, 0));
        bind_to.or_else(own)
    }

    /// What stands for an address that nobody knows yet.
    pub(crate) fn nowhere(like: SocketAddr) -> SocketAddr {
        let ip = if like.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        SocketAddr::new(ip, 0)
    }
}

fn number(text: &str) -> Result<u64, &'static str> {
    text.parse().map_err(|_| "write a whole number")
}

fn size(text: &str) -> Result<u64, &'static str> {
    text.parse::<Size>().map(|size| size.0)
}

/// The parameter `key`, between `least` and `most`.
fn within(
    uri: &Uri,
    key: &'static str,
    least: u64,
    most: u64,
    default: u64,
    parse: fn(&str) -> Result<u64, &'static str>,
) -> Result<u64, UriError> {
    let Some(text) = uri.take::<String>(key)? else { return Ok(default) };
    checked(uri, key, &text, least..=most, parse)
}

fn checked(
    uri: &Uri,
    key: &'static str,
    text: &str,
    range: RangeInclusive<u64>,
    parse: fn(&str) -> Result<u64, &'static str>,
) -> Result<u64, UriError> {
    let value = parse(text).map_err(|why| uri.error(format!("parameter `{key}={text}`: {why}")))?;
    if range.contains(&value) {
        return Ok(value);
    }
    let (least, most) = range.into_inner();
    Err(uri.error(format!("parameter `{key}={text}`: it must be between {least} and {most}")))
}

fn patience(uri: &Uri) -> Result<Patience, UriError> {
    let mtu = match uri.take::<u32>("mtu")? {
        None => None,
        Some(256) => Some(1),
        Some(512) => Some(2),
        Some(1024) => Some(3),
        Some(2048) => Some(4),
        Some(4096) => Some(5),
        Some(other) => {
            let why =
                format!("parameter `mtu={other}`: RDMA packets carry 256, 512, 1024, 2048 or 4096 bytes");
            return Err(uri.error(why));
        }
    };
    Ok(Patience {
        mtu,
        timeout: uri.take::<Span>("timeout")?.map(|Span(span)| ack_timeout(span)),
        retries: within(uri, "retries", 0, 7, 7, number)? as u8,
        rnr_retries: within(uri, "rnr_retries", 0, 7, 7, number)? as u8,
        rnr_timer: 12,
    })
}

/// The exponent of the shortest acknowledgement time-out that is not below `span`: 4.096 µs · 2^n (InfiniBand specification,
/// 9.7.6.1.3).
fn ack_timeout(span: Duration) -> u8 {
    (1..31).find(|n| Duration::from_nanos(4096 << n) >= span).unwrap_or(31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(text: &str) -> Result<Params, UriError> {
        let uri: Uri = text.parse().unwrap();
        let params = Params::take(&uri)?;
        uri.finish()?;
        Ok(params)
    }

    #[test]
    fn everything_can_be_said() {
        let p = params("rdma:rxe0?ip=10.0.0.1&ip=fd00::1&buffer=4K&recv=512&window=16&depth=64&inline=0&mtu=1024&timeout=67ms&unit=2M&keepalive=0s&reads=0")
            .unwrap();
        assert_eq!((p.device.as_str(), p.ips.len(), p.recv), ("rxe0", 2, 512));
        assert_eq!((p.conn.buffer, p.conn.window, p.conn.send_depth, p.conn.inline), (4096, 16, 64, 0));
        assert_eq!((p.conn.largest_unit, p.conn.rendezvous_from, p.conn.keep_alive), (2 << 20, 4097, None));
        assert_eq!((p.patience.mtu, p.patience.timeout), (Some(3), Some(14)));
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_range() {
        for (text, what) in [
            ("rdma:?ip=0.0.0.0", "address of the interface"),
            ("rdma:?mtu=1500", "256, 512, 1024"),
            ("rdma:?window=1", "between 8 and"),
            ("rdma:?retries=8", "between 0 and 7"),
            ("rdma:?buffer=4X", "powers of 1024"),
            ("rdma:?bufer=4K", "knows: buffer"),
        ] {
            let error = params(text).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn no_more_is_asked_for_than_is_granted() {
        let mut p = params("rdma:?inline=0").unwrap();
        assert_eq!(p.capacity().inline, 64, "for control messages");
        p = params("rdma:").unwrap();
        p.fit(&Capacity { requests: 20, pieces: 3, inline: 100 }, "x").unwrap();
        assert_eq!((p.conn.send_depth, p.conn.max_sge, p.conn.inline), (20, 3, 100));
        let error = p.fit(&Capacity { requests: 20, pieces: 3, inline: 63 }, "x").unwrap_err();
        assert!(error.to_string().contains("64 bytes of inline data on x"), "{error}");
    }

    #[test]
    fn soft_roce_gets_single_packets_unless_more_is_asked_for() {
        let suited = |text| {
            let mut p = params(text).unwrap();
            p.suit_soft_roce(4096);
            (p.conn.buffer, p.conn.reads)
        };
        assert_eq!((suited("rdma:"), suited("rdma:?mtu=1024")), ((4096, 0), (1024, 0)));
        assert_eq!((suited("rdma:?reads=4"), suited("rdma:?buffer=16K")), ((4096, 4), (16 << 10, 0)));
        let error = params("rdma:?reads=65").unwrap_err().to_string();
        assert!(error.contains("`reads=65`: it must be between 0 and 64"), "{error}");
    }

    #[test]
    fn addresses_are_the_transports_own() {
        let p = params("rdma:rxe0?ip=10.0.0.1").unwrap();
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert_eq!(p.listen_at(at("0.0.0.0:7")).unwrap(), at("10.0.0.1:7"));
        assert_eq!(p.listen_at(at("10.0.0.1:7")).unwrap(), at("10.0.0.1:7"));
        assert!(
            p.listen_at(at("10.0.0.2:7")).unwrap_err().to_string().contains("does not have that address")
        );
        assert!(p.listen_at(at("[::]:7")).is_err());
        assert_eq!(p.connect_from(at("10.0.0.9:7"), None), Some(at("10.0.0.1:0")));
        assert_eq!(p.connect_from(at("10.0.0.9:7"), Some(at("10.0.0.3:5"))), Some(at("10.0.0.3:5")));
        assert_eq!(p.connect_from(at("[fd00::9]:7"), None), None);
        assert_eq!(Params::nowhere(at("[fd00::9]:7")), at("[::]:0"));
    }

    #[test]
    fn timeouts_are_powers_of_two() {
        assert_eq!(ack_timeout(Duration::from_nanos(1)), 1);
        assert_eq!(ack_timeout(Duration::from_micros(8389)), 12);
        assert_eq!(ack_timeout(Duration::from_secs(1 << 20)), 31);
    }
}
