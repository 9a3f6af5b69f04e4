//! Packets of a script to bytes, and bytes of the stack's to compare with a script.

use std::net::{IpAddr, SocketAddr};

use hemi_net::wire::{
    Cookie, Ecn, FastOpen, Flags, Ipv4Header, Ipv6Header, SackBlock, Seq, Sum, TcpHeader, TcpOptions,
    Timestamps, icmpv4::IcmpV4, protocol,
};

use super::parse::Packet;

/// The two ends of the script's connection, as the peer knows them.
pub(crate) struct Peer {
    stack: SocketAddr,
    remote: SocketAddr,
    /// The stack's initial sequence number, once seen.
    iss: Option<Seq>,
    /// Its first time stamp, and what the script calls that.
    stamp: Option<(u32, u32)>,
}

/// The addresses: the stack's and the peer's.
pub(crate) type Ends = (SocketAddr, SocketAddr);

impl Peer {
    pub(crate) fn new(v6: bool) -> Self {
        let (stack, peer): (IpAddr, IpAddr) = if v6 {
            ("fd3d:fa7b:d17d::1".parse().expect("valid"), "2001:db8::1".parse().expect("valid"))
        } else {
            ([192, 168, 0, 1].into(), [192, 0, 2, 1].into())
        };
        Self { stack: (stack, 8080).into(), remote: (peer, 40_000).into(), iss: None, stamp: None }
    }

    pub(crate) fn addresses(&self) -> Ends {
        (self.stack, self.remote)
    }

