//! Tasks that panic, are aborted, outlive or are outlived.

use std::{
    cell::{Cell, RefCell},
    future::{Future, pending, poll_fn},
    pin::Pin,
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use futures::{
    FutureExt,
    future::join_all,
    stream::{FuturesUnordered, StreamExt},
};
use hemi::{JoinHandle, Runtime, spawn, yield_now};

fn runtime() -> Runtime {
    Runtime::builder().build().unwrap()
}

/// Counts its drops; optionally panics in them.
struct Bomb {
    dropped: Rc<Cell<u32>>,
    armed: bool,
}

impl Drop for Bomb {
    fn drop(&mut self) {
        self.dropped.set(self.dropped.get() + 1);
        assert!(!self.armed, "boom in drop");
    }
}

fn bomb(dropped: &Rc<Cell<u32>>, armed: bool) -> Bomb {
    Bomb { dropped: Rc::clone(dropped), armed }
}

#[test]
fn a_panic_in_the_drop_of_a_finished_future_arrives_at_the_join() {
    let dropped = Rc::new(Cell::new(0));
    runtime().block_on(async {
        let inside = bomb(&dropped, true);
        let task = spawn(poll_fn(move |_| {
            let _ = &inside;
            Poll::Ready(())
        }));
        assert_eq!(task.await.unwrap_err().panic_message(), Some("boom in drop"));
        assert_eq!(dropped.get(), 1);
        assert_eq!(spawn(async { 3 }).await.unwrap(), 3);
    });
}

#[test]
fn a_panic_in_the_drop_of_an_aborted_future_arrives_at_the_join() {
    let dropped = Rc::new(Cell::new(0));
    runtime().block_on(async {
        let inside = bomb(&dropped, true);
        let task = spawn(async move {
            let _inside = inside;
            pending::<()>().await;
        });
        yield_now().await;
        task.abort();
        assert!(task.await.unwrap_err().is_panic());
        assert_eq!(dropped.get(), 1);
    });
}

#[test]
fn an_outcome_nobody_takes_is_dropped_once_even_if_that_panics() {
    let dropped = Rc::new(Cell::new(0));
    runtime().block_on(async {
        let outcome = bomb(&dropped, true);
        drop(spawn(async move { outcome })); // detached: dropped by the executor, which goes on
        yield_now().await;
        yield_now().await;
        assert_eq!(dropped.get(), 1);

        let outcome = bomb(&dropped, false);
        let task = spawn(async move { outcome });
        yield_now().await;
        assert!(task.is_finished());
        drop(task); // done: dropped by the handle
        assert_eq!(dropped.get(), 2);
    });
}

#[test]
fn a_payload_whose_drop_panics_stops_nobody() {
    struct Payload;
    impl Drop for Payload {
        fn drop(&mut self) {
            panic!("again");
        }
    }
    runtime().block_on(async {
        drop(spawn(async { std::panic::panic_any(Payload) }));
        yield_now().await;
        yield_now().await;
        assert_eq!(spawn(async { 1 }).await.unwrap(), 1);
    });
}

#[test]
fn abort_in_every_state() {
    let dropped = Rc::new(Cell::new(0));
    runtime().block_on(async {
        // Queued, never polled.
        let inside = bomb(&dropped, false);
        let fresh = spawn(async move {
            let _inside = inside;
        });
        fresh.abort();
        assert!(fresh.await.unwrap_err().is_cancelled());
        assert_eq!(dropped.get(), 1);

        // Waiting.
        let inside = bomb(&dropped, false);
        let waiting = spawn(async move {
            let _inside = inside;
            pending::<()>().await;
        });
        yield_now().await;
        waiting.abort();
        waiting.abort();
        assert!(!waiting.is_finished(), "it ends when its turn comes");
        assert!(waiting.await.unwrap_err().is_cancelled());
        assert_eq!(dropped.get(), 2);

        // Done.
        let done = spawn(async { 7 });
        yield_now().await;
        done.abort();
        assert_eq!(done.await.unwrap(), 7);

        // Inside its own poll, pending afterwards: cancelled. Ready in the same poll: keeps its result.
        for last_poll in [false, true] {
            let own: Rc<RefCell<Option<JoinHandle<u8>>>> = Rc::default();
            let handle = Rc::clone(&own);
            let (send, got) = mpsc::channel();
            let task = spawn(async move {
                handle.borrow().as_ref().unwrap().abort();
                if !last_poll {
                    yield_now().await;
                    send.send(()).unwrap();
                }
                9
            });
            *own.borrow_mut() = Some(task);
            yield_now().await;
            yield_now().await;
            let outcome = own.take().unwrap().await;
            assert_eq!(outcome.is_ok(), last_poll);
            assert!(got.try_recv().is_err(), "an aborted task went on");
        }
    });

    // Before the first block_on.
    let runtime = runtime();
    let early = runtime.spawn(pending::<()>());
    early.abort();
    assert!(runtime.block_on(early).unwrap_err().is_cancelled());
}

#[test]
fn a_task_that_finishes_while_queued_frees_its_slot_once() {
    runtime().block_on(async {
        for round in 0..1000 {
            let task = spawn(poll_fn(move |cx| {
                cx.waker().wake_by_ref();
                Poll::Ready(round)
            }));
            assert_eq!(task.await.unwrap(), round);
        }
        let all: Vec<_> = (0..200).map(|i| spawn(async move { i })).collect();
        for (i, t) in all.into_iter().enumerate() {
            assert_eq!(t.await.unwrap(), i);
        }
    });
}

#[test]
fn wake_storms_from_many_threads_lose_no_wake() {
    const TASKS: usize = 300;
    const ROUNDS: usize = 50;
    let wakers: Arc<Mutex<Vec<Option<Waker>>>> = Arc::new(Mutex::new(vec![None; TASKS]));
    let tickets: Arc<Vec<AtomicUsize>> = Arc::new((0..TASKS).map(|_| AtomicUsize::new(0)).collect());
    let stop = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let (wakers, tickets, stop) = (Arc::clone(&wakers), Arc::clone(&tickets), Arc::clone(&stop));
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    for task in 0..TASKS {
                        let waker = wakers.lock().unwrap()[task].take();
                        if let Some(waker) = waker {
                            tickets[task].fetch_add(1, Ordering::SeqCst);
                            waker.wake();
                        }
                    }
                }
            })
        })
        .collect();
    runtime().block_on(async {
        let tasks = (0..TASKS).map(|task| {
            let (wakers, tickets) = (Arc::clone(&wakers), Arc::clone(&tickets));
            spawn(async move {
                for round in 0..ROUNDS {
                    poll_fn(|cx| {
                        if tickets[task].load(Ordering::SeqCst) > round {
                            return Poll::Ready(());
                        }
                        wakers.lock().unwrap()[task] = Some(cx.waker().clone());
                        Poll::Pending
                    })
                    .await;
                }
            })
        });
        for t in join_all(tasks).await {
            t.unwrap();
        }
    });
    stop.store(true, Ordering::Relaxed);
    for t in threads {
        t.join().unwrap();
    }
}

