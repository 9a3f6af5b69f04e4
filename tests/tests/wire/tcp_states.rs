//! TCP from opening to closing: RFC 9293 section 3.10.7, RFC 5961, 1337, 6191.

use std::time::Duration;

use hemi_net::wire::{Flags, MacAddr, arp::Operation};

use crate::{
    Case,
    client::Wire,
    flow::{ACK, ALL, CONTROL, ECHO, FIN, Flow, MSS, NONE, RST, SACK, SYN},
    frames::{MAC2, OURS, OURS6, arp, udp},
};

pub(crate) const CASES: &[Case] = &[
    ("a handshake, an echo, and both ends finish", whole_life),
    ("a SYN-ACK offers what the SYN offered, and nothing else", offers),
    ("a closed port answers with RST, but not to RST", closed_port),
    ("LISTEN: RST is ignored, ACK is reset, what is neither is dropped", listen),
    ("SYN-RECEIVED: a repeated SYN is answered alike", repeated_syn),
    ("SYN-RECEIVED: the SYN-ACK is sent again, later and later", syn_ack_timer),
    ("SYN-RECEIVED: a bad ACK is reset, the right one still completes", bad_ack_in_handshake),
    ("SYN-RECEIVED: RST ends it", reset_in_handshake),
    ("ESTABLISHED: a SYN is challenged", syn_in_connection),
    ("ESTABLISHED: a RST exactly in order ends it, others do not", resets),
    ("challenge ACKs are limited", challenge_limit),
    ("ESTABLISHED: an ACK of what was never sent is answered and dropped", ack_of_the_future),
    ("ESTABLISHED: an ACK far in the past is answered and dropped", ack_of_the_past),
    ("ESTABLISHED: without ACK nothing counts", without_ack),
    (
        "a peer that rebooted: its SYN is challenged, its RST ends the old connection, its next SYN opens",
        reboot,
    ),
    ("a peer that rebooted, elsewhere on the link, resets what it is sent", reboot_with_data),
    ("a finished peer still gets what it asked for", half_close),
    ("LAST-ACK: a FIN that is not acknowledged is sent again", last_ack),
    ("the host closes first: FIN-WAIT, TIME-WAIT, a repeated FIN is acknowledged again", active_close),
    ("both close at one time", simultaneous_close),
    ("TIME-WAIT: RST does not end it, an old SYN is answered with ACK, a new one opens", time_wait),
    ("TIME-WAIT: a SYN with a later timestamp opens, whatever its number", time_wait_timestamps),
    ("an active open is as it should be", active_open),
    ("an active open: SYNs cross", simultaneous_open),
    ("an active open: a bad ACK is reset, RST refuses", refused_open),
    ("initial sequence numbers and ephemeral ports are no series", unpredictable),
];

fn whole_life(wire: &mut Wire) {
    for v6 in [false, true] {
        for options in [b"", MSS, SACK, ALL] {
            let mut flow = Flow::open_to(wire, v6, ECHO, options);
            flow.echoes(wire, b"hello");
            flow.finish(wire);
            flow.is_gone(wire);
        }
    }
}

fn offers(wire: &mut Wire) {
    for (options, scale, sack, ts) in [
        (&b""[..], false, false, false),
        (MSS, false, false, false),
        (SACK, false, true, false),
        (&[1, 3, 3, 2], true, false, false),
        (&[1, 1, 8, 10, 0, 0, 3, 0xe8, 0, 0, 0, 0], false, false, true),
        (ALL, true, true, true),
    ] {
        let mut flow = Flow::new(wire, false, ECHO);
        let got = flow.connect(wire, options).options;
        let seen = (got.window_scale.is_some(), got.sack_permitted, got.timestamps.is_some());
        assert_eq!((seen, got.mss), ((scale, sack, ts), Some(1460)), "{options:?}");
        flow.echoes(wire, b"x");
    }
    let mut flow = Flow::new(wire, true, ECHO);
    assert_eq!(flow.connect(wire, MSS).options.mss, Some(1440));
}

