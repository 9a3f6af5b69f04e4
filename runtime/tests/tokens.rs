//! qtokens and bare descriptors, on queues in memory.

use std::time::Duration;

use hemi::{
    Completion, Error, Result, Runtime, Sga, qd,
    token::{QToken, TokenSet, UNCLAIMED_PER_QUEUE, wait, wait_all, wait_any},
};

fn simulated() -> Runtime {
    Runtime::builder().simulated(7).build().expect("a simulated runtime")
}

fn unit(text: &'static str) -> Sga {
    Sga::from(text)
}

fn popped(result: Result<Completion>) -> Vec<u8> {
    match result {
        Ok(Completion::Popped(Some(unit))) => unit.to_vec(),
        other => panic!("not a unit: {other:?}"),
    }
}

#[test]
fn operations_of_one_queue_complete_in_submission_order() {
    simulated().block_on(async {
        let q = qd::queue(8).unwrap();
        let pops: Vec<QToken> = (0..3).map(|_| qd::pop(q).unwrap()).collect();
        let pushes = ["a", "b", "c"].map(|t| qd::push(q, unit(t)).unwrap());
        for token in pushes {
            assert!(matches!(token.await, Ok(Completion::Pushed)));
        }
        // Asked for in another order, each has the unit of its place.
        assert_eq!(popped(pops[2].await), b"c");
        assert_eq!(popped(pops[0].await), b"a");
        assert_eq!(popped(pops[1].await), b"b");
    });
}

#[test]
#[allow(clippy::async_yields_async)] // the token is carried to another runtime on purpose
fn a_token_is_waited_for_once_and_in_its_own_runtime() {
    let (one, other) = (simulated(), simulated());
    let token = one.block_on(async {
        let q = qd::queue(1).unwrap();
        let push = qd::push(q, unit("x")).unwrap();
        assert!(push.is_done().unwrap());
        push.await.unwrap();
        assert!(matches!(push.await, Err(Error::StaleToken)));
        assert!(matches!(push.cancel(), Err(Error::StaleToken)));
        qd::pop(q).unwrap()
    });
    other.block_on(async {
        assert!(matches!(token.await, Err(Error::ForeignToken)));
        assert!(matches!(token.cancel(), Err(Error::ForeignToken)));
        assert!(matches!(TokenSet::new().insert(token), Err(Error::ForeignToken)));
    });
    assert!(matches!(other.wait(token, None), Err(Error::ForeignToken)));
    assert_eq!(popped(one.wait(token, None)), b"x");
}

#[test]
fn a_bad_descriptor_never_names_another_queue() {
    simulated().block_on(async {
        let old = qd::queue(1).unwrap();
        qd::close(old).unwrap();
        let new = qd::queue(1).unwrap();
        assert_eq!(old.slot(), new.slot(), "the slot is reused");
        assert!(matches!(qd::push(old, unit("x")), Err(Error::BadQd)));
        assert!(matches!(qd::pop(old), Err(Error::BadQd)));
        assert!(matches!(qd::close(old), Err(Error::BadQd)));
        let pop = qd::pop(new).unwrap();
        assert!(!pop.is_done().unwrap());
    });
}

#[test]
fn a_pop_can_be_cancelled_until_it_has_its_unit() {
    simulated().block_on(async {
        let q = qd::queue(4).unwrap();
        let (first, second) = (qd::pop(q).unwrap(), qd::pop(q).unwrap());
        assert!(first.cancel().unwrap().is_none());
        assert!(matches!(first.await, Err(Error::StaleToken)));
        qd::push(q, unit("for the second")).unwrap().await.unwrap();
        hemi::yield_now().await;
        assert!(matches!(second.cancel(), Err(Error::TooLate)));
        assert_eq!(popped(second.await), b"for the second");
    });
}

#[test]
fn a_waiting_task_learns_of_the_cancel() {
    simulated().block_on(async {
        let q = qd::queue(1).unwrap();
        let pop = qd::pop(q).unwrap();
        let waiter = hemi::spawn(pop);
        hemi::yield_now().await;
        pop.cancel().unwrap();
        assert!(matches!(waiter.await.unwrap(), Err(Error::Cancelled)));
    });
}

#[test]
fn a_cancelled_push_gives_its_unit_back_and_a_begun_one_is_too_late() {
    simulated().block_on(async {
        let q = qd::queue(1).unwrap();
        let first = qd::push(q, unit("1")).unwrap();
        let second = qd::push(q, unit("2")).unwrap();
        assert!(matches!(first.cancel(), Err(Error::TooLate)));
        assert_eq!(second.cancel().unwrap().expect("the unit").to_vec(), b"2");
        first.await.unwrap();
        assert_eq!(popped(qd::pop(q).unwrap().await), b"1");
        let empty = qd::pop(q).unwrap();
        assert!(!empty.is_done().unwrap(), "the cancelled unit was never there");
    });
}

#[test]
fn closing_ends_waiters_and_frees_the_unclaimed() {
    simulated().block_on(async {
        let q = qd::queue(2).unwrap();
        let (waited, forgotten) = (qd::pop(q).unwrap(), qd::pop(q).unwrap());
        let waiter = hemi::spawn(waited);
        hemi::yield_now().await;
        qd::close(q).unwrap();
        assert!(matches!(waiter.await.unwrap(), Err(Error::Closed)));
        assert!(matches!(forgotten.await, Err(Error::StaleToken)));
    });
}

