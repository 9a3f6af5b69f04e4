//! Each test drives futures by hand: `t(future)` is a task whose wake-ups are counted.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::Future,
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use hemi_queue::{Error, Pop, Push, Result};
use proptest::prelude::*;

use super::{Queue, queue, queue_unbounded};

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

struct Task<F> {
    future: Pin<Box<F>>,
    count: Arc<Count>,
}

fn t<F: Future>(future: F) -> Task<F> {
    Task { future: Box::pin(future), count: Arc::new(Count(AtomicUsize::new(0))) }
}

impl<F: Future> Task<F> {
    fn poll(&mut self) -> Poll<F::Output> {
        let waker = Waker::from(Arc::clone(&self.count));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }
    fn woken(&self) -> usize {
        self.count.0.load(Ordering::Relaxed)
    }
}

fn ready<T>(p: Poll<Result<T>>) -> T {
    match p {
        Poll::Ready(Ok(v)) => v,
        Poll::Ready(Err(e)) => panic!("{e}"),
        Poll::Pending => panic!("pending"),
    }
}

#[test]
fn units_come_out_in_order_and_the_end_is_last() {
    let q = queue::<u32>(8);
    for n in 0..8 {
        ready(t(q.push(n)).poll());
    }
    q.close();
    assert!(matches!(t(q.push(9u32)).poll(), Poll::Ready(Err(Error::Closed))));
    for n in 0..8 {
        assert_eq!(ready(t(q.pop()).poll()), Some(n));
    }
    assert_eq!(ready(t(q.pop()).poll()), None);
    assert_eq!(ready(t(q.pop()).poll()), None);
}

#[test]
fn waiting_pops_are_served_in_order_and_not_overtaken() {
    let q = queue::<u32>(8);
    let (mut a, mut b) = (t(q.pop()), t(q.pop()));
    assert!(a.poll().is_pending() && b.poll().is_pending());
    q.try_push(1).unwrap();
    assert_eq!((a.woken(), b.woken()), (1, 0));
    assert_eq!(q.try_pop(), None, "the unit is for the one that waits");
    let mut late = t(q.pop());
    assert!(late.poll().is_pending());
    q.try_push(2).unwrap();
    assert_eq!((a.woken(), b.woken(), late.woken()), (1, 1, 0));
    assert_eq!(ready(b.poll()), Some(1), "either may come first, there is one for each");
    assert_eq!(ready(a.poll()), Some(2));
    q.try_push(3).unwrap();
    assert_eq!(late.woken(), 1);
    assert_eq!(ready(late.poll()), Some(3));
}

#[test]
fn a_dropped_pop_loses_nothing_and_passes_its_turn_on() {
    let q = queue::<u32>(8);
    let (mut a, mut b) = (t(q.pop()), t(q.pop()));
    assert!(a.poll().is_pending() && b.poll().is_pending());
    q.try_push(7).unwrap();
    assert_eq!((a.woken(), b.woken()), (1, 0));
    drop(a);
    assert_eq!(b.woken(), 1, "the turn went to the next");
    assert_eq!(ready(b.poll()), Some(7));
}

#[test]
fn a_handle_that_waited_by_the_trait_gives_its_place_back_when_dropped() {
    let q = queue::<u32>(8);
    let mut first = q.clone();
    let waker = Waker::noop();
    assert!(first.poll_pop(&mut Context::from_waker(waker)).is_pending());
    let mut second = t(q.pop());
    assert!(second.poll().is_pending());
    drop(first);
    q.try_push(7).unwrap();
    assert_eq!(second.woken(), 1);
    assert_eq!(ready(second.poll()), Some(7));
}

#[test]
fn a_handle_that_was_woken_and_does_not_come_holds_nothing_back() {
    let q = queue::<u32>(8);
    let mut busy = q.clone();
    assert!(busy.poll_pop(&mut Context::from_waker(Waker::noop())).is_pending());
    q.try_push(1).unwrap();
    assert_eq!(ready(t(q.pop()).poll()), Some(1), "a newcomer overtakes it");
    q.try_push(2).unwrap();
    assert_eq!(q.try_pop(), Some(2));
    // Who already waits behind it is woken with it.
    assert!(busy.poll_pop(&mut Context::from_waker(Waker::noop())).is_pending());
    let mut behind = t(q.pop());
    assert!(behind.poll().is_pending());
    q.try_push(3).unwrap();
    assert_eq!(behind.woken(), 1);
    assert_eq!(ready(behind.poll()), Some(3));
    // And it still gets what comes when it asks again.
    assert!(busy.poll_pop(&mut Context::from_waker(Waker::noop())).is_pending());
    q.try_push(4).unwrap();
    let unit = busy.poll_pop(&mut Context::from_waker(Waker::noop()));
    assert_eq!(ready(unit), Some(4));
}

