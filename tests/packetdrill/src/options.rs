//! Socket options.

use std::time::Duration;

use hemi_net::{
    TcpOptionsConfig,
    tcp::{Algorithm, FastOpenKey, State},
};

use crate::{
    flags::Flags,
    info,
    sockets::{Kind, Socket},
    world::{Errno, World},
};

/// What was set on a socket; an accepted one has its listener's.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    pub(crate) nodelay: bool,
    pub(crate) cork: bool,
    keep_alive: bool,
    keep_idle: Option<u32>,
    keep_interval: Option<u32>,
    keep_count: Option<u8>,
    /// `TCP_INQ`: `recvmsg` tells how much more there is.
    pub(crate) tell_queue: bool,
    /// `TCP_NOTSENT_LOWAT`: room is there while less than this has not been sent.
    not_sent_low: Option<u32>,
    user_timeout: Option<u32>,
    linger: Option<u32>,
    pub(crate) receive_buffer: Option<usize>,
    send_buffer: Option<usize>,
    pub(crate) receive_low: usize,
    congestion: Option<Algorithm>,
    max_segment: Option<u16>,
    pub(crate) broadcast: bool,
    pub(crate) v6_only: bool,
    reuse_address: bool,
    /// `TCP_FASTOPEN`: places of a listener; on FreeBSD also what a client sets.
    pub(crate) fast_open: Option<u32>,
    /// `TCP_FASTOPEN_CONNECT`, `TCP_FASTOPEN_NO_COOKIE`, `TCP_FASTOPEN_KEY`.
    pub(crate) fast_open_connect: bool,
    cookieless: bool,
    fast_open_key: Option<Box<FastOpenKey>>,
}

/// How long until keep-alive, when it is on and nothing else was said; then how often, and how many times.
const KEEP_IDLE: u32 = 7200;
const KEEP_INTERVAL: u32 = 75;
const KEEP_COUNT: u8 = 9;
/// `TCP_INQ` of `linux/tcp.h`, which is the name of the control message, too.
pub(crate) const TCP_INQ: i32 = 36;
/// The most connections of a listener that only a SYN has opened: Linux's `net.core.somaxconn`.
const FAST_OPEN_PLACES: u32 = 4096;
/// `TCP_NOTSENT_LOWAT`.
const TCP_NOTSENT_LOWAT: i32 = 25;

impl Options {
    /// As the stack takes them.
    pub(crate) fn for_tcp(&self, flags: &Flags) -> TcpOptionsConfig {
        let mut options = TcpOptionsConfig::default();
        options.nodelay = self.nodelay;
        options.keep_alive = self.idle();
        options.keep_alive_interval = self.interval();
        options.keep_alive_probes = self.keep_count;
        options.user_timeout =
            self.user_timeout.filter(|ms| *ms > 0).map(|ms| Duration::from_millis(ms.into()));
        options.linger = self.linger.map(|s| Duration::from_secs(s.into()));
        options.congestion = self.congestion;
        options.recv_buffer = self.receive_buffer;
        options.send_buffer = self.send_buffer;
        options.max_segment = self.max_segment;
        let places = match flags.fast_open.server() {
            Some(all) => self.fast_open.or(all.then_some(FAST_OPEN_PLACES)),
            None => None,
        };
        options.fast_open_backlog = Some(places.unwrap_or(0).min(FAST_OPEN_PLACES) as usize);
        options.fast_open_cookieless = self.cookieless || flags.fast_open.cookieless(true);
        options.fast_open_key = self.fast_open_key.as_deref().copied().or(flags.fast_open_key);
        options
    }

    /// The same for a connection that is opened by Fast Open.
    pub(crate) fn for_fast_open(&self, flags: &Flags) -> TcpOptionsConfig {
        let mut options = self.for_tcp(flags);
        options.fast_open = true;
        options.fast_open_cookieless = self.cookieless || flags.fast_open.cookieless(false);
        options
    }

    fn interval(&self) -> Option<Duration> {
        self.keep_interval.map(|seconds| Duration::from_secs(seconds.into()))
    }

    /// How much may wait unsent before there is no room.
    pub(crate) fn not_sent_low(&self) -> usize {
        self.not_sent_low.unwrap_or(u32::MAX) as usize
    }

    fn idle(&self) -> Option<Duration> {
        self.keep_alive.then(|| Duration::from_secs(self.keep_idle.unwrap_or(KEEP_IDLE).into()))
    }
}

