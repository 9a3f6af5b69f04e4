//! Filter, map and their likes, alone and nested.

use futures::{FutureExt, executor::block_on, select_biased};
use hemi_queue::{Buf, Error, Pop, Push, Sga};
use proptest::prelude::*;

use super::{
    Predicate, Rewrite, Verdict, filter, filter_by, filter_push, map, map_by, map_push, merge, sort,
};
use crate::scripted::Scripted;

#[test]
fn a_filtered_push_comes_back_even_when_it_is_asked_late() {
    let q = Scripted::new();
    let mut even = filter(q.clone(), |n: &u32| n.is_multiple_of(2));
    let tickets: Vec<_> = (0..4).map(|n| even.start_push(n).unwrap()).collect();
    let verdicts: Vec<_> = tickets
        .into_iter()
        .map(|t| block_on(futures::future::poll_fn(|cx| even.poll_pushed(t, cx))).unwrap())
        .collect();
    assert_eq!(
        verdicts,
        [Verdict::Pushed(()), Verdict::Filtered(1), Verdict::Pushed(()), Verdict::Filtered(3)]
    );
    assert_eq!((q.all_taken(), even.filtered()), (vec![0, 2], 2));
}

#[test]
fn a_filtered_push_whose_future_is_dropped_keeps_memory_bounded() {
    let mut none = filter_push(Scripted::new(), |_: &u32| false);
    let first = none.start_push(0).unwrap();
    for n in 1..2000 {
        let _ = none.start_push(n).unwrap();
    }
    let late = block_on(futures::future::poll_fn(|cx| none.poll_pushed(first, cx)));
    assert!(matches!(late, Err(Error::StaleToken)));
}

#[test]
fn a_flood_of_rejected_units_lets_others_run() {
    let q = Scripted::of((0..1000u32).chain([7777]));
    let mut big = filter(q, |n: &u32| *n > 5000);
    assert!(big.pop().now_or_never().is_none(), "yields in between");
    assert_eq!(block_on(big.pop()).unwrap(), Some(7777));
    assert_eq!(big.rejected(), 1000);
}

#[test]
fn dropped_pops_lose_nothing_through_any_nesting() {
    let (a, b) = (Scripted::new(), Scripted::new());
    let both = merge(filter(a.clone(), |n: &u32| *n != 3), map(b.clone(), |n: u32| n * 10));
    let mut all = sort(both, 2, |n: &u32| *n);
    block_on(async {
        let mut got = Vec::new();
        for n in 0..6 {
            select_biased! {
                unit = all.pop().fuse() => got.push(unit.unwrap().unwrap()),
                () = async {}.fuse() => {}
            }
            a.arrive(n);
            b.arrive(n);
        }
        a.end();
        b.end();
        while let Some(unit) = all.pop().await.unwrap() {
            got.push(unit);
        }
        got.sort_unstable();
        assert_eq!(got, [0, 0, 1, 2, 4, 5, 10, 20, 30, 40, 50]);
    });
}

#[test]
fn a_refused_push_through_a_map_gives_the_unit_back_as_it_was() {
    let q = Scripted::new();
    q.fail_pushes(|| Error::Reset);
    let mut texts = map_push(q, |n: &u32| n.to_string());
    assert_eq!(texts.start_push(5).unwrap_err().unit, 5);
}

proptest! {
    #[test]
    fn filter_and_map_are_those_of_iterators(units in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..8), 0..50)) {
        let sgas = units.iter().cloned().map(Sga::from);
        let p = Predicate::range(0, 1, 0..=127) & Predicate::length(2..=6);
        let rewrite = Rewrite::new().swap(0, 1, 1);
        let mut q = map_by(filter_by(Scripted::of(sgas), &p), rewrite);
        let expect = units.iter().filter(|u| (2..=6).contains(&u.len()) && u[0] < 128).map(|u| {
            let mut u = u.clone();
            u.swap(0, 1);
            u
        });
        for want in expect {
            prop_assert_eq!(block_on(q.pop()).unwrap().unwrap().to_vec(), want);
        }
        prop_assert!(block_on(q.pop()).unwrap().is_none());
    }
}

#[test]
fn finish_reaches_the_inner_queue_through_every_adapter() {
    let (a, b) = (Scripted::<Buf>::new(), Scripted::<Buf>::new());
    let sorted = sort(map(b.clone(), |u: Buf| u), 2, Buf::len);
    let mut m = merge(a.clone(), sorted);
    block_on(m.finish()).unwrap();
    assert!(a.finished() && b.finished());
}
