use futures::{FutureExt, executor::block_on};
use hemi_queue::{Buf, Error, Sga};

use super::{Why, qconnect};
use crate::scripted::Scripted;

#[test]
fn moves_everything_and_counts_it() {
    let b = Scripted::<Sga>::new();
    let moved = block_on(qconnect(Scripted::of([Buf::from("one"), Buf::from("three")]), b.clone()));
    assert_eq!((moved.units, moved.bytes), (2, 8));
    assert!(matches!(moved.why, Why::SourceEnded));
    assert_eq!(b.all_taken(), [Sga::from("one"), Sga::from("three")]);
}

#[test]
fn pops_nothing_that_the_sink_has_no_room_for() {
    let (a, b) = (Scripted::new(), Scripted::<Buf>::bounded(2));
    for _ in 0..5 {
        a.arrive(Buf::from("x"));
    }
    a.end();
    let mut connect = qconnect(a.clone(), b.clone());
    for left in [3, 2, 1] {
        assert!((&mut connect).now_or_never().is_none());
        assert_eq!(a.waiting(), left + 1, "units and the end");
        assert!(b.taken().is_some());
    }
    assert_eq!(connect.units(), 4);
    assert!((&mut connect).now_or_never().is_none());
    assert_eq!(b.all_taken().len(), 2);
    assert!(connect.now_or_never().is_some_and(|moved| moved.units == 5 && moved.bytes == 5));
}

/// Dropped at any point: what was not pushed was not popped.
#[test]
fn dropping_it_loses_no_unit() {
    for room in 0..5 {
        let (mut a, b) = (Scripted::new(), Scripted::<Buf>::bounded(room));
        for n in 0..5u8 {
            a.arrive(Buf::from(vec![n]));
        }
        assert!(qconnect(&mut a, b.clone()).now_or_never().is_none());
        let moved = b.all_taken().len();
        assert_eq!(moved + a.waiting(), 5);
    }
}

#[test]
fn says_which_end_failed() {
    let a = Scripted::new();
    a.arrive(Buf::from("before"));
    a.fail(Error::Reset);
    let b = Scripted::<Buf>::new();
    let moved = block_on(qconnect(a, b.clone()));
    assert!(matches!(moved.why, Why::SourceFailed(Error::Reset)));
    assert_eq!((moved.units, b.all_taken().len()), (1, 1));

    let (a, b) = (Scripted::of([Buf::from("kept")]), Scripted::<Buf>::new());
    b.fail_pushes(|| Error::BrokenPipe);
    let moved = block_on(qconnect(a.clone(), b));
    assert!(matches!(moved.why, Why::SinkFailed { error: Error::BrokenPipe, refused: None }));
    assert_eq!(a.waiting(), 2, "the unit and the end are still there");
    assert!(moved.into_result().is_err());
}
