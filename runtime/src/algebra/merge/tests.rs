use futures::{FutureExt, executor::block_on, select_biased};
use hemi_queue::{Error, Pop, Push};
use proptest::prelude::*;

use super::{MergeError, Side, merge};
use crate::{queue, scripted::Scripted};

#[test]
fn both_full_sides_take_turns() {
    let mut m = merge(Scripted::of([1, 3, 5]), Scripted::of([2, 4, 6, 8]));
    let mut units = Vec::new();
    while let Some(unit) = block_on(m.pop()).unwrap() {
        units.push(unit);
    }
    assert_eq!(units, [1, 2, 3, 4, 5, 6, 8]);
    assert_eq!(block_on(m.pop()).unwrap(), None);
}

#[test]
fn a_side_that_fails_is_named_and_the_other_goes_on() {
    let a = Scripted::new();
    a.arrive(1);
    a.fail(Error::Reset);
    let mut m = merge(a, Scripted::of([2, 4]));
    assert_eq!(block_on(m.pop()).unwrap(), Some(1));
    assert_eq!(block_on(m.pop()).unwrap(), Some(2));
    let error = block_on(m.pop()).unwrap_err();
    let merge_error = MergeError::of(&error).unwrap();
    assert_eq!((merge_error.side, merge_error.other_took), (Side::A, false));
    assert!(matches!(merge_error.source, Error::Reset));
    assert!(m.has_ended(Side::A) && !m.has_ended(Side::B));
    assert_eq!(block_on(m.pop()).unwrap(), Some(4));
    assert_eq!(block_on(m.pop()).unwrap(), None);
}

#[test]
fn a_push_goes_to_neither_before_both_have_room() {
    let (a, b) = (Scripted::bounded(2), Scripted::bounded(1));
    let mut m = merge(a.clone(), b.clone());
    assert!(m.push(1).now_or_never().is_some());
    let mut push = m.push(2);
    assert!((&mut push).now_or_never().is_none());
    assert_eq!(a.taken(), Some(1));
    assert_eq!(a.taken(), None, "b had no room");
    assert_eq!(b.taken(), Some(1));
    push.now_or_never().unwrap().unwrap();
    assert_eq!((a.taken(), b.taken()), (Some(2), Some(2)));
}

#[test]
fn a_push_completes_with_the_slower_side() {
    let (a, b) = (Scripted::new(), Scripted::bounded(0));
    let mut m = merge(a.clone(), b.clone());
    let ticket = m.start_push(7).unwrap();
    let mut wait = futures::future::poll_fn(|cx| m.poll_pushed(ticket, cx));
    assert!((&mut wait).now_or_never().is_none());
    assert_eq!(a.taken(), Some(7));
    assert_eq!(b.taken(), Some(7));
    wait.now_or_never().unwrap().unwrap();
}

#[test]
fn a_dropped_push_is_not_retracted() {
    let (a, b) = (Scripted::bounded(1), Scripted::bounded(1));
    let mut m = merge(a.clone(), b.clone());
    block_on(m.push(1)).unwrap();
    block_on(async {
        select_biased! {
            _ = m.push(2).fuse() => panic!("there is no room"),
            () = async {}.fuse() => {}
        }
    });
    assert_eq!((a.all_taken(), b.all_taken()), (vec![1, 2], vec![1, 2]));
    drop(m.push(3));
    assert_eq!(a.taken(), None, "a future that was never polled does nothing");
}

#[test]
fn a_failed_push_says_who_took_the_unit() {
    let (a, b) = (Scripted::new(), Scripted::new());
    b.fail_pushes(|| Error::BrokenPipe);
    let mut m = merge(a.clone(), b);
    let refused = m.start_push(1).unwrap_err();
    let error = MergeError::of(&refused.error).unwrap();
    assert_eq!((error.side, error.other_took, refused.unit), (Side::B, true, 1));
    assert_eq!(a.taken(), Some(1));
    assert!(refused.error.to_string().contains("side B"), "{}", refused.error);

    // Asked for room first, neither takes it.
    let error = block_on(m.push(2)).unwrap_err();
    assert!(!MergeError::of(&error).unwrap().other_took);
    assert_eq!(a.taken(), None);
}

/// The side fails while the push waits for it.
#[test]
fn a_push_that_fails_while_it_waits_says_so_too() {
    let (a, b) = (Scripted::bounded(0), Scripted::new());
    let mut m = merge(a.clone(), b);
    let ticket = m.start_push(1).unwrap();
    let mut wait = futures::future::poll_fn(|cx| m.poll_pushed(ticket, cx));
    assert!((&mut wait).now_or_never().is_none());
    a.fail_pushes(|| Error::Reset);
    let error = wait.now_or_never().unwrap().unwrap_err();
    let error = MergeError::of(&error).unwrap();
    assert_eq!((error.side, error.other_took), (Side::A, true));
}

#[test]
fn a_dropped_pop_loses_nothing() {
    let (a, b) = (queue(4), queue(4));
    let mut m = merge(a.clone(), b.clone());
    block_on(async {
        for n in 0..20 {
            select_biased! {
                _ = Pop::pop(&mut m).fuse() => panic!("nothing is there"),
                () = async {}.fuse() => {}
            }
            let side = if n % 3 == 0 { &a } else { &b };
            side.push(n).await.unwrap();
            assert_eq!(m.pop().await.unwrap(), Some(n));
        }
    });
}

proptest! {
    /// Whatever arrives when: each side's units in their order, all of them, and nobody starves.
    #[test]
    fn merges_like_two_queues(script in prop::collection::vec(0u8..4, 0..200)) {
        let sides = [Scripted::new(), Scripted::new()];
        let mut m = merge(sides[0].clone(), sides[1].clone());
        let (mut next, mut got) = ([0u32; 2], [0u32; 2]);
        for step in script {
            let side = usize::from(step % 2);
            if step < 2 {
                sides[side].arrive((side, next[side]));
                next[side] += 1;
            } else if let Some(unit) = m.pop().now_or_never() {
                let (side, n) = unit.unwrap().unwrap();
                prop_assert_eq!(n, got[side]);
                got[side] += 1;
            } else {
                prop_assert_eq!(got, next);
            }
        }
        sides.iter().for_each(Scripted::end);
        while let Some((side, n)) = block_on(m.pop()).unwrap() {
            prop_assert_eq!(n, got[side]);
            got[side] += 1;
        }
        prop_assert_eq!(got, next);
    }
}
