use futures::{FutureExt, executor::block_on, select_biased};
use hemi_queue::{Error, Pop};
use proptest::prelude::*;

use super::{Event, Left, MemberId, MergeSet, WhenFull};
use crate::{queue, scripted::Scripted};

type Set = MergeSet<Scripted<u32>>;

fn pop(set: &mut Set) -> Option<(MemberId, Event<Scripted<u32>>)> {
    set.pop().now_or_never().expect("pending").unwrap()
}

fn unit(set: &mut Set) -> (MemberId, u32) {
    match pop(set) {
        Some((id, Event::Unit(n))) => (id, n),
        other => panic!("{other:?}"),
    }
}

fn left(set: &mut Set) -> (MemberId, Left) {
    match pop(set) {
        Some((id, Event::Left(why, _))) => (id, why),
        other => panic!("{other:?}"),
    }
}

#[test]
fn members_take_turns_and_leave_when_they_end() {
    let mut set = Set::new();
    let a = set.insert(Scripted::of([1, 2]), WhenFull::Wait);
    let b = set.insert(Scripted::of([11]), WhenFull::Wait);
    assert_eq!([unit(&mut set), unit(&mut set), unit(&mut set)], [(a, 1), (b, 11), (a, 2)]);
    assert!(matches!(left(&mut set), (id, Left::Ended) if id == b));
    assert!(matches!(left(&mut set), (id, Left::Ended) if id == a));
    assert!(pop(&mut set).is_none());
}

#[test]
fn a_member_that_fails_leaves_and_the_others_do_not_notice() {
    let mut set = Set::new();
    let bad = Scripted::new();
    bad.fail(Error::Reset);
    let bad = set.insert(bad, WhenFull::Wait);
    let good = set.insert(Scripted::of([1]), WhenFull::Wait);
    assert!(matches!(left(&mut set), (id, Left::Failed(Error::Reset)) if id == bad));
    assert_eq!(unit(&mut set), (good, 1));
    assert!(set.get(bad).is_none() && set.remove(bad).is_none());
}

#[test]
fn an_open_set_waits_for_members() {
    let mut set = Set::new().keep_open();
    assert!(set.pop().now_or_never().is_none());
    let q = Scripted::new();
    let id = set.insert(q.clone(), WhenFull::Wait);
    assert!(set.pop().now_or_never().is_none());
    q.arrive(5);
    assert_eq!(unit(&mut set), (id, 5));
}

#[test]
fn an_id_names_one_member_for_ever() {
    let mut set = Set::new();
    let first = set.insert(Scripted::new(), WhenFull::Wait);
    set.remove(first).unwrap();
    let second = set.insert(Scripted::new(), WhenFull::Wait);
    assert_ne!(first, second);
    assert!(set.get(first).is_none());
    let refused = set.push_to(first, 1u32).unwrap_err();
    assert_eq!(refused.unit, 1);
}

#[test]
fn a_push_waits_for_the_slowest_member_that_may_hold_it_up() {
    let (quick, slow) = (Scripted::new(), Scripted::bounded(1));
    let mut set = Set::new();
    set.insert(quick.clone(), WhenFull::Wait);
    set.insert(slow.clone(), WhenFull::Wait);
    let delivered = set.push(1u32).now_or_never().unwrap().unwrap();
    assert_eq!(delivered.taken, 2);
    let mut push = set.push(2u32);
    assert!((&mut push).now_or_never().is_none());
    assert_eq!(quick.all_taken(), [1], "room first, on all");
    assert_eq!(slow.taken(), Some(1));
    assert_eq!(push.now_or_never().unwrap().unwrap().taken, 2);
    assert_eq!((quick.taken(), slow.taken()), (Some(2), Some(2)));
}

#[test]
fn a_member_that_fails_while_a_push_waits_for_it_lets_the_push_go() {
    let (good, bad) = (Scripted::new(), Scripted::bounded(1));
    let mut set = Set::new();
    set.insert(good.clone(), WhenFull::Wait);
    let bad_id = set.insert(bad.clone(), WhenFull::Wait);
    block_on(set.push(1u32)).unwrap();
    let mut push = set.push(2u32);
    assert!((&mut push).now_or_never().is_none());
    bad.fail_pushes(|| Error::BrokenPipe);
    let delivered = push.now_or_never().unwrap().unwrap();
    assert_eq!(delivered.taken, 1);
    assert_eq!(good.all_taken(), [1, 2]);
    assert!(matches!(left(&mut set), (id, Left::Failed(Error::BrokenPipe)) if id == bad_id));
}

#[test]
fn drop_oldest_keeps_the_newest() {
    let q = Scripted::bounded(1);
    let mut set = Set::new();
    let id = set.insert(q.clone(), WhenFull::DropOldest { keep: 2 });
    for n in 1..=5u32 {
        block_on(set.push(n)).unwrap();
    }
    assert_eq!(set.dropped(id), 2);
    let mut got = Vec::new();
    while let Some(n) = q.taken() {
        got.push(n);
        assert!(set.pop().now_or_never().is_none()); // serves the pushes
    }
    assert_eq!(got, [1, 4, 5]);
}

