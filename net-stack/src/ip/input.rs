//! Packets in: from the frame to the transport's bytes.

use std::net::{IpAddr, SocketAddr};

use hemi_queue::{Buf, time::Instant};

use super::{
    Net, Quoted,
    addresses::Destination,
    icmp::Complaint,
    reassembly::{Assembled, DatagramId},
};
use crate::{
    frame::{RxChecksum, RxFrame},
    timer::Timer,
    wire::{
        Ecn, EtherType, EthernetHeader, Ipv4Header, Ipv6Header, Malformed, Sum,
        ipv4::Ipv4OptionError,
        ipv6::{ExtensionError, FragmentHeader, follow_extensions},
        ndp::Ndp,
        protocol,
    },
};

/// A transport's bytes, and where they came from.
#[derive(Debug)]
pub(crate) struct Packet {
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) ecn: Ecn,
    /// The checksum needs no look.
    pub(crate) verified: bool,
    /// The frame's mark.
    pub(crate) mark: u32,
    /// The destination is one of our addresses, not a group's.
    pub(crate) unicast: bool,
    /// The IP payload.
    pub(crate) bytes: Buf,
    /// The whole IP packet, for an ICMP error that quotes it; not there for one that was put together from fragments.
    pub(crate) whole: Option<Buf>,
}

impl Packet {
    /// Who sent it and to whom, if it has ports.
    pub(crate) fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        let [a, b, c, d] = *self.bytes.first_chunk()?;
        let (from, to) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        Some((SocketAddr::new(self.src, from), SocketAddr::new(self.dst, to)))
    }
}

/// What a frame held for the layers above.
#[derive(Debug)]
pub(crate) enum Upper {
    Tcp(Packet),
    Udp(Packet),
    Error(Quoted),
    /// It is another core's to put together.
    Fragment(usize, Fragment),
}

/// A packet that is a fragment, from its IP header on.
#[derive(Debug)]
pub(crate) struct Fragment {
    pub(crate) packet: Buf,
    pub(crate) verified: bool,
    /// It came to a group's address on the link.
    pub(crate) link_group: bool,
    /// We have sent it ourselves.
    pub(crate) looped: bool,
}

impl Net {
    /// Take in a frame. What is for the network itself (ARP, echo) is answered here.
    #[inline]
    pub(crate) fn receive(&mut self, mut frame: RxFrame, now: Instant) -> Option<Upper> {
        self.counters.rx_frames += 1;
        self.counters.rx_bytes += frame.bytes.len() as u64;
        let Ok(ethernet) = EthernetHeader::parse(&frame.bytes) else {
            self.counters.drop_eth_malformed += 1;
            return None;
        };
        if ethernet.dst != self.caps.mac && !ethernet.dst.is_multicast() {
            self.counters.drop_eth_not_ours += 1;
            return None;
        }
        frame.bytes.advance(EthernetHeader::LEN);
        let verified = frame.checksum == RxChecksum::Good;
        let mut upper = match ethernet.ethertype {
            EtherType::Ipv4 => self.on_ipv4(frame.bytes, verified, ethernet.dst.is_multicast(), now),
            // RFC 4862 section 5.4.3: If the solicitation is from the node itself (because the node loops back multicast packets), the
            // solicitation does not indicate the presence of a duplicate address.
            EtherType::Ipv6 if self.detection.is_some() && ethernet.src == self.caps.mac && !self.looping => {
                self.counters.drop_ip_tentative += 1;
                None
            }
            EtherType::Ipv6 => self.on_ipv6(frame.bytes, verified, ethernet.dst.is_multicast(), now),
            EtherType::Arp => {
                self.on_arp(&frame.bytes, now);
                None
            }
            EtherType::Other(_) => {
                self.counters.drop_eth_unknown_type += 1;
                None
            }
        };
        if let Some(Upper::Udp(packet)) = &mut upper {
            packet.mark = frame.mark;
        }
        upper
    }

