//! A peer that does what none of this version does: an error of that connection, and nothing else.

mod model;

use hemi_queue::Buf;
use hemi_rdma::{Config, Failure, Popped, Status, Violation};
use model::Duo;

const DATA: u32 = 1;
const ANNOUNCE: u32 = 2;
const DONE: u32 = 3;
const GRANT: u32 = 4;
const FINISH: u32 = 5;
const CLOSE: u32 = 6;
const MORE: u32 = 1 << 27;

fn config() -> Config {
    Config { buffer: 256, window: 8, largest_unit: 1000, rendezvous_from: 257, ..Config::default() }
}

/// What the server makes of messages: kind (and flags), limit, payload. Numbered as they should be.
fn told(messages: &[(u32, u16, &[u8])]) -> Option<Failure> {
    let mut duo = Duo::new(config(), config());
    let now = duo.now;
    for (sequence, (kind, limit, payload)) in messages.iter().enumerate() {
        let flags = kind & MORE;
        let imm = (kind & !MORE) << 28 | flags | (sequence as u32 & 255) << 16 | u32::from(*limit);
        let mut data = duo.devices[1].pool.try_alloc(payload.len()).expect("memory");
        data.put(payload);
        duo.server().received(Some(imm), data.freeze(), now);
    }
    let failure = duo.server().failure().cloned();
    if failure.is_some() {
        assert!(duo.server().wants_disconnect());
        let (posted, promised) = (duo.devices[1].receives(), duo.devices[1].budget.now_promised());
        assert!(promised <= posted as u32);
        duo.server().destroyed();
        assert!(duo.server().is_quiet());
        let promised = duo.devices[1].budget.now_promised();
        assert_eq!(promised, 0, "other connections have their credits");
        while let Ok(Popped::Unit(_)) = duo.server().pop() {}
        assert_eq!(duo.held(1), 0, "nothing is held");
    }
    failure
}

fn violation(messages: &[(u32, u16, &[u8])]) -> Option<Violation> {
    match told(messages) {
        None => None,
        Some(Failure::Violation(violation)) => Some(violation),
        Some(other) => panic!("{other}"),
    }
}