#[test]
fn a_member_that_never_reads_is_disconnected_and_the_others_are_unharmed() {
    let (reads, never) = (Scripted::bounded(2), Scripted::bounded(2));
    let mut set = Set::new();
    set.insert(reads.clone(), WhenFull::Disconnect { keep: 3 });
    let never_id = set.insert(never, WhenFull::Disconnect { keep: 3 });
    let mut got = Vec::new();
    for n in 0..20u32 {
        block_on(set.push(n)).unwrap();
        got.extend(reads.taken());
    }
    assert!(matches!(left(&mut set), (id, Left::TooSlow { missed: 4 }) if id == never_id));
    assert_eq!(set.len(), 1);
    assert!(set.pop().now_or_never().is_none());
    got.extend(reads.all_taken());
    assert_eq!(got, (0..20).collect::<Vec<_>>());
}

#[test]
fn others_are_all_but_one() {
    let queues: Vec<Scripted<u32>> = (0..3).map(|_| Scripted::new()).collect();
    let mut set = Set::new();
    let ids: Vec<_> = queues.iter().map(|q| set.insert(q.clone(), WhenFull::Wait)).collect();
    assert_eq!(set.push_others(ids[1], 7u32).taken, 2);
    assert_eq!(set.push_to(ids[1], 8u32).unwrap().taken, 1);
    let got: Vec<_> = queues.iter().map(Scripted::all_taken).collect();
    assert_eq!(got, [vec![7], vec![8], vec![7]]);
}

#[test]
fn dropped_futures_lose_nothing() {
    let (a, b) = (queue::<u32>(1), queue::<u32>(1));
    let mut set = MergeSet::new();
    set.insert(a.clone(), WhenFull::Wait);
    let id = set.insert(b.clone(), WhenFull::Wait);
    block_on(async {
        select_biased! {
            _ = Pop::pop(&mut set).fuse() => panic!("nothing is there"),
            () = async {}.fuse() => {}
        }
        b.push(1).await.unwrap();
        assert!(matches!(set.pop().await.unwrap(), Some((i, Event::Unit(1))) if i == id));
        set.push(2u32).await.unwrap();
        select_biased! {
            _ = set.push(3u32).fuse() => panic!("there is no room"),
            () = async {}.fuse() => {}
        }
        drop(set);
        for q in [&a, &b] {
            assert_eq!((q.try_pop(), q.try_pop()), (Some(2), Some(3)));
        }
    });
}

/// A poll looks at members that something happened to: with 10,000 idle ones it polls none of those.
#[test]
fn idle_members_are_not_polled() {
    use std::{cell::Cell, rc::Rc, task};

    struct Counted(Scripted<u32>, Rc<Cell<usize>>);
    impl Pop for Counted {
        type Unit = u32;
        fn poll_pop(&mut self, cx: &mut task::Context<'_>) -> task::Poll<crate::Result<Option<u32>>> {
            self.1.set(self.1.get() + 1);
            self.0.poll_pop(cx)
        }
    }

    let polls = Rc::new(Cell::new(0));
    let queues: Vec<_> = (0..10_000).map(|_| Scripted::new()).collect();
    let mut set: MergeSet<Counted> = MergeSet::new();
    for q in &queues {
        set.insert(Counted(q.clone(), Rc::clone(&polls)), WhenFull::Wait);
    }
    while set.pop().now_or_never().is_none() && polls.get() < 10_000 {}
    assert_eq!(polls.replace(0), 10_000);
    for n in 0..100u32 {
        queues[n as usize * 97].arrive(n);
        assert!(matches!(block_on(set.pop()).unwrap(), Some((_, Event::Unit(m))) if m == n));
    }
    assert!(polls.get() <= 200, "{} polls for 100 units", polls.get());
}

struct Model {
    id: MemberId,
    q: Scripted<u32>,
    arrived: u32,
    popped: u32,
    pushed: Vec<u32>,
}

proptest! {
    /// Members come, go, pop and are pushed to in any order: every unit arrives once, in each member's order.
    #[test]
    fn behaves_like_its_model(script in prop::collection::vec((0u8..6, 0usize..4), 0..150)) {
        let mut set = Set::new().keep_open();
        let mut members: Vec<Model> = Vec::new();
        for (n, (step, who)) in script.into_iter().enumerate() {
            let n = n as u32;
            let who = if members.is_empty() { 0 } else { who % members.len() };
            match step {
                0 => {
                    let q = Scripted::new();
                    let id = set.insert(q.clone(), WhenFull::DropOldest { keep: 1 });
                    members.push(Model { id, q, arrived: 0, popped: 0, pushed: Vec::new() });
                }
                1 if !members.is_empty() => {
                    let Model { id, q, pushed, .. } = members.remove(who);
                    prop_assert_eq!(q.all_taken(), pushed);
                    prop_assert!(set.remove(id).is_some());
                }
                2 | 3 if !members.is_empty() => {
                    let member = &mut members[who];
                    member.q.arrive(member.arrived);
                    member.arrived += 1;
                }
                4 => {
                    block_on(set.push(n)).unwrap();
                    for member in &mut members {
                        member.pushed.push(n);
                    }
                }
                _ => match set.pop().now_or_never() {
                    Some(popped) => {
                        let Some((id, Event::Unit(n))) = popped.unwrap() else { panic!("nobody left") };
                        let member = members.iter_mut().find(|m| m.id == id).unwrap();
                        prop_assert_eq!(n, member.popped);
                        member.popped += 1;
                    }
                    None => prop_assert!(members.iter().all(|m| m.arrived == m.popped)),
                },
            }
        }
        for member in members {
            prop_assert_eq!(member.q.all_taken(), member.pushed);
        }
    }
}
