//! Wakers that outlive what they wake.

use std::{
    cell::RefCell,
    future::poll_fn,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Poll, Waker},
    thread,
};

use hemi::{Runtime, spawn, yield_now};
use hemi_tests::kernels;

/// The waker of the task that asks.
async fn own_waker() -> Waker {
    poll_fn(|cx| Poll::Ready(cx.waker().clone())).await
}

fn use_it(waker: &Waker) {
    waker.wake_by_ref();
    let copy = waker.clone();
    assert!(copy.will_wake(waker));
    copy.wake();
    waker.wake_by_ref();
}

#[test]
fn of_a_task_that_is_gone() {
    kernels::each(|runtime: Runtime| {
        runtime.block_on(async {
            let stale = spawn(own_waker()).await.unwrap();
            // Its slot has a new task, which must not hear of the old one's wakes more than harmlessly.
            let polls = Rc::new(RefCell::new(0));
            let pending = spawn({
                let polls = Rc::clone(&polls);
                poll_fn(move |_| -> Poll<()> {
                    *polls.borrow_mut() += 1;
                    Poll::Pending
                })
            });
            yield_now().await;
            use_it(&stale);
            let from_elsewhere = stale.clone();
            thread::spawn(move || use_it(&from_elsewhere)).join().unwrap();
            for _ in 0..10 {
                yield_now().await;
            }
            assert_eq!(*polls.borrow(), 1, "nobody woke it");
            pending.abort();
            assert!(pending.await.unwrap_err().is_cancelled());
        });
    });
}

#[test]
fn of_a_runtime_that_is_gone() {
    kernels::each(|runtime: Runtime| {
        let (of_a_task, of_the_first) = runtime.block_on(async {
            let of_a_task = spawn(own_waker()).await.unwrap();
            (of_a_task, own_waker().await)
        });
        drop(runtime);
        use_it(&of_a_task);
        thread::spawn(move || {
            use_it(&of_a_task);
            use_it(&of_the_first);
        })
        .join()
        .unwrap();
        // A runtime on the same thread takes its place, and is not disturbed.
        let next = Runtime::builder().build().unwrap();
        assert_eq!(next.block_on(async { spawn(async { 1 }).await.unwrap() }), 1);
    });
}

/// A thread that wakes all the time while tasks, and then runtimes, end under it.
#[test]
fn while_everything_ends() {
    const RUNTIMES: usize = 60;
    let done = Arc::new(AtomicBool::new(false));
    let (give, given) = std::sync::mpsc::channel::<Waker>();
    let waking = thread::spawn({
        let done = Arc::clone(&done);
        move || {
            let mut wakers = Vec::new();
            while !done.load(Ordering::Relaxed) {
                wakers.extend(given.try_iter());
                for waker in &wakers {
                    waker.wake_by_ref();
                }
                thread::yield_now();
            }
            // And once more, with those that it was too slow to take before.
            wakers.extend(given.try_iter());
            for waker in &wakers {
                waker.wake_by_ref();
            }
            wakers.len()
        }
    });
    for n in 0..RUNTIMES {
        let uri = kernels::BACKENDS[1 + n % 2]; // those that every machine has
        let runtime = Runtime::builder().net(uri).build().unwrap();
        runtime.block_on(async {
            // Some end, some wait when the runtime goes.
            for last in [1, 2, u32::MAX] {
                let mut give = Some(give.clone());
                let mut polls = 0;
                drop(spawn(poll_fn(move |cx| {
                    if let Some(give) = give.take() {
                        give.send(cx.waker().clone()).unwrap();
                    }
                    polls += 1;
                    if polls >= last { Poll::Ready(()) } else { Poll::Pending }
                })));
            }
            for _ in 0..20 {
                yield_now().await;
            }
        });
    }
    done.store(true, Ordering::Relaxed);
    assert_eq!(waking.join().unwrap(), 3 * RUNTIMES, "it had something to wake");
}

/// A wake from another thread is not lost, also not when it meets the runtime on its way to sleep.
#[test]
fn from_another_thread_always_arrive() {
    kernels::each(|runtime: Runtime| {
        kernels::run(&runtime, async {
            let (ask, asked) = std::sync::mpsc::channel::<futures::channel::oneshot::Sender<u32>>();
            let answering = thread::spawn(move || {
                for (n, answer) in asked.iter().enumerate() {
                    answer.send(n as u32).unwrap();
                }
            });
            for n in 0..2000 {
                let (answer, answered) = futures::channel::oneshot::channel();
                ask.send(answer).unwrap();
                assert_eq!(answered.await.expect("answered"), n);
            }
            drop(ask);
            answering.join().unwrap();
            Ok(())
        });
    });
}
