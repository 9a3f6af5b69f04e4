//! What can be set: for the whole of TCP, and per connection.

use std::time::Duration;

use super::{cc::Algorithm, fast_open::FastOpenKey};

/// Settings of TCP, with the defaults of the RFCs.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TcpConfig {
    /// The least retransmission timeout. Default: 1 s (RFC 6298 section 2.4); datacentre networks go down to 1 ms.
    pub rto_min: Duration,
    /// The greatest. Default: 60 s (RFC 6298 section 2.4 asks for at least that).
    pub rto_max: Duration,
    /// The retransmission timeout before there is a measurement. Default: 1 s (RFC 6298 section 2.1).
    pub rto_initial: Duration,
    /// How often data is retransmitted before the connection fails (R2). Default: 15, some 15 minutes.
    pub retries: u8,
    /// How often a SYN is. Default: 7, which is over three minutes (RFC 9293, MUST-23).
    pub syn_retries: u8,
    /// How long an acknowledgement may be delayed. Default: 40 ms; at most 500 ms (RFC 9293, MUST-59).
    pub delayed_ack: Duration,
    /// So many segments of a new connection are acknowledged at once, unless the application answers them, because a peer in slow start
    /// needs that to grow. Default: 16, as on Linux; 0 delays from the first one.
    pub quick_acks: u8,
    /// How long a closed connection is remembered, twice the segment lifetime. Default: 60 s, as Linux has it.
    pub time_wait: Duration,
    /// How long a closed connection that the peer does not finish is kept in FIN-WAIT-2. Default: 60 s.
    pub fin_wait: Duration,
    /// How many connections in TIME-WAIT are remembered; the oldest makes way. Default: 65,536.
    pub time_wait_limit: usize,
    /// Keep-alive probes sent in vain before the connection fails. Default: 9.
    pub keep_alive_probes: u8,
    /// Time between keep-alive probes. Default: 75 s.
    pub keep_alive_interval: Duration,
    /// Congestion control for new connections. Default: CUBIC.
    pub congestion: Algorithm,
    /// Offer timestamps. Default: true.
    pub timestamps: bool,
    /// Offer selective acknowledgements. Default: true.
    pub sack: bool,
    /// Offer window scaling. Default: true.
    pub window_scaling: bool,
    /// Ask for ECN on connections that we open; one that a peer asks for is always granted. Default: false
    /// (on with DCTCP).
    pub ecn: bool,
    /// Spread what the congestion window allows over a round trip instead of sending it in one burst. Default: false.
    pub pacing: bool,
    /// The receive window that a connection starts with, in bytes. Default: 64 KiB.
    pub recv_buffer: usize,
    /// What it may grow to. Default: 4 MiB.
    pub recv_buffer_max: usize,
    /// The send buffer, in bytes: a push completes while less is unacknowledged. Default: 256 KiB.
    pub send_buffer: usize,
    /// Half-open connections before SYN cookies are sent. Default: 1024.
    pub half_open_limit: usize,
    /// SYN cookies when that is reached (RFC 4987); else new SYNs are dropped. Default: true.
    pub syn_cookies: bool,
    /// Listeners open connections by their SYN (TCP Fast Open, RFC 7413), so many at a time that have not proved yet that somebody is there;
    /// [`TcpOptionsConfig::fast_open_backlog`] says otherwise for one. Data may be delivered twice then. Default: 0, none.
    pub fast_open: usize,
    /// Also speak the form of the Fast Open option that it had before RFC 7413 (RFC 6994, number 0xF989). Default: false.
    pub fast_open_experimental: bool,
    /// How long connects do without Fast Open where it has failed. Default: 15 minutes.
    pub fast_open_pause: Duration,
    /// Servers whose Fast Open cookies are remembered. Default: 1024.
    pub fast_open_peers: usize,
    /// The least MSS that a peer may ask for. Default: 48: a smaller one would have us send headers only.
    pub mss_floor: u16,
    /// Ephemeral ports (RFC 6056): first and last. Default: 49,152 to 65,535 (RFC 6335).
    pub ephemeral_ports: (u16, u16),
    /// Challenge ACKs per second, all connections together (RFC 5961 section 7). Default: 1000.
    pub challenge_acks_per_second: u32,
}