fn closed_port(wire: &mut Wire) {
    for v6 in [false, true] {
        for port in [77, 0] {
            let flow = Flow::new(wire, v6, port);
            flow.emit(wire, SYN, 5000, None, b"", MSS);
            let h = flow.recv(wire, "RST").header;
            assert_eq!((h.flags, h.seq.0, h.ack.0), (RST | ACK, 0, 5001));
            flow.emit(wire, FIN, 5000, None, b"abc", b"");
            let h = flow.recv(wire, "RST").header;
            assert_eq!((h.flags, h.seq.0, h.ack.0), (RST | ACK, 0, 5004));
            for flags in [ACK, SYN | ACK, FIN | ACK] {
                flow.emit(wire, flags, 5000, Some(777), b"", b"");
                let h = flow.recv(wire, "RST").header;
                assert_eq!((h.flags, h.seq.0), (RST, 777));
            }
            flow.emit(wire, RST, 5000, None, b"", b"");
            flow.emit(wire, RST | ACK, 5000, Some(777), b"", b"");
            flow.silence(wire, "an answer to RST");
        }
    }
}

fn listen(wire: &mut Wire) {
    let mut flow = Flow::new(wire, false, ECHO);
    flow.emit(wire, RST, 5000, None, b"", b"");
    flow.emit(wire, SYN | RST, 5000, None, b"", b"");
    flow.emit(wire, FIN, 5000, None, b"", b"");
    flow.emit(wire, NONE, 5000, None, b"text", b"");
    flow.silence(wire, "an answer");
    for flags in [ACK, SYN | ACK, FIN | ACK] {
        flow.emit(wire, flags, 5000, Some(777), b"", b"");
        let h = flow.recv(wire, "RST").header;
        assert_eq!((h.flags, h.seq.0), (RST, 777));
    }
    flow.connect(wire, MSS);
    flow.echoes(wire, b"x");
}

fn repeated_syn(wire: &mut Wire) {
    let mut flow = Flow::new(wire, false, ECHO);
    flow.emit(wire, SYN, flow.seq, None, b"", MSS);
    let first = flow.recv(wire, "SYN-ACK");
    flow.emit(wire, SYN, flow.seq, None, b"", MSS);
    let again = flow.recv(wire, "SYN-ACK");
    assert_eq!((first.header.seq, first.header.ack), (again.header.seq, again.header.ack));
    flow.take_syn_ack(&again);
    flow.send(wire, ACK, b"");
    flow.echoes(wire, b"x");
}

fn syn_ack_timer(wire: &mut Wire) {
    let mut flow = Flow::new(wire, false, ECHO);
    flow.emit(wire, SYN, flow.seq, None, b"", MSS);
    let all = [(); 3].map(|()| flow.recv(wire, "SYN-ACK"));
    assert!(all.iter().all(|s| s.header.seq == all[0].header.seq && s.header.flags == SYN | ACK));
    assert!(all[1].at - all[0].at > Duration::from_millis(700), "RFC 6298: one second");
    assert!(all[2].at - all[0].at > Duration::from_millis(2200), "and then two");
    flow.take_syn_ack(&all[2]);
    flow.send(wire, ACK, b"");
    flow.echoes(wire, b"x");
}

fn bad_ack_in_handshake(wire: &mut Wire) {
    let mut flow = Flow::new(wire, false, ECHO);
    flow.emit(wire, SYN, flow.seq, None, b"", MSS);
    let answer = flow.recv(wire, "SYN-ACK");
    let bad = answer.header.seq.0.wrapping_add(5);
    flow.emit(wire, ACK, flow.seq + 1, Some(bad), b"", b"");
    let h = flow.recv(wire, "RST").header;
    assert_eq!((h.flags, h.seq.0), (RST, bad));
    flow.take_syn_ack(&answer);
    flow.send(wire, ACK, b"");
    flow.echoes(wire, b"x");
}

fn reset_in_handshake(wire: &mut Wire) {
    let mut flow = Flow::new(wire, false, ECHO);
    flow.emit(wire, SYN, flow.seq, None, b"", MSS);
    let answer = flow.recv(wire, "SYN-ACK");
    flow.take_syn_ack(&answer);
    flow.emit(wire, RST, flow.seq, None, b"", b"");
    flow.is_gone(wire);
    // The port is free for another.
    flow.seq = 9_000_000;
    flow.connect(wire, MSS);
    flow.echoes(wire, b"x");
}