#[test]
fn a_hundred_thousand_tasks() {
    runtime().block_on(async {
        let gate = Rc::new(Cell::new(false));
        let tasks: Vec<_> = (0..100_000_usize)
            .map(|i| {
                let gate = Rc::clone(&gate);
                spawn(async move {
                    while !gate.get() {
                        yield_now().await;
                    }
                    i
                })
            })
            .collect();
        yield_now().await;
        gate.set(true);
        let mut sum = 0;
        for t in tasks {
            sum += t.await.unwrap();
        }
        assert_eq!(sum, 100_000 * 99_999 / 2);
    });
}

#[test]
fn dropping_a_runtime_disarms_all_before_it_drops_any() {
    // Each future, when dropped, wakes all others and spawns one more: none of that may be polled or leak.
    struct Meddler {
        others: Rc<RefCell<Vec<Waker>>>,
        dropped: Rc<Cell<u32>>,
        polls: Rc<Cell<u32>>,
    }
    impl Future for Meddler {
        type Output = ();
        fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            self.polls.set(self.polls.get() + 1);
            self.others.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        }
    }
    impl Drop for Meddler {
        fn drop(&mut self) {
            self.dropped.set(self.dropped.get() + 1);
            for w in self.others.borrow().iter() {
                w.wake_by_ref();
            }
            let late = spawn(pending::<()>());
            assert!(late.now_or_never().unwrap().unwrap_err().is_cancelled());
        }
    }
    let (dropped, polls, others) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)), Rc::default());
    let runtime = runtime();
    for _ in 0..50 {
        let m =
            Meddler { others: Rc::clone(&others), dropped: Rc::clone(&dropped), polls: Rc::clone(&polls) };
        drop(runtime.spawn(m));
    }
    runtime.block_on(yield_now());
    assert_eq!(polls.get(), 50);
    drop(runtime);
    assert_eq!((dropped.get(), polls.get()), (50, 50));
}