    #[inline]
    fn on_ipv4(&mut self, mut bytes: Buf, verified: bool, link_group: bool, now: Instant) -> Option<Upper> {
        let header = match Ipv4Header::parse(&bytes) {
            Ok(header) => header,
            Err(Malformed::Checksum) => {
                self.counters.drop_ip_bad_checksum += 1;
                return None;
            }
            Err(_) => {
                self.counters.drop_ip_malformed += 1;
                return None;
            }
        };
        let (src, dst) = (IpAddr::V4(header.src), IpAddr::V4(header.dst));
        let unicast = self.accept(src, dst, link_group)?;
        if self.is_tentative(true) && !self.looping {
            self.counters.drop_ip_tentative += 1;
            return None;
        }
        let header_len = usize::from(header.header_len);
        bytes.truncate(header_len + usize::from(header.payload_len));
        let whole = bytes.clone();
        if header_len > Ipv4Header::LEN && !self.takes_options(&whole, header_len, now) {
            return None;
        }
        bytes.advance(header_len);
        if let Some(core) = self.assembles_elsewhere(header.is_fragment(), src, dst) {
            let looped = self.looping;
            return Some(Upper::Fragment(core, Fragment { packet: whole, verified, link_group, looped }));
        }
        let mut packet =
            Packet { src, dst, ecn: header.ecn, verified, mark: 0, unicast, bytes, whole: Some(whole) };
        if header.is_fragment() {
            let id = DatagramId { src, dst, ident: u32::from(header.ident), protocol: header.protocol };
            let at = (u32::from(header.fragment_offset), header.more_fragments);
            packet = self.reassemble(packet, id, at, now)?;
        }
        match header.protocol {
            protocol::TCP => Some(Upper::Tcp(packet)),
            protocol::UDP => Some(Upper::Udp(packet)),
            protocol::ICMP => self.on_icmpv4(src, dst, unicast, &packet.bytes, now).map(Upper::Error),
            _ => {
                self.counters.drop_ip_unknown_protocol += 1;
                if let Some(whole) = packet.whole {
                    self.complain(&whole, Complaint::ProtocolUnreachable { pointer: 9 }, now);
                }
                None
            }
        }
    }

    /// Whether an IPv4 packet's options are in order; if not, it is complained of.
    ///
    /// > RFC 1122 section 3.2.2.5: A host SHOULD generate Parameter Problem messages. Section 3.3.5: If a host receives a datagram with an
    /// > incomplete source route and does not forward the datagram for some reason, the host SHOULD return an ICMP Destination Unreachable
    /// > (code 5, Source Route Failed) message.
    #[cold]
    fn takes_options(&mut self, whole: &Buf, header_len: usize, now: Instant) -> bool {
        let options = &whole[Ipv4Header::LEN..header_len];
        let complaint = match Ipv4Header::check_options(options) {
            Ok(()) => return true,
            Err(Ipv4OptionError::SourceRoute) => Complaint::SourceRoute,
            Err(Ipv4OptionError::Malformed { pointer }) => {
                Complaint::Parameter { code: 0, pointer: pointer.into() }
            }
        };
        self.counters.drop_ip_bad_extension += 1;
        self.complain(whole, complaint, now);
        false
    }