#[test]
fn pushes_wait_for_room_and_complete_in_order() {
    let q = queue::<u32>(2);
    ready(t(q.push(0u32)).poll());
    ready(t(q.push(1u32)).poll());
    let (mut a, mut b) = (t(q.push(2u32)), t(q.push(3u32)));
    assert!(a.poll().is_pending() && b.poll().is_pending());
    assert_eq!(q.len(), 4, "accepted first, waited for afterwards");
    assert!(matches!(q.try_push(9).unwrap_err().error, Error::Full));
    assert_eq!(q.try_pop(), Some(0));
    assert_eq!((a.woken(), b.woken()), (1, 0));
    assert!(b.poll().is_pending());
    ready(a.poll());
    assert_eq!(q.try_pop(), Some(1));
    ready(b.poll());
    assert_eq!((q.try_pop(), q.try_pop(), q.try_pop()), (Some(2), Some(3), None));
}

#[test]
fn any_number_of_waiting_pushers_is_accepted_but_abandoned_ones_are_bounded() {
    let q = queue::<u32>(1);
    let mut tasks: Vec<_> = (0..10u32).map(|n| t(q.push(n))).collect();
    ready(tasks[0].poll());
    for task in &mut tasks[1..] {
        assert!(task.poll().is_pending());
    }
    tasks.clear(); // nine units are abandoned: they stay
    assert_eq!(q.len(), 10);
    assert!(matches!(t(q.push(10u32)).poll(), Poll::Ready(Err(Error::Busy))));
    for n in 0..10 {
        assert_eq!(q.try_pop(), Some(n), "none was retracted");
    }
    ready(t(q.push(11u32)).poll());
}

#[test]
fn tickets_name_pushes_in_order() {
    let mut q = queue::<u32>(2);
    let tickets: Vec<_> = (0..3).map(|n| q.start_push(n).unwrap()).collect();
    assert!(tickets.is_sorted() && tickets[0] < tickets[1] && tickets[1] < tickets[2]);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(q.poll_pushed(tickets[1], &mut cx).is_ready());
    assert!(q.poll_pushed(tickets[2], &mut cx).is_pending());
    assert!(q.poll_pushed(tickets[0], &mut cx).is_ready(), "asked for late, and out of order");
    assert_eq!(q.try_pop(), Some(0));
    assert!(q.poll_pushed(tickets[2], &mut cx).is_ready());
}

#[test]
fn closing_completes_every_waiter() {
    let q = queue::<u32>(1);
    q.try_push(1).unwrap();
    let mut push = t(q.push(2u32));
    assert!(push.poll().is_pending());
    q.close();
    assert_eq!(push.woken(), 1);
    ready(push.poll()); // accepted before the close, so it drains
    assert_eq!((q.try_pop(), q.try_pop()), (Some(1), Some(2)));
    let q = queue::<u32>(1);
    let (mut a, mut b) = (t(q.pop()), t(q.pop()));
    assert!(a.poll().is_pending() && b.poll().is_pending());
    q.close();
    assert_eq!((a.woken(), b.woken()), (1, 1));
    assert_eq!((ready(a.poll()), ready(b.poll())), (None, None));
}

#[test]
fn poll_ready_keeps_the_room_it_waited_for() {
    let q = queue::<u32>(1);
    q.try_push(1).unwrap();
    let mut h = q.clone();
    let mut room = t(std::future::poll_fn(|cx| h.poll_ready(cx)));
    assert!(room.poll().is_pending());
    assert_eq!(q.try_pop(), Some(1));
    assert_eq!(room.woken(), 1);
    assert!(matches!(q.try_push(2).unwrap_err().error, Error::Full), "the room is taken");
    ready(room.poll());
    drop(room);
    let ticket = h.start_push(3).unwrap();
    ready(t(std::future::poll_fn(|cx| h.poll_pushed(ticket, cx))).poll());
    assert_eq!(q.try_pop(), Some(3));
    // And a handle that is dropped without using it gives it back.
    q.try_push(4).unwrap();
    let mut h = q.clone();
    assert!(t(std::future::poll_fn(|cx| h.poll_ready(cx))).poll().is_pending());
    let mut next = t(q.push(5u32));
    assert!(next.poll().is_pending());
    assert_eq!(q.try_pop(), Some(4));
    assert_eq!(next.woken(), 0);
    drop(h);
    assert_eq!(next.woken(), 1);
    ready(next.poll());
}

