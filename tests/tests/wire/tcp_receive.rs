//! What the host receives: order, windows, SACK, PAWS, checksums (RFC 9293, 2018, 2883, 7323).

use std::time::Duration;

use hemi_net::wire::Flags;

use crate::{
    Case,
    client::Wire,
    flow::{ACK, ALL, ECHO, FIN, Flow, MSS, RST, SACK, SYN},
};

pub(crate) const CASES: &[Case] = &[
    ("a segment with a bad checksum or header is dropped", broken),
    ("reserved bits and unknown options are ignored", unknown),
    ("an illegal option length ends the options", bad_options),
    ("a segment out of order is acknowledged at once, with its block", out_of_order),
    ("several blocks, the newest first", blocks),
    ("what comes twice is told by D-SACK", duplicates),
    ("overlapping segments are trimmed at both ends", overlaps),
    ("a FIN out of order waits", early_fin),
    ("nothing is taken beyond the window", beyond_the_window),
    ("sequence numbers wrap", wraps),
    ("timestamps are in every segment", timestamps),
    ("an old timestamp is answered and dropped, but not of a RST", paws),
    ("TS.Recent is taken in order only", recent),
    ("every second full segment is acknowledged, and one within half a second", delayed_acks),
    ("a closed window is kept closed by probes, and opens by a whole segment", closed_window),
    ("a peer that offers window scaling is told a scaled window", scaling),
    ("an ECN-setup SYN is granted, and congestion echoed until CWR", congestion),
    ("urgent data stays in line", urgent),
];

fn broken(wire: &mut Wire) {
    let mut flow = Flow::open(wire, MSS);
    let good = flow.frame(ACK, flow.seq, Some(flow.ack), b"text", b"");
    for at in [36, 40, 24] {
        let mut bad = good.clone();
        bad.2[at] ^= 1; // checksum, text, sequence number
        wire.send(&bad);
    }
    for offset in [0x40, 0xf0] {
        let mut body = good.2[20..].to_vec();
        body[12] = offset; // less than the least header, and more than there is
        wire.send(&flow.packet(body));
    }
    wire.send(&flow.packet_of(&good, 19));
    flow.silence(wire, "an answer");
    flow.echoes(wire, b"text");
}

fn unknown(wire: &mut Wire) {
    let mut flow = Flow::new(wire, false, ECHO);
    // A kind that nobody has, between others; behind END, nonsense.
    flow.connect(wire, &[77, 6, 1, 2, 3, 4, 2, 4, 2, 0, 0, 99]);
    let mut body = flow.frame(ACK, flow.seq, Some(flow.ack), b"text", b"").2[20..].to_vec();
    body[12] |= 0x0f;
    wire.send(&flow.packet(body));
    flow.seq += 4;
    assert_eq!(flow.read(wire, 4), b"text");
}

fn bad_options(wire: &mut Wire) {
    for options in
        [&[8, 0, 0, 0][..], &[2, 4, 5, 0xb4, 3, 1, 0, 0], &[2, 3, 9, 0], &[5, 99, 0, 0], &[99, 40, 1, 1]]
    {
        let mut flow = Flow::new(wire, false, ECHO);
        flow.connect(wire, options);
        flow.echoes(wire, b"text");
    }
}

fn out_of_order(wire: &mut Wire) {
    let mut flow = Flow::open(wire, SACK);
    flow.send_at(wire, 100, &[2; 100]);
    let got = flow.expect_ack(wire, "a duplicate ACK");
    let block = got.options.sack.as_slice()[0];
    assert_eq!((block.start.0, block.end.0), (flow.seq + 100, flow.seq + 200));
    flow.send_at(wire, 0, &[1; 100]);
    flow.seq += 200;
    assert_eq!(flow.read(wire, 200), [[1; 100], [2; 100]].concat());
    // Without SACK there is none.
    let flow = Flow::open(wire, MSS);
    flow.send_at(wire, 100, &[2; 100]);
    assert!(flow.expect_ack(wire, "a duplicate ACK").options.sack.is_empty());
}

