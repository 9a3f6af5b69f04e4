use std::num::NonZeroU32;

use hemi_net::wire::{Sum, UdpHeader};
use hemi_queue::program::{Next, Program};
use proptest::prelude::*;

use super::*;
use crate::{
    filter::{
        Rules,
        tests::{ENDS, assembled, begins_with_x, frame, rule},
    },
    program::{Others, XDP_DROP, for_station},
    vm::{Machine, Verdict},
};

const MARK: u32 = 0xfedc_ba98;

/// Where the UDP header is in the frames of [`ENDS`].
const UDP: [usize; 2] = [34, 54];

fn rules(program: &Program, changes: &Changes) -> Rules {
    let rewrite = MarkedRewrite { changes: changes.clone(), mark: NonZeroU32::new(MARK).unwrap() };
    let list: Vec<_> = ENDS
        .iter()
        .map(|(_, to)| {
            let mut rule = rule(to, None, program.clone());
            rule.rewrite = Some(rewrite.clone());
            rule
        })
        .collect();
    Rules::new(3, &list, false)
}

/// A frame with `payload` from one end to the other, and its checksum as the sender has made it.
fn summed(version: usize, payload: &[u8]) -> Vec<u8> {
    let (from, to) = ENDS[version];
    let mut frame = frame(from, to, payload);
    let len = UdpHeader::LEN + payload.len();
    let sum = pseudo(version, len).bytes(&frame[UDP[version]..][..len]);
    let checksum = UdpHeader::checksum_to_send(sum);
    frame[UDP[version] + 6..][..2].copy_from_slice(&checksum.to_be_bytes());
    frame
}

fn pseudo(version: usize, len: usize) -> Sum {
    let ip = |at: &str| at.parse::<std::net::SocketAddr>().unwrap().ip();
    Sum::pseudo(ip(ENDS[version].0), ip(ENDS[version].1), 17, len as u32)
}

fn is_intact(version: usize, frame: &[u8], payload: usize) -> bool {
    let len = UdpHeader::LEN + payload;
    pseudo(version, len).bytes(&frame[UDP[version]..][..len]).is_intact()
}

fn set(at: u32, bytes: &[u8]) -> Changes {
    Changes::from(vec![Operation::Set { at, bytes: bytes.to_vec() }])
}

fn run(program: &[crate::asm::Instruction], frame: &[u8]) -> (Verdict, Vec<u8>, u32) {
    let mut machine = Machine::new(frame, 3);
    let verdict = machine.run(program);
    (verdict, machine.frame().to_vec(), machine.mark())
}

#[test]
fn what_passes_is_rewritten_and_marked_and_what_fails_is_dropped() {
    let program = assembled(&rules(&begins_with_x(), &set(1, b"abc"))).unwrap();
    for version in [0, 1] {
        let (verdict, after, mark) = run(&program, &summed(version, b"x...y"));
        assert_eq!((verdict, mark), (Verdict::Redirect, MARK));
        assert_eq!(&after[UDP[version] + 8..][..5], b"xabcy");
        assert!(is_intact(version, &after, 5));
        let before = summed(version, b"....y");
        let refused = run(&program, &before);
        assert_eq!(refused, (Verdict::Action(XDP_DROP), before, 0));
        for short in [&b"x.."[..], b"x"] {
            let before = summed(version, short);
            assert_eq!(run(&program, &before), (Verdict::Redirect, before, 0), "shorter than it needs");
        }
    }
}

#[test]
fn what_the_rules_do_not_look_at_is_left_alone() {
    let program = assembled(&rules(&Program::everything(), &set(0, b"abc"))).unwrap();
    let whole = summed(0, b"x...y");
    let changed = |at: usize, value: u8| {
        let mut before = whole.clone();
        before[at] = value;
        let after = run(&program, &before);
        after == (Verdict::Redirect, before, 0)
    };
    assert!(changed(14, 0x46), "IP options");
    assert!(changed(20, 0x20) && changed(21, 1), "fragments");
    assert!(changed(37, 54), "another port");
    assert!(changed(0, 3), "a group");
    let mut machine = Machine::new(&whole, 3);
    machine.room = false;
    assert_eq!(machine.run(&program), Verdict::Redirect);
    assert_eq!((machine.mark(), machine.frame()), (0, &whole[..]));
    for len in 0..whole.len() {
        run(&program, &whole[..len]); // the machine stops at what is not there
    }
}

