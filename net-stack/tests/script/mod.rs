//! Packet scripts: the application's calls and the wire, line by line, as one story.
//!
//! The stack under test is 10.0.0.1, port 80 (or the port it chooses); the script plays the peer, 10.0.0.2 port 5000. Time is virtual.
//!
//! ```text
//! # RFC 9293 section 3.5: what the script is about
//! config sack=off cc=newreno        settings, first
//! listen                            listen on port 80          connect    open actively
//! < S 1000 win 65535 mss=1460       the peer sends             accept     take the connection
//! > S. 0 ack 1001 win 65535         the stack must have sent, next
//! +200ms                            time passes                nothing    the stack has sent nothing more
//! push 1000                         the application pushes     pop 500    it must be able to pop so many
//! establish mss=1000 sackok         listen, a handshake with these fields in the SYN, accept
//! ```
//!
//! Flags are tcpdump's (`S F R P . U E W`). The peer's sequence numbers are absolute; the stack's are relative to its initial
//! sequence number, in `>` as `seq` and in `<` as `ack`. In a `>` line flags, sequence number and length must be equal, and every
//! field that is written; a field that is not written may be anything. At the end the stack must have sent nothing that
//! the script did not expect.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use hemi_net::{
    Caps, ConnId, ListenerId, RxFrame, Stack, StackConfig, TcpOptionsConfig,
    tcp::FastOpenKey,
    wire::{
        Cookie, Ecn, EtherType, EthernetHeader, FastOpen, Flags, Ipv4Header, MacAddr, SackBlock, Seq, Sum,
        TcpHeader, TcpOptions, Timestamps,
        arp::{ArpPacket, Operation},
        icmpv4::IcmpV4,
        protocol,
    },
};
use hemi_queue::{Buf, Pool, time::Instant};

const OURS: [u8; 4] = [10, 0, 0, 1];
const PEER: [u8; 4] = [10, 0, 0, 2];
const OUR_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const PEER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

/// A segment that the stack sent.
#[derive(Debug, Clone)]
struct Sent {
    at: Instant,
    header: TcpHeader,
    options: TcpOptions,
    payload: Vec<u8>,
    ecn: Ecn,
    dont_fragment: bool,
}

struct World {
    stack: Option<Stack>,
    config: StackConfig,
    options: TcpOptionsConfig,
    backlog: usize,
    mtu: u16,
    now: Instant,
    listener: Option<ListenerId>,
    conn: Option<ConnId>,
    /// The port of the stack under test, and of the peer.
    port: u16,
    peer_port: u16,
    iss: Option<Seq>,
    sent: VecDeque<Sent>,
    last_ts: u32,
    popped: usize,
    pushed: usize,
}

/// Run a script; the error names the line.
pub(crate) fn run(text: &str) -> Result<(), String> {
    let mut world = World::new();
    let mut lines = 0;
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or("").trim();
        if line.is_empty() {
            continue;
        }
        lines += 1;
        world.line(line).map_err(|e| format!("line {}: `{line}`: {e}", number + 1))?;
    }
    if lines < 2 {
        return Err("a script of less than two lines tests nothing".into());
    }
    match world.sent.pop_front() {
        Some(sent) => Err(format!("at the end: unexpected {}", world.show(&sent))),
        None => Ok(()),
    }
}

/// The bytes that either side sends: a function of the position in its stream.
fn stream(from: usize, len: usize) -> Vec<u8> {
    (from..from + len).map(|i| (i % 251) as u8).collect()
}

impl World {
    fn new() -> Self {
        let mut config = StackConfig::with_addresses(["10.0.0.1/24".parse().expect("valid")]);
        config.announce = false;
        Self {
            stack: None,
            config,
            options: TcpOptionsConfig::default(),
            backlog: 128,
            mtu: 1500,
            now: Instant::ZERO + Duration::from_secs(1),
            listener: None,
            conn: None,
            port: 80,
            peer_port: 5000,
            iss: None,
            sent: VecDeque::new(),
            last_ts: 0,
            popped: 0,
            pushed: 0,
        }
    }

