use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures::{FutureExt, executor::block_on, select_biased};
use hemi_queue::{Buf, Error, Pop, Push, Sga};
use proptest::prelude::*;

use super::Framed;
use crate::{
    framing::{LengthPrefix, Lines, tests::cut},
    scripted::Scripted,
};

fn wire(units: &[&[u8]]) -> Vec<u8> {
    units.iter().flat_map(|u| [&(u.len() as u32).to_be_bytes()[..], u].concat()).collect()
}

fn queue(bytes: &[u8], cuts: &[usize]) -> Scripted<Sga> {
    Scripted::of(cut(bytes, cuts).into_iter().map(Sga::from))
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn pops_whole_units_and_then_the_end() {
    let mut q = Framed::new(queue(&wire(&[b"one", b"", b"three"]), &[1, 5, 6, 9]), LengthPrefix::new());
    for want in ["one", "", "three"] {
        assert_eq!(block_on(q.pop()).unwrap(), Some(Sga::from(want)));
    }
    assert_eq!(block_on(q.pop()).unwrap(), None);
    assert_eq!(block_on(q.pop()).unwrap(), None);
}

#[test]
fn a_unit_over_the_limit_tells_the_peer_and_ends_the_queue() {
    let inner = queue(&wire(&[b"ok", b"too long"]), &[]);
    let mut q = Framed::new(inner.clone(), LengthPrefix::with_limit(4));
    assert_eq!(block_on(q.pop()).unwrap(), Some(Sga::from("ok")));
    assert!(matches!(block_on(q.pop()), Err(Error::UnitTooLarge { got: 8, limit: 4 })));
    assert_eq!(inner.taken().unwrap().to_vec(), b"\xff\xff\xff\xff\0\0\0\x08\0\0\0\x04");
    assert_eq!(block_on(q.pop()).unwrap(), None);
    let refused = q.start_push(Sga::from("more")).unwrap_err();
    assert!(matches!(refused.error, Error::Closed));
    assert_eq!(refused.unit, Sga::from("more"));
}

#[test]
fn a_refused_push_gives_the_unit_back_unframed() {
    let inner = Scripted::<Sga>::new();
    inner.fail_pushes(|| Error::Reset);
    let mut q = Framed::new(inner, LengthPrefix::new());
    let refused = q.start_push(Sga::from("unit")).unwrap_err();
    assert!(matches!(refused.error, Error::Reset));
    assert_eq!(refused.unit, Sga::from("unit"));
}

#[test]
fn an_end_inside_a_unit_is_an_error() {
    let mut q = Framed::reader(queue(&wire(&[b"cut off"])[..6], &[]), LengthPrefix::new());
    assert!(matches!(block_on(q.pop()), Err(Error::Truncated { have: 6, want: 11 })));
    assert_eq!(block_on(q.pop()).unwrap(), None);
}

#[test]
fn nothing_read_ahead_is_lost_when_taken_apart() {
    let inner = Scripted::new();
    inner.arrive(Buf::from("first\nsecond\nthi"));
    let mut q = Framed::reader(inner.clone(), Lines::new());
    assert_eq!(block_on(q.pop()).unwrap(), Some(Sga::from("first")));
    let parts = q.into_parts();
    assert_eq!(parts.unread.to_vec(), b"second\nthi");
    inner.arrive(Buf::from("rd\n"));
    let mut q = Framed::reader(parts.queue, parts.codec).with_unread(parts.unread);
    assert_eq!(block_on(q.pop()).unwrap(), Some(Sga::from("second")));
    assert_eq!(block_on(q.pop()).unwrap(), Some(Sga::from("third")));
}

#[test]
fn a_pop_dropped_in_select_loses_nothing() {
    let inner = Scripted::new();
    let mut q = Framed::reader(inner.clone(), LengthPrefix::new());
    let stream = wire(&[b"a unit in pieces", b"b"]);
    block_on(async {
        let mut units = Vec::new();
        for piece in stream.chunks(3) {
            inner.arrive(Buf::from(piece.to_vec()));
            select_biased! {
                unit = q.pop().fuse() => units.push(unit.unwrap().unwrap()),
                () = async {}.fuse() => {}
            }
        }
        assert_eq!(units, [Sga::from("a unit in pieces"), Sga::from("b")]);
    });
}

proptest! {
    #[test]
    fn any_cut_any_order_of_pops(
        units in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 0..10),
        cuts in prop::collection::vec(any::<usize>(), 0..20),
    ) {
        let refs: Vec<&[u8]> = units.iter().map(Vec::as_slice).collect();
        let mut q = Framed::reader(queue(&wire(&refs), &cuts), LengthPrefix::new());
        let mut popped = Vec::new();
        while let Some(unit) = block_on(q.pop()).unwrap() {
            popped.push(unit.to_vec());
        }
        prop_assert_eq!(popped, units);
    }
}

#[test]
fn half_close_reaches_the_byte_queue() {
    let inner = Scripted::<Sga>::new();
    let mut q = Framed::new(inner.clone(), LengthPrefix::new());
    block_on(q.push("x")).unwrap();
    block_on(q.finish()).unwrap();
    assert!(inner.finished());
    assert_eq!(inner.taken().unwrap().to_vec(), b"\0\0\0\x01x");
}

#[test]
fn waits_without_spinning() {
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut cx = Context::from_waker(&waker);
    let inner = Scripted::new();
    let mut q = Framed::reader(inner.clone(), LengthPrefix::new());
    assert!(matches!(q.poll_pop(&mut cx), Poll::Pending));
    assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
    inner.arrive(Buf::from(&[0, 0, 0, 0]));
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    assert!(matches!(q.poll_pop(&mut cx), Poll::Ready(Ok(Some(unit))) if unit.is_empty()));
}
