//! Every header: what is emitted parses to what was meant, and any bytes parse to an answer.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::{
    arp::{ArpPacket, Operation},
    icmpv4::IcmpV4,
    icmpv6::IcmpV6,
    ipv6::{ExtensionError, FragmentHeader, follow_extensions},
    ndp::Ndp,
    *,
};

fn mac() -> impl Strategy<Value = MacAddr> {
    any::<[u8; 6]>().prop_map(MacAddr)
}

fn options() -> impl Strategy<Value = TcpOptions> {
    let block = (any::<u32>(), any::<u32>()).prop_map(|(a, b)| SackBlock { start: Seq(a), end: Seq(b) });
    let sack = proptest::collection::vec(block, 0..2).prop_map(|blocks| {
        let mut sack = SackBlocks::new();
        for block in blocks {
            sack.push(block);
        }
        sack
    });
    let ts = (any::<u32>(), any::<u32>()).prop_map(|(value, echo)| Timestamps { value, echo });
    (proptest::option::of(1_u16..), any::<Option<u8>>(), any::<bool>(), proptest::option::of(ts), sack)
        .prop_map(|(mss, window_scale, sack_permitted, timestamps, sack)| TcpOptions {
            mss,
            window_scale,
            sack_permitted,
            timestamps,
            sack,
            user_timeout: None,
            fast_open: None,
        })
}

