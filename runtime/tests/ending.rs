//! Graceful shutdown and signals.

use std::{cell::Cell, future::pending, rc::Rc, thread, time::Duration};

use futures::{FutureExt, select};
use hemi::{Runtime, shutdown, signal, spawn, time::sleep, yield_now};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

const MS: Duration = Duration::from_millis(1);

#[test]
fn drain_lets_finish_and_then_aborts() {
    let runtime = Runtime::builder().simulated(1).build().unwrap();
    let clean = Rc::new(Cell::new(0));
    runtime.block_on(async {
        for i in 0..10 {
            let clean = Rc::clone(&clean);
            drop(spawn(async move {
                shutdown::begun().await;
                sleep(MS * (i * 20 + 10)).await;
                clean.set(clean.get() + 1);
            }));
        }
        sleep(MS).await;
        assert!(!shutdown::token().is_begun());
        let drained = shutdown::drain(100 * MS).await;
        assert_eq!((drained.finished, drained.aborted), (5, 5));
        assert_eq!(clean.get(), 5);
        assert!(shutdown::token().is_begun());
        shutdown::begun().await;
    });
}

#[test]
fn drain_does_not_wait_for_its_caller() {
    let runtime = Runtime::builder().simulated(1).build().unwrap();
    runtime.block_on(async {
        let drained = spawn(shutdown::drain(Duration::from_secs(3600))).await.unwrap();
        assert_eq!((drained.finished, drained.aborted), (0, 0));
        assert_eq!(hemi::time::now().as_nanos(), 0);
    });
}

#[test]
fn a_token_works_from_another_thread() {
    let runtime = Runtime::builder().build().unwrap();
    runtime.block_on(async {
        let token = shutdown::token();
        let thread = thread::spawn(move || {
            thread::sleep(5 * MS);
            token.begin();
            token.begin();
        });
        let mut accept = Box::pin(pending::<()>().fuse());
        select! {
            () = accept => unreachable!(),
            () = shutdown::begun().fuse() => {}
        }
        thread.join().unwrap();
    });
}

#[test]
fn runtime_shutdown_aborts_what_does_not_end() {
    struct Mark(Rc<Cell<bool>>);
    impl Drop for Mark {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let dropped = Rc::new(Cell::new(false));
    let mark = Mark(Rc::clone(&dropped));
    let runtime = Runtime::builder().build().unwrap();
    drop(runtime.spawn(async move {
        let _mark = mark;
        pending::<()>().await;
    }));
    runtime.block_on(yield_now());
    let drained = runtime.shutdown(5 * MS);
    assert_eq!((drained.finished, drained.aborted), (0, 1));
    assert!(dropped.get());
}

/// Send a signal to this process.
fn raise(signal: i32) {
    signal_hook::low_level::raise(signal).unwrap();
}

#[test]
fn every_waiter_gets_the_signal_on_whatever_core() {
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            let (ready, set) = std::sync::mpsc::channel();
            let thread = thread::spawn(move || {
                Runtime::builder().build().unwrap().block_on(async move {
                    let (a, b) = (signal::terminate(), spawn(signal::shutdown()));
                    yield_now().await;
                    ready.send(()).unwrap();
                    a.await.unwrap();
                    b.await.unwrap().unwrap();
                });
            });
            set.recv().unwrap();
            thread
        })
        .collect();
    raise(SIGTERM);
    for w in waiters {
        w.join().unwrap();
    }
    // One that is made afterwards waits for the next; one of another kind is not disturbed.
    Runtime::builder().build().unwrap().block_on(async {
        assert!(signal::terminate().now_or_never().is_none());
        let mut hup = Box::pin(signal::hangup());
        assert!((&mut hup).now_or_never().is_none());
        raise(SIGHUP);
        hup.await.unwrap();
        drop(signal::ctrl_c());
        let interrupted = signal::ctrl_c();
        raise(SIGINT);
        interrupted.await.unwrap();
    });
}