fn blocks(wire: &mut Wire) {
    for (options, most) in [(SACK, 4), (ALL, 3)] {
        let flow = Flow::open(wire, options);
        let mut expected = Vec::new();
        for at in [700, 100, 500, 300, 900] {
            flow.send_at(wire, at, &[at as u8; 100]);
            expected.insert(0, flow.seq + at as u32);
            expected.truncate(most);
            let got = flow.expect_ack(wire, "a duplicate ACK");
            let starts: Vec<u32> = got.options.sack.as_slice().iter().map(|b| b.start.0).collect();
            assert_eq!(starts, expected);
        }
        // One that joins two is one block.
        flow.send_at(wire, 200, &[0; 100]);
        let got = flow.expect_ack(wire, "a duplicate ACK");
        let first = got.options.sack.as_slice()[0];
        assert_eq!((first.start.0, first.end.0), (flow.seq + 100, flow.seq + 400));
    }
}

fn duplicates(wire: &mut Wire) {
    let mut flow = Flow::open(wire, SACK);
    flow.echoes(wire, &[1; 500]);
    let told = |got: &crate::client::Segment| {
        got.options.sack.as_slice().iter().map(|b| (b.start.0, b.end.0)).collect::<Vec<_>>()
    };
    let at = flow.seq;
    flow.send_at(wire, -500, &[1; 500]);
    assert_eq!(told(&flow.expect_ack(wire, "an ACK")), [(at - 500, at)]);
    flow.send_at(wire, -200, &[1; 100]);
    assert_eq!(told(&flow.expect_ack(wire, "an ACK")), [(at - 200, at - 100)]);
    // Above a hole: the duplicate first, then the run that it lies in.
    flow.send_at(wire, 100, &[2; 200]);
    flow.expect_ack(wire, "an ACK");
    flow.send_at(wire, 150, &[2; 50]);
    assert_eq!(told(&flow.expect_ack(wire, "an ACK")), [(at + 150, at + 200), (at + 100, at + 300)]);
    // Told once.
    flow.send_at(wire, 400, &[4; 10]);
    assert_eq!(told(&flow.expect_ack(wire, "an ACK")), [(at + 400, at + 410), (at + 100, at + 300)]);
}

fn overlaps(wire: &mut Wire) {
    let data: Vec<u8> = (0..=255).cycle().take(1000).collect();
    let mut flow = Flow::open(wire, SACK);
    for (from, to) in [(100, 300), (200, 500), (0, 150), (400, 900), (800, 1000), (450, 1000)] {
        flow.send_at(wire, from, &data[from as usize..to]);
    }
    flow.seq += 1000;
    assert_eq!(flow.read(wire, 1000), data);
}

fn early_fin(wire: &mut Wire) {
    let mut flow = Flow::open(wire, MSS);
    flow.emit(wire, FIN | ACK, flow.seq + 10, Some(flow.ack), b"", b"");
    flow.expect_ack(wire, "a duplicate ACK");
    flow.emit(wire, ACK, flow.seq, Some(flow.ack), &[9; 10], b"");
    flow.seq += 11;
    let (mut got, mut fin) = (0, false);
    while !fin {
        let segment = flow.recv(wire, "the echo and FIN");
        got += segment.data.len();
        fin = segment.header.flags.has(FIN);
    }
    assert_eq!(got, 10);
}

fn beyond_the_window(wire: &mut Wire) {
    let mut flow = Flow::new(wire, false, ECHO);
    let window = flow.connect(wire, MSS).header.window;
    flow.send_at(wire, i32::from(window), b"beyond");
    flow.expect_ack(wire, "an ACK");
    flow.send_at(wire, 1 << 20, b"far beyond");
    flow.expect_ack(wire, "an ACK");
    flow.silence(wire, "more");
    flow.echoes(wire, b"within");
}

fn wraps(wire: &mut Wire) {
    let mut flow = Flow::new(wire, false, ECHO);
    flow.seq = u32::MAX - 700;
    flow.connect(wire, ALL);
    for _ in 0..4 {
        flow.echoes(wire, &[3; 400]);
    }
    flow.finish(wire);
}