fn syn_in_connection(wire: &mut Wire) {
    for (offset, what) in
        [(0, "in order"), (50, "in the window"), (-1, "a repeated one"), (-5000, "an old one")]
    {
        let mut flow = Flow::open(wire, MSS);
        flow.emit(wire, SYN, flow.seq.wrapping_add_signed(offset), None, b"", MSS);
        flow.expect_ack(wire, what);
        flow.echoes(wire, b"still here");
    }
    let mut flow = Flow::open(wire, MSS);
    flow.emit(wire, SYN | ACK, flow.seq, Some(flow.ack), b"", MSS);
    flow.expect_ack(wire, "SYN-ACK");
    flow.echoes(wire, b"still here");
}

fn resets(wire: &mut Wire) {
    for (offset, challenged) in [(1, true), (1000, true), (-1, false), (10_000_000, false)] {
        let mut flow = Flow::open(wire, MSS);
        flow.emit(wire, RST, flow.seq.wrapping_add_signed(offset), None, b"", b"");
        if challenged {
            flow.expect_ack(wire, "a challenge");
        }
        flow.silence(wire, "an answer to RST");
        flow.echoes(wire, b"still here");
    }
    for flags in [RST, RST | ACK] {
        let mut flow = Flow::open(wire, MSS);
        flow.echoes(wire, b"x");
        flow.emit(wire, flags, flow.seq, Some(flow.ack), b"", b"");
        flow.silence(wire, "an answer to RST");
        flow.is_gone(wire);
    }
}

fn challenge_limit(wire: &mut Wire) {
    let mut flow = Flow::open(wire, MSS);
    for _ in 0..200 {
        flow.emit(wire, SYN, flow.seq + 50, None, b"", MSS);
    }
    let challenges = flow.drain(wire).len();
    assert!((1..=20).contains(&challenges), "{challenges} (RFC 5961 section 7: ten in five seconds)");
    flow.echoes(wire, b"still here");
}

fn ack_of_the_future(wire: &mut Wire) {
    let mut flow = Flow::open(wire, MSS);
    flow.emit(wire, ACK, flow.seq, Some(flow.ack + 1000), b"dropped", b"");
    flow.expect_ack(wire, "an ACK");
    flow.silence(wire, "an echo");
    flow.echoes(wire, b"taken");
}

fn ack_of_the_past(wire: &mut Wire) {
    let mut flow = Flow::open(wire, MSS);
    flow.emit(wire, ACK, flow.seq, Some(flow.ack.wrapping_sub(200_000)), b"dropped", b"");
    flow.expect_ack(wire, "an ACK");
    flow.silence(wire, "an echo");
    flow.echoes(wire, b"taken");
}

fn without_ack(wire: &mut Wire) {
    let mut flow = Flow::open(wire, MSS);
    flow.emit(wire, NONE, flow.seq, None, b"text", b"");
    flow.emit(wire, FIN, flow.seq, None, b"", b"");
    flow.silence(wire, "an answer");
    flow.echoes(wire, b"still here");
}

/// RFC 9293 section 3.5.1, figure 10.
fn reboot(wire: &mut Wire) {
    let mut flow = Flow::open(wire, ALL);
    flow.echoes(wire, b"before");
    let (old, next) = (flow.clone(), flow.seq.wrapping_add(50_000_000));
    flow.timestamps = None;
    flow.emit(wire, SYN, next, None, b"", ALL);
    let challenge = flow.recv(wire, "a challenge");
    assert_eq!((challenge.header.flags, challenge.header.ack.0), (ACK, old.seq));
    flow.emit(wire, RST, challenge.header.ack.0, None, b"", b"");
    flow.seq = next;
    flow.connect(wire, ALL);
    flow.echoes(wire, b"after");
}

/// It comes back with another MAC address while the host tries to reach it.
fn reboot_with_data(wire: &mut Wire) {
    let mut flow = Flow::open(wire, MSS);
    flow.send(wire, ACK, b"an echo that nobody takes");
    let lost = wire.wait("data", |s| s.segment(flow.me()).filter(|s| !s.data.is_empty()));
    wire.send_from(MAC2, &arp(Operation::Request, MAC2, &flow.src, MacAddr([0; 6]), &flow.src));
    let again = wire.wait("it again, there", |s| {
        s.segment(flow.me()).filter(|got| !got.data.is_empty() && s.frame.ethernet.dst == MAC2)
    });
    assert_eq!(again.header.seq, lost.header.seq);
    // It knows of no connection: RFC 9293 section 3.10.7.1.
    wire.send_from(MAC2, &flow.frame(RST, again.header.ack.0, None, b"", b""));
    flow.is_gone(wire);
}

