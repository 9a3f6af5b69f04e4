//! Loss and congestion: RFC 6298, 5681, 6582, 6675, 3042, 6928, 8985.

use std::time::Duration;

use crate::{
    Case,
    client::{Segment, Wire},
    flow::{ACK, ECHO, Flow},
};

pub(crate) const CASES: &[Case] = &[
    ("what is not acknowledged is sent again after a second, then two", timeouts),
    ("the initial window is ten segments at most, and doubles in a round trip at most", slow_start),
    ("after a timeout one segment goes first", loss_window),
    ("three duplicate ACKs bring the missing segment, without SACK", fast_retransmit),
    ("three SACKed segments bring the missing one, and no other", sack_recovery),
    ("the first two duplicate ACKs bring a new segment each", limited_transmit),
    ("a partial ACK brings the next missing segment", partial_ack),
    ("what was SACKed is not sent again", no_more_than_missing),
];

/// An MSS of 536, with SACK or without: small segments, so that a window is many of them.
const SMALL: &[u8] = &[2, 4, 2, 24];
const SMALL_SACK: &[u8] = &[2, 4, 2, 24, 1, 1, 4, 2];
const SIZE: u32 = 536;

/// A connection with 30 segments to send, of which the first window was sent and nothing is acknowledged: that many segments.
fn loaded(wire: &mut Wire, options: &[u8]) -> (Flow, u32) {
    let mut flow = Flow::open_to(wire, false, ECHO, options);
    let text = vec![0x55; 1072];
    for _ in 0..15 {
        flow.send(wire, ACK, &text);
    }
    let sent = new_data(&flow.drain(wire), flow.ack);
    (flow, sent.len() as u32)
}

/// Segments with text at or above `from`, each once.
fn new_data(segments: &[Segment], from: u32) -> Vec<u32> {
    let mut all: Vec<u32> =
        segments.iter().filter(|s| !s.data.is_empty()).map(|s| s.header.seq.0.wrapping_sub(from)).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn timeouts(wire: &mut Wire) {
    let mut flow = Flow::open_to(wire, false, ECHO, SMALL);
    flow.send(wire, ACK, b"lost");
    let all = [(); 3].map(|()| wire.wait("data", |s| s.segment(flow.me()).filter(|s| !s.data.is_empty())));
    assert!(all.iter().all(|s| s.data == b"lost" && s.header.seq.0 == flow.ack));
    let gaps = [all[1].at - all[0].at, all[2].at - all[1].at];
    assert!(gaps[0] > Duration::from_millis(150), "{gaps:?}");
    assert!(gaps[1] > gaps[0] + gaps[0] / 4, "RFC 6298 section 5.5: {gaps:?}");
    flow.acknowledge(wire, 4);
    flow.drain(wire);
    wire.pass(Duration::from_millis(100));
    flow.silence(wire, "more of it");
    flow.echoes(wire, b"on we go");
}

fn slow_start(wire: &mut Wire) {
    let (mut flow, first) = loaded(wire, SMALL);
    assert!((2..=10).contains(&first), "RFC 6928: {first}");
    flow.acknowledge(wire, first * SIZE);
    let second = new_data(&flow.drain(wire), flow.ack).len() as u32;
    assert!((1..=2 * first).contains(&second), "{second} after {first}");
}

fn loss_window(wire: &mut Wire) {
    let (mut flow, first) = loaded(wire, SMALL);
    let again = wire.wait("the timeout", |s| s.segment(flow.me()).filter(|s| !s.data.is_empty()));
    assert_eq!(again.header.seq.0, flow.ack);
    flow.silence(wire, "more than one segment");
    // Each ACK opens the window by a segment: two go.
    flow.acknowledge(wire, SIZE);
    let next = new_data(&flow.drain(wire), flow.ack);
    assert!((1..=3).contains(&next.len()) && next[0] == 0, "{next:?} of {first}");
}

fn duplicate(flow: &Flow, wire: &mut Wire) -> Vec<u32> {
    flow.emit(wire, ACK, flow.seq, Some(flow.ack), b"", b"");
    new_data(&flow.drain(wire), flow.ack)
}

fn fast_retransmit(wire: &mut Wire) {
    let (flow, _) = loaded(wire, SMALL);
    let both = [duplicate(&flow, wire), duplicate(&flow, wire)].concat();
    assert!(!both.contains(&0), "too early: {both:?}");
    let third = duplicate(&flow, wire);
    assert!(third.contains(&0), "{third:?}");
}

fn sack_recovery(wire: &mut Wire) {
    let (flow, first) = loaded(wire, SMALL_SACK);
    assert!(first >= 5);
    // The second is missing; the first was acknowledged.
    let mut flow = flow;
    flow.acknowledge(wire, SIZE);
    flow.drain(wire);
    for n in 2..=4 {
        flow.sack(wire, &[(SIZE, n * SIZE)]);
    }
    let sent = new_data(&flow.drain(wire), flow.ack);
    assert!(sent.contains(&0), "{sent:?}");
    assert!(sent.iter().all(|at| *at == 0 || *at >= 4 * SIZE), "{sent:?}");
}

fn limited_transmit(wire: &mut Wire) {
    for options in [SMALL, SMALL_SACK] {
        let (flow, first) = loaded(wire, options);
        if options == SMALL {
            assert_eq!(duplicate(&flow, wire), [first * SIZE]);
            assert_eq!(duplicate(&flow, wire), [(first + 1) * SIZE]);
        } else {
            flow.sack(wire, &[(SIZE, 2 * SIZE)]);
            flow.sack(wire, &[(SIZE, 3 * SIZE)]);
            let sent = new_data(&flow.drain(wire), flow.ack);
            assert!(sent.ends_with(&[first * SIZE, (first + 1) * SIZE]), "{sent:?} after {first}");
        }
    }
}

fn partial_ack(wire: &mut Wire) {
    let (mut flow, first) = loaded(wire, SMALL);
    assert!(first >= 6);
    for _ in 0..3 {
        flow.emit(wire, ACK, flow.seq, Some(flow.ack), b"", b"");
    }
    assert!(new_data(&flow.drain(wire), flow.ack).contains(&0));
    // The first is repaired, and the third is missing, too.
    flow.acknowledge(wire, 2 * SIZE);
    let sent = new_data(&flow.drain(wire), flow.ack);
    assert!(sent.contains(&0), "RFC 6582 section 3.2: {sent:?}");
}

fn no_more_than_missing(wire: &mut Wire) {
    let (mut flow, first) = loaded(wire, SMALL_SACK);
    assert!(first >= 6);
    // Only the last three have arrived.
    let (from, to) = ((first - 3) * SIZE, first * SIZE);
    flow.sack(wire, &[(from, to)]);
    wire.pass(Duration::from_millis(300));
    for step in 1..=(first - 3) {
        flow.ack = flow.ack.wrapping_add(SIZE);
        flow.sack(wire, &[(from - step * SIZE, to - step * SIZE)]);
        if step == first - 4 {
            break;
        }
    }
    let sent = new_data(&flow.drain(wire), flow.ack);
    let sacked = SIZE..to - (first - 4) * SIZE;
    assert!(sent.iter().all(|at| !sacked.contains(at)), "{sent:?} in {sacked:?}");
}
