use futures::{FutureExt, executor::block_on, select_biased};
use hemi_queue::{Error, Pop, Push};
use proptest::prelude::*;

use super::sort;
use crate::scripted::Scripted;

#[test]
fn never_waits_to_fill_the_window() {
    let q = Scripted::new();
    let mut sorted = sort(q.clone(), 10, |n: &u32| *n);
    q.arrive(2);
    assert_eq!(sorted.pop().now_or_never().unwrap().unwrap(), Some(2));
    q.arrive(3);
    q.arrive(1);
    assert_eq!(sorted.pop().now_or_never().unwrap().unwrap(), Some(1));
    assert_eq!(sorted.held(), 1);
}

#[test]
fn what_was_read_comes_before_the_error() {
    let q = Scripted::new();
    q.arrive(2);
    q.arrive(1);
    q.fail(Error::Reset);
    let mut sorted = sort(q, 10, |n: &u32| *n);
    assert_eq!(block_on(sorted.pop()).unwrap(), Some(1));
    assert_eq!(block_on(sorted.pop()).unwrap(), Some(2));
    assert!(matches!(block_on(sorted.pop()), Err(Error::Reset)));
    assert_eq!(block_on(sorted.pop()).unwrap(), None);
}

#[test]
fn a_dropped_pop_loses_nothing_and_pushes_pass() {
    let q = Scripted::new();
    let mut sorted = sort(q.clone(), 3, |n: &u32| *n);
    block_on(async {
        select_biased! {
            _ = sorted.pop().fuse() => panic!("nothing is there"),
            () = async {}.fuse() => {}
        }
        q.arrive(1);
        assert_eq!(sorted.pop().await.unwrap(), Some(1));
        sorted.push(9u32).await.unwrap();
    });
    assert_eq!(q.taken(), Some(9));
}

proptest! {
    /// The model: the stably least of the first `window` units that have arrived and not left.
    #[test]
    fn pops_the_stably_least_of_the_window(
        script in prop::collection::vec(prop::option::of(0u8..4), 0..100), window in 1usize..8,
    ) {
        let q = Scripted::new();
        let mut sorted = sort(q.clone(), window, |(key, _): &(u8, usize)| *key);
        let mut model: Vec<(u8, usize)> = Vec::new();
        for (n, step) in script.into_iter().enumerate() {
            if let Some(key) = step {
                q.arrive((key, n));
                model.push((key, n));
            } else {
                let seen = window.min(model.len());
                let least = (0..seen).min_by_key(|i| (model[*i].0, *i));
                let expect = least.map(|i| model.remove(i));
                let got = sorted.pop().now_or_never().map(|unit| unit.unwrap().unwrap());
                prop_assert_eq!(got, expect);
            }
        }
        let (q, held) = sorted.into_parts();
        let rest = std::iter::from_fn(|| (q.waiting() > 0).then(|| block_on(q.clone().pop()).unwrap().unwrap()));
        prop_assert_eq!(held.into_iter().chain(rest).collect::<Vec<_>>(), model);
    }
}
