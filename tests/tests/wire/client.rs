//! [`Wire`]: a station with any number of addresses, that sends what it is told and looks at all that comes.

use std::{
    collections::HashSet,
    net::IpAddr,
    thread,
    time::{Duration, Instant as Clock},
};

use hemi_net::{
    Device, DeviceQueue,
    frame::{TxFrame, TxQueue},
    wire::{
        EtherType, EthernetHeader, Ipv4Header, Ipv6Header, MacAddr, Sum, TcpHeader, TcpOptions,
        arp::Operation, icmpv4::IcmpV4, icmpv6::IcmpV6, ndp::Ndp, protocol,
    },
};
use hemi_queue::{Buf, Pool, time::Instant};

use crate::frames::{Frame, MAC, MAC2, OUR_MAC, OURS, OURS6, Sent, arp, ip, ndp, ping, ping6};

/// Where nothing comes in so long, nothing will.
const HANG: Duration = Duration::from_secs(60);
/// The address that asks whether all is answered, in each family.
const FENCE: (&str, &str) = ("10.99.200.1", "fd99::c801");

/// A TCP segment that the host sent.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) at: Clock,
    pub(crate) header: TcpHeader,
    pub(crate) options: TcpOptions,
    pub(crate) data: Vec<u8>,
    /// The two ECN bits, and DF (IPv4).
    pub(crate) ecn: u8,
    pub(crate) dont_fragment: bool,
}

/// A frame that came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) at: Clock,
    pub(crate) frame: Sent,
}

impl Seen {
    /// The sender and the receiver of an IP packet, its protocol and its payload; IPv4 fragments and IPv6 extension headers are left alone.
    pub(crate) fn packet(&self) -> Option<(IpAddr, IpAddr, u8, &[u8])> {
        match self.frame.ethernet.ethertype {
            EtherType::Ipv4 => {
                let h = Ipv4Header::parse(&self.frame.body).ok().filter(|h| !h.is_fragment())?;
                let payload = &self.frame.body[20..20 + usize::from(h.payload_len)];
                Some((h.src.into(), h.dst.into(), h.protocol, payload))
            }
            EtherType::Ipv6 => {
                let h = Ipv6Header::parse(&self.frame.body).ok()?;
                let payload = &self.frame.body[40..40 + usize::from(h.payload_len)];
                Some((h.src.into(), h.dst.into(), h.next_header, payload))
            }
            _ => None,
        }
    }

    /// The segment, if it goes to `to`.
    pub(crate) fn segment(&self, to: (IpAddr, u16)) -> Option<Segment> {
        let (_, dst, proto, payload) = self.packet()?;
        let (header, raw) = TcpHeader::parse(payload).ok().filter(|_| proto == protocol::TCP)?;
        let (ecn, dont_fragment) = match self.frame.ethernet.ethertype {
            EtherType::Ipv4 => (self.frame.body[1] & 3, self.frame.body[6] & 0x40 != 0),
            _ => (self.frame.body[1] >> 4 & 3, true),
        };
        (dst == to.0 && header.dst_port == to.1).then(|| Segment {
            at: self.at,
            header,
            options: TcpOptions::parse(raw),
            data: payload[usize::from(header.header_len)..].to_vec(),
            ecn,
            dont_fragment,
        })
    }

    /// An ICMP message to `to`.
    pub(crate) fn icmp4(&self, to: &str) -> Option<(IcmpV4, Vec<u8>)> {
        let (_, dst, proto, _) = self.packet()?;
        (dst == ip(to) && proto == protocol::ICMP).then(|| {
            let (message, body) = self.frame.icmp4();
            (message, body.to_vec())
        })
    }

    /// An ICMPv6 message to `to`.
    pub(crate) fn icmp6(&self, to: &str) -> Option<(IcmpV6, Vec<u8>)> {
        let (_, dst, proto, _) = self.packet()?;
        (dst == ip(to) && proto == protocol::ICMPV6).then(|| {
            let (message, body) = self.frame.icmp6();
            (message, body.to_vec())
        })
    }

    /// The datagram's text, from our echo port to `to`.
    pub(crate) fn udp(&self, to: &str) -> Option<Vec<u8>> {
        let (_, dst, proto, payload) = self.packet()?;
        (dst == ip(to) && proto == protocol::UDP).then(|| payload[8..].to_vec())
    }