proptest! {
    #[test]
    fn ethernet_round_trip(dst in mac(), src in mac(), n: u16) {
        let header = EthernetHeader { dst, src, ethertype: EtherType::from_number(n) };
        let mut out = [0; 14];
        header.emit(&mut out);
        prop_assert_eq!(EthernetHeader::parse(&out), Ok(header));
        prop_assert_eq!(src.to_string().parse(), Ok(src));
    }

    #[test]
    fn arp_round_trip(sender_mac in mac(), target_mac in mac(), s: [u8; 4], t: [u8; 4], request: bool) {
        let operation = if request { Operation::Request } else { Operation::Reply };
        let packet = ArpPacket { operation, sender_mac, sender_ip: s.into(), target_mac, target_ip: t.into() };
        let mut out = [0; 28];
        packet.emit(&mut out);
        prop_assert_eq!(ArpPacket::parse(&out), Ok(packet));
    }

    #[test]
    fn ipv4_round_trip(src: [u8; 4], dst: [u8; 4], protocol: u8, ttl: u8, dscp in 0_u8..64, ecn in 0_u8..4, ident: u16,
                       df: bool, mf: bool, offset in 0_u16..8192, len in 0_u16..600) {
        let header = Ipv4Header {
            src: src.into(), dst: dst.into(), protocol, ttl, dscp, ecn: Ecn::from_bits(ecn), ident, dont_fragment: df,
            more_fragments: mf, fragment_offset: offset * 8, header_len: 20, payload_len: len,
        };
        let mut packet = vec![0; 20 + usize::from(len)];
        header.emit(packet.first_chunk_mut().expect("20 bytes"));
        prop_assert_eq!(Ipv4Header::parse(&packet), Ok(header));
        for cut in 0..20 {
            prop_assert!(Ipv4Header::parse(&packet[..cut]).is_err());
        }
    }

    #[test]
    fn ipv6_round_trip(src: [u8; 16], dst: [u8; 16], next_header: u8, hop_limit: u8, dscp in 0_u8..64, ecn in 0_u8..4,
                       flow in 0_u32..1 << 20, len in 0_u16..600) {
        let header = Ipv6Header {
            src: src.into(), dst: dst.into(), next_header, hop_limit, dscp, ecn: Ecn::from_bits(ecn), flow_label: flow,
            payload_len: len,
        };
        let mut packet = vec![0; 40 + usize::from(len)];
        header.emit(packet.first_chunk_mut().expect("40 bytes"));
        prop_assert_eq!(Ipv6Header::parse(&packet), Ok(header));
    }

    #[test]
    fn tcp_round_trip(src_port in 1_u16.., dst_port in 1_u16.., seq: u32, ack: u32, flags: u8, window: u16, urgent: u16,
                      options in options()) {
        let mut out = [0; 60];
        let len = options.emit((&mut out[20..]).try_into().expect("40 bytes"));
        let header = TcpHeader {
            src_port, dst_port, seq: Seq(seq), ack: Seq(ack), flags: Flags(flags), window, urgent,
            header_len: (20 + len) as u8,
        };
        header.emit(out.first_chunk_mut().expect("20 bytes"));
        let (parsed, raw) = TcpHeader::parse(&out).expect("valid");
        prop_assert_eq!(parsed, header);
        prop_assert_eq!(TcpOptions::parse(raw), options);
    }

    #[test]
    fn user_timeout_round_trip(seconds in 0_u32..0x8000) {
        let options = TcpOptions { user_timeout: Some(seconds), ..TcpOptions::default() };
        let mut out = [0; 40];
        let len = options.emit(&mut out);
        prop_assert_eq!(TcpOptions::parse(&out[..len]), options);
    }

    #[test]
    fn udp_round_trip_and_checksum(src_port: u16, dst_port in 1_u16.., body in proptest::collection::vec(0_u8.., 0..200)) {
        let pseudo = || Sum::pseudo_v4(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2), 17, 8 + body.len() as u16);
        let mut header = UdpHeader { src_port, dst_port, payload_len: body.len() as u16, checksum: 0 };
        let mut out = vec![0; 8];
        header.emit(out.first_chunk_mut().expect("8 bytes"));
        header.checksum = UdpHeader::checksum_to_send(pseudo().bytes(&out).bytes(&body));
        header.emit(out.first_chunk_mut().expect("8 bytes"));
        out.extend(&body);
        let parsed = UdpHeader::parse(&out).expect("valid");
        prop_assert_eq!(parsed, header);
        prop_assert!(parsed.verify(&out, pseudo(), true));
        if let Some(last) = body.last() {
            let at = out.len() - 1;
            out[at] = last.wrapping_add(1);
            prop_assert!(!parsed.verify(&out, pseudo(), false));
        }
    }

    #[test]
    fn icmp_round_trip(ident: u16, seq: u16, body in proptest::collection::vec(0_u8.., 0..99)) {
        for message in [
            IcmpV4::EchoRequest { ident, seq },
            IcmpV4::EchoReply { ident, seq },
            IcmpV4::Unreachable { code: 4, mtu: seq },
            IcmpV4::TimeExceeded { code: 1 },
        ] {
            let mut out = vec![0; 8];
            message.emit(out.first_chunk_mut().expect("8 bytes"), Sum::new().bytes(&body));
            out.extend(&body);
            prop_assert_eq!(IcmpV4::parse(&out), Ok(message));
        }
        for message in [IcmpV6::EchoRequest { ident, seq }, IcmpV6::PacketTooBig { mtu: 1280 }, IcmpV6::Unreachable { code: 4 }] {
            let pseudo = Sum::pseudo_v6(&Ipv6Addr::LOCALHOST, &Ipv6Addr::LOCALHOST, 58, 8 + body.len() as u32);
            let mut out = vec![0; 8];
            message.emit(out.first_chunk_mut().expect("8 bytes"), pseudo.bytes(&body));
            out.extend(&body);
            prop_assert_eq!(IcmpV6::parse(&out, pseudo), Ok(message));
        }
    }

    #[test]
    fn ndp_round_trip(target in any::<[u8; 16]>().prop_map(|mut o| { o[0] = 0x20; Ipv6Addr::from(o) }), mac in proptest::option::of(mac()), flags in 0_u8..8) {
        for message in [
            Ndp::Solicitation { target, source_mac: mac },
            Ndp::Advertisement { target, target_mac: mac, router: flags & 1 != 0, solicited: flags & 2 != 0, overrides: flags & 4 != 0 },
        ] {
            let mut out = [0; Ndp::MAX_LEN];
            let len = message.emit(&mut out, Sum::new());
            prop_assert!(Sum::new().bytes(&out[..len]).is_intact());
            prop_assert_eq!(Ndp::parse(&out[..len]), Ok(message));
        }
    }

    /// No bytes whatever make a parser panic, and what parses lies within the bytes.
    #[test]
    fn any_bytes_have_an_answer(bytes in proptest::collection::vec(0_u8.., 0..120), first: u8) {
        let _ = EthernetHeader::parse(&bytes);
        let _ = ArpPacket::parse(&bytes);
        if let Ok(h) = Ipv4Header::parse(&bytes) {
            prop_assert!(usize::from(h.header_len) + usize::from(h.payload_len) <= bytes.len());
        }
        let _ = Ipv6Header::parse(&bytes);
        if let Ok(upper) = follow_extensions(first % 64, &bytes) {
            prop_assert!(upper.offset <= bytes.len());
        }
        let _ = IcmpV4::parse(&bytes);
        let _ = IcmpV6::parse(&bytes, Sum::new());
        let _ = Ndp::parse(&bytes);
        if let Ok(h) = UdpHeader::parse(&bytes) {
            prop_assert!(8 + usize::from(h.payload_len) <= bytes.len());
        }
        if let Ok((h, options)) = TcpHeader::parse(&bytes) {
            prop_assert!(usize::from(h.header_len) <= bytes.len());
            let _ = TcpOptions::parse(options);
        }
        let _ = TcpOptions::parse(&bytes[..bytes.len().min(40)]);
    }
}