#[test]
fn a_missing_checksum_stays_missing_and_a_wrong_one_wrong() {
    let program = assembled(&rules(&Program::everything(), &set(1, b"abc"))).unwrap();
    let mut before = summed(0, b"x...y");
    before[UDP[0] + 6..][..2].fill(0);
    let (_, after, mark) = run(&program, &before);
    assert_eq!((&after[UDP[0] + 6..][..2], mark), (&[0, 0][..], MARK));
    for at in [UDP[0] + 6, UDP[0] + 8, UDP[0] + 9, UDP[0] + 12] {
        let mut before = summed(0, b"x...y");
        before[at] ^= 0x10;
        let (_, after, _) = run(&program, &before);
        assert!(!is_intact(0, &after, 5), "damaged at {at}");
    }
}

#[test]
fn what_takes_too_much_is_refused() {
    let fits = |changes: &Changes| assembled(&rules(&Program::everything(), changes)).is_some();
    assert!(fits(&set(1000, &[7; 128])));
    assert!(!fits(&set(1000, &[7; 129])));
    assert!(!fits(&set(4096, &[7])));
    assert!(!fits(&set(u32::MAX, &[7])));
    assert!(!fits(&Changes::default()), "nothing to do");
    let there_and_back = vec![Operation::Swap { a: 0, b: 4, len: 4 }; 2];
    assert!(!fits(&there_and_back.into()), "nothing to do in the end");
}

#[test]
fn a_mark_is_taken_once() {
    let mut metadata = [0; METADATA];
    metadata[..4].copy_from_slice(&MAGIC.to_ne_bytes());
    metadata[4..].copy_from_slice(&MARK.to_ne_bytes());
    assert_eq!((take_mark(&mut metadata), take_mark(&mut metadata)), (MARK, 0));
    assert_eq!(take_mark(&mut []), 0);
}

#[test]
fn the_kernel_takes_what_is_assembled() {
    use std::os::fd::AsFd;
    let Ok(sockets) = crate::bpf::socket_map(4) else {
        hemi_skip::skip!("no rights to load programs into the kernel");
    };
    let counter = crate::bpf::counter().unwrap();
    for changes in
        [set(1, b"abc"), Changes::from(vec![Operation::Swap { a: 0, b: 1, len: 1 }]), set(1000, &[7; 128])]
    {
        let nothing = Program::new(Vec::new(), Next::Reject).unwrap();
        for program in [Program::everything(), begins_with_x(), nothing] {
            let mac = hemi_net::wire::MacAddr([2, 0, 0, 0, 0, 1]);
            let rules = rules(&program, &changes);
            for others in [Others::Pass, Others::Redirect] {
                let assembled = for_station(mac, others, sockets.as_fd(), counter.as_fd(), &rules).unwrap();
                crate::bpf::load(&assembled).unwrap_or_else(|e| panic!("{changes:?}: {e}"));
            }
        }
    }
}

fn any_changes() -> impl Strategy<Value = Changes> {
    let small = || prop::collection::vec(any::<u8>(), 0..6);
    let operation = prop_oneof![
        (0u32..20, small()).prop_map(|(at, bytes)| Operation::Set { at, bytes }),
        (0u32..20, small()).prop_map(|(at, mask)| Operation::Mask { at, mask }),
        (0u32..20, 0u32..20, 0u32..6).prop_map(|(a, b, len)| Operation::Swap { a, b, len }),
    ];
    prop::collection::vec(operation, 1..6).prop_map(Changes::from)
}

proptest! {
    #[test]
    fn the_machine_changes_what_the_software_changes(
        changes in any_changes(),
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 8),
    ) {
        let Some(assembled) = assembled(&rules(&Program::everything(), &changes)) else {
            prop_assert!(outcome(&changes).is_some_and(|bytes| bytes.is_empty()));
            return Ok(());
        };
        for (payload, version) in payloads.iter().zip([0, 1].into_iter().cycle()) {
            let before = summed(version, payload);
            let (verdict, after, mark) = run(&assembled, &before);
            prop_assert_eq!(verdict, Verdict::Redirect);
            let mut expect = payload.clone();
            changes.apply(&mut expect);
            prop_assert_eq!(&after, &summed(version, &expect), "payload, and the checksum that the sender would have made");
            prop_assert_eq!(mark != 0, payload.len() >= changes.needs());
        }
    }
}
