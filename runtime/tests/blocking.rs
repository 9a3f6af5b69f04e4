//! Work on other threads.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use futures::future::join_all;
use hemi::{Runtime, spawn, spawn_blocking, yield_now};

fn runtime(threads: usize) -> Runtime {
    Runtime::builder().blocking_threads(threads).build().unwrap()
}

#[test]
fn work_is_done_elsewhere_while_tasks_run() {
    runtime(4).block_on(async {
        let here = thread::current().id();
        let (go, wait) = mpsc::channel::<()>();
        let elsewhere = spawn_blocking(move || {
            wait.recv().unwrap();
            thread::current().id()
        });
        // Runs although the work blocks.
        spawn(async move { go.send(()).unwrap() }).await.unwrap();
        assert_ne!(elsewhere.await.unwrap(), here);
    });
}

#[test]
fn a_panic_arrives_at_the_join() {
    runtime(1).block_on(async {
        let error = spawn_blocking(|| panic!("in the pool")).await.unwrap_err();
        assert_eq!(error.panic_message(), Some("in the pool"));
        assert_eq!(spawn_blocking(|| 1).await.unwrap(), 1); // the thread has survived
    });
}

#[test]
fn threads_are_bounded() {
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    runtime(3).block_on(async {
        let work = (0..50).map(|_| {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            spawn_blocking(move || {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                thread::sleep(Duration::from_millis(1));
                running.fetch_sub(1, Ordering::SeqCst);
            })
        });
        for done in join_all(work).await {
            done.unwrap();
        }
    });
    assert!((1..=3).contains(&most.load(Ordering::SeqCst)));
}

#[test]
fn aborted_work_does_not_begin() {
    let begun = Arc::new(AtomicUsize::new(0));
    runtime(1).block_on(async {
        let (go, wait) = mpsc::channel::<()>();
        let first = spawn_blocking(move || wait.recv().unwrap());
        let counter = Arc::clone(&begun);
        let second = spawn_blocking(move || counter.fetch_add(1, Ordering::SeqCst));
        second.abort();
        assert!(second.await.unwrap_err().is_cancelled());
        go.send(()).unwrap();
        first.await.unwrap();
        spawn_blocking(|| ()).await.unwrap(); // behind the aborted one
    });
    assert_eq!(begun.load(Ordering::SeqCst), 0);
}

#[test]
fn a_runtime_ends_with_work_in_flight() {
    let (go, wait) = mpsc::channel::<()>();
    let (done, finished) = mpsc::channel();
    let runtime = runtime(1);
    runtime.block_on(async {
        let (begun, has_begun) = mpsc::channel();
        drop(spawn_blocking(move || {
            begun.send(()).unwrap();
            wait.recv().unwrap();
            done.send(()).unwrap();
        }));
        drop(spawn_blocking(|| unreachable!("queued work ends with the runtime")));
        yield_now().await;
        has_begun.recv().unwrap();
    });
    drop(runtime);
    go.send(()).unwrap();
    finished.recv().unwrap(); // what had begun ran to its end
}

#[test]
fn in_simulation_it_is_done_on_the_spot() {
    let runtime = Runtime::builder().simulated(1).build().unwrap();
    let here = thread::current().id();
    assert_eq!(runtime.block_on(async { spawn_blocking(|| thread::current().id()).await.unwrap() }), here);
}
