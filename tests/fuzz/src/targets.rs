//! What must hold for any bytes: shared by the fuzz targets and by the smoke test that needs no fuzzer.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use hemi_net::{
    ConnId, RxFrame, StackConfig, TcpConfig,
    sim::{Pair, Side, WireConfig},
    wire::{
        EtherType, EthernetHeader, Flags, Ipv4Header, Ipv6Header, MacAddr, Seq, Sum, TcpHeader, TcpOptions,
        UdpHeader, arp::ArpPacket, icmpv4::IcmpV4, icmpv6::IcmpV6, ipv6::follow_extensions, ndp::Ndp,
        protocol,
    },
};
use hemi_queue::{Buf, Pool};

/// Every parser: none panics, and what is understood is written back as it was understood.
pub fn wire(data: &[u8]) {
    if let Ok(header) = EthernetHeader::parse(data) {
        let mut out = [0; EthernetHeader::LEN];
        header.emit(&mut out);
        assert_eq!(EthernetHeader::parse(&out), Ok(header));
    }
    if let Ok(header) = Ipv4Header::parse(data) {
        assert!(usize::from(header.header_len) + usize::from(header.payload_len) <= data.len());
        let mut out = [0; Ipv4Header::LEN];
        header.emit(&mut out);
        let mut whole = out.to_vec();
        whole.resize(out.len() + usize::from(header.payload_len), 0);
        if u16::try_from(whole.len()).is_ok() {
            assert_eq!(Ipv4Header::parse(&whole), Ok(Ipv4Header { header_len: 20, ..header }));
        }
    }
    if let Ok(header) = Ipv6Header::parse(data) {
        assert!(Ipv6Header::LEN + usize::from(header.payload_len) <= data.len());
        let mut out = [0; Ipv6Header::LEN];
        header.emit(&mut out);
        let mut whole = out.to_vec();
        whole.resize(out.len() + usize::from(header.payload_len), 0);
        assert_eq!(Ipv6Header::parse(&whole), Ok(header));
        let payload = &data[Ipv6Header::LEN..Ipv6Header::LEN + usize::from(header.payload_len)];
        extensions(header.next_header, payload);
    }
    if let Some((first, rest)) = data.split_first() {
        extensions(*first, rest);
    }
    if let Ok((header, options)) = TcpHeader::parse(data) {
        assert_eq!(usize::from(header.header_len), TcpHeader::LEN + options.len());
        let mut out = [0; TcpHeader::LEN];
        header.emit(&mut out);
        out[12] = 5 << 4;
        let again = TcpHeader::parse(&out).map(|(header, _)| header);
        assert_eq!(again, Ok(TcpHeader { header_len: 20, ..header }));
        tcp_options(options);
    }
    tcp_options(data);
    if let Ok(header) = UdpHeader::parse(data) {
        let _ = header.verify(data, Sum::new(), data.len().is_multiple_of(2));
    }
    let _ = ArpPacket::parse(data);
    let _ = IcmpV4::parse(data);
    let _ = IcmpV6::parse(data, Sum::new());
    let _ = Ndp::parse(data);
    sums(data);
}

fn extensions(first: u8, payload: &[u8]) {
    if let Ok(upper) = follow_extensions(first, payload) {
        assert!(upper.offset <= payload.len());
    }
}

fn tcp_options(bytes: &[u8]) {
    let options = TcpOptions::parse(bytes);
    let mut out = [0; TcpOptions::MAX_LEN];
    let len = options.emit(&mut out);
    assert!(len <= out.len() && len.is_multiple_of(4), "{len} bytes of options");
    let again = TcpOptions::parse(&out[..len]);
    // What finds no room is left out from the end.
    assert!(options.sack.as_slice().starts_with(again.sack.as_slice()));
    assert_eq!(TcpOptions { sack: options.sack, ..again }, options);
}

/// However a message is cut, its sum is the same, and so is the sum of RFC 1071's definition.
fn sums(data: &[u8]) {
    let mut plain = 0_u32;
    for pair in data.chunks(2) {
        plain += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
        plain = (plain & 0xffff) + (plain >> 16);
    }
    assert_eq!(Sum::new().bytes(data).finish(), !(plain as u16));
    let cut = data.first().map_or(0, |first| usize::from(*first) % data.len());
    assert_eq!(Sum::new().bytes(&data[..cut]).bytes(&data[cut..]).finish(), !(plain as u16));
}