impl World {
    /// `setsockopt()`.
    pub(crate) fn set_option(&mut self, fd: i32, level: i32, name: i32, value: &[u8]) -> Result<(), Errno> {
        let number = || Ok::<i32, Errno>(i32::from_ne_bytes(*value.first_chunk().ok_or(libc::EINVAL)?));
        let size = || usize::try_from(number()?).map_err(|_| libc::EINVAL);
        let on = || Ok::<_, Errno>(number()? != 0);
        let socket = self.sock(fd)?;
        let options = &mut socket.options;
        match (level, name) {
            (libc::SOL_SOCKET, libc::SO_REUSEADDR | libc::SO_REUSEPORT) => options.reuse_address = on()?,
            (libc::SOL_SOCKET, libc::SO_KEEPALIVE) => options.keep_alive = on()?,
            (libc::SOL_SOCKET, libc::SO_BROADCAST) => options.broadcast = on()?,
            // As Linux has it: what is asked for is doubled, for the book-keeping; half of it is for data.
            (libc::SOL_SOCKET, libc::SO_RCVBUF | libc::SO_RCVBUFFORCE) => {
                options.receive_buffer = Some(size()?.max(2048));
            }
            (libc::SOL_SOCKET, libc::SO_SNDBUF | libc::SO_SNDBUFFORCE) => {
                options.send_buffer = Some(size()?.max(2048));
            }
            (libc::SOL_SOCKET, libc::SO_RCVLOWAT) => options.receive_low = size()?.max(1),
            (libc::SOL_SOCKET, libc::SO_LINGER) => {
                let seconds =
                    i32::from_ne_bytes(*value.get(4..).and_then(<[u8]>::first_chunk).ok_or(libc::EINVAL)?);
                options.linger = on()?.then_some(u32::try_from(seconds).unwrap_or(0));
            }
            (libc::SOL_SOCKET, libc::SO_PRIORITY | libc::SO_MARK | libc::SO_RCVTIMEO | libc::SO_SNDTIMEO) => {
                return Err(libc::EOPNOTSUPP);
            }
            (libc::IPPROTO_TCP, libc::TCP_NODELAY) => {
                options.nodelay = on()?;
                if options.nodelay {
                    // As Linux has it: what a cork keeps back goes now, and only now.
                    self.uncork(fd)?;
                }
            }
            (libc::IPPROTO_TCP, libc::TCP_CORK) => options.cork = on()?,
            (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE) => {
                options.keep_idle = Some(u32::try_from(number()?).map_err(|_| libc::EINVAL)?);
            }
            (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL) => match u32::try_from(number()?) {
                Ok(seconds @ 1..=32_767) => options.keep_interval = Some(seconds),
                _ => return Err(libc::EINVAL),
            },
            (libc::IPPROTO_TCP, libc::TCP_KEEPCNT) => match u8::try_from(number()?) {
                Ok(count @ 1..=127) => options.keep_count = Some(count),
                _ => return Err(libc::EINVAL),
            },
            (libc::IPPROTO_TCP, TCP_INQ) => match number()? {
                on @ 0..=1 => options.tell_queue = on == 1,
                _ => return Err(libc::EINVAL),
            },
            (libc::IPPROTO_TCP, TCP_NOTSENT_LOWAT) => options.not_sent_low = Some(number()? as u32),
            (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT) => {
                options.user_timeout = Some(u32::try_from(number()?).map_err(|_| libc::EINVAL)?);
            }
            (libc::IPPROTO_TCP, libc::TCP_MAXSEG) => match u16::try_from(number()?) {
                Ok(mss @ 88..=32_767) => options.max_segment = Some(mss),
                _ => return Err(libc::EINVAL),
            },
            (libc::IPPROTO_TCP, libc::TCP_CONGESTION) => {
                let name = String::from_utf8_lossy(value);
                let name = name.trim_end_matches('\0').replace("reno", "newreno");
                options.congestion = Some(name.parse().map_err(|_| libc::ENOENT)?);
            }
            // As Linux has it: what is set on a socket that is connected comes too late.
            (
                libc::IPPROTO_TCP,
                libc::TCP_FASTOPEN
                | libc::TCP_FASTOPEN_CONNECT
                | libc::TCP_FASTOPEN_KEY
                | libc::TCP_FASTOPEN_NO_COOKIE,
            ) => {
                let client = self.flags.fast_open.client();
                return self.set_fast_open(fd, name, value, client);
            }
            // Acknowledgements at once for a while: a hint.
            (libc::IPPROTO_TCP, libc::TCP_QUICKACK) => {}
            (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY) => options.v6_only = on()?,
            _ => return Err(libc::ENOPROTOOPT),
        }
        self.apply(fd)
    }

