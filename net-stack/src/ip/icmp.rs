//! ICMP and ICMPv6: echo, errors that we send, and what errors that we get do.

use std::net::IpAddr;

use hemi_queue::{Buf, Sga, time::Instant};

use super::{Net, Path, pmtu::plateau_below};
use crate::wire::{
    Ipv4Header, Ipv6Header, Seq, Sum,
    icmpv4::{self, IcmpV4},
    icmpv6::{self, IcmpV6},
    ipv6::follow_extensions,
    ndp::Ndp,
    protocol,
};

/// An ICMP error about a packet of ours, as far as the quote tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quoted {
    /// Our end, as it was in the quoted packet.
    pub(crate) local: (IpAddr, u16),
    /// The peer that the packet was sent to.
    pub(crate) remote: (IpAddr, u16),
    /// TCP or UDP.
    pub(crate) protocol: u8,
    /// The quoted sequence number (TCP).
    pub(crate) seq: Seq,
    /// What went wrong.
    pub(crate) error: IcmpError,
}

/// What an ICMP error says about the way to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IcmpError {
    /// The packet was too large; the next MTU.
    TooBig(u16),
    /// Nobody listens on the port, or the protocol is not spoken ("hard").
    Refused,
    /// Network or host can't be reached, or hops ran out ("soft").
    Unreachable,
}

/// Why a packet is answered with an ICMP error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Complaint {
    PortUnreachable,
    ProtocolUnreachable {
        pointer: u32,
    },
    ReassemblyTime,
    /// IPv4 only: it wants to be sent on to another host.
    SourceRoute,
    Parameter {
        code: u8,
        pointer: u32,
    },
}

impl Net {
    /// A whole ICMP message for us.
    pub(super) fn on_icmpv4(
        &mut self,
        src: IpAddr,
        dst: IpAddr,
        unicast: bool,
        message: &Buf,
        now: Instant,
    ) -> Option<Quoted> {
        let Ok(icmp) = IcmpV4::parse(message) else {
            self.counters.drop_icmp_malformed += 1;
            return None;
        };
        match icmp {
            // RFC 1122 section 3.2.2.6: an ICMP Echo Request destined to an IP broadcast or multicast address MAY be silently
            // discarded: we do, so that nobody can use us as an amplifier.
            IcmpV4::EchoRequest { ident, seq } if unicast => {
                self.answer_echo(src, dst, message, now, |head, body| {
                    IcmpV4::EchoReply { ident, seq }.emit(head, body);
                });
                None
            }
            IcmpV4::Unreachable { code: icmpv4::unreachable::FRAGMENTATION_NEEDED, mtu } => {
                let quote = &message[IcmpV4::LEN..];
                let total = quote.get(2..4).map_or(0, |l| u16::from_be_bytes([l[0], l[1]]));
                let mtu = if mtu == 0 { plateau_below(total) } else { mtu };
                self.quoted_v4(quote, IcmpError::TooBig(mtu))
            }
            IcmpV4::Unreachable { code: 2 | 3, .. } => {
                self.quoted_v4(&message[IcmpV4::LEN..], IcmpError::Refused)
            }
            IcmpV4::Unreachable { .. } | IcmpV4::TimeExceeded { .. } | IcmpV4::ParameterProblem { .. } => {
                self.quoted_v4(&message[IcmpV4::LEN..], IcmpError::Unreachable)
            }
            IcmpV4::Other { kind: IcmpV4::REDIRECT, .. } => {
                self.on_redirect(src, message, now);
                None
            }
            _ => {
                self.counters.drop_icmp_unused += 1;
                None
            }
        }
    }

