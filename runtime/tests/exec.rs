//! Tasks, wakers and handles, as a user sees them.

use std::{
    cell::{Cell, RefCell},
    future::{Future, pending, poll_fn},
    rc::Rc,
    sync::{Arc, Mutex, mpsc},
    task::{Poll, Waker},
    thread,
    time::Duration,
};

use futures::{FutureExt, future::join_all, select};
use hemi::{Error, JoinError, Runtime, spawn, yield_now};

fn runtime() -> Runtime {
    Runtime::builder().build().unwrap()
}

/// A future that registers its waker in `slot` and is ready once `flag` is set.
fn flagged(flag: Arc<Mutex<(bool, Option<Waker>)>>) -> impl Future<Output = ()> {
    poll_fn(move |cx| {
        let mut state = flag.lock().unwrap();
        if state.0 {
            return Poll::Ready(());
        }
        state.1 = Some(cx.waker().clone());
        Poll::Pending
    })
}

fn set(flag: &Arc<Mutex<(bool, Option<Waker>)>>) {
    let waker = {
        let mut state = flag.lock().unwrap();
        state.0 = true;
        state.1.take()
    };
    if let Some(w) = waker {
        w.wake();
    }
}

#[test]
fn results_arrive_in_their_handles() {
    let got = runtime().block_on(async {
        let tasks: Vec<_> = (0..100).map(|i| spawn(async move { i * i })).collect();
        let mut sum = 0;
        for t in tasks {
            sum += t.await.unwrap();
        }
        sum
    });
    assert_eq!(got, (0..100).map(|i| i * i).sum::<i32>());
}

#[test]
fn tasks_take_turns() {
    let log = Rc::new(RefCell::new(Vec::new()));
    runtime().block_on(async {
        let tasks: Vec<_> = (0..3)
            .map(|id| {
                let log = Rc::clone(&log);
                spawn(async move {
                    for _ in 0..3 {
                        log.borrow_mut().push(id);
                        yield_now().await;
                    }
                })
            })
            .collect();
        join_all(tasks).await;
    });
    assert_eq!(*log.borrow(), [0, 1, 2, 0, 1, 2, 0, 1, 2]);
}

#[test]
fn a_wake_from_another_thread_ends_the_sleep() {
    let flag = Arc::new(Mutex::new((false, None)));
    let theirs = Arc::clone(&flag);
    let thread = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        set(&theirs);
    });
    runtime().block_on(flagged(flag));
    thread.join().unwrap();
}

#[test]
fn a_panic_arrives_at_the_join_and_nowhere_else() {
    runtime().block_on(async {
        let bad = spawn(async { panic!("lost {}", "sock") });
        let good = spawn(async { 1 });
        let error: JoinError = bad.await.unwrap_err();
        assert_eq!(error.panic_message(), Some("lost sock"));
        assert_eq!(good.await.unwrap(), 1);
    });
}

#[test]
fn block_on_inside_itself_is_an_error() {
    let runtime = Rc::new(runtime());
    let inner = Rc::clone(&runtime);
    let error = runtime.block_on(async move { inner.try_block_on(async {}).unwrap_err() });
    assert!(matches!(error, Error::WouldDeadlock));
}

#[test]
fn select_drops_the_loser_only() {
    runtime().block_on(async {
        let mut never = spawn(pending::<()>()).fuse();
        let mut soon = spawn(async { yield_now().await }).fuse();
        select! {
            _ = never => unreachable!(),
            done = soon => done.unwrap(),
        }
    });
}

#[test]
fn a_simulation_that_cannot_go_on_says_so() {
    let runtime = Runtime::builder().simulated(1).build().unwrap();
    assert!(matches!(runtime.try_block_on(pending::<()>()), Err(Error::Deadlock)));
    // And it is whole afterwards.
    assert_eq!(runtime.block_on(async { 5 }), 5);
}

struct Mark(Rc<Cell<bool>>);

impl Drop for Mark {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

#[test]
fn dropping_the_runtime_cancels_and_the_handle_outlives_it() {
    let dropped = Rc::new(Cell::new(false));
    let runtime = runtime();
    let mark = Mark(Rc::clone(&dropped));
    let handle = runtime.spawn(async move {
        let _mark = mark;
        pending::<()>().await;
    });
    runtime.block_on(yield_now());
    drop(runtime);
    assert!(dropped.get());
    assert!(handle.now_or_never().unwrap().unwrap_err().is_cancelled());
}

#[test]
fn a_waker_may_outlive_task_and_runtime() {
    let (send, wakers) = mpsc::channel::<Waker>();
    let runtime = runtime();
    runtime.block_on(async move {
        let task = spawn(poll_fn(move |cx| {
            send.send(cx.waker().clone()).unwrap();
            Poll::Ready(())
        }));
        task.await.unwrap();
    });
    let waker = wakers.recv().unwrap();
    waker.wake_by_ref(); // the task is gone
    let late = waker.clone();
    drop(runtime);
    waker.wake(); // the runtime is gone
    thread::spawn(move || late.wake()).join().unwrap();
}