    fn stack(&mut self) -> &mut Stack {
        if self.stack.is_none() {
            let caps = Caps { mtu: self.mtu, ..Caps::ethernet(OUR_MAC) };
            let pool = Pool::new().expect("memory");
            let mut stack = Stack::new(self.config.clone(), caps, pool, 7);
            stack.advance(self.now);
            self.stack = Some(stack);
            // The peer asks for our address, so that the stack knows the peer's.
            self.tell_arp(Operation::Request);
            self.stack.as_mut().expect("made above").tx_queue().pop();
        }
        self.stack.as_mut().expect("made above")
    }

    /// The peer asks for our address, or answers a question about its own.
    fn tell_arp(&mut self, operation: Operation) {
        let mut frame = vec![0; 42];
        let ethernet = EthernetHeader { dst: OUR_MAC, src: PEER_MAC, ethertype: EtherType::Arp };
        ethernet.emit(frame.first_chunk_mut().expect("14"));
        let arp = ArpPacket {
            operation,
            sender_mac: PEER_MAC,
            sender_ip: PEER.into(),
            target_mac: OUR_MAC,
            target_ip: OURS.into(),
        };
        arp.emit(frame[14..].first_chunk_mut().expect("28"));
        let now = self.now;
        self.stack().receive(RxFrame::new(Buf::from(frame)), now);
    }

    fn conn(&self) -> Result<ConnId, String> {
        self.conn.ok_or_else(|| "there is no connection".into())
    }