    /// A whole ICMPv6 message for us; `pseudo` is the sum of its pseudo-header.
    pub(super) fn on_icmpv6(
        &mut self,
        header: &Ipv6Header,
        unicast: bool,
        message: &Buf,
        pseudo: Sum,
        now: Instant,
    ) -> Option<Quoted> {
        let Ok(icmp) = IcmpV6::parse(message, pseudo) else {
            self.counters.drop_icmp_malformed += 1;
            return None;
        };
        let (src, dst) = (IpAddr::V6(header.src), IpAddr::V6(header.dst));
        if self.is_tentative(false) && !self.looping && !matches!(icmp, IcmpV6::Other { kind: 135 | 136, .. })
        {
            self.counters.drop_ip_tentative += 1;
            return None;
        }
        if header.src.is_unspecified() && !matches!(icmp, IcmpV6::Other { kind: Ndp::SOLICITATION, .. }) {
            // Nobody to answer: only duplicate address detection asks like that.
            self.counters.drop_ip_bad_source += 1;
            return None;
        }
        match icmp {
            // RFC 4443 section 4.2: An Echo Reply SHOULD be sent in response to an Echo Request message sent to an IPv6 multicast [...]
            // address. In this case, the source address of the reply MUST be a unicast address belonging to the interface.
            IcmpV6::EchoRequest { ident, seq } => {
                let dst = if unicast { Some(dst) } else { self.addresses.source_for(src) };
                let dst = dst.filter(IpAddr::is_ipv6)?;
                let pseudo = Sum::pseudo(dst, src, protocol::ICMPV6, message.len() as u32);
                self.answer_echo(src, dst, message, now, |head, body| {
                    // `body` is the sum of the data; sums add in any order.
                    let whole = pseudo.plus(body);
                    IcmpV6::EchoReply { ident, seq }.emit(head, whole);
                });
                None
            }
            IcmpV6::PacketTooBig { mtu } => {
                let mtu = u16::try_from(mtu).unwrap_or(u16::MAX);
                self.quoted_v6(&message[IcmpV6::LEN..], IcmpError::TooBig(mtu))
            }
            IcmpV6::Unreachable { code: icmpv6::unreachable::PORT }
            | IcmpV6::ParameterProblem { code: 1, .. } => {
                self.quoted_v6(&message[IcmpV6::LEN..], IcmpError::Refused)
            }
            IcmpV6::Unreachable { .. } | IcmpV6::TimeExceeded { .. } | IcmpV6::ParameterProblem { .. } => {
                self.quoted_v6(&message[IcmpV6::LEN..], IcmpError::Unreachable)
            }
            IcmpV6::Other { kind: 135..=137, .. } => {
                self.on_ndp(header, message, now);
                None
            }
            _ => {
                self.counters.drop_icmp_unused += 1;
                None
            }
        }
    }

    fn answer_echo(
        &mut self,
        src: IpAddr,
        dst: IpAddr,
        message: &Buf,
        now: Instant,
        emit: impl FnOnce(&mut [u8; 8], Sum),
    ) {
        if !self.echo_limit.take(now) {
            self.counters.drop_tx_rate_limited += 1;
            return;
        }
        if !self.tx.has_room() {
            self.counters.drop_tx_queue_full += 1;
            return;
        }
        let protocol = if src.is_ipv4() { protocol::ICMP } else { protocol::ICMPV6 };
        let data = message.slice(8..);
        let mut head = [0; 8];
        emit(&mut head, Sum::new().bytes(&data));
        let mut path = Path::new(dst, src, protocol, self.caps.mtu);
        // RFC 1122 section 3.2.2.6: Data received in an ICMP Echo Request MUST be entirely included in the resulting Echo Reply.
        if self.send_datagram(now, &mut path, &head, Sga::from(data)).is_ok() {
            self.counters.icmp_echos += 1;
        }
    }

    /// Answer `packet` (a whole IP packet that was sent to us alone) with an error, within the rate.
    pub(crate) fn complain(&mut self, packet: &Buf, complaint: Complaint, now: Instant) {
        let Some((src, dst, is_error)) = complaint_parties(packet) else { return };
        // RFC 1122 section 3.2.2: an ICMP error message MUST NOT be sent as the result of receiving an ICMP error message, a
        // datagram destined to an IP broadcast or multicast address, [...] a non-initial fragment, or a datagram whose source
        // address does not define a single host.
        let from = match complaint {
            _ if self.addresses.is_ours(dst) => Some(dst),
            // RFC 4443 section 2.4 (e.3): a message sent to a group is answered when it has an option whose type asks for that (RFC 8200
            // section 4.2: highest bits 10), from an address of ours (section 2.2).
            Complaint::Parameter { code: 2, .. } if dst.is_ipv6() => self.addresses.source_for(src),
            _ => None,
        };
        let Some(from) = from.filter(|_| !is_error && self.addresses.is_valid_peer(src)) else { return };
        if !self.icmp_limit.take(now) {
            self.counters.drop_tx_rate_limited += 1;
            return;
        }
        if !self.tx.has_room() {
            self.counters.drop_tx_queue_full += 1;
            return;
        }
        let v4 = src.is_ipv4();
        // RFC 1812 section 4.3.2.3: as much as fits in 576 bytes; RFC 4443 section 2.4 (c): in the minimum MTU. Never more than we got.
        let room = if v4 { 576 - 28 } else { 1280 - 48 };
        let quote = packet.slice(..packet.len().min(room));
        let mut head = [0; 8];
        let mut path =
            Path::new(from, src, if v4 { protocol::ICMP } else { protocol::ICMPV6 }, self.caps.mtu);
        let body = Sum::new().bytes(&quote);
        if v4 {
            let message = match complaint {
                Complaint::PortUnreachable => IcmpV4::Unreachable { code: icmpv4::unreachable::PORT, mtu: 0 },
                Complaint::ProtocolUnreachable { .. } => {
                    IcmpV4::Unreachable { code: icmpv4::unreachable::PROTOCOL, mtu: 0 }
                }
                Complaint::ReassemblyTime => IcmpV4::TimeExceeded { code: 1 },
                Complaint::SourceRoute => {
                    IcmpV4::Unreachable { code: icmpv4::unreachable::SOURCE_ROUTE_FAILED, mtu: 0 }
                }
                Complaint::Parameter { pointer, .. } => {
                    IcmpV4::ParameterProblem { code: 0, pointer: pointer as u8 }
                }
            };
            message.emit(&mut head, body);
        } else {
            let message = match complaint {
                Complaint::PortUnreachable | Complaint::SourceRoute => {
                    IcmpV6::Unreachable { code: icmpv6::unreachable::PORT }
                }
                Complaint::ProtocolUnreachable { pointer } => IcmpV6::ParameterProblem { code: 1, pointer },
                Complaint::ReassemblyTime => IcmpV6::TimeExceeded { code: 1 },
                Complaint::Parameter { code, pointer } => IcmpV6::ParameterProblem { code, pointer },
            };
            let pseudo = Self::pseudo(&path, 8 + quote.len());
            message.emit(&mut head, pseudo.plus(body));
        }
        if self.send_datagram(now, &mut path, &head, Sga::from(quote)).is_ok() {
            self.counters.icmp_errors_sent += 1;
        }
    }