    fn on_ipv6(&mut self, mut bytes: Buf, verified: bool, link_group: bool, now: Instant) -> Option<Upper> {
        let Ok(header) = Ipv6Header::parse(&bytes) else {
            self.counters.drop_ip_malformed += 1;
            return None;
        };
        let (src, dst) = (IpAddr::V6(header.src), IpAddr::V6(header.dst));
        // Duplicate address detection asks from the unspecified address; everything else needs a sender.
        let dad = header.src.is_unspecified() && header.next_header == protocol::ICMPV6;
        // An advertisement from one of our own addresses is no forgery for an answer's sake: it tells that somebody else has it.
        let ours = header.next_header == protocol::ICMPV6
            && bytes[..].get(Ipv6Header::LEN) == Some(&Ndp::ADVERTISEMENT)
            && self.addresses.is_ours(src);
        let unicast = if dad || ours {
            self.addresses.classify(dst) == Destination::Ours
        } else {
            self.accept(src, dst, link_group && !header.dst.is_multicast())?
        };
        // Neighbour discovery is what tells whether the address is ours.
        if self.is_tentative(false) && !self.looping && header.next_header != protocol::ICMPV6 {
            self.counters.drop_ip_tentative += 1;
            return None;
        }
        bytes.truncate(Ipv6Header::LEN + usize::from(header.payload_len));
        let whole = bytes.clone();
        bytes.advance(Ipv6Header::LEN);
        let upper = match follow_extensions(header.next_header, &bytes) {
            Ok(upper) => upper,
            Err(error) => {
                self.counters.drop_ip_bad_extension += 1;
                if let ExtensionError::ParameterProblem { code, pointer, unicast_only } = error
                    && (unicast || !unicast_only)
                {
                    let pointer = (Ipv6Header::LEN + pointer) as u32;
                    self.complain(&whole, Complaint::Parameter { code, pointer }, now);
                }
                return None;
            }
        };
        bytes.advance(upper.offset);
        let mut packet =
            Packet { src, dst, ecn: header.ecn, verified, mark: 0, unicast, bytes, whole: Some(whole) };
        let mut next = upper.protocol;
        let mut offset = upper.offset;
        if let Some(fragment) = upper.fragment {
            // RFC 6946: an atomic fragment is complete by itself.
            if fragment.more || fragment.offset != 0 {
                if let Some(core) = self.assembles_elsewhere(true, src, dst) {
                    let (packet, looped) = (packet.whole?, self.looping);
                    return Some(Upper::Fragment(core, Fragment { packet, verified, link_group, looped }));
                }
                if let Some(complaint) = unfit_fragment(fragment, upper.offset, &packet.bytes) {
                    self.counters.drop_ip_bad_fragment += 1;
                    if let Some(whole) = packet.whole.filter(|_| unicast) {
                        self.complain(&whole, complaint, now);
                    }
                    return None;
                }
                let id = DatagramId { src, dst, ident: fragment.ident, protocol: 0 };
                packet = self.reassemble(packet, id, (u32::from(fragment.offset), fragment.more), now)?;
                // The first fragment's next header is the datagram's (RFC 8200 section 4.5).
                next = fragment.next_header;
                offset = 0;
            }
            if let Ok(behind) = follow_extensions(next, &packet.bytes) {
                if behind.fragment.is_some() {
                    self.counters.drop_ip_bad_extension += 1;
                    return None;
                }
                packet.bytes.advance(behind.offset);
                offset += behind.offset;
                next = behind.protocol;
            }
        }
        match next {
            protocol::TCP => Some(Upper::Tcp(packet)),
            protocol::UDP => Some(Upper::Udp(packet)),
            // RFC 6980 section 5: nodes MUST silently ignore [neighbour discovery messages] if the packets carrying them include a
            // fragmentation header.
            protocol::ICMPV6
                if upper.fragment.is_some()
                    && packet.bytes.first().is_some_and(|k| (133..=137).contains(k)) =>
            {
                self.counters.drop_ndp_invalid += 1;
                None
            }
            protocol::ICMPV6 => {
                let pseudo = Sum::pseudo(src, dst, protocol::ICMPV6, packet.bytes.len() as u32);
                self.on_icmpv6(&header, unicast, &packet.bytes, pseudo, now).map(Upper::Error)
            }
            59 => None, // no next header: nothing to do (RFC 8200 section 4.7)
            _ => {
                self.counters.drop_ip_unknown_protocol += 1;
                if let Some(whole) = packet.whole {
                    let pointer = upper.before_fragment.map_or(6, |at| Ipv6Header::LEN + at.min(offset));
                    self.complain(&whole, Complaint::ProtocolUnreachable { pointer: pointer as u32 }, now);
                }
                None
            }
        }
    }

    /// A fragment that another core has received, and that is ours to put together.
    pub(crate) fn receive_fragment(&mut self, fragment: Fragment, now: Instant) -> Option<Upper> {
        let Fragment { packet, verified, link_group, looped } = fragment;
        let before = std::mem::replace(&mut self.looping, looped);
        let upper = match packet.first().map(|byte| byte >> 4) {
            Some(4) => self.on_ipv4(packet, verified, link_group, now),
            _ => self.on_ipv6(packet, verified, link_group, now),
        };
        self.looping = before;
        upper
    }

    /// The core that puts the fragments from `src` to `dst` together, if another one does.
    #[inline]
    fn assembles_elsewhere(&self, is_fragment: bool, src: IpAddr, dst: IpAddr) -> Option<usize> {
        if is_fragment { self.cores.as_ref()?.assembles_elsewhere(src, dst) } else { None }
    }

