use std::os::fd::AsFd;

use hemi_net::wire::MacAddr;
use hemi_queue::program::{Field, Next, Program, Step};
use proptest::prelude::*;

use super::*;
use crate::{
    asm::Instruction,
    program::{Others, for_station},
    vm::{Verdict, run},
};

const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const REFUSED: (Verdict, u64) = (Verdict::Action(XDP_DROP), 1);
const TAKEN: (Verdict, u64) = (Verdict::Redirect, 0);

pub(crate) fn assembled(rules: &Rules) -> Option<Vec<Instruction>> {
    let null = std::fs::File::open("/dev/null").unwrap();
    for_station(MAC, Others::Pass, null.as_fd(), null.as_fd(), rules)
}

pub(crate) fn rule(to: &str, from: Option<&str>, program: Program) -> DatagramRule {
    DatagramRule { to: to.parse().unwrap(), from: from.map(|f| f.parse().unwrap()), program, rewrite: None }
}

/// A UDP datagram in a frame to `MAC`, padded as Ethernet does.
pub(crate) fn frame(from: &str, to: &str, payload: &[u8]) -> Vec<u8> {
    let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
    let mut frame = [&MAC.0[..], &[2, 0, 0, 0, 0, 9]].concat();
    let len = (payload.len() + 8) as u16;
    match (from.ip(), to.ip()) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            frame.extend([8, 0, 0x45, 0]);
            frame.extend((len + 20).to_be_bytes());
            frame.extend([0, 0, 0x40, 0, 64, 17, 0, 0]);
            frame.extend(src.octets());
            frame.extend(dst.octets());
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend(len.to_be_bytes());
            frame.extend([17, 64]);
            frame.extend(src.octets());
            frame.extend(dst.octets());
        }
        _ => panic!("one IP version"),
    }
    for number in [from.port(), to.port(), len, 0] {
        frame.extend(number.to_be_bytes());
    }
    frame.extend(payload);
    frame.resize(frame.len().max(60), 0xa5);
    frame
}

pub(crate) const ENDS: [(&str, &str); 2] =
    [("10.0.0.9:4000", "10.0.0.1:53"), ("[fd00::9]:4000", "[fd00::1]:53")];

/// The payload begins with `x`.
pub(crate) fn begins_with_x() -> Program {
    let field = Field::Word { at: 0, width: 1, mask: 0xff };
    let step =
        Step { field, low: b'x'.into(), high: b'x'.into(), on_hit: Next::Accept, on_miss: Next::Reject };
    Program::new(vec![step], Next::Step(0)).unwrap()
}

fn of_x(from: Option<[&str; 2]>) -> Rules {
    let rules: Vec<_> =
        ENDS.iter().enumerate().map(|(i, (_, to))| rule(to, from.map(|f| f[i]), begins_with_x())).collect();
    Rules::new(3, &rules, false)
}

#[test]
fn what_fails_is_dropped_and_counted_what_passes_goes_to_the_socket() {
    let program = assembled(&of_x(None)).unwrap();
    for (from, to) in ENDS {
        assert_eq!(run(&program, &frame(from, to, b"xyz"), 3), TAKEN);
        assert_eq!(run(&program, &frame(from, to, b"yz"), 3), REFUSED);
        assert_eq!(run(&program, &frame(from, to, b""), 3), REFUSED, "padding is no payload");
    }
}

#[test]
fn only_datagrams_addressed_to_the_queue_are_tested() {
    let program = assembled(&of_x(None)).unwrap();
    let other_queue = run(&program, &frame(ENDS[0].0, ENDS[0].1, b"y"), 2);
    assert_eq!(other_queue, TAKEN);
    for to in ["10.0.0.1:54", "10.0.0.2:53"] {
        assert_eq!(run(&program, &frame("10.0.0.9:4000", to, b"y"), 3), TAKEN, "{to}");
    }
    assert_eq!(run(&program, &frame("[fd00::9]:4000", "[fd00::1:1]:53", b"y"), 3), TAKEN);
    let changed = |at: usize, value: u8| {
        let mut frame = frame(ENDS[0].0, ENDS[0].1, b"y");
        frame[at] = value;
        run(&program, &frame, 3)
    };
    assert_eq!(changed(23, 6), TAKEN, "TCP");
    assert_eq!(changed(13, 6), TAKEN, "ARP");
    assert_eq!(changed(14, 0x46), TAKEN, "IP options: the stack's software tests it");
    assert_eq!((changed(20, 0x20), changed(20, 0x1f), changed(21, 1)), (TAKEN, TAKEN, TAKEN), "fragments");
    assert_eq!(
        (changed(38, 1), changed(39, 7)),
        (TAKEN, TAKEN),
        "impossible lengths are the stack's to count"
    );
    assert_eq!(changed(0, 3), TAKEN, "a group");
    assert_eq!(changed(5, 2), (Verdict::Action(XDP_PASS), 0), "another station");
}

