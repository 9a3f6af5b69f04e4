//! Clocks and timers, in virtual time and by the system's clock.

use std::{
    cell::RefCell,
    future::pending,
    rc::Rc,
    time::{Duration, Instant as System},
};

use futures::FutureExt;
use hemi::{
    Error, Runtime, spawn,
    time::{Instant, MissedTick, interval, interval_at, now, sleep, sleep_until, timeout, timeout_at},
    yield_now,
};

const MS: Duration = Duration::from_millis(1);

fn simulated() -> Runtime {
    Runtime::builder().simulated(1).build().unwrap()
}

fn real() -> Runtime {
    Runtime::builder().build().unwrap()
}

#[test]
fn virtual_time_jumps_to_the_next_deadline() {
    let begin = System::now();
    simulated().block_on(async {
        let start = now();
        sleep(Duration::from_secs(86_400)).await;
        assert_eq!(now() - start, Duration::from_secs(86_400));
    });
    assert!(begin.elapsed() < Duration::from_secs(60));
}

#[test]
fn timers_fire_in_the_order_of_their_deadlines_and_of_their_making() {
    let log = Rc::new(RefCell::new(Vec::new()));
    simulated().block_on(async {
        let tasks: Vec<_> = [30, 10, 20, 10]
            .into_iter()
            .enumerate()
            .map(|(id, ms)| {
                let log = Rc::clone(&log);
                spawn(async move {
                    sleep(MS * ms).await;
                    log.borrow_mut().push(id);
                })
            })
            .collect();
        for t in tasks {
            t.await.unwrap();
        }
    });
    assert_eq!(*log.borrow(), [1, 3, 2, 0]);
}

#[test]
fn a_task_that_burns_10_ms_and_then_sleeps_5_is_not_woken_early() {
    real().block_on(async {
        for _ in 0..5 {
            // The turn's reading is 10 ms old when the sleep is made.
            let burn = System::now();
            while burn.elapsed() < 10 * MS {
                std::hint::spin_loop();
            }
            let begin = System::now();
            sleep(5 * MS).await;
            assert!(begin.elapsed() >= 5 * MS, "woken after {:?}", begin.elapsed());
        }
    });
}

#[test]
fn no_sleep_is_early_by_the_system_clock() {
    real().block_on(async {
        let tasks: Vec<_> = (0..200_u32)
            .map(|i| {
                spawn(async move {
                    for k in 0..5 {
                        let wanted = Duration::from_micros(u64::from(50 + (i * 37 + k * 911) % 3000));
                        let begin = System::now();
                        sleep(wanted).await;
                        let slept = begin.elapsed();
                        assert!(slept >= wanted, "{slept:?} instead of {wanted:?}");
                    }
                })
            })
            .collect();
        for t in tasks {
            t.await.unwrap();
        }
    });
}

#[test]
fn a_sleep_counts_from_its_making_not_from_its_first_poll() {
    simulated().block_on(async {
        let start = now();
        let early = sleep(10 * MS);
        sleep(8 * MS).await;
        early.await;
        assert_eq!(now() - start, 10 * MS);
    });
}

#[test]
fn a_deadline_that_has_passed_is_ready_after_a_turn() {
    simulated().block_on(async {
        sleep(5 * MS).await;
        sleep_until(Instant::ZERO).await;
        assert_eq!(now(), Instant::ZERO + 5 * MS);
        sleep(Duration::ZERO).await;
    });
}

#[test]
fn a_sleep_can_be_moved() {
    simulated().block_on(async {
        let start = now();
        let mut nap = sleep(10 * MS);
        yield_now().await;
        nap.reset(start + 3 * MS);
        assert_eq!(nap.deadline(), Some(start + 3 * MS));
        (&mut nap).await;
        assert!(nap.is_elapsed());
        nap.reset(start + 7 * MS);
        (&mut nap).await;
        assert_eq!(now() - start, 7 * MS);
    });
}

#[test]
fn sleeps_that_are_dropped_leave_nothing_behind() {
    let runtime = simulated();
    let error = runtime.try_block_on(async {
        for i in 0..1000 {
            let a = sleep(MS * (i + 1));
            let b = sleep(MS * (i + 2));
            let c = sleep_until(now() + MS * i);
            if i % 3 == 0 {
                yield_now().await;
            }
            drop(a); // not the latest one
            drop(c);
            drop(b);
        }
        pending::<()>().await;
    });
    // A timer left over would be a deadline to jump to; once all are past, too, it would be one deadlock later.
    assert!(matches!(error, Err(Error::Deadlock)));
    assert_eq!(runtime.block_on(async { now() }), Instant::ZERO);
}

#[test]
fn timeouts() {
    simulated().block_on(async {
        let slow = timeout(10 * MS, pending::<()>()).await;
        assert!(matches!(slow.map_err(Error::from), Err(Error::TimedOut(_))));
        assert_eq!(timeout(10 * MS, async { 4 }).await, Ok(4));
        assert_eq!(timeout(Duration::ZERO, async { 5 }).await, Ok(5));
        assert!(timeout_at(now() + MS, sleep(2 * MS)).await.is_err());
        let begin = now();
        timeout(Duration::MAX, sleep(7 * MS)).await.unwrap();
        assert_eq!(now() - begin, 7 * MS);
    });
}