#[test]
fn tasks_are_dropped_oldest_first_and_queued_ones_too() {
    struct Note(u32, Rc<RefCell<Vec<u32>>>);
    impl Drop for Note {
        fn drop(&mut self) {
            self.1.borrow_mut().push(self.0);
        }
    }
    let order = Rc::new(RefCell::new(Vec::new()));
    let runtime = runtime();
    for i in 0..5 {
        let note = Note(i, Rc::clone(&order));
        drop(runtime.spawn(async move {
            let _note = note;
            pending::<()>().await;
        }));
        if i == 2 {
            runtime.block_on(yield_now());
        }
    }
    drop(runtime);
    assert_eq!(order.borrow().len(), 5);
    assert_eq!(order.borrow()[..2], [0, 1]);
}

#[test]
fn a_handle_may_be_dropped_inside_its_own_task_or_another() {
    runtime().block_on(async {
        let own: Rc<RefCell<Option<JoinHandle<()>>>> = Rc::default();
        let inside = Rc::clone(&own);
        let ran = Rc::new(Cell::new(false));
        let done = Rc::clone(&ran);
        *own.borrow_mut() = Some(spawn(async move {
            drop(inside.borrow_mut().take());
            yield_now().await;
            done.set(true);
        }));
        for _ in 0..4 {
            yield_now().await;
        }
        assert!(ran.get(), "a detached task runs on");
        let other = spawn(pending::<()>());
        spawn(async move { drop(other) }).await.unwrap();
    });
}

