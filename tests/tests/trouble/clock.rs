//! Clocks that jump: by hours of virtual time, and over the time that a process was stopped.

use std::time::Duration;

use hemi::{
    Runtime, spawn,
    time::{Instant, MissedTick, interval, now, sleep, sleep_until, timeout},
};

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

fn simulated<T>(case: impl Future<Output = T>) -> T {
    Runtime::builder().simulated(7).build().unwrap().try_block_on(case).unwrap()
}

/// Half minutes since `begin`.
fn halves(begin: Instant, at: Instant) -> u64 {
    (at - begin).as_secs() / 30
}

/// Ticks once a minute, is away for two hours and a half minute, and comes back: when were the ticks scheduled, and
/// when were they taken, in half minutes?
fn away(policy: MissedTick, ticks: usize) -> (Vec<u64>, Vec<u64>) {
    simulated(async {
        let begin = now();
        let mut every = interval(MINUTE).missed_tick(policy);
        every.tick().await;
        every.tick().await;
        assert_eq!(now() - begin, MINUTE);
        sleep(2 * HOUR + MINUTE / 2).await;
        let (mut scheduled, mut taken) = (Vec::new(), Vec::new());
        for _ in 0..ticks {
            scheduled.push(halves(begin, every.tick().await));
            taken.push(halves(begin, now()));
        }
        (scheduled, taken)
    })
}

#[test]
fn missed_ticks_in_a_burst() {
    let (scheduled, taken) = away(MissedTick::Burst, 122);
    let all: Vec<u64> = (2..124).map(|minute| 2 * minute).collect();
    assert_eq!(scheduled, all);
    assert!(taken[..120].iter().all(|at| *at == 243), "made up for at once: {taken:?}");
    assert_eq!(taken[120..], [244, 246], "and in step again");
}

#[test]
fn missed_ticks_skipped() {
    let (scheduled, taken) = away(MissedTick::Skip, 3);
    assert_eq!(scheduled, [4, 244, 246], "in step with the beginning");
    assert_eq!(taken, [243, 244, 246]);
}

#[test]
fn missed_ticks_delayed() {
    let (scheduled, taken) = away(MissedTick::Delay, 3);
    assert_eq!(scheduled, [4, 245, 247], "a minute after the late one");
    assert_eq!(taken, [243, 245, 247]);
}

#[test]
fn a_jump_fires_all_that_is_due_in_order() {
    simulated(async {
        let begin = now();
        // From microseconds to weeks: every level of a wheel.
        let mut after: Vec<Duration> =
            (0..40).map(|n| Duration::from_micros(3_u64.pow(n % 28) + 17)).collect();
        let (tell, mut told) = (hemi::queue_unbounded(), Vec::new());
        for after in after.clone() {
            let tell = tell.clone();
            drop(spawn(async move {
                sleep_until(begin + after).await;
                hemi::Push::push(&mut { tell }, (after, now())).await
            }));
        }
        let mut tell = tell;
        for _ in 0..after.len() {
            told.push(hemi::Pop::pop(&mut tell).await.unwrap().unwrap());
        }
        after.sort_unstable();
        assert_eq!(told.iter().map(|(after, _)| *after).collect::<Vec<_>>(), after);
        assert!(told.iter().all(|(after, at)| *at == begin + *after), "exactly then: {told:?}");
    });
}

#[test]
fn a_century_is_no_problem() {
    simulated(async {
        let begin = now();
        let century = HOUR * 24 * 36_525;
        sleep(century).await;
        assert_eq!(now() - begin, century);
        // The longest that can be asked for does not overflow.
        assert!(timeout(MINUTE, sleep(Duration::MAX)).await.is_err());
        assert!(timeout(Duration::MAX, sleep(MINUTE)).await.is_ok());
    });
}

mod stopped {
    //! A process that is stopped for a while sees its clock jump. (Nobody may set the machine's clock in a test.)

    use std::{
        io::{BufRead, BufReader, Write},
        process::Stdio,
        time::Instant,
    };

    use hemi_tests::kernels;
    use rustix::process::{Pid, Signal, kill_process};

    use super::*;

    const PERIOD: Duration = Duration::from_millis(50);

    #[test]
    fn a_process_that_was_stopped_skips_ticks_and_its_timers_are_due() {
        if hemi_tests::alone::is_alone() {
            return ticking();
        }
        let mut command = hemi_tests::alone::command(hemi_tests::test_name!());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let pid = Pid::from_child(&child);
        for _ in kernels::BACKENDS {
            // "ticking" on each backend, or "skipped".
            let line =
                said.by_ref().find(|line| line.contains("ticking") || line.contains("skipped")).unwrap();
            if line.contains("skipped") {
                continue;
            }
            kill_process(pid, Signal::STOP).unwrap();
            let stopped = Instant::now();
            while stopped.elapsed() < 4 * PERIOD {
                std::thread::sleep(PERIOD);
            }
            kill_process(pid, Signal::CONT).unwrap();
            child.stdin.as_mut().unwrap().write_all(b"go on\n").unwrap();
        }
        let rest: Vec<String> = said.collect();
        assert!(child.wait().unwrap().success(), "{rest:?}");
    }

    fn ticking() {
        let ran = std::cell::Cell::new(0);
        kernels::each(|runtime: Runtime| {
            ran.set(ran.get() + 1);
            runtime.block_on(async {
                let begin = now();
                let mut every = interval(PERIOD).missed_tick(MissedTick::Skip);
                let due = spawn(async move {
                    sleep(3 * PERIOD).await;
                    now() - begin
                });
                every.tick().await;
                println!("ticking");
                // Blocks the core on purpose until the parent has let time pass.
                std::io::stdin().read_line(&mut String::new()).unwrap();
                let away = loop {
                    let scheduled = every.tick().await;
                    let late = now() - scheduled;
                    assert_eq!((scheduled - begin).as_nanos() % PERIOD.as_nanos(), 0, "out of step");
                    if late < PERIOD {
                        break now() - begin; // in step again, without a burst
                    }
                };
                assert!(away >= 4 * PERIOD, "{away:?} passed on the monotonic clock");
                assert!(due.await.unwrap() >= 3 * PERIOD, "never early");
            });
        });
        for _ in ran.get()..kernels::BACKENDS.len() {
            println!("skipped");
        }
    }
}