#[test]
fn unclaimed_operations_are_bounded() {
    simulated().block_on(async {
        let q = qd::queue(1).unwrap();
        let tokens: Vec<QToken> = (0..UNCLAIMED_PER_QUEUE).map(|_| qd::pop(q).unwrap()).collect();
        assert!(matches!(qd::pop(q), Err(Error::Busy)));
        tokens[5].cancel().unwrap();
        let _again = qd::pop(q).unwrap();
        qd::close(q).unwrap();
    });
}

#[test]
fn a_set_gives_members_in_the_order_they_complete() {
    simulated().block_on(async {
        let queues: Vec<_> = (0..100).map(|_| qd::queue(1).unwrap()).collect();
        let mut set = TokenSet::new();
        let tokens: Vec<QToken> = queues.iter().map(|q| qd::pop(*q).unwrap()).collect();
        for t in &tokens {
            set.insert(*t).unwrap();
        }
        assert!(set.try_next().unwrap().is_none());
        for at in [42, 7, 99] {
            qd::push(queues[at], unit("u")).unwrap().await.unwrap();
            let (token, result) = set.next().await.unwrap();
            assert_eq!(token, tokens[at]);
            assert_eq!(popped(result), b"u");
        }
        assert_eq!(set.len(), 97);
        // A member has its one waiter; removed, it can be waited for.
        assert!(matches!(tokens[0].await, Err(Error::WrongKind(_))));
        assert!(set.remove(tokens[0]) && !set.remove(tokens[0]));
        qd::push(queues[0], unit("direct")).unwrap().await.unwrap();
        assert_eq!(popped(tokens[0].await), b"direct");
        // A dropped set leaves its members alone.
        drop(set);
        qd::push(queues[1], unit("after")).unwrap().await.unwrap();
        assert_eq!(popped(tokens[1].await), b"after");
    });
}

#[test]
fn a_member_that_was_done_before_it_joined_comes_at_once() {
    simulated().block_on(async {
        let q = qd::queue(1).unwrap();
        let push = qd::push(q, unit("x")).unwrap();
        let mut set = TokenSet::new();
        set.insert(push).unwrap();
        assert!(matches!(set.insert(push), Err(Error::WrongKind(_))));
        assert!(matches!(set.next().await, Some((t, Ok(Completion::Pushed))) if t == push));
        assert!(set.next().await.is_none());
    });
}

#[test]
fn waits_with_a_limit_take_nothing_when_it_passes() {
    simulated().block_on(async {
        let (a, b) = (qd::queue(1).unwrap(), qd::queue(1).unwrap());
        let (pa, pb) = (qd::pop(a).unwrap(), qd::pop(b).unwrap());
        let limit = Some(Duration::from_millis(5));
        assert!(matches!(wait(pa, limit).await, Err(Error::TimedOut(_))));
        assert!(matches!(wait_any(&[pa, pb], limit).await, Err(Error::TimedOut(_))));
        qd::push(b, unit("b")).unwrap().await.unwrap();
        assert!(matches!(wait_all(&[pa, pb], limit).await, Err(Error::TimedOut(_))));
        let (index, result) = wait_any(&[pa, pb], limit).await.unwrap();
        assert_eq!((index, popped(result)), (1, b"b".to_vec()));
        qd::push(a, unit("a")).unwrap().await.unwrap();
        let all = wait_all(&[pa], limit).await.unwrap();
        assert_eq!(all.into_iter().map(popped).collect::<Vec<_>>(), [b"a"]);
    });
}

#[test]
fn blocking_waits_drive_the_turn_and_refuse_to_inside_a_task() {
    let runtime = Runtime::builder().build().unwrap();
    let (pop, push) = runtime.enter(|| {
        let q = qd::queue(4).unwrap();
        let pop = qd::pop(q).unwrap();
        (pop, q)
    });
    let limit = Some(Duration::from_millis(2));
    assert!(matches!(runtime.wait(pop, limit), Err(Error::TimedOut(_))));
    runtime.spawn(async move {
        hemi::time::sleep(Duration::from_millis(1)).await;
        qd::push(push, unit("from a task")).unwrap().await.unwrap();
    });
    assert_eq!(popped(runtime.wait(pop, None)), b"from a task");

    let pops: Vec<QToken> = runtime.enter(|| (0..3).map(|_| qd::pop(push).unwrap()).collect());
    let pushes: Vec<QToken> =
        runtime.enter(|| ["1", "2", "3"].map(|t| qd::push(push, unit(t)).unwrap()).to_vec());
    assert!(runtime.wait_all(&pushes, None).unwrap().iter().all(Result::is_ok));
    let (index, result) = runtime.wait_any(&pops, None).unwrap();
    assert_eq!((index, popped(result)), (0, b"1".to_vec()));
    assert_eq!(runtime.wait_all(&pops[1..], None).unwrap().len(), 2);

    let inner = runtime.enter(|| qd::pop(push).unwrap());
    runtime.block_on(async {
        assert!(matches!(runtime.wait(inner, None), Err(Error::WouldDeadlock)));
    });
    runtime.cancel(inner).unwrap();
}

#[test]
fn ten_thousand_tokens_pending_and_all_delivered() {
    simulated().block_on(async {
        let q = qd::queue(10_000).unwrap();
        let mut set = TokenSet::new();
        for _ in 0..10_000 {
            set.insert(qd::pop(q).unwrap()).unwrap();
        }
        for n in 0..10_000_u32 {
            qd::push(q, n.to_be_bytes().to_vec()).unwrap().await.unwrap();
        }
        for n in 0..10_000_u32 {
            let (_, result) = set.next().await.unwrap();
            assert_eq!(popped(result), n.to_be_bytes());
        }
        assert!(set.is_empty());
    });
}
