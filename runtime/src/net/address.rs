//! [`Address`]: where to listen or connect, as people write it.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs},
    path::{Path, PathBuf},
};

use hemi_queue::{Error, Result, transport::Endpoint};

use crate::context::Core;

/// Where to listen or connect.
///
/// | text | meaning |
/// |---|---|
/// | `0.0.0.0:7000`, `[::1]:7000` | an IP address and port; port 0 chooses one |
/// | `localhost:7000`, `example.org:80` | a host name, resolved by the system on another thread |
/// | `unix:/run/echo.sock` | a Unix socket path; `unix:` alone is unnamed |
/// | `chat` | a name that the transport itself knows (`mem:`) |
///
/// ```
/// use std::net::SocketAddr;
/// use hemi::net::Address;
///
/// let a: Address = "localhost:7000".into();
/// let b: Address = SocketAddr::from(([127, 0, 0, 1], 7000)).into();
/// assert_eq!((a.to_string(), b.to_string()), ("localhost:7000".into(), "127.0.0.1:7000".into()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    At(Endpoint),
    Host(String, u16),
    Malformed(String),
}

impl Address {
    fn parse(text: &str) -> Self {
        if let Some(path) = text.strip_prefix("unix:") {
            return Self(Kind::At(Endpoint::Unix(path.into())));
        }
        if let Ok(at) = text.parse::<SocketAddr>() {
            return Self(Kind::At(at.into()));
        }
        Self(match text.rsplit_once(':') {
            None => Kind::At(Endpoint::Name(text.to_owned())),
            Some((host, port)) => match port.parse() {
                Ok(port) if !host.is_empty() && !host.contains(':') => Kind::Host(host.to_owned(), port),
                _ => Kind::Malformed(text.to_owned()),
            },
        })
    }

    /// The addresses that this one stands for, in the system's order of preference, at least one.
    pub(crate) async fn resolve(self, core: &Core) -> Result<Vec<Endpoint>> {
        match self.0 {
            Kind::At(at) => Ok(vec![at]),
            Kind::Malformed(text) => Err(invalid(
                "read the address",
                &text,
                "write `ip:port`, `host:port`, `[ipv6]:port`, `unix:/path` or a name",
            )),
            Kind::Host(host, port) if host == "localhost" => {
                let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
                Ok(loopback.map(|ip| SocketAddr::new(ip, port).into()).to_vec())
            }
            Kind::Host(host, port) if core.is_simulated() => Err(invalid(
                "resolve",
                &format!("{host}:{port}"),
                "a simulation has no resolver; use an IP address or a name of the transport",
            )),
            Kind::Host(host, port) => lookup(host, port).await,
        }
    }
}

/// Ask the system, off the loop: its resolver blocks.
async fn lookup(host: String, port: u16) -> Result<Vec<Endpoint>> {
    let target = format!("{host}:{port}");
    let found = crate::spawn_blocking(move || {
        (host.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>)
    });
    let addresses = match found.await {
        Ok(found) => found.map_err(|e| Error::io("resolve", &target, e))?,
        Err(_) => return Err(invalid("resolve", &target, "the resolver's thread panicked")),
    };
    if addresses.is_empty() {
        return Err(invalid("resolve", &target, "this host name has no address"));
    }
    Ok(addresses.into_iter().map(Endpoint::Ip).collect())
}

#[cold]
fn invalid(op: &'static str, target: &str, why: &'static str) -> Error {
    Error::io(op, target, io::Error::new(io::ErrorKind::InvalidInput, why))
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Kind::At(Endpoint::Unix(path)) => write!(f, "unix:{}", path.display()),
            Kind::At(at) => at.fmt(f),
            Kind::Host(host, port) => write!(f, "{host}:{port}"),
            Kind::Malformed(text) => f.write_str(text),
        }
    }
}

impl From<&str> for Address {
    fn from(text: &str) -> Self {
        Self::parse(text)
    }
}

impl From<String> for Address {
    fn from(text: String) -> Self {
        Self::parse(&text)
    }
}

impl From<&String> for Address {
    fn from(text: &String) -> Self {
        Self::parse(text)
    }
}

impl From<SocketAddr> for Address {
    fn from(at: SocketAddr) -> Self {
        Self(Kind::At(at.into()))
    }
}

impl From<(IpAddr, u16)> for Address {
    fn from(at: (IpAddr, u16)) -> Self {
        SocketAddr::from(at).into()
    }
}

impl From<(&str, u16)> for Address {
    fn from((host, port): (&str, u16)) -> Self {
        match host.parse::<IpAddr>() {
            Ok(ip) => SocketAddr::new(ip, port).into(),
            Err(_) => Self(Kind::Host(host.to_owned(), port)),
        }
    }
}

impl From<Endpoint> for Address {
    fn from(at: Endpoint) -> Self {
        Self(Kind::At(at))
    }
}

impl From<&Endpoint> for Address {
    fn from(at: &Endpoint) -> Self {
        at.clone().into()
    }
}

impl From<&Path> for Address {
    fn from(path: &Path) -> Self {
        path.to_owned().into()
    }
}

impl From<PathBuf> for Address {
    fn from(path: PathBuf) -> Self {
        Endpoint::Unix(path).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form() {
        let at = |text: &str| Address::from(text).0;
        assert_eq!(at("[::1]:7000"), Kind::At(Endpoint::Ip("[::1]:7000".parse().unwrap())));
        assert_eq!(at("unix:/run/x"), Kind::At(Endpoint::Unix("/run/x".into())));
        assert_eq!(at("chat"), Kind::At(Endpoint::Name("chat".into())));
        assert_eq!(at("localhost:80"), Kind::Host("localhost".into(), 80));
        for bad in ["localhost:", ":80", "host:port", "::1:80", "host:99999", "1.2.3.4:5:6"] {
            assert_eq!(at(bad), Kind::Malformed(bad.into()), "{bad}");
        }
    }

    #[test]
    fn prints_what_it_reads() {
        for text in ["0.0.0.0:7000", "[::1]:7000", "unix:/run/x", "chat", "localhost:80"] {
            assert_eq!(Address::from(text).to_string(), text);
        }
    }
}