fn timestamps(wire: &mut Wire) {
    let mut flow = Flow::open(wire, ALL);
    for i in 0..3 {
        flow.echoes(wire, b"x"); // `read` asks for them
        let (value, _) = flow.timestamps.expect("agreed on");
        flow.send_at(wire, 50, b"hole");
        let got = flow.expect_ack(wire, "a duplicate ACK").options.timestamps.expect("timestamps");
        assert!(got.echo <= value, "{i}");
    }
    flow.emit(wire, SYN, flow.seq + 9, None, b"", b"");
    assert!(flow.expect_ack(wire, "a challenge").options.timestamps.is_some());
}

fn paws(wire: &mut Wire) {
    let mut flow = Flow::open(wire, ALL);
    flow.echoes(wire, b"x");
    let now = flow.timestamps;
    flow.timestamps = Some((900, now.expect("agreed on").1));
    flow.emit(wire, ACK, flow.seq, Some(flow.ack), b"old", b"");
    flow.expect_ack(wire, "an ACK");
    flow.silence(wire, "an echo");
    flow.timestamps = now;
    flow.echoes(wire, b"new");
    // RFC 7323 section 5.2: a RST is taken without a look at its timestamp.
    flow.timestamps = Some((1, 1));
    flow.emit(wire, RST | ACK, flow.seq, Some(flow.ack), b"", b"");
    flow.timestamps = None;
    flow.is_gone(wire);
}

fn recent(wire: &mut Wire) {
    let mut flow = Flow::open(wire, ALL);
    flow.echoes(wire, b"x");
    let (value, echo) = flow.timestamps.expect("agreed on");
    flow.timestamps = Some((value + 500, echo));
    flow.send_at(wire, 100, b"later");
    let got = flow.expect_ack(wire, "a duplicate ACK").options.timestamps.expect("timestamps");
    assert!(got.echo <= value, "RFC 7323 section 4.3: that of a segment out of order is not echoed");
    flow.timestamps = Some((value + 300, echo));
    flow.send_at(wire, 0, b"y");
    let back = flow.recv(wire, "the echo").options.timestamps.expect("timestamps");
    assert_eq!(back.echo, value + 300);
}

/// The host has an echo that it may not send, so that its ACKs are bare; the stream so far is acknowledged.
fn gagged(wire: &mut Wire, options: &[u8]) -> Flow {
    let mut flow = Flow::new(wire, false, ECHO);
    flow.window = 0;
    flow.connect(wire, options);
    flow
}

fn delayed_acks(wire: &mut Wire) {
    let mut flow = gagged(wire, MSS);
    // Let it leave its quick start behind.
    for _ in 0..20 {
        flow.send(wire, ACK, &[1; 1460]);
    }
    wire.pass(Duration::from_millis(600));
    flow.drain(wire);
    for _ in 0..10 {
        flow.send(wire, ACK, &[1; 1460]);
        flow.send(wire, ACK, &[1; 1460]);
        wire.fence();
    }
    let acks = flow.drain(wire).iter().filter(|s| s.data.is_empty()).count();
    assert!(acks >= 9, "{acks} for ten pairs");
    wire.pass(Duration::from_millis(600));
    flow.drain(wire);
    flow.send(wire, ACK, &[1; 100]);
    let sent = std::time::Instant::now();
    let got = wire.wait("a delayed ACK", |s| s.segment(flow.me()).filter(|s| s.header.ack.0 == flow.seq));
    assert!(got.at - sent < Duration::from_secs(5), "half a second, and what a loaded machine adds");
}

