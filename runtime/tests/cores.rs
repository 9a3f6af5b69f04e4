//! Several cores, and queues between them.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use futures::FutureExt;
use hemi::{Error, Pop, Push, Runtime, cross, shutdown, spawn, time::sleep, yield_now};

#[test]
fn the_same_function_on_every_core() {
    let ran = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&ran);
    let got = Runtime::builder()
        .cores(3)
        .run(move || {
            let ran = Arc::clone(&counter);
            async move {
                ran.fetch_add(1, Ordering::SeqCst);
                spawn(async { yield_now().await }).await.unwrap();
                (hemi::core_index(), hemi::core_count(), thread::current().name().map(str::to_owned))
            }
        })
        .unwrap();
    assert_eq!(ran.load(Ordering::SeqCst), 3);
    for (i, (index, count, name)) in got.into_iter().enumerate() {
        assert_eq!((index, count), (i, 3));
        assert_eq!(name, Some(format!("hemi-core-{i}")));
    }
}

#[test]
fn a_panic_on_one_core_shuts_the_others_down_and_arrives_here() {
    let caught = std::panic::catch_unwind(|| {
        Runtime::builder().cores(2).run(|| async {
            assert!(hemi::core_index() != 1, "core one");
            shutdown::begun().await;
        })
    });
    assert_eq!(caught.unwrap_err().downcast_ref::<&str>(), Some(&"core one"));
}

#[test]
fn a_core_that_cannot_be_set_up_is_an_error_and_the_others_end() {
    let builder = Runtime::builder().cores(2).net("no-such-transport:");
    let error = builder.run(|| async { shutdown::begun().await }).unwrap_err();
    assert!(error.to_string().contains("no-such-transport"), "{error}");
}

#[test]
fn cores_do_not_share_one_virtual_clock() {
    let error = Runtime::builder().cores(2).simulated(1).run(|| async {}).unwrap_err();
    assert!(matches!(error, Error::Unsupported(_)));
}

#[test]
fn the_cores_draw_different_numbers_from_one_seed_and_the_same_in_every_run() {
    let draw = || Runtime::builder().cores(2).seed(9).run(|| async { hemi::rand::u64() }).unwrap();
    let first = draw();
    assert_ne!(first[0], first[1]);
    assert_eq!(first, draw());
}

#[test]
fn items_cross_in_order_with_back_pressure() {
    const ITEMS: u64 = 20_000;
    let queue = cross::queue::<u64>(8);
    let sums = Runtime::builder()
        .cores(2)
        .run(move || {
            let mut queue = queue.clone();
            async move {
                if hemi::core_index() == 0 {
                    for i in 0..ITEMS {
                        queue.push(i).await.unwrap();
                        assert!(queue.len() <= 16);
                    }
                    queue.close();
                    return 0;
                }
                let (mut sum, mut last) = (0, None);
                while let Some(i) = queue.pop().await.unwrap() {
                    assert!(last.is_none_or(|l| i == l + 1));
                    (sum, last) = (sum + i, Some(i));
                }
                sum
            }
        })
        .unwrap();
    assert_eq!(sums[1], ITEMS * (ITEMS - 1) / 2);
}

#[test]
fn many_to_many_loses_nothing() {
    let queue = cross::queue::<u64>(4);
    let total = Arc::new(AtomicUsize::new(0));
    let left = Arc::new(AtomicUsize::new(2));
    let threads: Vec<_> = (0..4)
        .map(|id| {
            let (mut queue, total, left) = (queue.clone(), Arc::clone(&total), Arc::clone(&left));
            thread::spawn(move || {
                Runtime::builder().build().unwrap().block_on(async move {
                    if id < 2 {
                        for i in 1..=5000_u64 {
                            queue.push(i).await.unwrap();
                        }
                        if left.fetch_sub(1, Ordering::SeqCst) == 1 {
                            queue.close();
                        }
                    } else {
                        while let Some(i) = queue.pop().await.unwrap() {
                            total.fetch_add(i as usize, Ordering::SeqCst);
                        }
                    }
                });
            })
        })
        .collect();
    for t in threads {
        t.join().unwrap();
    }
    assert_eq!(total.load(Ordering::SeqCst), 2 * 5000 * 5001 / 2);
}

#[test]
fn dropped_pops_and_pushes_lose_nothing() {
    Runtime::builder().build().unwrap().block_on(async {
        let mut queue = cross::queue::<u32>(2);
        let mut other = queue.clone();
        assert!(queue.pop().now_or_never().is_none());
        for i in 0..4_u32 {
            // The third and fourth would have to wait; dropping them does not retract them.
            assert_eq!(other.push(i).now_or_never().is_some(), i < 2);
        }
        assert!(matches!(other.push(9_u32).await, Err(Error::Busy)));
        queue.close();
        assert!(matches!(other.push(9_u32).await, Err(Error::Closed)));
        let mut got = Vec::new();
        while let Some(i) = queue.pop().await.unwrap() {
            got.push(i);
        }
        assert_eq!(got, [0, 1, 2, 3]);
    });
}

#[test]
fn a_close_ends_a_wait_on_either_side() {
    Runtime::builder().build().unwrap().block_on(async {
        let queue = cross::queue::<u8>(1);
        let (mut popper, closer) = (queue.clone(), queue.clone());
        let waits = spawn(async move { popper.pop().await });
        yield_now().await;
        thread::spawn(move || closer.close()).join().unwrap();
        assert!(matches!(waits.await.unwrap(), Ok(None)));
    });
}

#[test]
fn an_idle_core_uses_next_to_nothing() {
    // Not a timing: what the kernel has charged to this thread over a second of waiting. A core that spins is charged
    // in every one of these seconds; one that is merely disturbed has a quiet one soon.
    let used = thread::spawn(|| {
        Runtime::builder().build().unwrap().block_on(async {
            sleep(Duration::from_millis(50)).await;
            let mut seconds = Vec::new();
            while seconds.len() < 20 && seconds.last().is_none_or(|used| *used >= QUIET) {
                let before = charged();
                let _ = hemi::time::timeout(Duration::from_secs(1), pending::<()>()).await;
                seconds.push(charged().saturating_sub(before));
            }
            seconds
        })
    })
    .join()
    .unwrap();
    assert!(used.last().is_some_and(|used| *used < QUIET), "{used:?} of a second each");
}

/// 1 % of a second.
const QUIET: Duration = Duration::from_millis(10);

/// CPU time of this thread, in the kernel's resolution of nanoseconds.
fn charged() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
}