/// An announcement of segments: address, key, length.
fn announcement(segments: &[(u64, u32, u32)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (address, key, length) in segments {
        bytes.extend(address.to_be_bytes());
        bytes.extend(key.to_be_bytes());
        bytes.extend(length.to_be_bytes());
    }
    bytes
}

#[test]
fn an_honest_peer_is_believed() {
    assert_eq!(violation(&[(DATA, 8, b"unit"), (GRANT, 8, b""), (FINISH, 8, b""), (CLOSE, 8, b"")]), None);
}

#[test]
fn headers_that_are_none() {
    for (kind, limit) in [(0, 8), (7, 8), (15, 8), (GRANT | MORE, 8), (CLOSE | MORE, 8)] {
        assert_eq!(violation(&[(kind, limit, b"")]), Some(Violation::Header), "{kind:x}");
    }
    let mut duo = Duo::new(config(), config());
    let now = duo.now;
    duo.server().received(None, Buf::new(), now);
    assert_eq!(duo.server().failure(), Some(&Failure::Violation(Violation::Header)));
}

#[test]
fn more_than_was_granted() {
    let nine = [(DATA, 8, &b"x"[..]); 9];
    assert_eq!(violation(&nine[..8]), None, "it may use its reserve, at its own risk");
    assert_eq!(violation(&nine), Some(Violation::NoCredit));
}

#[test]
fn limits_that_lie() {
    let lie = |limit| violation(&[(GRANT, limit, b"")]);
    assert_eq!(lie(9), Some(Violation::Limit { granted: 9, window: 8 }));
    assert_eq!(lie(7), Some(Violation::Limit { granted: 7, window: 8 }));
    assert_eq!(lie(8 + 0x8000), Some(Violation::Limit { granted: 0x8008, window: 8 }));
}

#[test]
fn units_that_are_too_large_or_wasteful() {
    let piece = [1; 256];
    let pieces = [(DATA | MORE, 8, &piece[..]); 4];
    assert_eq!(violation(&pieces), Some(Violation::UnitTooLarge { got: 1024, limit: 1000 }));
    let small = Violation::SmallPiece { got: 127, least: 128 };
    assert_eq!(violation(&[(DATA | MORE, 8, &[1; 127])]), Some(small));
    let large = announcement(&[(0, 0, 600), (600, 0, 401)]);
    assert_eq!(violation(&[(ANNOUNCE, 8, &large)]), Some(Violation::UnitTooLarge { got: 1001, limit: 1000 }));
    let huge = announcement(&[(0, 0, u32::MAX); 16]);
    assert!(matches!(violation(&[(ANNOUNCE, 8, &huge)]), Some(Violation::UnitTooLarge { .. })));
    let half = announcement(&[(0, 0, 600)]);
    assert_eq!(
        violation(&[(ANNOUNCE | MORE, 8, &half), (ANNOUNCE, 8, &half)]),
        Some(Violation::UnitTooLarge { got: 600, limit: 400 })
    );
}

#[test]
fn control_messages_that_are_not_well_formed() {
    let empty_segment = announcement(&[(0, 0, 0)]);
    let wraps = announcement(&[(u64::MAX, 0, 2)]);
    let cut = &announcement(&[(0, 0, 10)])[..15];
    let cases: [(u32, &[u8]); 10] = [
        (GRANT, b"x"),
        (FINISH, b"x"),
        (CLOSE, b"x"),
        (DONE, b""),
        (DONE, b"\0\0\0\0"),
        (DONE, b"\0\0\0\x01\0"),
        (ANNOUNCE, b""),
        (ANNOUNCE, cut),
        (ANNOUNCE, &empty_segment),
        (ANNOUNCE, &wraps),
    ];
    for (kind, payload) in cases {
        assert_eq!(violation(&[(kind, 8, payload)]), Some(Violation::Control), "{kind} {payload:?}");
    }
    let done = violation(&[(DONE, 8, b"\0\0\0\x01")]);
    assert_eq!(done, Some(Violation::Done { read: 1, announced: 0 }));
}

#[test]
fn anything_after_the_end() {
    for end in [FINISH, CLOSE] {
        assert_eq!(violation(&[(end, 8, b""), (DATA, 8, b"x")]), Some(Violation::AfterFinish));
        assert_eq!(violation(&[(end, 8, b""), (end, 8, b"")]), Some(Violation::AfterFinish));
        let piece = [1; 200];
        assert_eq!(violation(&[(DATA | MORE, 8, &piece), (end, 8, b"")]), Some(Violation::Unfinished));
    }
    assert_eq!(violation(&[(CLOSE, 8, b""), (FINISH, 8, b"")]), Some(Violation::AfterFinish));
}

#[test]
fn keys_that_lie_end_at_the_device() {
    let mut duo = Duo::new(config(), config());
    let list = announcement(&[(0x1234, 99, 500)]);
    let now = duo.now;
    let mut data = duo.devices[1].pool.try_alloc(list.len()).expect("memory");
    data.put(&list);
    duo.server().received(Some(ANNOUNCE << 28 | 8), data.freeze(), now);
    duo.settle();
    assert_eq!(duo.trace(1)[0], "READ 500 signalled: IBV_WC_REM_ACCESS_ERR");
    let failure = Failure::Work { operation: hemi_rdma::Operation::Read, status: Status::RemoteAccess };
    assert_eq!(duo.server().failure(), Some(&failure));
    assert!(duo.server().is_quiet() && duo.held(1) == 0);
}

#[test]
fn completions_of_nothing_are_nothing() {
    let mut duo = Duo::new(config(), config());
    let now = duo.now;
    for id in [0, 1, u64::from(u32::MAX), u64::MAX] {
        duo.server().completed(hemi_rdma::WorkId(id), Err(Status::General), now);
    }
    duo.push(0, duo.unit(0, 100, 1));
    duo.settle();
    assert_eq!((duo.pop(1), duo.server().failure()), (Some(vec![1; 100]), None));
}

#[test]
fn every_status_ends_in_an_error_that_names_it() {
    for number in 1..25 {
        let mut duo = Duo::new(config(), config());
        let status = Status::from_raw(number).expect("not success");
        duo.push(0, duo.unit(0, 100, 1));
        let now = duo.now;
        duo.devices[0].drive(0, now);
        duo.client().completed(hemi_rdma::WorkId(0), Err(status), now);
        let failure = duo.client().failure().cloned().expect("failed");
        if status == Status::Flushed {
            assert_eq!(failure, Failure::Disconnected, "a flush tells of another error");
        } else {
            let text = failure.error("push", "10.0.0.1:7000").to_string();
            for part in ["push", "10.0.0.1:7000", "SEND", status.name()] {
                assert!(text.contains(part), "{part} in {text}");
            }
        }
        duo.client().stopped();
        assert!(duo.client().is_quiet() && duo.held(0) == 0);
    }
}