    fn set_fast_open(&mut self, fd: i32, name: i32, value: &[u8], client: bool) -> Result<(), Errno> {
        let socket = self.sock(fd)?;
        let (fresh, listens) = (matches!(socket.kind, Kind::Fresh), matches!(socket.kind, Kind::Listener(_)));
        if !fresh && !listens {
            return Err(libc::EINVAL);
        }
        let options = &mut socket.options;
        if name == libc::TCP_FASTOPEN_KEY {
            let key = |at| value.get(at..at + 16).and_then(|key| <[u8; 16]>::try_from(key).ok());
            options.fast_open_key = match (value.len(), key(0)) {
                (16 | 32, Some(current)) => Some(Box::new(FastOpenKey { current, previous: key(16) })),
                _ => return Err(libc::EINVAL),
            };
            return self.apply(fd);
        }
        let number = i32::from_ne_bytes(*value.first_chunk().ok_or(libc::EINVAL)?);
        match (name, number) {
            (libc::TCP_FASTOPEN, n) => {
                options.fast_open = Some(u32::try_from(n).map_err(|_| libc::EINVAL)?);
            }
            (libc::TCP_FASTOPEN_NO_COOKIE, 0 | 1) => options.cookieless = number == 1,
            (libc::TCP_FASTOPEN_CONNECT, 0 | 1) if !client => return Err(libc::EOPNOTSUPP),
            (libc::TCP_FASTOPEN_CONNECT, 0 | 1) if fresh => options.fast_open_connect = number == 1,
            _ => return Err(libc::EINVAL),
        }
        self.apply(fd)
    }

    /// What can change on a living connection does.
    fn apply(&mut self, fd: i32) -> Result<(), Errno> {
        let now = self.now;
        let socket = self.sock(fd)?;
        let options = socket.options.clone();
        let config = options.for_tcp(&self.flags);
        let socket = self.sock(fd)?;
        let stream = match &socket.kind {
            Kind::Stream(stream) => stream,
            Kind::Listener(id) => {
                let id = *id;
                self.stack(None).tcp_set_listener_options(id, config);
                return Ok(());
            }
            _ => return Ok(()),
        };
        let conn = stream.conn;
        let stack = self.stack(None);
        stack.tcp_set_nodelay(conn, options.nodelay, now);
        stack.tcp_set_keep_alive(conn, options.idle(), now);
        stack.tcp_set_keep_alive_probes(conn, options.interval(), options.keep_count, now);
        stack.tcp_set_linger(conn, config.linger);
        stack.tcp_set_user_timeout(conn, config.user_timeout);
        if options.cork { Ok(()) } else { self.uncork(fd) }
    }