fn half_close(wire: &mut Wire) {
    let mut flow = Flow::open(wire, MSS);
    let data = vec![7; 1000];
    flow.send(wire, FIN | ACK, &data);
    // The echo, and the FIN behind it or in it.
    let (mut got, mut fin) = (0, false);
    while !fin {
        let segment = flow.recv(wire, "the echo and FIN");
        assert_eq!(segment.header.seq.0, flow.ack.wrapping_add(got));
        got += segment.data.len() as u32;
        fin = segment.header.flags.has(FIN);
        assert_eq!(segment.header.ack.0, flow.seq);
    }
    assert_eq!(got, 1000);
    flow.acknowledge(wire, 1001);
    flow.is_gone(wire);
}

fn last_ack(wire: &mut Wire) {
    let mut flow = Flow::open(wire, MSS);
    flow.send(wire, FIN | ACK, b"");
    let fins =
        [(); 2].map(|()| wire.wait("FIN", |s| s.segment(flow.me()).filter(|s| s.header.flags.has(FIN))));
    assert_eq!(fins[0].header.seq, fins[1].header.seq);
    assert!(fins[1].at - fins[0].at > Duration::from_millis(150));
    // Ours, once more, is answered though nothing is left to receive.
    flow.acknowledge(wire, 1);
    flow.is_gone(wire);
}

/// The host has sent its FIN, which is not acknowledged yet; the flow expects it next.
fn closing(wire: &mut Wire, options: &[u8]) -> Flow {
    let mut flow = Flow::open(wire, options);
    flow.echoes(wire, b"QUIT\n");
    let fin = wire.wait("FIN", |s| s.segment(flow.me()).filter(|s| s.header.flags.has(FIN)));
    assert_eq!(fin.header.seq.0, flow.ack);
    flow
}

fn active_close(wire: &mut Wire) {
    let mut flow = closing(wire, MSS);
    flow.acknowledge(wire, 1);
    // FIN-WAIT-2.
    flow.silence(wire, "more");
    flow.send(wire, FIN | ACK, b"");
    flow.expect_ack(wire, "the ACK of our FIN");
    // TIME-WAIT.
    flow.emit(wire, FIN | ACK, flow.seq - 1, Some(flow.ack), b"", b"");
    flow.expect_ack(wire, "the ACK of our FIN again");
    flow.emit(wire, ACK, flow.seq, Some(flow.ack), b"", b"");
    flow.silence(wire, "an answer to an ACK in order");
}

fn simultaneous_close(wire: &mut Wire) {
    let mut flow = closing(wire, MSS);
    flow.send(wire, FIN | ACK, b"");
    let answer = flow.recv(wire, "the ACK of our FIN");
    assert_eq!(answer.header.ack.0, flow.seq);
    // CLOSING, then TIME-WAIT.
    flow.acknowledge(wire, 1);
    flow.emit(wire, FIN | ACK, flow.seq - 1, Some(flow.ack), b"", b"");
    flow.expect_ack(wire, "the ACK of our FIN again");
}

fn waiting(wire: &mut Wire, options: &[u8]) -> Flow {
    let mut flow = closing(wire, options);
    flow.ack = flow.ack.wrapping_add(1);
    flow.send(wire, FIN | ACK, b"");
    flow.expect_ack(wire, "the ACK of our FIN");
    flow
}

fn time_wait(wire: &mut Wire) {
    let mut flow = waiting(wire, MSS);
    flow.emit(wire, RST, flow.seq, None, b"", b"");
    flow.silence(wire, "an answer to RST");
    flow.emit(wire, SYN, flow.seq - 1000, None, b"", MSS);
    flow.expect_ack(wire, "the answer to an old SYN");
    flow.seq = flow.seq.wrapping_add(100_000);
    let old = flow.ack;
    let answer = flow.connect(wire, MSS);
    assert!(answer.header.seq.0.wrapping_sub(old) < 1 << 31, "beyond the old incarnation's");
    flow.echoes(wire, b"anew");
}

