//! [`Trace`]: a device that tells of every frame by `tracing` events, and [`Summary`], a frame in a line.

use std::fmt;

use hemi_queue::{Pool, Progress, Wakeup, time::Instant};

use super::{Caps, DatagramRule, Device, Gone};
use crate::{
    cores::{Steered, Steering},
    frame::{RxFrame, TxQueue},
    wire::{EtherType, EthernetHeader, Flags, Ipv4Header, Ipv6Header, TcpHeader, UdpHeader, protocol},
};

/// A device that makes a `tracing` event, target `hemi::frames`, level DEBUG, of each frame that passes another.
pub struct Trace<D> {
    device: D,
    /// Frames at the front of the transmit queue that were told of already.
    told: usize,
}

impl<D: Device> Trace<D> {
    /// Tell of what passes `device`.
    pub fn new(device: D) -> Self {
        Self { device, told: 0 }
    }
}

impl<D: Device> Device for Trace<D> {
    fn caps(&self) -> Caps {
        self.device.caps()
    }

    fn filter_datagrams(&mut self, rules: &[DatagramRule]) -> Option<&'static str> {
        self.device.filter_datagrams(rules)
    }

    fn rx_burst(&mut self, now: Instant, max: usize, frames: &mut Vec<RxFrame>) -> Result<usize, Gone> {
        let before = frames.len();
        let n = self.device.rx_burst(now, max, frames)?;
        for frame in frames.get(before..).unwrap_or_default() {
            tracing::debug!(target: "hemi::frames", at = ?now, "< {}", Summary(&frame.bytes));
        }
        Ok(n)
    }

    fn tx_burst(&mut self, now: Instant, frames: &mut TxQueue) -> Result<usize, Gone> {
        if tracing::enabled!(target: "hemi::frames", tracing::Level::DEBUG) {
            for frame in frames.iter().skip(self.told) {
                let mut bytes = vec![0; frame.len()];
                frame.copy_to(&mut bytes);
                tracing::debug!(target: "hemi::frames", at = ?now, "> {}", Summary(&bytes));
            }
        }
        let offered = frames.len();
        let n = self.device.tx_burst(now, frames)?;
        self.told = offered.saturating_sub(n);
        Ok(n)
    }

    fn register(&mut self, pool: &Pool) {
        self.device.register(pool);
    }

    fn steer(&mut self, rule: &Steering) -> Steered {
        self.device.steer(rule)
    }

    fn wakeup(&self) -> Wakeup {
        self.device.wakeup()
    }

    fn deadline(&self) -> Option<Instant> {
        self.device.deadline()
    }

    fn prepare_park(&mut self) -> Progress {
        self.device.prepare_park()
    }

    fn unpark(&mut self) {
        self.device.unpark();
    }

    fn counters(&self, each: &mut dyn FnMut(&str, u64)) {
        self.device.counters(each);
    }

    fn describe(&self) -> String {
        format!("{}, traced", self.device.describe())
    }
}

/// An Ethernet frame in a line for people, whatever it holds.
///
/// ```
/// use hemi_net::device::Summary;
/// assert_eq!(Summary(b"short").to_string(), "5 bytes, not an Ethernet frame");
/// ```
pub struct Summary<'a>(pub &'a [u8]);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(ethernet) = EthernetHeader::parse(self.0) else {
            return write!(f, "{} bytes, not an Ethernet frame", self.0.len());
        };
        let rest = self.0.get(EthernetHeader::LEN..).unwrap_or_default();
        match ethernet.ethertype {
            EtherType::Ipv4 => match Ipv4Header::parse(rest) {
                Ok(ip) => {
                    let at = usize::from(ip.header_len);
                    let body = rest.get(at..at + usize::from(ip.payload_len)).unwrap_or_default();
                    if ip.fragment_offset > 0 || ip.more_fragments {
                        return write!(
                            f,
                            "{} > {} fragment at {}, {} bytes",
                            ip.src,
                            ip.dst,
                            ip.fragment_offset,
                            body.len()
                        );
                    }
                    upper(f, &ip.src, &ip.dst, ip.protocol, body)
                }
                Err(_) => f.write_str("malformed IPv4"),
            },
            EtherType::Ipv6 => match Ipv6Header::parse(rest) {
                Ok(ip) => {
                    let body = rest.get(Ipv6Header::LEN..).unwrap_or_default();
                    let body = body.get(..usize::from(ip.payload_len)).unwrap_or(body);
                    upper(f, &ip.src, &ip.dst, ip.next_header, body)
                }
                Err(_) => f.write_str("malformed IPv6"),
            },
            other => write!(f, "{} > {} {other:?}, {} bytes", ethernet.src, ethernet.dst, rest.len()),
        }
    }
}

