//! IPv6: RFC 8200 and its extension headers, RFC 5722, RFC 6946, RFC 4443 section 3.4.

use hemi_net::wire::{icmpv6::IcmpV6, protocol};

use crate::station::{Link, OURS6, PEER6, Sent, echo6, ipv6, ping6, v6};

fn answered(sent: &[Sent]) -> bool {
    sent.iter().any(|s| matches!(s.icmp6().0, IcmpV6::EchoReply { .. }))
}

/// Extension headers before an echo request.
fn behind(first: u8, headers: &[u8]) -> (hemi_net::wire::MacAddr, hemi_net::wire::EtherType, Vec<u8>) {
    let mut payload = headers.to_vec();
    payload.extend(echo6(PEER6, OURS6, b"data"));
    ipv6(PEER6, OURS6, first, &payload)
}

fn fragment(
    ident: u32,
    offset: u16,
    more: bool,
    next: u8,
    data: &[u8],
) -> (hemi_net::wire::MacAddr, hemi_net::wire::EtherType, Vec<u8>) {
    let mut payload = vec![next, 0];
    payload.extend((offset | u16::from(more)).to_be_bytes());
    payload.extend(ident.to_be_bytes());
    payload.extend(data);
    ipv6(PEER6, OURS6, protocol::IPV6_FRAGMENT, &payload)
}

fn problem(sent: &[Sent]) -> Option<(u8, u32)> {
    sent.iter().find_map(|s| match s.icmp6().0 {
        IcmpV6::ParameterProblem { code, pointer } => Some((code, pointer)),
        _ => None,
    })
}

#[test]
fn extension_headers_are_passed_over() {
    let mut link = Link::acquainted();
    let padding = [1, 4, 0, 0, 0, 0];
    let header = |next: u8| [&[next, 0][..], &padding].concat();
    assert!(answered(&link.hear(&behind(0, &header(58)))), "hop-by-hop");
    assert!(answered(&link.hear(&behind(60, &header(58)))), "destination options");
    assert!(answered(&link.hear(&behind(0, &[header(60), header(58)].concat()))));
    assert!(answered(&link.hear(&behind(43, &[58, 0, 0, 0, 0, 0, 0, 0]))), "routing, no segments left");
    // No next header: nothing follows, and nothing is said.
    assert!(link.hear(&ipv6(PEER6, OURS6, 59, b"")).is_empty());
    assert!(link.hear(&ipv6(PEER6, OURS6, 0, &[59, 0, 1, 4, 0, 0, 0, 0])).is_empty());
}

#[test]
fn unknown_options_do_what_their_first_bits_say() {
    let mut link = Link::acquainted();
    for (kind, expected) in [(0x1e_u8, None), (0x5e, None), (0x9e, Some((2, 42))), (0xde, Some((2, 42)))] {
        let sent = link.hear(&behind(60, &[58, 0, kind, 4, 0, 0, 0, 0]));
        assert_eq!(answered(&sent), kind == 0x1e, "{kind:#x}");
        assert_eq!(problem(&sent), expected, "{kind:#x}");
    }
}

/// RFC 8200 section 4.2, RFC 4443 section 2.4 (e.3).
#[test]
fn an_option_in_a_packet_to_a_group_is_complained_of_only_if_it_asks_for_that() {
    let mut link = Link::acquainted();
    for (kind, answers) in [(0x9e_u8, true), (0xde, false), (0x5e, false)] {
        let mut payload = vec![58, 0, kind, 4, 0, 0, 0, 0];
        payload.extend(echo6(PEER6, "ff02::1", b"data"));
        let sent = link.hear(&ipv6(PEER6, "ff02::1", 60, &payload));
        assert_eq!(problem(&sent), answers.then_some((2, 42)), "{kind:#x}");
        assert!(sent.iter().all(|s| s.v6().0.src == v6(OURS6)));
    }
    // Other errors are never answered there.
    assert!(link.hear(&ipv6(PEER6, "ff02::1", 253, b"x")).is_empty());
}