#[test]
fn option_lengths_that_lie_are_passed_over() {
    for bad in [
        &[2, 4, 0, 0][..], // an MSS of nothing
        &[2, 0],           // MSS of length 0
        &[2, 1],           // shorter than its own two octets
        &[2, 4, 5],        // runs past the end
        &[2, 3, 5, 0],     // an MSS of one octet
        &[3, 4, 7, 7],     // window scale of two octets
        &[5, 2, 0, 0],     // SACK without a block
        &[5, 7, 0, 0, 0, 0, 0, 0],
        &[8, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[77], // no length at all
    ] {
        assert_eq!(TcpOptions::parse(bad), TcpOptions::default(), "{bad:?}");
        // What stands in front of it counts.
        let behind = [&[3, 3, 5][..], bad].concat();
        let shift = TcpOptions { window_scale: Some(5), ..TcpOptions::default() };
        assert_eq!(TcpOptions::parse(&behind), shift, "{bad:?}");
    }
    // A length that an option can't have hides that option; one that is no length at all, whatever follows.
    assert_eq!(TcpOptions::parse(&[2, 3, 5, 3, 3, 7]).window_scale, Some(7));
    assert_eq!(TcpOptions::parse(&[77, 1, 3, 3, 7]).window_scale, None);
    // Unknown kinds with a length are skipped, what follows END is not read.
    let ok = TcpOptions::parse(&[77, 3, 9, 2, 4, 5, 0xb4, 0, 2, 0]);
    assert_eq!(ok.mss, Some(1460));
}

#[test]
fn four_sack_blocks_without_timestamps_three_with() {
    let mut options = TcpOptions::default();
    for i in 0..5_u32 {
        options.sack.push(SackBlock { start: Seq(i * 10), end: Seq(i * 10 + 5) });
    }
    let mut out = [0; 40];
    let len = options.emit(&mut out);
    assert_eq!(TcpOptions::parse(&out[..len]).sack.as_slice().len(), 4);
    options.timestamps = Some(Timestamps { value: 1, echo: 2 });
    let len = options.emit(&mut out);
    assert_eq!(len, 40);
    assert_eq!(TcpOptions::parse(&out[..len]).sack.as_slice().len(), 3);
}

#[test]
fn extension_headers_are_followed_and_judged() {
    // Hop-by-hop (PadN), then destination options, then UDP.
    let payload = [60, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0, 9, 9];
    let upper = follow_extensions(0, &payload).expect("valid");
    assert_eq!((upper.protocol, upper.offset, upper.fragment), (17, 16, None));
    // Hop-by-hop may come first only.
    let bad = [0, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0];
    assert!(matches!(
        follow_extensions(60, &bad),
        Err(ExtensionError::ParameterProblem { code: 1, pointer: 0, .. })
    ));
    // Unknown options by their two highest bits: skip, discard, report, report unless multicast.
    for (kind, expected) in [
        (0x1e_u8, None),
        (0x5e, Some(ExtensionError::Discard(Malformed::Option))),
        (0x9e, Some(ExtensionError::ParameterProblem { code: 2, pointer: 2, unicast_only: false })),
        (0xde, Some(ExtensionError::ParameterProblem { code: 2, pointer: 2, unicast_only: true })),
    ] {
        assert_eq!(follow_extensions(60, &[6, 0, kind, 4, 0, 0, 0, 0]).err(), expected, "{kind:#x}");
    }
    // A routing header with segments left is refused, one without is skipped.
    assert!(follow_extensions(43, &[6, 0, 0, 1, 0, 0, 0, 0]).is_err());
    assert_eq!(follow_extensions(43, &[6, 0, 0, 0, 0, 0, 0, 0]).map(|u| u.offset), Ok(8));
    // A fragment header ends the walk.
    let header = FragmentHeader { next_header: 6, offset: 1480, more: true, ident: 77 };
    let mut bytes = [0; 8];
    header.emit(&mut bytes);
    assert_eq!(follow_extensions(44, &bytes).expect("valid").fragment, Some(header));
    // A chain without an end is cut.
    let endless: Vec<u8> = [60, 0, 1, 4, 0, 0, 0, 0].repeat(20);
    assert_eq!(follow_extensions(60, &endless), Err(ExtensionError::Discard(Malformed::Option)));
}

#[test]
fn flags_read_like_tcpdump() {
    assert_eq!((Flags::SYN | Flags::ACK).to_string(), "S.");
    assert_eq!(Flags::default().to_string(), "-");
}