#[test]
fn missed_ticks_by_policy() {
    // The tick of 20 is the one that is waited for at 35: it is returned late; the policy decides what follows.
    for (policy, expect) in [
        (MissedTick::Burst, [0, 10, 20, 30, 40, 50]),
        (MissedTick::Skip, [0, 10, 20, 40, 50, 60]),
        (MissedTick::Delay, [0, 10, 20, 45, 55, 65]),
    ] {
        simulated().block_on(async {
            let start = now();
            let mut ticks = interval(10 * MS).missed_tick(policy);
            let mut at = Vec::new();
            for i in 0..6 {
                let scheduled = ticks.tick().await;
                at.push((scheduled - start).as_millis());
                if i == 1 {
                    sleep(25 * MS).await; // until 35: the ticks of 20 and 30 are missed
                }
            }
            assert_eq!(at, expect, "{policy:?}");
        });
    }
}

#[test]
fn an_interval_may_begin_later_and_be_reset() {
    simulated().block_on(async {
        let start = now();
        let mut ticks = interval_at(start + 3 * MS, 5 * MS);
        assert_eq!(ticks.tick().await - start, 3 * MS);
        assert!(ticks.tick().now_or_never().is_none()); // cancel-safe
        sleep(MS).await;
        ticks.reset();
        assert_eq!(ticks.tick().await - start, 9 * MS);
        assert_eq!(ticks.period(), 5 * MS);
    });
}

#[test]
fn ten_thousand_timers() {
    simulated().block_on(async {
        let start = now();
        let tasks: Vec<_> =
            (0..10_000_u32).map(|i| spawn(async move { sleep(MS * (i % 997)).await })).collect();
        for t in tasks {
            t.await.unwrap();
        }
        assert_eq!(now() - start, MS * 996);
    });
}

#[test]
#[allow(clippy::async_yields_async)] // carried out on purpose
fn a_sleep_may_outlive_its_runtime() {
    let runtime = simulated();
    let (mut naps, fired) = runtime.block_on(async {
        let mut fired = Box::pin(sleep(MS));
        fired.as_mut().await;
        let armed: Vec<_> = (1..=8).map(|n| sleep(MS * n)).collect();
        yield_now().await; // to the wheel
        (armed.into_iter().chain((1..=8).map(|n| sleep(MS * n))).collect::<Vec<_>>(), fired)
    });
    drop(runtime);
    assert!(fired.is_elapsed());
    // Polled by another executor, whose waker is no name of ours, in any order, and armed anew.
    for at in [3, 9, 0, 11] {
        let mut nap = naps.swap_remove(at);
        assert!((&mut nap).now_or_never().is_none() && (&mut nap).now_or_never().is_none());
        let later = nap.deadline().unwrap() + MS;
        nap.reset(later);
        assert!(nap.deadline() == Some(later) && !nap.is_elapsed());
        assert!(nap.now_or_never().is_none());
    }
    drop(fired);
    let last = naps.pop().unwrap();
    drop(naps);
    assert!(last.deadline().is_some());
}

#[test]
fn a_sleep_polled_with_foreign_wakers_wakes_the_last_of_them() {
    struct Count(std::sync::atomic::AtomicUsize);
    impl std::task::Wake for Count {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }
    simulated().block_on(async {
        let [first, last] = [(); 2].map(|()| std::sync::Arc::new(Count(0.into())));
        let mut naps: Vec<_> = (0..3).map(|_| Box::pin(sleep(MS))).collect();
        // Our own waker, then two foreign ones; the second sleep by foreign ones only, the third by ours after all.
        assert!(futures::poll!(&mut naps[0]).is_pending() && futures::poll!(&mut naps[2]).is_pending());
        for (nap, counts) in naps.iter_mut().zip([&[&first, &last][..], &[&first, &first, &last], &[&first]])
        {
            for &count in counts {
                let waker = std::task::Waker::from(std::sync::Arc::clone(count));
                assert!(nap.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
            }
        }
        naps.swap_remove(2).await;
        let woken = [&first, &last].map(|c| c.0.load(std::sync::atomic::Ordering::Relaxed));
        assert_eq!(woken, [0, 2]);
        assert!(naps.iter().all(|nap| nap.is_elapsed()));
        drop(naps);
        assert_eq!([&first, &last].map(std::sync::Arc::strong_count), [1, 1], "no waker is kept");
    });
}

#[test]
fn one_seed_replays_a_run() {
    let run = |seed| {
        Runtime::builder().simulated(seed).build().unwrap().block_on(async {
            let log = Rc::new(RefCell::new(Vec::new()));
            let tasks: Vec<_> = (0..20)
                .map(|id| {
                    let log = Rc::clone(&log);
                    spawn(async move {
                        for _ in 0..5 {
                            sleep(Duration::from_nanos(hemi::rand::below(1000))).await;
                            log.borrow_mut().push((id, now()));
                        }
                    })
                })
                .collect();
            for t in tasks {
                t.await.unwrap();
            }
            log.take()
        })
    };
    assert_eq!(run(42), run(42));
    assert_ne!(run(42), run(43));
}