    fn line(&mut self, line: &str) -> Result<(), String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (command, rest) = (words[0], &words[1..]);
        let now = self.now;
        if let Some(time) = command.strip_prefix('+') {
            return self.pass(duration(time)?);
        }
        match command {
            "config" => return rest.iter().try_for_each(|setting| self.configure(setting)),
            "<" => self.inject(rest)?,
            ">" => return self.expect(rest),
            "nothing" => {
                self.flush();
                return match self.sent.front() {
                    Some(sent) => Err(format!("the stack sent {}", self.show(sent))),
                    None => Ok(()),
                };
            }
            "ignore" => {
                self.flush();
                self.sent.clear();
                return Ok(());
            }
            "listen" => {
                let (backlog, options) = (self.backlog, self.options.clone());
                let at = SocketAddr::from((OURS, 80));
                let (id, _) =
                    self.stack().tcp_listen(at, backlog, false, options).map_err(|e| e.to_string())?;
                self.listener = Some(id);
            }
            // A passive open with these fields in the peer's SYN: three segments, a round trip of 40 ms, and an accept.
            "establish" => {
                let fields = rest.join(" ");
                self.line("listen")?;
                self.line(&format!("< S 1000 {fields}"))?;
                self.line("> S. 0 ack 1001")?;
                self.line("+40ms")?;
                let ts = if fields.contains("ts=") { "ts=101" } else { "" };
                let win = rest.iter().position(|w| *w == "win").map_or("65535", |i| rest[i + 1]);
                self.line(&format!("< . 1001 ack 1 win {win} {ts}"))?;
                return self.line("accept");
            }
            // An active open, answered with these fields.
            "opened" => {
                let fields = rest.join(" ");
                self.line("connect")?;
                self.line("> S 0")?;
                self.line("+40ms")?;
                self.line(&format!("< S. 1000 ack 1 {fields}"))?;
                return self.line("> . 1 ack 1001");
            }
            "unlisten" => {
                let id = self.listener.take().ok_or("there is no listener")?;
                self.stack().tcp_close_listener(id, now);
            }
            "connect" => {
                let options = self.options.clone();
                let to = SocketAddr::from((PEER, self.peer_port));
                // Another port for every connection of a script: the ones before may be in TIME-WAIT.
                self.port = rest.first().map_or(Ok(80), |port| parse(Some(port)))?;
                let from = Some(SocketAddr::from((OURS, self.port)));
                let id = self.stack().tcp_connect(to, from, options, now).map_err(|e| e.to_string())?;
                self.conn = Some(id);
                (self.iss, self.pushed, self.popped) = (None, 0, 0);
            }
            "accept" => {
                let id = self.listener.ok_or("there is no listener")?;
                self.conn = Some(self.stack().tcp_accept(id).ok_or("nothing to accept")?);
            }
            "noaccept" => {
                let id = self.listener.ok_or("there is no listener")?;
                if self.stack().tcp_accept(id).is_some() {
                    return Err("there was something to accept".into());
                }
            }
            "push" => {
                let n: usize = parse(rest.first().copied())?;
                let bytes = stream(self.pushed, n);
                let conn = self.conn()?;
                let result = self
                    .stack()
                    .tcp_push(conn, Buf::from(bytes).into(), now)
                    .map_err(|(e, _)| format!("{e:?}"));
                match (result, rest.get(1)) {
                    (Ok(()), None) => self.pushed += n,
                    (Err(e), Some(expected)) if e == **expected => {}
                    (result, expected) => return Err(format!("{result:?}, expected {expected:?}")),
                }
            }
            "pop" => self.pop(rest.first().copied().unwrap_or("none"))?,
            "shutdown" | "close" | "abort" | "release" => {
                let conn = self.conn()?;
                let stack = self.stack();
                match command {
                    "shutdown" => stack.tcp_shutdown(conn, now),
                    "close" => stack.tcp_close(conn, now),
                    "abort" => stack.tcp_abort(conn, now),
                    _ => stack.tcp_release(conn, now),
                }
            }
            "state" => {
                let conn = self.conn()?;
                let state = self.stack().tcp_state(conn).to_string();
                if Some(&state.as_str()) != rest.first() {
                    return Err(format!("the state is {state}"));
                }
            }
            "error" => {
                let conn = self.conn()?;
                let error = self.stack().tcp_error(conn).map_or("none".into(), |e| format!("{e:?}"));
                if Some(&error.as_str()) != rest.first() {
                    return Err(format!("the error is {error}"));
                }
            }
            "counter" => {
                let name = rest.first().ok_or("which counter?")?;
                let expected: u64 = parse(rest.get(1).copied())?;
                let value =
                    self.stack().counters().iter().find(|(n, _)| n == name).ok_or("no such counter")?.1;
                if value != expected {
                    return Err(format!("it is {value}"));
                }
            }
            "cwnd" | "ssthresh" | "mss" | "flight" | "sndwnd" | "srtt" => {
                let conn = self.conn()?;
                let s = self.stack().snapshot(conn).ok_or("the connection is gone")?;
                let value = match command {
                    "cwnd" => u64::from(s.cwnd),
                    "ssthresh" => u64::from(s.ssthresh),
                    "mss" => u64::from(s.mss),
                    "flight" => u64::from(s.in_flight),
                    "sndwnd" => u64::from(s.send_window),
                    _ => s.srtt.map_or(0, |d| d.as_millis() as u64),
                };
                if value != parse::<u64>(rest.first().copied())? {
                    return Err(format!("it is {value}"));
                }
            }
            "timewait" => {
                let n = self.stack().tcp_counts().1;
                if n != parse::<usize>(rest.first().copied())? {
                    return Err(format!("there are {n}"));
                }
            }
            "open" => {
                let conn = self.conn()?;
                self.stack().tcp_open_now(conn, now);
            }
            "synroom" => {
                let (options, to) = (self.options.clone(), SocketAddr::from((PEER, self.peer_port)));
                let room = self.stack().tcp_syn_room(to, None, options, now);
                let shown = room.map_or("none".into(), |n| n.to_string());
                if Some(&shown.as_str()) != rest.first() {
                    return Err(format!("it is {shown}"));
                }
            }
            "syndata" => {
                let conn = self.conn()?;
                let taken = self.stack().snapshot(conn).ok_or("the connection is gone")?.syn_data;
                if taken != (rest == ["taken"]) {
                    return Err(format!("{taken}"));
                }
            }
            // The listener's key, all bytes alike, and the one before it.
            "key" => {
                let id = self.listener.ok_or("there is no listener")?;
                self.options.fast_open_key = Some(cookie_key(rest.first().ok_or("which key?")?)?);
                let options = self.options.clone();
                self.stack().tcp_set_listener_options(id, options);
            }
            "nodelay" => {
                let conn = self.conn()?;
                self.stack().tcp_set_nodelay(conn, rest == ["on"], now);
            }
            "linger" => {
                let (conn, linger) = (self.conn()?, duration(rest.first().ok_or("how long?")?)?);
                self.stack().tcp_set_linger(conn, Some(linger));
            }
            "peer" => self.peer_port = parse(rest.first().copied())?,
            "forget" => self.iss = None,
            "toobig" | "unreachable" | "refused" => self.icmp(command, rest)?,
            _ => return Err("unknown command".into()),
        }
        self.flush();
        Ok(())
    }

    fn configure(&mut self, setting: &str) -> Result<(), String> {
        let (key, value) = setting.split_once('=').ok_or("settings are key=value")?;
        let tcp = &mut self.config.tcp;
        let on = value == "on";
        match key {
            "sack" => tcp.sack = on,
            "ts" => tcp.timestamps = on,
            "ws" => tcp.window_scaling = on,
            "ecn" => tcp.ecn = on,
            "cookies" => tcp.syn_cookies = on,
            "pacing" => tcp.pacing = on,
            "cc" => tcp.congestion = value.parse().map_err(|e| format!("{e}"))?,
            "rto_min" => tcp.rto_min = duration(value)?,
            "delayed_ack" => tcp.delayed_ack = duration(value)?,
            "time_wait" => tcp.time_wait = duration(value)?,
            "half_open" => tcp.half_open_limit = parse(Some(value))?,
            "retries" => tcp.retries = parse(Some(value))?,
            "syn_retries" => tcp.syn_retries = parse(Some(value))?,
            "recv" => self.options.recv_buffer = Some(parse(Some(value))?),
            "send" => self.options.send_buffer = Some(parse(Some(value))?),
            "nodelay" => self.options.nodelay = on,
            "keep_alive" => self.options.keep_alive = Some(duration(value)?),
            "keep_alive_interval" => self.options.keep_alive_interval = Some(duration(value)?),
            "keep_alive_count" => self.options.keep_alive_probes = Some(parse(Some(value))?),
            "user_timeout" => self.options.user_timeout = Some(duration(value)?),
            "probes" => tcp.keep_alive_probes = parse(Some(value))?,
            "backlog" => self.backlog = parse(Some(value))?,
            "fo" => match value {
                "on" | "off" => self.options.fast_open = on,
                n => self.options.fast_open_backlog = Some(parse(Some(n))?),
            },
            "fokey" => self.options.fast_open_key = Some(cookie_key(value)?),
            "foexp" => tcp.fast_open_experimental = on,
            "cookieless" => self.options.fast_open_cookieless = on,
            "fopause" => tcp.fast_open_pause = duration(value)?,
            "maxseg" => self.options.max_segment = Some(parse(Some(value))?),
            "mtu" => self.mtu = parse(Some(value))?,
            _ => return Err(format!("unknown setting {key}")),
        }
        Ok(())
    }

    /// Let time pass, timer by timer.
    fn pass(&mut self, time: Duration) -> Result<(), String> {
        let end = self.now + time;
        self.flush();
        for _ in 0..100_000 {
            match self.stack().deadline() {
                Some(at) if at <= end => {
                    self.now = self.now.max(at);
                    self.flush();
                }
                _ => {
                    self.now = end;
                    self.flush();
                    return Ok(());
                }
            }
        }
        Err("timers never come to rest".into())
    }

    /// Let the stack send, and look at what it sent.
    fn flush(&mut self) {
        let now = self.now;
        let stack = self.stack();
        stack.advance(now);
        let mut frames = Vec::new();
        while let Some(frame) = stack.tx_queue().pop() {
            let mut bytes = vec![0; frame.len()];
            frame.copy_to(&mut bytes);
            frames.push(bytes);
        }
        for bytes in frames {
            let ethernet = EthernetHeader::parse(&bytes).expect("an Ethernet header");
            if ethernet.ethertype != EtherType::Ipv4 {
                // The neighbour cache asks whether the peer is still there: it is.
                if ArpPacket::parse(&bytes[14..]).is_ok_and(|a| a.operation == Operation::Request) {
                    self.tell_arp(Operation::Reply);
                }
                continue;
            }
            assert_eq!(ethernet.dst, PEER_MAC);
            let ip = Ipv4Header::parse(&bytes[14..]).expect("a valid IP header");
            assert_eq!(bytes.len(), 14 + 20 + usize::from(ip.payload_len));
            if ip.protocol != protocol::TCP {
                continue;
            }
            let segment = &bytes[34..];
            let pseudo = Sum::pseudo_v4(ip.src, ip.dst, protocol::TCP, segment.len() as u16);
            assert!(pseudo.bytes(segment).is_intact(), "a wrong checksum was sent");
            let (header, options) = TcpHeader::parse(segment).expect("a valid TCP header");
            let options = TcpOptions::parse(options);
            let payload = segment[usize::from(header.header_len)..].to_vec();
            if header.flags.has(Flags::SYN) && self.iss.is_none() {
                self.iss = Some(header.seq);
            }
            if let Some(ts) = options.timestamps {
                self.last_ts = ts.value;
            }
            self.sent.push_back(Sent {
                at: self.now,
                header,
                options,
                payload,
                ecn: ip.ecn,
                dont_fragment: ip.dont_fragment,
            });
        }
    }

    fn relative(&self, seq: Seq) -> u32 {
        seq.since(self.iss.unwrap_or_default())
    }

    fn show(&self, sent: &Sent) -> String {
        let (h, o) = (&sent.header, &sent.options);
        let ack = if h.flags.has(Flags::ACK) { format!(" ack {}", h.ack) } else { String::new() };
        let sack = o.sack.as_slice();
        let (seq, len) = (self.relative(h.seq), sent.payload.len());
        format!(
            "{} {seq}{ack} win {} len {len} mss {:?} ts {:?} {sack:?} at {:?}",
            h.flags, h.window, o.mss, o.timestamps, sent.at
        )
    }

    fn expect(&mut self, words: &[&str]) -> Result<(), String> {
        self.flush();
        let Some(sent) = self.sent.pop_front() else { return Err("the stack sent nothing".into()) };
        let fail = |what: &str| Err(format!("{what}: the stack sent {}", self.show(&sent)));
        let h = &sent.header;
        if h.flags != flags(words[0])? {
            return fail("flags");
        }
        let seq: &str = words.get(1).ok_or("a sequence number is missing")?;
        if seq != "*"
            && i64::from(self.relative(h.seq))
                != seq.parse::<i64>().map_err(|e| e.to_string())?.rem_euclid(1 << 32)
        {
            return fail("seq");
        }
        let mut len = 0;
        let mut words = words[2..].iter();
        while let Some(word) = words.next() {
            let (key, value) = match word.split_once('=') {
                Some((key, value)) => (key, value),
                None if matches!(*word, "ack" | "win" | "len") => {
                    (*word, *words.next().ok_or("a number is missing")?)
                }
                None => (*word, ""),
            };
            let o = &sent.options;
            let good = match key {
                "ack" => h.flags.has(Flags::ACK) && h.ack.0 == parse::<u32>(Some(value))?,
                "win" => h.window == parse::<u16>(Some(value))?,
                "len" => {
                    len = parse(Some(value))?;
                    true
                }
                "mss" => o.mss == Some(parse(Some(value))?),
                "ws" => o.window_scale == Some(parse(Some(value))?),
                "nows" => o.window_scale.is_none(),
                "sackok" => o.sack_permitted,
                "nosackok" => !o.sack_permitted,
                "ts" => o.timestamps.is_some(),
                "nots" => o.timestamps.is_none(),
                "ecr" => o.timestamps.is_some_and(|t| Ok(t.echo) == parse(Some(value))),
                "sack" => {
                    let blocks: Vec<String> =
                        o.sack.as_slice().iter().map(|b| format!("{}-{}", b.start, b.end)).collect();
                    blocks.join(",") == value
                }
                "nosack" => o.sack.is_empty(),
                "uto" => o.user_timeout == Some(parse(Some(value))?),
                "ect" => sent.ecn == Ecn::Capable0,
                "noect" => sent.ecn == Ecn::NotCapable,
                "df" => sent.dont_fragment,
                "fo" => o.fast_open == Some(fast_open(value, false)?),
                "foexp" => o.fast_open == Some(fast_open(value, true)?),
                "nofo" => o.fast_open.is_none(),
                _ => return Err(format!("unknown field {key}")),
            };
            if !good {
                return fail(key);
            }
        }
        if sent.payload.len() != len {
            return fail("len");
        }
        if len > 0 {
            // Data in a SYN lies behind it.
            let syn = u32::from(h.flags.has(Flags::SYN));
            let at = (self.relative(h.seq) + syn).wrapping_sub(1) as usize;
            if sent.payload != stream(at, len) {
                return fail("payload");
            }
        }
        Ok(())
    }

    fn inject(&mut self, words: &[&str]) -> Result<(), String> {
        let flags = flags(words.first().ok_or("flags are missing")?)?;
        let seq: u32 = parse(words.get(1).copied())?;
        let iss = self.iss.unwrap_or_default();
        let mut header = TcpHeader {
            src_port: self.peer_port,
            dst_port: self.port,
            seq: Seq(seq),
            ack: Seq(0),
            flags,
            window: 65_535,
            urgent: 0,
            header_len: 20,
        };
        let (mut options, mut len, mut ecn, mut at) = (TcpOptions::default(), 0_usize, Ecn::NotCapable, None);
        let (mut corrupt, mut to, mut raw) = (false, OURS, None);
        let mut words = words[2..].iter();
        while let Some(word) = words.next() {
            let (key, value) = match word.split_once('=') {
                Some((key, value)) => (key, value),
                None if matches!(*word, "ack" | "win" | "len") => {
                    (*word, *words.next().ok_or("a number is missing")?)
                }
                None => (*word, ""),
            };
            match key {
                "ack" => header.ack = iss + (parse::<i64>(Some(value))?.rem_euclid(1 << 32) as u32),
                "win" => header.window = parse(Some(value))?,
                "len" => len = parse(Some(value))?,
                "urg" => header.urgent = parse(Some(value))?,
                "mss" => options.mss = Some(parse(Some(value))?),
                "ws" => options.window_scale = Some(parse(Some(value))?),
                "sackok" => options.sack_permitted = true,
                "ts" => {
                    let (value, echo) = match value.split_once(',') {
                        Some((value, echo)) => (value, parse(Some(echo))?),
                        None => (value, self.last_ts),
                    };
                    options.timestamps = Some(Timestamps { value: parse(Some(value))?, echo });
                }
                "sack" => {
                    for block in value.split(',') {
                        let (a, b) = block.split_once('-').ok_or("blocks are a-b")?;
                        let end = |n: &str| Ok::<_, String>(iss + parse::<u32>(Some(n))?);
                        options.sack.push(SackBlock { start: end(a)?, end: end(b)? });
                    }
                }
                "uto" => options.user_timeout = Some(parse(Some(value))?),
                "ce" => ecn = Ecn::Congested,
                "fo" => options.fast_open = Some(fast_open(value, false)?),
                "foexp" => options.fast_open = Some(fast_open(value, true)?),
                "stream" => at = Some(parse(Some(value))?),
                "badsum" => corrupt = true,
                "broadcast" => to = [10, 0, 0, 255],
                "port" => header.dst_port = parse(Some(value))?,
                "rawopt" => {
                    raw = Some(value.split(',').map(|n| parse(Some(n))).collect::<Result<Vec<u8>, _>>()?);
                }
                _ => return Err(format!("unknown field {key}")),
            }
        }
        // The peer's stream begins behind its SYN at 1000.
        let first = seq + u32::from(flags.has(Flags::SYN));
        let payload = stream(at.unwrap_or(first.wrapping_sub(1001) as usize % 251), len);
        let mut tcp = vec![0; 60];
        let options_len = match raw {
            Some(raw) => {
                tcp[20..20 + raw.len()].copy_from_slice(&raw);
                raw.len().next_multiple_of(4)
            }
            None => options.emit((&mut tcp[20..]).try_into().expect("40")),
        };
        tcp.truncate(20 + options_len);
        header.header_len = tcp.len() as u8;
        header.emit(tcp.first_chunk_mut().expect("20"));
        tcp.extend(payload);
        let sum =
            Sum::pseudo_v4(PEER.into(), to.into(), protocol::TCP, tcp.len() as u16).bytes(&tcp).finish();
        tcp[16..18].copy_from_slice(&(sum ^ u16::from(corrupt)).to_be_bytes());
        self.deliver(protocol::TCP, to, ecn, &tcp);
        Ok(())
    }

    fn deliver(&mut self, protocol: u8, to: [u8; 4], ecn: Ecn, payload: &[u8]) {
        let mut frame = vec![0; 34];
        let dst = if to == OURS { OUR_MAC } else { MacAddr::BROADCAST };
        let ethernet = EthernetHeader { dst, src: PEER_MAC, ethertype: EtherType::Ipv4 };
        ethernet.emit(frame.first_chunk_mut().expect("14"));
        let ip = Ipv4Header {
            src: PEER.into(),
            dst: to.into(),
            protocol,
            ttl: 64,
            dscp: 0,
            ecn,
            ident: 1,
            dont_fragment: true,
            more_fragments: false,
            fragment_offset: 0,
            header_len: 20,
            payload_len: payload.len() as u16,
        };
        ip.emit(frame[14..].first_chunk_mut().expect("20"));
        frame.extend(payload);
        let now = self.now;
        self.stack().receive(RxFrame::new(Buf::from(frame)), now);
    }

    /// An ICMP error that quotes a segment of ours with a relative sequence number: `toobig 600 seq=1`.
    fn icmp(&mut self, kind: &str, words: &[&str]) -> Result<(), String> {
        let mut mtu = 0;
        let mut seq = 0;
        for word in words {
            match word.split_once('=') {
                Some(("seq", n)) => seq = parse(Some(n))?,
                _ => mtu = parse(Some(word))?,
            }
        }
        let seq = self.iss.unwrap_or_default() + seq;
        let quote_ip = Ipv4Header {
            src: OURS.into(),
            dst: PEER.into(),
            protocol: protocol::TCP,
            ttl: 60,
            dscp: 0,
            ecn: Ecn::NotCapable,
            ident: 0,
            dont_fragment: true,
            more_fragments: false,
            fragment_offset: 0,
            header_len: 20,
            payload_len: 1480,
        };
        let mut body = vec![0; 28];
        quote_ip.emit(body.first_chunk_mut().expect("20"));
        body[20..22].copy_from_slice(&self.port.to_be_bytes());
        body[22..24].copy_from_slice(&self.peer_port.to_be_bytes());
        body[24..28].copy_from_slice(&seq.0.to_be_bytes());
        let message = match kind {
            "toobig" => IcmpV4::Unreachable { code: 4, mtu },
            "refused" => IcmpV4::Unreachable { code: 3, mtu: 0 },
            _ => IcmpV4::Unreachable { code: 1, mtu: 0 },
        };
        let mut icmp = vec![0; 8];
        message.emit(icmp.first_chunk_mut().expect("8"), Sum::new().bytes(&body));
        icmp.extend(body);
        self.deliver(protocol::ICMP, OURS, Ecn::NotCapable, &icmp);
        Ok(())
    }

    fn pop(&mut self, what: &str) -> Result<(), String> {
        let (conn, now) = (self.conn()?, self.now);
        let mut bytes = Vec::new();
        let wanted = what.parse::<usize>().unwrap_or(usize::MAX);
        let ended = loop {
            if bytes.len() >= wanted {
                break None;
            }
            match self.stack().tcp_pop(conn, now) {
                Ok(Some(buf)) => bytes.extend_from_slice(&buf),
                Ok(None) => break None,
                Err(e) => break Some(e),
            }
        };
        // Our own stream position tells what the bytes must be.
        if bytes != stream(self.popped, bytes.len()) {
            return Err(format!("{} bytes that are not the peer's stream at {}", bytes.len(), self.popped));
        }
        self.popped += bytes.len();
        let at_end = self.stack().tcp_is_at_end(conn);
        match what {
            "none" if bytes.is_empty() && ended.is_none() && !at_end => Ok(()),
            "eof" if bytes.is_empty() && ended.is_none() && at_end => Ok(()),
            n if n.parse() == Ok(bytes.len()) => Ok(()),
            e if ended.is_some_and(|ended| format!("{ended:?}") == e) && bytes.is_empty() => Ok(()),
            _ => Err(format!("{} bytes, {ended:?}, at the end: {at_end}", bytes.len())),
        }
    }
}