    pub(crate) fn is_arp(&self) -> bool {
        self.frame.ethernet.ethertype == EtherType::Arp
    }
}

/// The client.
pub(crate) struct Wire {
    /// With the addresses [`MAC`] and [`MAC2`].
    devices: [Box<dyn Device>; 2],
    _pool: Pool,
    /// What came and was not yet looked at.
    pub(crate) inbox: Vec<Seen>,
    /// Addresses that do not answer questions about themselves.
    pub(crate) silent: HashSet<IpAddr>,
    fences: u16,
    next_client: u16,
    burst: Vec<hemi_net::RxFrame>,
}

impl Wire {
    /// A client on an interface without addresses.
    pub(crate) fn on(interface: &str) -> Self {
        let pool = Pool::new().expect("memory");
        let devices = [MAC, MAC2].map(|mac| {
            let uri =
                format!("packet:{interface}?mac={mac}&offload=off&ring=1048576").parse().expect("a URI");
            hemi_packet::open(&uri, &pool, DeviceQueue::ONLY).unwrap_or_else(|e| panic!("{e}"))
        });
        let (inbox, silent, burst) = Default::default();
        Self { devices, _pool: pool, inbox, silent, fences: 0, next_client: 0, burst }
    }

    /// An address of the client's that no case has used yet.
    pub(crate) fn fresh(&mut self, v6: bool) -> String {
        self.next_client += 1;
        let [a, b] = self.next_client.to_be_bytes();
        if v6 { format!("fd99::{:x}", 0x1000 + self.next_client) } else { format!("10.99.{}.{}", 10 + a, b) }
    }

    /// Send a frame from the station's MAC address, or from another.
    pub(crate) fn send(&mut self, frame: &Frame) {
        self.send_from(MAC, frame);
    }

    pub(crate) fn send_from(&mut self, mac: MacAddr, (dst, ethertype, body): &Frame) {
        let mut bytes = vec![0; EthernetHeader::LEN];
        let ethernet = EthernetHeader { dst: *dst, src: mac, ethertype: *ethertype };
        ethernet.emit(bytes.first_chunk_mut().expect("14"));
        bytes.extend(body);
        let mut queue = TxQueue::new(1);
        queue.push(TxFrame::new(Buf::from(bytes).into()));
        while !queue.is_empty() {
            self.devices[0].tx_burst(Instant::ZERO, &mut queue).expect("the device is there");
        }
    }

    /// Take what has come; questions for our addresses are answered.
    fn pump(&mut self) -> bool {
        for (i, device) in self.devices.iter_mut().enumerate() {
            let before = self.burst.len();
            device.rx_burst(Instant::ZERO, 64, &mut self.burst).expect("the device is there");
            if i == 1 {
                // What is for groups the first has seen.
                let mut at = 0;
                self.burst.retain(|frame| {
                    at += 1;
                    at <= before || frame.bytes.starts_with(&MAC2.0)
                });
            }
        }
        let frames = std::mem::take(&mut self.burst);
        let any = !frames.is_empty();
        for frame in frames {
            let ethernet = EthernetHeader::parse(&frame.bytes).expect("an Ethernet header");
            // What the kernel says on that interface is its own.
            if ethernet.src != OUR_MAC {
                continue;
            }
            let frame = Sent { ethernet, body: frame.bytes[EthernetHeader::LEN..].to_vec() };
            examine(&frame);
            self.answer(&frame);
            self.inbox.push(Seen { at: Clock::now(), frame });
        }
        any
    }

    fn answer(&mut self, frame: &Sent) {
        match frame.ethernet.ethertype {
            EtherType::Arp => {
                let question = frame.arp();
                let (ours, host) = (question.target_ip.to_string(), question.sender_ip.to_string());
                if question.operation == Operation::Request
                    && ours != OURS
                    && !self.silent.contains(&question.target_ip.into())
                {
                    self.send(&arp(Operation::Reply, MAC, &ours, OUR_MAC, &host));
                }
            }
            EtherType::Ipv6 if frame.body[6] == protocol::ICMPV6 && frame.body[40] == Ndp::SOLICITATION => {
                let (Ndp::Solicitation { target, .. }, from) = (frame.ndp(), frame.v6().0.src) else {
                    return;
                };
                if target.to_string() != OURS6
                    && !from.is_unspecified()
                    && !self.silent.contains(&target.into())
                {
                    let answer = Ndp::Advertisement {
                        target,
                        target_mac: Some(MAC),
                        router: false,
                        solicited: true,
                        overrides: true,
                    };
                    self.send(&ndp(&target.to_string(), &from.to_string(), 255, &answer));
                }
            }
            _ => {}
        }
    }