#[test]
fn a_connected_queue_rejects_only_what_its_peer_sends() {
    let program = assembled(&of_x(Some([ENDS[0].0, ENDS[1].0]))).unwrap();
    for (from, to) in ENDS {
        assert_eq!(run(&program, &frame(from, to, b"y"), 3), REFUSED);
        let other = from.replace("4000", "4001");
        assert_eq!(run(&program, &frame(&other, to, b"y"), 3), TAKEN);
    }
}

#[test]
fn rejected_datagrams_may_pass_to_the_kernel() {
    let rules = Rules { verdict: XDP_PASS, ..of_x(None) };
    let program = assembled(&rules).unwrap();
    let verdict = run(&program, &frame(ENDS[0].0, ENDS[0].1, b"y"), 3);
    assert_eq!(verdict, (Verdict::Action(XDP_PASS), 1));
}

#[test]
fn a_truncated_frame_is_never_read_past_its_end() {
    let program = assembled(&of_x(None)).unwrap();
    for (from, to) in ENDS {
        let whole = frame(from, to, b"y");
        for len in 0..whole.len() {
            run(&program, &whole[..len], 3); // the machine stops at what is not there
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let hash = |len| {
        let field = Field::Hash { at: 0, len, shards: 2 };
        let step = Step { field, low: 0, high: 0, on_hit: Next::Accept, on_miss: Next::Reject };
        vec![rule(ENDS[0].1, None, Program::new(vec![step], Next::Step(0)).unwrap())]
    };
    assert!(assembled(&Rules::new(0, &hash(256), false)).is_some());
    assert!(assembled(&Rules::new(0, &hash(257), false)).is_none(), "too long a loop");
    assert!(
        assembled(&Rules::new(0, &vec![hash(256).remove(0); 20], false)).is_none(),
        "too many instructions"
    );
    assert!(assembled(&Rules::NONE).unwrap().len() < 30);
}

fn field() -> impl Strategy<Value = Field> {
    let at = prop_oneof![8 => 0..24_u32, 1 => Just(4090_u32), 1 => Just(70_000_u32)];
    prop_oneof![
        4 => (at.clone(), 1..9_u8, any::<u64>())
            .prop_map(|(at, width, mask)| Field::Word { at, width, mask: mask >> (64 - 8 * u32::from(width)) }),
        4 => (at.clone(), 1..9_u8)
            .prop_map(|(at, width)| Field::Word { at, width, mask: u64::MAX >> (64 - 8 * u32::from(width)) }),
        2 => (at, 0..24_u32, 1..5_u32).prop_map(|(at, len, shards)| Field::Hash { at, len, shards }),
        1 => Just(Field::Length),
    ]
}

fn any_program() -> impl Strategy<Value = Program> {
    let bound = prop_oneof![0..4_u64, 0..30_u64, any::<u64>(), Just(u64::MAX)];
    let step = (field(), bound.clone(), bound, any::<[u8; 2]>());
    prop::collection::vec(step, 0..8).prop_map(|steps| {
        let len = steps.len() as u32;
        let next = |at: u32, dice: u8| match u32::from(dice) % (len - at + 1) {
            0 => Next::Accept,
            1 => Next::Reject,
            n => Next::Step(at + n - 1),
        };
        let steps = steps.into_iter().enumerate().map(|(at, (field, low, high, dice))| {
            let at = at as u32;
            Step { field, low, high, on_hit: next(at, dice[0]), on_miss: next(at, dice[1]) }
        });
        let start = if len == 0 { Next::Reject } else { Next::Step(0) };
        Program::new(steps.collect(), start).expect("forward only")
    })
}

proptest! {
    #[test]
    fn the_machine_rejects_what_the_software_rejects(
        programs in prop::collection::vec(any_program(), 2),
        payloads in prop::collection::vec(prop::collection::vec(0..4_u8, 0..40), 8),
    ) {
        let rules = [
            rule(ENDS[0].1, None, programs[0].clone()),
            rule(ENDS[1].1, Some(ENDS[1].0), programs[1].clone()),
            rule("10.0.0.1:54", None, programs[1].clone()),
        ];
        let assembled = assembled(&Rules::new(3, &rules, false)).expect("small programs");
        for payload in &payloads {
            let expect = |program: &Program| if program.matches(&payload[..]) { TAKEN } else { REFUSED };
            prop_assert_eq!(run(&assembled, &frame(ENDS[0].0, ENDS[0].1, payload), 3), expect(&programs[0]));
            prop_assert_eq!(run(&assembled, &frame(ENDS[1].0, ENDS[1].1, payload), 3), expect(&programs[1]));
            prop_assert_eq!(run(&assembled, &frame(ENDS[0].0, "10.0.0.1:54", payload), 3), expect(&programs[1]));
        }
    }
}