impl Default for TcpConfig {
    fn default() -> Self {
        Self {
            rto_min: Duration::from_secs(1),
            rto_max: Duration::from_secs(60),
            rto_initial: Duration::from_secs(1),
            retries: 15,
            syn_retries: 7,
            delayed_ack: Duration::from_millis(40),
            quick_acks: 16,
            time_wait: Duration::from_secs(60),
            fin_wait: Duration::from_secs(60),
            time_wait_limit: 1 << 16,
            keep_alive_probes: 9,
            keep_alive_interval: Duration::from_secs(75),
            congestion: Algorithm::Cubic,
            timestamps: true,
            sack: true,
            window_scaling: true,
            ecn: false,
            pacing: false,
            recv_buffer: 64 << 10,
            recv_buffer_max: 4 << 20,
            send_buffer: 256 << 10,
            half_open_limit: 1024,
            syn_cookies: true,
            fast_open: 0,
            fast_open_experimental: false,
            fast_open_pause: Duration::from_secs(900),
            fast_open_peers: 1024,
            mss_floor: 48,
            ephemeral_ports: (49_152, 65_535),
            challenge_acks_per_second: 1000,
        }
    }
}

/// Settings of one connection.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TcpOptionsConfig {
    /// Send small segments at once (Nagle off). Default: true, as everywhere in hemi.
    pub nodelay: bool,
    /// Probe an idle peer after this long. Default: never (RFC 9293, MUST-24).
    pub keep_alive: Option<Duration>,
    /// Time between keep-alive probes. Default: as [`TcpConfig::keep_alive_interval`] says, and no longer than `keep_alive`.
    pub keep_alive_interval: Option<Duration>,
    /// Keep-alive probes sent in vain before the connection fails. Default: as [`TcpConfig::keep_alive_probes`] says.
    pub keep_alive_probes: Option<u8>,
    /// Fail when data stays unacknowledged this long (RFC 5482), instead of after
    /// [`retries`](TcpConfig::retries) timeouts. It is also told to the peer. Default: none.
    pub user_timeout: Option<Duration>,
    /// How long a close may wait for unsent data; `Some(0)` resets. Default: as long as it takes.
    pub linger: Option<Duration>,
    /// Congestion control. Default: as [`TcpConfig::congestion`] says.
    pub congestion: Option<Algorithm>,
    /// The receive window may grow to this many bytes. Default: [`TcpConfig::recv_buffer_max`].
    pub recv_buffer: Option<usize>,
    /// The send buffer in bytes. Default: [`TcpConfig::send_buffer`].
    pub send_buffer: Option<usize>,
    /// The largest segment, in either direction. Default: what the interface and the path carry.
    pub max_segment: Option<u16>,
    /// On a connection that we open: TCP Fast Open (RFC 7413). With a cookie of the server's at hand the SYN waits for the first push (or pop, or
    /// shutdown) and carries it; without one it asks for it. What the SYN carries may be delivered twice. Default: false.
    pub fast_open: bool,
    /// On a listener: [`TcpConfig::fast_open`] for this one. Default: as that says.
    pub fast_open_backlog: Option<usize>,
    /// Fast Open without cookies, where both ends know each other otherwise: a listener takes data from any address. It answers with no
    /// more than a SYN-ACK until the handshake is complete. Default: false.
    pub fast_open_cookieless: bool,
    /// On a listener: the key of its cookies. Default: one of the stack's own, changed every six hours.
    pub fast_open_key: Option<FastOpenKey>,
}

impl Default for TcpOptionsConfig {
    fn default() -> Self {
        Self {
            nodelay: true,
            keep_alive: None,
            keep_alive_interval: None,
            keep_alive_probes: None,
            user_timeout: None,
            linger: None,
            congestion: None,
            recv_buffer: None,
            send_buffer: None,
            max_segment: None,
            fast_open: false,
            fast_open_backlog: None,
            fast_open_cookieless: false,
            fast_open_key: None,
        }
    }
}

/// What of a [`TcpConfig`] is asked with every segment, as plain nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) rto_min: u64,
    pub(crate) rto_max: u64,
    /// The least by which a retransmission timeout exceeds the round trip: G of RFC 6298, or up to 200 ms of the least timeout.
    pub(crate) rto_margin: u64,
    pub(crate) delayed_ack: u64,
    pub(crate) pacing: bool,
}

impl Timing {
    /// RFC 6298's clock granularity: the turn's clock is finer, but the timer fires at turns.
    const GRANULARITY: u64 = 1_000_000;
    /// The most of the least timeout that is a margin above the round trip.
    const MAX_MARGIN: u64 = 200_000_000;
    /// RFC 9293, MUST-59: less than 0.5 seconds.
    const LONGEST_DELAY: u64 = 499_000_000;

    pub(crate) fn of(config: &TcpConfig) -> Self {
        let nanos = |d: Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
        let rto_min = nanos(config.rto_min);
        Self {
            rto_min,
            rto_max: nanos(config.rto_max),
            rto_margin: rto_min.clamp(Self::GRANULARITY, Self::MAX_MARGIN),
            delayed_ack: nanos(config.delayed_ack).min(Self::LONGEST_DELAY),
            pacing: config.pacing,
        }
    }
}