fn closed_window(wire: &mut Wire) {
    let mut flow = gagged(wire, MSS);
    let mut room = u32::from(u16::MAX);
    while room > 0 {
        flow.send(wire, ACK, &vec![5; room.min(1460) as usize]);
        room = flow.drain(wire).last().map_or(room, |s| s.header.window.into());
        if room < 1460 {
            wire.pass(Duration::from_millis(300));
            room = flow.drain(wire).last().map_or(room, |s| s.header.window.into());
        }
    }
    for _ in 0..3 {
        flow.send_at(wire, 0, b"?");
        let got = wire.wait("the answer to a probe", |s| s.segment(flow.me()).filter(|s| s.data.is_empty()));
        assert_eq!((got.header.ack.0, got.header.window), (flow.seq, 0));
    }
    wire.fence();
    wire.inbox.clear();
    // Now the echo may come, bit by bit, and the host reads on: each step of its window is worth a segment (RFC 9293, MUST-39).
    let mut edge = flow.seq;
    flow.window = 700;
    for _ in 0..40 {
        flow.send(wire, ACK, b"");
        let got = wire.wait("the echo", |s| s.segment(flow.me()).filter(|s| !s.data.is_empty()));
        if got.header.seq.0 == flow.ack {
            flow.ack = flow.ack.wrapping_add(got.data.len() as u32);
        }
        let told = got.header.ack.0.wrapping_add(got.header.window.into());
        let step = told.wrapping_sub(edge);
        assert!(step == 0 || step >= 1460, "the window opened by {step}");
        edge = told;
    }
}

fn scaling(wire: &mut Wire) {
    let mut flow = Flow::new(wire, false, ECHO);
    let answer = flow.connect(wire, ALL);
    let shift = answer.options.window_scale.expect("scaling");
    assert!(shift <= 14 && answer.header.window > 1460);
    flow.echoes(wire, b"x");
    flow.send_at(wire, 10, b"hole");
    let window = u32::from(flow.expect_ack(wire, "a duplicate ACK").header.window) << shift;
    assert!(window >= 60_000, "{window}");
}

fn congestion(wire: &mut Wire) {
    let mut flow = Flow::new(wire, false, ECHO);
    flow.emit(wire, SYN | Flags::ECE | Flags::CWR, flow.seq, None, b"", SACK);
    let answer = flow.recv(wire, "SYN-ACK");
    assert_eq!(answer.header.flags, SYN | ACK | Flags::ECE);
    assert_eq!(answer.ecn, 0, "RFC 3168 section 6.1.1: a SYN-ACK is not ECN-capable");
    flow.ack = answer.header.seq.0.wrapping_add(1);
    flow.seq += 1;
    flow.send(wire, ACK, b"");
    flow.ecn = 2;
    flow.echoes(wire, b"fine");
    flow.ecn = 3;
    flow.send(wire, ACK, b"congested");
    let back = wire.wait("the echo", |s| s.segment(flow.me()).filter(|s| !s.data.is_empty()));
    assert!(back.header.flags.has(Flags::ECE) && back.ecn & 2 == 2 && back.ecn != 3, "{back:?}");
    flow.ack = flow.ack.wrapping_add(9);
    flow.ecn = 2;
    flow.send(wire, ACK, b"more");
    let back = wire.wait("the echo", |s| s.segment(flow.me()).filter(|s| !s.data.is_empty()));
    assert!(back.header.flags.has(Flags::ECE), "until CWR");
    flow.ack = flow.ack.wrapping_add(4);
    flow.send(wire, ACK | Flags::CWR, b"reduced");
    let back = wire.wait("the echo", |s| s.segment(flow.me()).filter(|s| !s.data.is_empty()));
    assert!(!back.header.flags.has(Flags::ECE));
    // Without the setup there is none.
    let mut plain = Flow::new(wire, false, ECHO);
    assert_eq!(plain.connect(wire, SACK).header.flags, SYN | ACK);
}

fn urgent(wire: &mut Wire) {
    let mut flow = Flow::open(wire, MSS);
    let mut body = flow.frame(ACK | Flags::URG, flow.seq, Some(flow.ack), b"urgent", b"").2[20..].to_vec();
    body[18..20].copy_from_slice(&6_u16.to_be_bytes());
    wire.send(&flow.packet(body));
    flow.seq += 6;
    assert_eq!(flow.read(wire, 6), b"urgent", "RFC 6093");
}