fn time_wait_timestamps(wire: &mut Wire) {
    let mut flow = waiting(wire, ALL);
    flow.timestamps = None;
    let with = |value: u32| {
        let mut options = ALL.to_vec();
        options[8..12].copy_from_slice(&value.to_be_bytes());
        options
    };
    flow.emit(wire, SYN, flow.seq + 5000, None, b"", &with(900));
    let h = flow.recv(wire, "the answer to an old SYN").header;
    assert_eq!((h.flags, h.ack.0), (ACK, flow.seq));
    flow.seq -= 5000;
    flow.emit(wire, SYN, flow.seq, None, b"", &with(5000));
    let answer = flow.recv(wire, "SYN-ACK");
    assert_eq!((answer.header.flags, answer.header.ack.0), (SYN | ACK, flow.seq + 1));
    assert_eq!(answer.options.timestamps.expect("timestamps").echo, 5000);
}

/// The host is told to connect; its SYN.
fn called(wire: &mut Wire, v6: bool) -> (Flow, crate::client::Segment) {
    let mut flow = Flow::new(wire, v6, CONTROL);
    let host = if v6 { OURS6 } else { OURS };
    let order = format!("C {} {}", flow.src, flow.port);
    wire.send(&udp(&flow.src, host, CONTROL, order.as_bytes(), None));
    let syn = flow.recv(wire, "SYN");
    assert_eq!(syn.header.flags.without(Flags::ECE | Flags::CWR), SYN);
    flow.host_port = syn.header.src_port;
    flow.ack = syn.header.seq.0.wrapping_add(1);
    (flow, syn)
}

fn active_open(wire: &mut Wire) {
    for v6 in [false, true] {
        let (mut flow, syn) = called(wire, v6);
        let o = syn.options;
        assert_eq!(o.mss, Some(if v6 { 1440 } else { 1460 }));
        assert!(o.window_scale.is_some() && o.sack_permitted && o.timestamps.is_some(), "{o:?}");
        // It is sent again.
        let again = flow.recv(wire, "SYN");
        assert_eq!(again.header.seq, syn.header.seq);
        assert!(again.at - syn.at > Duration::from_millis(700));
        flow.emit(wire, SYN | ACK, flow.seq, Some(flow.ack), b"", MSS);
        flow.seq += 1;
        flow.expect_ack(wire, "the ACK of our SYN");
        flow.echoes(wire, b"you called");
        flow.finish(wire);
    }
}

fn simultaneous_open(wire: &mut Wire) {
    let (mut flow, syn) = called(wire, false);
    flow.emit(wire, SYN, flow.seq, None, b"", MSS);
    flow.seq += 1;
    let answer = flow.recv(wire, "SYN-ACK");
    assert_eq!(
        (answer.header.flags, answer.header.seq, answer.header.ack.0),
        (SYN | ACK, syn.header.seq, flow.seq)
    );
    flow.send(wire, ACK, b"");
    flow.echoes(wire, b"we called");
}

fn refused_open(wire: &mut Wire) {
    let (flow, _) = called(wire, false);
    // What acknowledges nothing of ours is reset, and ends nothing.
    flow.emit(wire, SYN | ACK, flow.seq, Some(flow.ack + 77), b"", MSS);
    let h = flow.recv(wire, "RST").header;
    assert_eq!((h.flags, h.seq.0), (RST, flow.ack + 77));
    flow.emit(wire, RST | ACK, flow.seq, Some(flow.ack + 77), b"", b"");
    flow.emit(wire, RST, flow.seq, None, b"", b"");
    flow.silence(wire, "an answer to RST");
    flow.recv(wire, "the SYN again");
    flow.emit(wire, RST | ACK, 0, Some(flow.ack), b"", b"");
    flow.is_gone(wire);
}

fn unpredictable(wire: &mut Wire) {
    let mut isns: Vec<u32> = (0..8)
        .map(|_| {
            let mut flow = Flow::new(wire, false, ECHO);
            flow.connect(wire, MSS).header.seq.0
        })
        .collect();
    isns.sort_unstable();
    assert!(isns.windows(2).all(|w| w[1] - w[0] > 64_000), "{isns:?}");
    let ports: Vec<u16> = (0..8).map(|_| called(wire, false).1.header.src_port).collect();
    let steps: std::collections::HashSet<u16> = ports.windows(2).map(|w| w[1].wrapping_sub(w[0])).collect();
    assert!(steps.len() > 3, "{ports:?}");
}