    /// `getsockopt()`: the value's bytes.
    pub(crate) fn option(&mut self, fd: i32, level: i32, name: i32) -> Result<Vec<u8>, Errno> {
        let freebsd = self.flags.freebsd.then_some(self.flags.tcp.recv_buffer);
        let socket = self.sock(fd)?;
        let o = &socket.options;
        let is_udp = matches!(socket.kind, Kind::Datagrams(_));
        let number = |n: i32| Ok(n.to_ne_bytes().to_vec());
        match (level, name) {
            (libc::SOL_SOCKET, libc::SO_ERROR) => {
                let errno = self.take_error(fd).unwrap_or(0);
                number(errno)
            }
            (libc::SOL_SOCKET, libc::SO_TYPE) => {
                number(if is_udp { libc::SOCK_DGRAM } else { libc::SOCK_STREAM })
            }
            (libc::SOL_SOCKET, libc::SO_DOMAIN) => {
                number(if socket.v6 { libc::AF_INET6 } else { libc::AF_INET })
            }
            (libc::SOL_SOCKET, libc::SO_ACCEPTCONN) => {
                number(matches!(socket.kind, Kind::Listener(_)).into())
            }
            (libc::SOL_SOCKET, libc::SO_REUSEADDR | libc::SO_REUSEPORT) => number(o.reuse_address.into()),
            (libc::SOL_SOCKET, libc::SO_KEEPALIVE) => number(o.keep_alive.into()),
            (libc::SOL_SOCKET, libc::SO_BROADCAST) => number(o.broadcast.into()),
            (libc::SOL_SOCKET, libc::SO_RCVLOWAT) => number(o.receive_low.max(1) as i32),
            (libc::SOL_SOCKET, libc::SO_RCVBUF) if freebsd.is_some() => {
                let asked = o.receive_buffer.or(freebsd).unwrap_or_default();
                let conn = if let Kind::Stream(stream) = &socket.kind { Some(stream.conn) } else { None };
                let snapshot = conn.and_then(|conn| self.stack(None).snapshot(conn));
                // As FreeBSD has it: of a connection, whole segments.
                let mss = snapshot.filter(|s| s.state != State::SynSent).map_or(1, |s| usize::from(s.mss));
                number(asked.next_multiple_of(mss.max(1)) as i32)
            }
            (libc::SOL_SOCKET, libc::SO_RCVBUF) => number(2 * o.receive_buffer.unwrap_or(65_536) as i32),
            (libc::SOL_SOCKET, libc::SO_SNDBUF) => number(2 * o.send_buffer.unwrap_or(65_536) as i32),
            (libc::SOL_SOCKET, libc::SO_LINGER) => {
                let mut bytes = i32::from(o.linger.is_some()).to_ne_bytes().to_vec();
                bytes.extend((o.linger.unwrap_or(0) as i32).to_ne_bytes());
                Ok(bytes)
            }
            (libc::IPPROTO_TCP, libc::TCP_NODELAY) => number(o.nodelay.into()),
            (libc::IPPROTO_TCP, libc::TCP_CORK) => number(o.cork.into()),
            (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE) => number(o.keep_idle.unwrap_or(KEEP_IDLE) as i32),
            (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL) => {
                number(o.keep_interval.unwrap_or(KEEP_INTERVAL) as i32)
            }
            (libc::IPPROTO_TCP, libc::TCP_KEEPCNT) => number(o.keep_count.unwrap_or(KEEP_COUNT).into()),
            (libc::IPPROTO_TCP, TCP_INQ) => number(o.tell_queue.into()),
            (libc::IPPROTO_TCP, TCP_NOTSENT_LOWAT) => number(o.not_sent_low.unwrap_or(0) as i32),
            (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT) => number(o.user_timeout.unwrap_or(0) as i32),
            (libc::IPPROTO_TCP, libc::TCP_MAXSEG) => {
                let told = o.max_segment.unwrap_or(536);
                let mss = match &socket.kind {
                    Kind::Stream(stream) => {
                        let conn = stream.conn;
                        self.stack(None).snapshot(conn).map_or(told, |s| s.mss)
                    }
                    _ => told,
                };
                number(mss.into())
            }
            (libc::IPPROTO_TCP, libc::TCP_CONGESTION) => {
                let mut name = o
                    .congestion
                    .unwrap_or(self.congestion())
                    .to_string()
                    .replace("newreno", "reno")
                    .into_bytes();
                name.push(0);
                Ok(name)
            }
            (libc::IPPROTO_TCP, libc::TCP_FASTOPEN) => number(o.fast_open.unwrap_or(0) as i32),
            (libc::IPPROTO_TCP, libc::TCP_FASTOPEN_CONNECT) => number(o.fast_open_connect.into()),
            (libc::IPPROTO_TCP, libc::TCP_FASTOPEN_NO_COOKIE) => number(o.cookieless.into()),
            (libc::IPPROTO_TCP, libc::TCP_FASTOPEN_KEY) => {
                let keys = o.fast_open_key.as_deref().copied().or(self.flags.fast_open_key);
                let both = keys.map(|key| [Some(key.current), key.previous]);
                Ok(both.into_iter().flatten().flatten().flatten().collect())
            }
            (libc::IPPROTO_TCP, libc::TCP_INFO) => self.tcp_info(fd),
            (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY) => number(o.v6_only.into()),
            _ => Err(libc::ENOPROTOOPT),
        }
    }

    fn tcp_info(&mut self, fd: i32) -> Result<Vec<u8>, Errno> {
        let Socket { kind: Kind::Stream(stream), .. } = self.sock(fd)? else { return Ok(info::of_nothing()) };
        let (conn, written, read) = (stream.conn, stream.written, stream.read);
        let Some(snapshot) = self.stack(None).snapshot(conn) else { return Ok(info::of_nothing()) };
        Ok(info::of(&snapshot, written, read))
    }
}