    /// Whether a packet from `src` to `dst` is for us; `Some(true)` when for us alone.
    #[inline]
    fn accept(&mut self, src: IpAddr, dst: IpAddr, link_group: bool) -> Option<bool> {
        let unicast = match self.addresses.classify(dst) {
            Destination::Ours => true,
            Destination::Everyone => false,
            Destination::NotOurs => {
                self.counters.drop_ip_not_ours += 1;
                return None;
            }
        };
        // RFC 1122 section 3.2.1.3: a source address that is ours comes from ourselves (and never leaves); on the wire it is forged: answers
        // would go round in circles ("LAND").
        if !self.addresses.is_valid_peer(src) || (self.addresses.is_ours(src) && !(unicast && self.looping)) {
            self.counters.drop_ip_bad_source += 1;
            return None;
        }
        // RFC 1122 section 3.3.6: a host SHOULD silently discard a datagram that is received via a link-layer broadcast but does not
        // specify an IP multicast or broadcast destination address.
        if link_group && unicast {
            self.counters.drop_ip_not_ours += 1;
            return None;
        }
        Some(unicast)
    }

    fn reassemble(
        &mut self,
        mut packet: Packet,
        id: DatagramId,
        at: (u32, bool),
        now: Instant,
    ) -> Option<Packet> {
        self.counters.ip_fragments += 1;
        let whole = packet.whole.take()?;
        let quiet = self.reassembly.deadline().is_none();
        let payload = std::mem::take(&mut packet.bytes);
        match self.reassembly.insert(id, at.0, at.1, payload, &whole, &self.pool, now) {
            Assembled::Whole(bytes) => {
                self.counters.ip_reassembled += 1;
                return Some(Packet { bytes, verified: false, ..packet });
            }
            Assembled::Incomplete => {
                if quiet {
                    self.arm_reassembly();
                }
            }
            Assembled::Bad => self.counters.drop_ip_bad_fragment += 1,
            Assembled::NoRoom => self.counters.drop_ip_fragment_limit += 1,
        }
        None
    }

    fn arm_reassembly(&mut self) {
        if let Some(at) = self.reassembly.deadline() {
            self.timers.insert(at, Timer::Reassembly);
        }
    }

    /// The reassembly timer fired.
    pub(crate) fn reassembly_timer(&mut self, now: Instant) {
        for (first, fragments) in self.reassembly.expire(now) {
            self.counters.drop_ip_reassembly_timeout += fragments as u64;
            if let Some(first) = first {
                self.complain(&first, Complaint::ReassemblyTime, now);
            }
        }
        self.arm_reassembly();
    }
}

/// What is wrong with a fragment by itself, whose data begins `offset` bytes behind the IPv6 header.
///
/// > RFC 8200 section 4.5: If the length of a fragment [...] is not a multiple of 8 octets and the M flag of that fragment is 1, then that
/// > fragment must be discarded and an ICMP Parameter Problem, Code 0, message should be sent to the source of the fragment, pointing to the
/// > Payload Length field. [...] If the length and offset of a fragment are such that the Payload Length of the packet reassembled from that
/// > fragment would exceed 65,535 octets [...] pointing to the Fragment Offset field. [...] If the first fragment does not include all headers
/// > through an Upper-Layer header, then that fragment should be discarded and an ICMP Parameter Problem, Code 3, message should be sent to
/// > the source of the fragment, with the Pointer field set to zero.
fn unfit_fragment(fragment: FragmentHeader, offset: usize, data: &[u8]) -> Option<Complaint> {
    let end = usize::from(fragment.offset) + data.len();
    if fragment.more && !data.len().is_multiple_of(8) {
        return Some(Complaint::Parameter { code: 0, pointer: 4 });
    }
    if end > usize::from(u16::MAX) {
        let field = Ipv6Header::LEN + offset - FragmentHeader::LEN + 2;
        return Some(Complaint::Parameter { code: 0, pointer: field as u32 });
    }
    let shortest = |protocol| match protocol {
        protocol::TCP => 20,
        protocol::UDP => 8,
        protocol::ICMPV6 => 4,
        _ => 0,
    };
    let whole_chain = fragment.offset != 0
        || match follow_extensions(fragment.next_header, data) {
            Ok(upper) => data.len() - upper.offset >= shortest(upper.protocol),
            Err(ExtensionError::Discard(_)) => false,
            // It is answered when the datagram is whole.
            Err(ExtensionError::ParameterProblem { .. }) => true,
        };
    (!whole_chain).then_some(Complaint::Parameter { code: 3, pointer: 0 })
}