    /// The bytes of a packet that the peer sends.
    pub(crate) fn build(&self, packet: &Packet) -> Result<Vec<u8>, String> {
        if let Some(mtu) = packet.too_big {
            return Ok(self.too_big(packet, mtu));
        }
        let iss = self.iss.unwrap_or_default();
        let mut header = TcpHeader {
            src_port: self.remote.port(),
            dst_port: self.stack.port(),
            seq: Seq(packet.seq),
            ack: packet.ack.map_or(Seq(0), |n| iss + n),
            flags: flags(&packet.flags)?,
            window: packet.win.unwrap_or(0),
            urgent: 0,
            header_len: 20,
        };
        let options = self.options(packet)?;
        let mut tcp = vec![0; 60];
        let len = options.emit((&mut tcp[20..]).try_into().expect("40"));
        tcp.truncate(20 + len);
        header.header_len = tcp.len() as u8;
        header.emit(tcp.first_chunk_mut().expect("20"));
        tcp.resize(tcp.len() + packet.len, b'x');
        let pseudo = Sum::pseudo(self.remote.ip(), self.stack.ip(), protocol::TCP, tcp.len() as u32);
        let sum = pseudo.bytes(&tcp).finish();
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());
        Ok(self.wrap(protocol::TCP, &tcp))
    }

    fn wrap(&self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = match (self.remote.ip(), self.stack.ip()) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let mut head = vec![0; Ipv4Header::LEN];
                let header = Ipv4Header {
                    src,
                    dst,
                    protocol,
                    ttl: 64,
                    dscp: 0,
                    ecn: Ecn::NotCapable,
                    ident: 7,
                    dont_fragment: true,
                    more_fragments: false,
                    fragment_offset: 0,
                    header_len: 20,
                    payload_len: payload.len() as u16,
                };
                header.emit(head.first_chunk_mut().expect("20"));
                head
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let mut head = vec![0; Ipv6Header::LEN];
                let header = Ipv6Header {
                    src,
                    dst,
                    next_header: protocol,
                    hop_limit: 64,
                    dscp: 0,
                    ecn: Ecn::NotCapable,
                    flow_label: 0,
                    payload_len: payload.len() as u16,
                };
                header.emit(head.first_chunk_mut().expect("40"));
                head
            }
            _ => unreachable!("both ends are of one family"),
        };
        bytes.extend(payload);
        bytes
    }

    /// A router's complaint about a segment of the stack's (IPv4).
    fn too_big(&self, packet: &Packet, mtu: u16) -> Vec<u8> {
        let swapped = Self { stack: self.remote, remote: self.stack, iss: None, stamp: None };
        let mut tcp = vec![0; 8];
        tcp[..2].copy_from_slice(&self.stack.port().to_be_bytes());
        tcp[2..4].copy_from_slice(&self.remote.port().to_be_bytes());
        let seq = self.iss.unwrap_or_default() + packet.seq;
        tcp[4..].copy_from_slice(&seq.0.to_be_bytes());
        let mut quoted = swapped.wrap(protocol::TCP, &tcp);
        // The quote is cut: its length field is the whole packet's.
        let whole = 40 + packet.len as u16;
        quoted[2..4].copy_from_slice(&whole.to_be_bytes());
        quoted[10..12].fill(0);
        let sum = Sum::new().bytes(&quoted[..20]).finish();
        quoted[10..12].copy_from_slice(&sum.to_be_bytes());
        let mut icmp = vec![0; 8];
        let message = IcmpV4::Unreachable { code: 4, mtu };
        message.emit(icmp.first_chunk_mut().expect("8"), Sum::new().bytes(&quoted));
        icmp.extend(quoted);
        self.wrap(protocol::ICMP, &icmp)
    }

    fn options(&self, packet: &Packet) -> Result<TcpOptions, String> {
        let mut options = TcpOptions::default();
        let iss = self.iss.unwrap_or_default();
        for option in packet.options.iter().flatten() {
            let words: Vec<&str> = option.split_whitespace().collect();
            let number = |i: usize| {
                words.get(i).and_then(|w| w.parse::<u32>().ok()).ok_or(format!("a number in {option}"))
            };
            match words.first().copied() {
                Some("mss") => options.mss = Some(number(1)? as u16),
                Some("wscale") => options.window_scale = Some(number(1)? as u8),
                Some("sackOK") => options.sack_permitted = true,
                // "...": whatever else.
                Some("nop" | "eol" | "...") => {}
                Some("FO") => options.fast_open = Some(fast_open(words.get(1).copied().unwrap_or(""))?),
                Some("sack") => {
                    for block in &words[1..] {
                        let (a, b) = block.split_once(':').ok_or("a block")?;
                        let end = |n: &str| n.parse::<u32>().map(|n| iss + n).map_err(|e| e.to_string());
                        options.sack.push(SackBlock { start: end(a)?, end: end(b)? });
                    }
                }
                Some("TS") => {
                    let echo = match self.stamp {
                        Some((live, script)) => live.wrapping_add(number(4)?.wrapping_sub(script)),
                        None => number(4)?,
                    };
                    options.timestamps = Some(Timestamps { value: number(2)?, echo });
                }
                _ => return Err(format!("unknown option {option}")),
            }
        }
        Ok(options)
    }

    /// Compare a packet of the stack's with what a script expects.
    pub(crate) fn check(&mut self, expected: &Packet, bytes: &[u8]) -> Result<(), String> {
        let (src, dst, payload) = if bytes[0] >> 4 == 4 {
            let ip = Ipv4Header::parse(bytes).map_err(|e| e.to_string())?;
            let whole = usize::from(ip.header_len) + usize::from(ip.payload_len);
            if !Sum::new().bytes(&bytes[..usize::from(ip.header_len)]).is_intact() || whole != bytes.len() {
                return Err("a bad IPv4 header".into());
            }
            (IpAddr::V4(ip.src), IpAddr::V4(ip.dst), &bytes[usize::from(ip.header_len)..])
        } else {
            let ip = Ipv6Header::parse(bytes).map_err(|e| e.to_string())?;
            (ip.src.into(), ip.dst.into(), &bytes[Ipv6Header::LEN..])
        };
        let (header, options) = TcpHeader::parse(payload).map_err(|e| e.to_string())?;
        if !Sum::pseudo(src, dst, protocol::TCP, payload.len() as u32).bytes(payload).is_intact() {
            return Err("a bad TCP checksum".into());
        }
        // Another connection of the script's has other numbers.
        if self.stack.port() != header.src_port {
            self.iss = None;
        }
        // The stack may have chosen its port, and in an active open the script's peer listens.
        (self.stack, self.remote) = ((src, header.src_port).into(), (dst, header.dst_port).into());
        let options = TcpOptions::parse(options);
        if header.flags.has(Flags::SYN) && self.iss.is_none() {
            self.iss = Some(header.seq);
        }
        let seq = header.seq.since(self.iss.unwrap_or_default());
        let len = payload.len() - usize::from(header.header_len);
        let ack = header.flags.has(Flags::ACK).then_some(header.ack.0);
        let sent = format!("{} {seq}({len}) ack {ack:?} win {} {options:?}", header.flags, header.window);
        if header.flags != flags(&expected.flags)? {
            return Err(format!("flags: the stack sent {sent}"));
        }
        if (seq, len) != (expected.seq, expected.len) {
            return Err(format!("seq: the stack sent {sent}"));
        }
        if ack != expected.ack {
            return Err(format!("ack: the stack sent {sent}"));
        }
        if expected.win.is_some_and(|w| w != header.window) {
            return Err(format!("win: the stack sent {sent}"));
        }
        self.check_options(expected, &options).map_err(|e| format!("{e}: the stack sent {sent}"))
    }

    fn check_options(&mut self, expected: &Packet, options: &TcpOptions) -> Result<(), String> {
        let Some(list) = &expected.options else { return Ok(()) };
        if let (Some(ts), None) = (options.timestamps, self.stamp) {
            let script = list.iter().find_map(|o| o.strip_prefix("TS val ")?.split(' ').next()?.parse().ok());
            self.stamp = Some((ts.value, script.unwrap_or(0)));
        }
        let wanted = self.options(expected)?;
        if wanted.fast_open != options.fast_open {
            return Err("Fast Open".into());
        }
        if list.iter().any(|option| option == "...") {
            return Ok(());
        }
        let same = wanted.mss == options.mss
            && wanted.window_scale == options.window_scale
            && wanted.sack_permitted == options.sack_permitted
            && wanted.timestamps.is_some() == options.timestamps.is_some()
            && wanted.sack.as_slice().len() == options.sack.as_slice().len();
        // The peer's own numbers in the stack's blocks and echoes are the script's.
        let blocks: Vec<String> =
            options.sack.as_slice().iter().map(|b| format!("{}:{}", b.start.0, b.end.0)).collect();
        let sack = list.iter().find_map(|o| o.strip_prefix("sack ")).unwrap_or("");
        let echo =
            list.iter().find_map(|o| o.strip_prefix("TS val ")?.split(' ').nth(2)?.parse::<u32>().ok());
        let echoed = echo.is_none_or(|e| options.timestamps.is_some_and(|t| t.echo == e));
        if same && blocks.join(" ") == sack && echoed { Ok(()) } else { Err("options".into()) }
    }
}

/// A Fast Open option: the cookie in hexadecimal, or nothing.
fn fast_open(cookie: &str) -> Result<FastOpen, String> {
    let byte = |at| u8::from_str_radix(cookie.get(at..at + 2).unwrap_or("?"), 16).map_err(|e| e.to_string());
    let bytes: Vec<u8> = (0..cookie.len()).step_by(2).map(byte).collect::<Result<_, _>>()?;
    let cookie = Cookie::new(&bytes);
    if cookie.is_none() && !bytes.is_empty() {
        return Err("that is no cookie".into());
    }
    Ok(FastOpen { cookie, experimental: false })
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
                'E' => Flags::ECE,
                'W' => Flags::CWR,
                _ => return Err(format!("unknown flag {c}")),
            })
    })
}