fn upper(
    f: &mut fmt::Formatter<'_>,
    src: &dyn fmt::Display,
    dst: &dyn fmt::Display,
    proto: u8,
    body: &[u8],
) -> fmt::Result {
    match proto {
        protocol::TCP => {
            let Ok((tcp, _)) = TcpHeader::parse(body) else {
                return write!(f, "{src} > {dst} malformed TCP");
            };
            write!(f, "{src}:{} > {dst}:{} ", tcp.src_port, tcp.dst_port)?;
            let names = [
                (Flags::SYN, "S"),
                (Flags::FIN, "F"),
                (Flags::RST, "R"),
                (Flags::PSH, "P"),
                (Flags::ECE, "E"),
                (Flags::CWR, "C"),
                (Flags::ACK, "."),
            ];
            names.iter().filter(|(flag, _)| tcp.flags.has(*flag)).try_for_each(|(_, n)| f.write_str(n))?;
            let len = body.len().saturating_sub(usize::from(tcp.header_len));
            write!(f, " seq {} ack {} win {} len {len}", tcp.seq.0, tcp.ack.0, tcp.window)
        }
        protocol::UDP => match UdpHeader::parse(body) {
            Ok(udp) => {
                write!(f, "{src}:{} > {dst}:{} UDP len {}", udp.src_port, udp.dst_port, udp.payload_len)
            }
            Err(_) => write!(f, "{src} > {dst} malformed UDP"),
        },
        protocol::ICMP | protocol::ICMPV6 => {
            let kind = body.first().copied().unwrap_or_default();
            write!(f, "{src} > {dst} ICMP type {kind}, {} bytes", body.len())
        }
        other => write!(f, "{src} > {dst} protocol {other}, {} bytes", body.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Host, StackConfig, TcpOptionsConfig, sim::Switch};

    /// Frames that a stack makes read as people write them.
    #[test]
    fn frames_in_a_line() {
        let (switch, pool) = (Switch::new(1), Pool::new().unwrap());
        let plug = || switch.plug(crate::sim::LinkConfig::default(), 1500, None, &pool);
        let config = |ip: &str| StackConfig::with_addresses([ip.parse().unwrap()]);
        let mut a = Host::new(Trace::new(plug()), config("10.0.0.1/24"), pool.clone(), 1);
        let mut b = Host::new(Trace::new(plug()), config("10.0.0.2/24"), pool.clone(), 2);
        let mut ear = plug();
        let now = Instant::ZERO;
        a.stack.tcp_connect("10.0.0.2:80".parse().unwrap(), None, TcpOptionsConfig::default(), now).unwrap();
        let (mut heard, mut lines) = (Vec::new(), Vec::new());
        for _ in 0..8 {
            a.poll(now).unwrap();
            b.poll(now).unwrap();
        }
        // A third station hears what is for everyone.
        ear.rx_burst(now, 64, &mut heard).unwrap();
        lines.extend(heard.iter().map(|f| Summary(&f.bytes).to_string()));
        assert!(lines.iter().all(|l| l.contains("ff:ff:ff:ff:ff:ff Arp, 28 bytes")), "{lines:?}");
        assert_eq!(lines.len(), 3, "two announcements and a question: {lines:?}");

        let mut syn = TxQueue::new(8);
        a.stack.tcp_connect("10.0.0.2:81".parse().unwrap(), None, TcpOptionsConfig::default(), now).unwrap();
        a.stack.advance(now);
        std::mem::swap(a.stack.tx_queue(), &mut syn);
        let frame = syn.front().unwrap();
        let mut bytes = vec![0; frame.len()];
        frame.copy_to(&mut bytes);
        let line = Summary(&bytes).to_string();
        assert!(line.starts_with("10.0.0.1:") && line.contains(" > 10.0.0.2:81 S seq "), "{line}");
        // Whatever is cut off, it reads as something.
        for len in 0..bytes.len() {
            assert!(!Summary(&bytes[..len]).to_string().is_empty());
        }
    }
}