    fn quoted_v4(&mut self, quote: &[u8], error: IcmpError) -> Option<Quoted> {
        // The quote is cut short, so its lengths can't be checked; its checksum may have been changed by routers.
        let ihl = usize::from(quote.first()? & 15) * 4;
        let fixed: &[u8; Ipv4Header::LEN] = quote.first_chunk()?;
        let [.., s0, s1, s2, s3, d0, d1, d2, d3] = *fixed;
        let (src, dst) = (IpAddr::from([s0, s1, s2, s3]), IpAddr::from([d0, d1, d2, d3]));
        self.quoted(src, dst, fixed[9], quote.get(ihl..)?, error)
    }

    fn quoted_v6(&mut self, quote: &[u8], error: IcmpError) -> Option<Quoted> {
        let fixed: &[u8; Ipv6Header::LEN] = quote.first_chunk()?;
        let octets = |at: usize| {
            let mut o = [0; 16];
            o.copy_from_slice(&fixed[at..at + 16]);
            IpAddr::from(o)
        };
        let (src, dst) = (octets(8), octets(24));
        let rest = &quote[Ipv6Header::LEN..];
        let upper = follow_extensions(fixed[6], rest).ok()?;
        self.quoted(src, dst, upper.protocol, rest.get(upper.offset..)?, error)
    }

    fn quoted(
        &mut self,
        src: IpAddr,
        dst: IpAddr,
        protocol: u8,
        transport: &[u8],
        error: IcmpError,
    ) -> Option<Quoted> {
        let [p0, p1, q0, q1, s0, s1, s2, s3] = *transport.first_chunk()?;
        if !self.addresses.is_ours(src) || !matches!(protocol, protocol::TCP | protocol::UDP) {
            self.counters.drop_icmp_unverified += 1;
            return None;
        }
        Some(Quoted {
            local: (src, u16::from_be_bytes([p0, p1])),
            remote: (dst, u16::from_be_bytes([q0, q1])),
            protocol,
            seq: Seq(u32::from_be_bytes([s0, s1, s2, s3])),
            error,
        })
    }
}

/// Source and destination of an IP packet, and whether it is itself an ICMP error (or may be: a later fragment).
fn complaint_parties(packet: &[u8]) -> Option<(IpAddr, IpAddr, bool)> {
    match packet.first()? >> 4 {
        4 => {
            let h = Ipv4Header::parse(packet).ok()?;
            let kind = packet.get(usize::from(h.header_len)).copied().unwrap_or(3);
            let is_error =
                h.fragment_offset != 0 || (h.protocol == protocol::ICMP && !matches!(kind, 0 | 8 | 13..=18));
            Some((h.src.into(), h.dst.into(), is_error))
        }
        6 => {
            let h = Ipv6Header::parse(packet).ok()?;
            let payload = packet.get(Ipv6Header::LEN..)?;
            let is_error = follow_extensions(h.next_header, payload).is_ok_and(|u| {
                u.protocol == protocol::ICMPV6 && payload.get(u.offset).is_none_or(|kind| *kind < 128)
            });
            Some((h.src.into(), h.dst.into(), is_error))
        }
        _ => None,
    }
}