thread_local! {
    /// Mapping memory for every input would be most of the work.
    static POOL: RefCell<Option<Pool>> = const { RefCell::new(None) };
}

/// Frames for two hosts with a connection between them. The input is a program: each instruction is a byte that says what, a
/// byte that says how much, and so many bytes. Frames are given as they are, or with headers that are right but for what the
/// bytes change. Nothing panics, memory is bounded, both hosts come to rest, and when both let go all memory comes back.
pub fn stack(data: &[u8]) {
    let pool = POOL.with_borrow_mut(|pool| pool.get_or_insert_with(|| Pool::new().expect("memory")).clone());
    let before = pool.stats().in_use;
    let side = || {
        let mut config = StackConfig::default();
        config.tcp = TcpConfig::default();
        config.tcp.half_open_limit = 16;
        config
    };
    let wire = WireConfig { delay: Duration::from_millis(1), ..WireConfig::default() };
    let mut pair = Pair::with_pool(wire, side(), side(), 1, pool.clone());
    // Where the server is in its two sequence spaces, as its segments tell.
    let place = Rc::new(Cell::new((0, 0)));
    let told = Rc::clone(&place);
    pair.wire.tap(1, move |_, frame| {
        if let Some(place) = place_of(frame) {
            told.set(place);
        }
        true
    });
    let (a, b) = pair.connect(80).expect("nothing disturbs it yet");
    let listener = pair.listen(81, hemi_net::TcpOptionsConfig::default());
    let mut input = data;
    for _ in 0..200 {
        let Some((&[what, len], rest)) = input.split_first_chunk() else { break };
        let (bytes, rest) = rest.split_at(rest.len().min(usize::from(len)));
        input = rest;
        instruction(&mut pair, (a, b), place.get(), what, bytes);
        assert!(pair.b.stack.neighbors() <= 2048, "the neighbour cache grows without bound");
        assert!(pool.stats().in_use - before < 3_000, "memory grows without bound");
    }
    let now = pair.now();
    pair.b.stack.tcp_close_listener(listener, now);
    for (side, conn) in [(Side::A, a), (Side::B, b)] {
        pair.host(side).stack.tcp_abort(conn, now);
        pair.host(side).stack.tcp_release(conn, now);
    }
    pair.run_for(Duration::from_secs(5_000));
    assert_eq!(pool.stats().in_use, before, "buffers are left");
    assert_eq!(
        (pair.a.stack.tcp_counts(), pair.b.stack.tcp_counts()),
        ((0, 0), (0, 0)),
        "connections are left"
    );
}

fn instruction(pair: &mut Pair, (a, b): (ConnId, ConnId), place: (u32, u32), what: u8, bytes: &[u8]) {
    let now = pair.now();
    match what % 16 {
        0 => pair.run_for(Duration::from_millis(bytes.len() as u64 * 37)),
        1 => {
            let _ = pair.a.stack.tcp_push(a, Buf::from(bytes.to_vec()).into(), now);
        }
        2 => {
            let _ = pair.b.stack.tcp_push(b, Buf::from(bytes.to_vec()).into(), now);
        }
        3 => drop((pair.pop_all(Side::A, a), pair.pop_all(Side::B, b))),
        4 => pair.a.stack.tcp_shutdown(a, now),
        5 => pair.b.stack.tcp_shutdown(b, now),
        6 | 7 => pair.b.stack.receive(RxFrame::new(Buf::from(bytes.to_vec())), now),
        8 => pair.b.stack.receive(RxFrame::new(Buf::from(ipv4(bytes))), now),
        9 => pair.b.stack.receive(RxFrame::new(Buf::from(ipv6(bytes))), now),
        10 => {
            let mut frame = ethernet(EtherType::Arp);
            frame.extend(bytes);
            pair.b.stack.receive(RxFrame::new(Buf::from(frame)), now);
        }
        // A segment of the living connection, near where it is: the bytes say how far off.
        _ => {
            if let Some(frame) = segment(pair, b, place, bytes) {
                pair.b.stack.receive(RxFrame::new(Buf::from(frame)), now);
            }
        }
    }
    pair.settle();
}