#[test]
fn a_runtime_inside_another_wakes_across() {
    let outer = runtime();
    let inner = Runtime::builder().build().unwrap();
    outer.block_on(async {
        let flag: Rc<RefCell<(bool, Option<Waker>)>> = Rc::default();
        let theirs = Rc::clone(&flag);
        let waits = spawn(poll_fn(move |cx| {
            let mut state = theirs.borrow_mut();
            if state.0 {
                return Poll::Ready(());
            }
            state.1 = Some(cx.waker().clone());
            Poll::Pending
        }));
        yield_now().await;
        // The outer task's waker is used while the inner executor is current.
        inner.block_on(async {
            let setter = spawn(async move {
                let waker = {
                    let mut state = flag.borrow_mut();
                    state.0 = true;
                    state.1.take()
                };
                waker.unwrap().wake();
            });
            setter.await.unwrap();
        });
        waits.await.unwrap();
    });
    // A handle of one runtime, awaited on the other.
    let task = inner.spawn(async { 11 });
    let abortable = inner.spawn(pending::<()>());
    outer.block_on(async {
        assert!(!task.is_finished());
        abortable.abort();
        inner.block_on(yield_now());
        assert_eq!(task.await.unwrap(), 11);
        assert!(abortable.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn a_panic_of_the_root_goes_to_the_caller_and_the_runtime_goes_on() {
    let runtime = runtime();
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        runtime.block_on(async { panic!("root") });
    }));
    assert_eq!(caught.unwrap_err().downcast_ref::<&str>(), Some(&"root"));
    assert_eq!(runtime.block_on(async { spawn(async { 5 }).await.unwrap() }), 5);
}

#[test]
fn an_over_aligned_future_is_aligned() {
    #[repr(align(256))]
    struct Wide([u8; 256]);
    runtime().block_on(async {
        let wide = Wide([7; 256]);
        let (sum, aligned) = spawn(async move {
            let at = &raw const wide;
            yield_now().await;
            (wide.0.iter().map(|&b| u32::from(b)).sum::<u32>(), at.addr().is_multiple_of(256))
        })
        .await
        .unwrap();
        assert_eq!((sum, aligned), (7 * 256, true));
        let outcome = spawn(async { Wide([3; 256]) }).await.unwrap();
        assert!((&raw const outcome).addr().is_multiple_of(256) && outcome.0[255] == 3);
    });
}

#[test]
fn a_large_future_is_a_task_too() {
    runtime().block_on(async {
        #[allow(clippy::large_stack_arrays)] // that is the point
        let big = [1_u8; 100_000];
        let task = spawn(async move {
            yield_now().await;
            big.iter().map(|&b| u64::from(b)).sum::<u64>()
        });
        assert_eq!(task.await.unwrap(), 100_000);
    });
}

#[test]
fn the_combinators_of_futures_work_as_they_are() {
    runtime().block_on(async {
        let (a, b) = futures::join!(spawn(async { 1 }), async { 2 });
        assert_eq!(a.unwrap() + b, 3);
        let mut many: FuturesUnordered<_> = (0..100).map(|i| spawn(async move { i })).collect();
        let mut sum = 0;
        while let Some(x) = many.next().await {
            sum += x.unwrap();
        }
        assert_eq!(sum, 4950);
    });
}

#[test]
fn wakers_that_outlive_everything_harm_nobody() {
    let (send, wakers) = mpsc::channel::<Waker>();
    for _ in 0..20 {
        let runtime = runtime();
        let send = send.clone();
        runtime.block_on(async move {
            for _ in 0..20 {
                let send = send.clone();
                drop(spawn(poll_fn(move |cx| {
                    send.send(cx.waker().clone()).unwrap();
                    Poll::<()>::Pending
                })));
            }
            yield_now().await;
        });
    }
    drop(send);
    let thread = thread::spawn(move || wakers.into_iter().for_each(Waker::wake));
    // Runtimes that may have the numbers of the dead ones are poked meanwhile, and work.
    for _ in 0..20 {
        let got = runtime().block_on(async {
            let tasks: Vec<_> = (0..50)
                .map(|i| {
                    spawn(async move {
                        yield_now().await;
                        i
                    })
                })
                .collect();
            join_all(tasks).await.into_iter().map(Result::unwrap).sum::<i32>()
        });
        assert_eq!(got, 1225);
    }
    thread.join().unwrap();
}

#[test]
fn a_task_that_wakes_itself_for_ever_does_not_keep_others_from_running() {
    let flag = Arc::new(AtomicBool::new(false));
    let theirs = Arc::clone(&flag);
    let thread = thread::spawn(move || {
        thread::sleep(Duration::from_millis(10));
        theirs.store(true, Ordering::SeqCst);
    });
    runtime().block_on(async {
        let spinner = spawn(async {
            loop {
                yield_now().await;
            }
        });
        while !flag.load(Ordering::SeqCst) {
            yield_now().await;
        }
        hemi::time::sleep(Duration::from_millis(5)).await;
        spinner.abort();
        assert!(spinner.await.unwrap_err().is_cancelled());
    });
    thread.join().unwrap();
}

/// Memory that another thread gives back does not ring; a parked core finds it nevertheless.
#[test]
fn a_parked_core_gets_the_memory_that_another_thread_gives_back() {
    let pool = hemi::PoolConfig { limit: 4 << 20, ..hemi::PoolConfig::default() };
    let runtime = Runtime::builder().idle(hemi::Idle::Park).pool(pool).build().unwrap();
    runtime.block_on(async {
        let pool = hemi::pool().unwrap();
        let mut held = Vec::new();
        while let Ok(buf) = pool.try_alloc(4096) {
            held.push(hemi::SendBuf::from(buf.freeze()));
        }
        assert!(!held.is_empty());
        let giver = thread::spawn(move || {
            thread::sleep(Duration::from_millis(50)); // the core sleeps by now
            drop(held);
        });
        pool.alloc(4096).await.unwrap();
        giver.join().unwrap();
    });
}