#[test]
fn what_is_wrong_is_pointed_at() {
    let mut link = Link::acquainted();
    // An unknown next header: in the IPv6 header, and in an extension header.
    assert_eq!(problem(&link.hear(&ipv6(PEER6, OURS6, 253, b"x"))), Some((1, 6)));
    assert_eq!(problem(&link.hear(&ipv6(PEER6, OURS6, 60, &[253, 0, 1, 4, 0, 0, 0, 0, 9]))), Some((1, 40)));
    // Hop-by-hop options that are not first.
    assert_eq!(
        problem(&link.hear(&behind(60, &[0, 0, 1, 4, 0, 0, 0, 0, 58, 0, 1, 4, 0, 0, 0, 0]))),
        Some((1, 40))
    );
    // A routing header of an unknown type with segments left.
    assert_eq!(problem(&link.hear(&behind(43, &[58, 0, 99, 1, 0, 0, 0, 0]))), Some((0, 42)));
    // Lengths that point past the end are dropped in silence.
    assert!(link.hear(&ipv6(PEER6, OURS6, 60, &[58, 9, 1, 4, 0, 0, 0, 0])).is_empty());
    assert!(link.hear(&ipv6(PEER6, OURS6, 60, &[58, 0, 1, 99, 0, 0, 0, 0])).is_empty());
    assert!(link.hear(&ipv6(PEER6, OURS6, 60, &[58])).is_empty());
}

#[test]
fn fragments_in_any_order_are_put_together_and_an_atomic_one_is_whole() {
    let mut link = Link::acquainted();
    let whole = echo6(PEER6, OURS6, &[5; 100]);
    assert!(answered(&link.hear(&fragment(1, 0, false, 58, &whole))), "atomic");
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
        let pieces = [(0_usize, 40_usize, true), (40, 80, true), (80, 108, false)];
        let mut sent = Vec::new();
        for i in order {
            let (from, to, more) = pieces[i];
            sent = link.hear(&fragment(2, from as u16, more, 58, &whole[from..to]));
        }
        assert!(answered(&sent), "{order:?}");
    }
    // An atomic fragment with the number of an incomplete datagram is its own datagram (RFC 6946).
    link.hear(&fragment(3, 0, true, 58, &whole[..40]));
    assert!(answered(&link.hear(&fragment(3, 0, false, 58, &whole))));
    assert!(answered(&link.hear(&fragment(3, 40, false, 58, &whole[40..]))));
}

#[test]
fn overlapping_fragments_are_thrown_away_in_silence() {
    let mut link = Link::acquainted();
    let whole = echo6(PEER6, OURS6, &[5; 72]);
    link.hear(&fragment(1, 0, true, 58, &whole[..40]));
    assert!(link.hear(&fragment(1, 32, true, 58, &whole[32..48])).is_empty());
    assert!(link.hear(&fragment(1, 40, false, 58, &whole[40..])).is_empty());
    assert_eq!(link.counter("drop_ip_bad_fragment"), 1);
}

#[test]
fn fragments_that_cannot_be_are_answered_as_rfc_8200_says() {
    let mut link = Link::acquainted();
    let whole = echo6(PEER6, OURS6, &[5; 100]);
    assert_eq!(
        problem(&link.hear(&fragment(1, 0, true, 58, &whole[..41]))),
        Some((0, 4)),
        "not a multiple of eight"
    );
    assert_eq!(problem(&link.hear(&fragment(2, 65_528, false, 58, &whole[..16]))), Some((0, 42)), "too long");
    // The first fragment ends inside of the headers: RFC 7112.
    assert_eq!(problem(&link.hear(&fragment(3, 0, true, 60, &[58, 1, 1, 4, 0, 0, 0, 0]))), Some((3, 0)));
    assert_eq!(
        problem(&link.hear(&fragment(4, 0, true, 6, &[0; 16]))),
        Some((3, 0)),
        "a part of a TCP header"
    );
}

#[test]
fn what_is_not_for_us_or_from_nobody_is_dropped() {
    let mut link = Link::acquainted();
    for (src, dst) in [(PEER6, "fd99::77"), (OURS6, OURS6), ("ff02::1", OURS6), ("::1", OURS6), ("::", OURS6)]
    {
        assert!(link.hear(&ping6(src, dst, b"x")).is_empty(), "{src} to {dst}");
    }
    assert!(answered(&link.hear(&ping6(PEER6, OURS6, b"x"))));
}