/// A Fast Open option: the cookie in hexadecimal, or nothing.
fn fast_open(cookie: &str, experimental: bool) -> Result<FastOpen, String> {
    if cookie.is_empty() {
        return Ok(FastOpen { cookie: None, experimental });
    }
    let byte = |at| u8::from_str_radix(cookie.get(at..at + 2).unwrap_or("?"), 16);
    let bytes: Result<Vec<u8>, _> = (0..cookie.len()).step_by(2).map(byte).collect();
    let cookie = bytes.ok().and_then(|bytes| Cookie::new(&bytes)).ok_or("that is no cookie")?;
    Ok(FastOpen { cookie: Some(cookie), experimental })
}

/// `7` or `7,6`: keys of equal bytes, the current one and the one before.
fn cookie_key(text: &str) -> Result<FastOpenKey, String> {
    let mut keys = text.split(',').map(|n| parse::<u8>(Some(n)).map(|n| [n; 16]));
    let current = keys.next().ok_or("which key?")??;
    Ok(FastOpenKey { current, previous: keys.next().transpose()? })
}

fn flags(text: &str) -> Result<Flags, String> {
    text.chars().try_fold(Flags::default(), |flags, c| {
        Ok(flags
            | match c {
                'S' => Flags::SYN,
                'F' => Flags::FIN,
                'R' => Flags::RST,
                'P' => Flags::PSH,
                '.' => Flags::ACK,
                'U' => Flags::URG,
                'E' => Flags::ECE,
                'W' => Flags::CWR,
                '-' => Flags::default(),
                _ => return Err(format!("unknown flag {c}")),
            })
    })
}

fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).ok_or("a time needs a unit")?;
    let n: f64 = text[..split].parse().map_err(|_| format!("bad time {text}"))?;
    let unit = match &text[split..] {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return Err(format!("bad unit in {text}")),
    };
    Ok(Duration::from_secs_f64(n * unit))
}

fn parse<T: std::str::FromStr>(text: Option<&str>) -> Result<T, String> {
    let text = text.ok_or("a number is missing")?;
    text.parse().map_err(|_| format!("bad number {text}"))
}