/// A waker whose drop uses the queue: it must not find the state borrowed.
#[test]
fn wakers_are_dropped_and_called_outside_of_the_borrow() {
    struct Reenter(Cell<Option<Queue<u32>>>);
    // `Wake` needs Send + Sync; the test has one thread, so the queue travels in a thread-local instead.
    thread_local!(static QUEUE: RefCell<Option<Rc<Reenter>>> = const { RefCell::new(None) });
    fn touch() {
        QUEUE.with_borrow(|r| {
            if let Some(r) = r {
                let Some(q) = r.0.take() else { return };
                let _ = (q.len(), q.try_pop());
                r.0.set(Some(q));
            }
        });
    }
    struct W;
    impl Wake for W {
        fn wake(self: Arc<Self>) {
            touch();
        }
    }
    impl Drop for W {
        fn drop(&mut self) {
            touch();
        }
    }
    let q = queue::<u32>(1);
    QUEUE.set(Some(Rc::new(Reenter(Cell::new(Some(q.clone()))))));
    let poll = |f: Pin<&mut dyn Future<Output = Result<Option<u32>>>>| {
        f.poll(&mut Context::from_waker(&Waker::from(Arc::new(W))))
    };
    let mut pop = Box::pin(q.pop());
    assert!(poll(pop.as_mut()).is_pending());
    assert!(poll(pop.as_mut()).is_pending(), "replaces the waker, whose drop pops");
    q.try_push(1).unwrap();
    drop(pop);
    assert_eq!(q.try_pop(), Some(1));
    q.try_push(2).unwrap();
    let mut push = Box::pin(async { q.push(3u32).await.map(|()| None) });
    assert!(poll(push.as_mut()).is_pending());
    let _ = poll(push.as_mut());
    drop(push);
    q.close();
    QUEUE.set(None);
}

#[test]
fn unbounded_never_waits() {
    let q = queue_unbounded::<u64>();
    assert_eq!(q.capacity(), None);
    for n in 0..10_000u64 {
        ready(t(q.push(n)).poll());
    }
    assert_eq!(q.len(), 10_000);
}

proptest! {
    /// Against a plain `VecDeque`: any mixture of calls pops what was accepted, in order, and waiting stops exactly when
    /// there is something to get.
    #[test]
    fn behaves_like_a_deque(capacity in 1usize..5, calls in prop::collection::vec(0u8..6, 1..200)) {
        let q = queue::<u32>(capacity);
        let mut model = VecDeque::new();
        let mut next = 0u32;
        let mut pops = Vec::new();
        let mut pushes = Vec::new();
        for call in calls {
            match call {
                0 => {
                    let took = q.try_push(next).is_ok();
                    prop_assert_eq!(took, model.len() < capacity);
                    if took { model.push_back(next); }
                    next += 1;
                }
                1 => {
                    let got = q.try_pop();
                    let expected = if pops.len() < model.len() { model.pop_front() } else { None };
                    prop_assert_eq!(got, expected);
                }
                2 => {
                    let mut pop = t(q.pop());
                    match pop.poll() {
                        Poll::Pending => { prop_assert!(pops.len() >= model.len()); pops.push(pop); }
                        p @ Poll::Ready(_) => prop_assert_eq!(ready(p), model.pop_front()),
                    }
                }
                3 => {
                    let mut push = t(q.push(next));
                    match push.poll() {
                        Poll::Ready(Err(Error::Busy)) => prop_assert!(model.len() >= 2 * capacity),
                        Poll::Ready(r) => { r.unwrap(); model.push_back(next); prop_assert!(model.len() <= capacity); }
                        Poll::Pending => { model.push_back(next); prop_assert!(model.len() > capacity); pushes.push(push); }
                    }
                    next += 1;
                }
                4 => { if !pops.is_empty() { drop(pops.remove(0)); } }
                _ => { if !pushes.is_empty() { drop(pushes.remove(0)); } }
            }
            // The first min(units, poppers) waiting pops have been woken, and get theirs.
            while !pops.is_empty() && !model.is_empty() {
                let mut pop = pops.remove(0);
                prop_assert!(pop.woken() > 0);
                prop_assert_eq!(ready(pop.poll()), model.pop_front());
            }
            prop_assert_eq!(q.len(), model.len());
        }
    }
}