fn ethernet(ethertype: EtherType) -> Vec<u8> {
    let mut frame = [0; EthernetHeader::LEN];
    let (dst, src) = (MacAddr([2, 0, 0, 0, 0, 2]), MacAddr([2, 0, 0, 0, 0, 1]));
    EthernetHeader { dst, src, ethertype }.emit(&mut frame);
    frame.to_vec()
}

/// The first byte is the protocol, the second changes the header, the rest is the payload.
fn ipv4(bytes: &[u8]) -> Vec<u8> {
    let (&[protocol, odd], payload) = bytes.split_first_chunk().unwrap_or((&[protocol::UDP, 0], &[]));
    let mut frame = ethernet(EtherType::Ipv4);
    let header = Ipv4Header {
        src: if odd & 1 == 0 { [10, 0, 0, 1] } else { [10, 0, 0, odd] }.into(),
        dst: if odd & 2 == 0 { [10, 0, 0, 2] } else { [10, 0, 0, 255] }.into(),
        protocol,
        ttl: 64,
        dscp: 0,
        ecn: hemi_net::wire::Ecn::from_bits(odd),
        ident: u16::from(odd >> 4),
        dont_fragment: odd & 4 != 0,
        more_fragments: odd & 8 != 0,
        fragment_offset: u16::from(odd >> 5) * 8,
        header_len: 20,
        payload_len: payload.len() as u16,
    };
    let mut out = [0; Ipv4Header::LEN];
    header.emit(&mut out);
    frame.extend(out);
    frame.extend(payload);
    frame
}

fn ipv6(bytes: &[u8]) -> Vec<u8> {
    let (&next_header, payload) = bytes.split_first().unwrap_or((&59, &[]));
    let mut frame = ethernet(EtherType::Ipv6);
    let header = Ipv6Header {
        src: "fd00::1".parse().expect("an address"),
        dst: "fd00::2".parse().expect("an address"),
        next_header,
        hop_limit: 255,
        dscp: 0,
        ecn: hemi_net::wire::Ecn::NotCapable,
        flow_label: 0,
        payload_len: payload.len() as u16,
    };
    let mut out = [0; Ipv6Header::LEN];
    header.emit(&mut out);
    frame.extend(out);
    frame.extend(payload);
    frame
}

/// RCV.NXT and SND.NXT of who sent the segment in `frame`.
fn place_of(frame: &[u8]) -> Option<(u32, u32)> {
    let packet = frame.get(EthernetHeader::LEN..)?;
    let ip = Ipv4Header::parse(packet).ok().filter(|ip| ip.protocol == protocol::TCP)?;
    let (tcp, _) = TcpHeader::parse(packet.get(usize::from(ip.header_len)..)?).ok()?;
    let text = u32::from(ip.payload_len) - u32::from(tcp.header_len);
    let more = u32::from(tcp.flags.any(Flags::SYN | Flags::FIN));
    Some((tcp.ack.0, tcp.seq.0.wrapping_add(text + more)))
}

/// Flags, how far the sequence number and the acknowledgement are off, the window, then options and text.
fn segment(pair: &Pair, b: ConnId, (rcv_nxt, snd_nxt): (u32, u32), bytes: &[u8]) -> Option<Vec<u8>> {
    let (&[flags, seq, ack, window, options], rest) = bytes.split_first_chunk()?;
    let (options, text) = rest.split_at(rest.len().min(usize::from(options % 11) * 4));
    let (local, remote) = pair.b.stack.tcp_addresses(b)?;
    let off = |by: u8| i32::from(by.cast_signed()) as u32;
    let mut segment = vec![0; TcpHeader::LEN];
    let options = &options[..options.len() / 4 * 4];
    let header = TcpHeader {
        src_port: remote.port(),
        dst_port: local.port(),
        seq: Seq(rcv_nxt.wrapping_add(off(seq))),
        ack: Seq(snd_nxt.wrapping_add(off(ack))),
        flags: Flags(flags),
        window: u16::from(window) << 8,
        urgent: 0,
        header_len: (TcpHeader::LEN + options.len()) as u8,
    };
    header.emit(segment.first_chunk_mut()?);
    segment.extend(options);
    segment.extend(text);
    let sum =
        Sum::pseudo(remote.ip(), local.ip(), protocol::TCP, segment.len() as u32).bytes(&segment).finish();
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    let mut packet = vec![protocol::TCP, 0];
    packet.extend(segment);
    Some(ipv4(&packet))
}
