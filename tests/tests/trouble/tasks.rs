//! Tasks that misbehave: they panic, burn time, or never yield.

use std::{
    cell::RefCell,
    rc::Rc,
    time::{Duration, Instant},
};

use hemi::{Runtime, queue, spawn, time};
use hemi_tests::kernels;

#[test]
fn a_panic_arrives_at_the_join_and_the_others_go_on() {
    kernels::each(|runtime: Runtime| {
        kernels::run(&runtime, async {
            let units = queue::<u32>(1);
            let others = (0..10).map(|n| {
                let units = units.clone();
                spawn(async move {
                    for _ in 0..20 {
                        units.push(n).await?;
                        hemi::yield_now().await;
                    }
                    Ok::<_, hemi::Error>(())
                })
            });
            let others: Vec<_> = others.collect();
            // It dies with things in its hands: a timer, and a pop that waits.
            let dying = spawn({
                let units = units.clone();
                async move {
                    let _timer = time::sleep(Duration::from_secs(3600));
                    let unit = units.pop().await.unwrap().unwrap();
                    panic!("on purpose, with {}", if unit < 100 { "a unit" } else { "nonsense" });
                }
            });
            let error = dying.await.map(|(): ()| ()).expect_err("it panicked");
            assert!(error.is_panic() && !error.is_cancelled());
            assert_eq!(error.panic_message(), Some("on purpose, with a unit"));
            for _ in 0..10 * 20 - 1 {
                assert!(units.pop().await?.is_some());
            }
            for other in others {
                other.await.expect("it did nothing wrong")?;
            }
            Ok(())
        });
        // Nor does it harm what comes later.
        assert_eq!(runtime.block_on(async { spawn(async { 6 * 7 }).await.unwrap() }), 42);
    });
}

#[test]
fn a_panic_in_the_first_future_goes_to_the_caller_and_the_runtime_goes_on() {
    kernels::each(|runtime: Runtime| {
        let left = runtime.spawn(async {
            hemi::yield_now().await;
            "still here"
        });
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            runtime.block_on(async { panic!("on purpose") })
        }));
        assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"on purpose"));
        assert_eq!(runtime.block_on(left).unwrap(), "still here");
    });
}

#[test]
fn a_task_that_burns_time_does_not_make_its_timers_early() {
    const BURNT: Duration = Duration::from_millis(10);
    const ASKED: Duration = Duration::from_millis(5);
    kernels::each(|runtime: Runtime| {
        runtime.block_on(async {
            let early = Rc::new(RefCell::new(Vec::new()));
            let tasks = (0..3).map(|_| {
                let early = Rc::clone(&early);
                spawn(async move {
                    for _ in 0..3 {
                        let begin = Instant::now();
                        while begin.elapsed() < BURNT {}
                        // The turn's clock is 10 ms old by now; the sleep counts from here all the same.
                        let asked = Instant::now();
                        time::sleep(ASKED).await;
                        if asked.elapsed() < ASKED {
                            early.borrow_mut().push(asked.elapsed());
                        }
                        let asked = Instant::now();
                        let never = std::future::pending::<()>();
                        assert!(time::timeout(ASKED, never).await.is_err());
                        if asked.elapsed() < ASKED {
                            early.borrow_mut().push(asked.elapsed());
                        }
                    }
                })
            });
            for task in tasks.collect::<Vec<_>>() {
                task.await.unwrap();
            }
            assert_eq!(*early.borrow(), [], "these were early");
        });
    });
}