    /// The first frame for which `find` finds something, waited for.
    pub(crate) fn wait<T>(&mut self, what: &str, find: impl FnMut(&Seen) -> Option<T>) -> T {
        self.wait_for(what, HANG, find)
            .unwrap_or_else(|| panic!("{what}: not in {HANG:?}; there is {:?}", self.inbox))
    }

    /// The same, or nothing in so long.
    pub(crate) fn wait_for<T>(
        &mut self,
        _what: &str,
        time: Duration,
        mut find: impl FnMut(&Seen) -> Option<T>,
    ) -> Option<T> {
        let begin = Clock::now();
        loop {
            let found = self.inbox.iter().enumerate().find_map(|(i, seen)| Some((i, find(seen)?)));
            if let Some((i, found)) = found {
                self.inbox.remove(i);
                return Some(found);
            }
            if !self.pump() {
                if begin.elapsed() > time {
                    return None;
                }
                thread::sleep(Duration::from_micros(200));
            }
        }
    }

    /// Wait until the host has answered everything that it was sent: it takes frames in order, so an echo comes last.
    pub(crate) fn fence(&mut self) {
        self.fences += 1;
        let data = self.fences.to_be_bytes();
        self.send(&ping(FENCE.0, OURS, &data));
        self.wait("the echo of the fence", |seen| seen.icmp4(FENCE.0).filter(|(_, text)| *text == data));
        self.send(&ping6(FENCE.1, OURS6, &data));
        self.wait("the echo of the fence", |seen| seen.icmp6(FENCE.1).filter(|(_, text)| *text == data));
    }

    /// The host has nothing to say of that kind.
    pub(crate) fn nothing<T: std::fmt::Debug>(
        &mut self,
        what: &str,
        mut find: impl FnMut(&Seen) -> Option<T>,
    ) {
        self.fence();
        if let Some(found) = self.inbox.iter().find_map(&mut find) {
            panic!("{what}: there is {found:?}");
        }
    }

    /// Time passes; what comes is kept.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.wait_for("time", time, |_| None::<()>);
    }

    /// Ready for the next case.
    pub(crate) fn reset(&mut self) {
        self.fence();
        self.inbox.clear();
        self.silent.clear();
    }
}

/// What holds of every frame: lengths, and the checksums of all headers.
fn examine(frame: &Sent) {
    assert!(frame.body.len() <= 1500, "a frame with {} bytes of packet", frame.body.len());
    let sums = |proto: u8, pseudo: Sum, payload: &[u8]| match proto {
        protocol::TCP | protocol::ICMPV6 => pseudo.bytes(payload).is_intact(),
        protocol::UDP => payload.get(6..8) == Some(&[0, 0]) || pseudo.bytes(payload).is_intact(),
        protocol::ICMP => Sum::new().bytes(payload).is_intact(),
        _ => true,
    };
    match frame.ethernet.ethertype {
        EtherType::Ipv4 => {
            // Its own checksum is verified here.
            let (header, _) = frame.v4();
            let payload = &frame.body[20..20 + usize::from(header.payload_len)];
            let len = payload.len() as u16;
            let pseudo = Sum::pseudo_v4(header.src, header.dst, header.protocol, len);
            assert!(
                header.is_fragment() || sums(header.protocol, pseudo, payload),
                "a bad checksum: {frame:?}"
            );
            assert!(header.ttl > 1, "it goes nowhere: {header:?}");
        }
        EtherType::Ipv6 => {
            let (header, payload) = frame.v6();
            let payload = &payload[..usize::from(header.payload_len)];
            let pseudo = Sum::pseudo_v6(&header.src, &header.dst, header.next_header, payload.len() as u32);
            assert!(sums(header.next_header, pseudo, payload), "a bad checksum: {frame:?}");
        }
        EtherType::Arp => drop(frame.arp()),
        EtherType::Other(_) => {}
    }
}
