//! The bare round trip of a cache line between two cores: the yardstick beside every sample.
//!
//! On a virtual machine the host moves the cores about within seconds, and a round trip costs three
//! times more when they are far apart. A ratio between two samples means something only if both saw
//! the same machine, and this probe says whether they did.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use crate::cores::{self, Cores};
use crate::error::Error;

/// Round trips per reading of the clock.
const TRIPS: u64 = 500;
/// Readings; the median counts.
const READINGS: usize = 9;
/// Below this many nanoseconds the two cores are near each other (they share a cache).
pub const NEAR: f64 = 250.0;

/// A line of its own (two, for the adjacent-line prefetcher).
#[repr(align(128))]
struct Line(AtomicU64);

/// Nanoseconds per round trip between the two cores, about a millisecond's work.
///
/// # Errors
/// When a thread cannot be pinned.
pub fn round_trip(cores: Cores) -> Result<f64, Error> {
    if cores.server == cores.client {
        return Err(Error::SameCore(cores.server));
    }
    let (ping, pong) = (Line(AtomicU64::new(0)), Line(AtomicU64::new(0)));
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let echo = scope.spawn(|| {
            cores::pin(cores.server).inspect_err(|_| over.store(true, Ordering::Release))?;
            let mut seen = 0;
            while !over.load(Ordering::Acquire) {
                let now = ping.0.load(Ordering::Acquire);
                if now == seen {
                    spin_loop();
                } else {
                    seen = now;
                    pong.0.store(now, Ordering::Release);
                }
            }
            Ok(())
        });
        let ask = scope.spawn(|| {
            let outcome = cores::pin(cores.client).map(|()| ask(&ping, &pong, &over));
            over.store(true, Ordering::Release);
            outcome
        });
        let asked = ask.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        echo.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).and(asked)
    })
}

fn ask(ping: &Line, pong: &Line, over: &AtomicBool) -> f64 {
    let mut readings = [0.0; READINGS];
    let mut turn = 0;
    for reading in &mut readings {
        let start = Instant::now();
        for _ in 0..TRIPS {
            turn += 1;
            ping.0.store(turn, Ordering::Release);
            while pong.0.load(Ordering::Acquire) != turn && !over.load(Ordering::Relaxed) {
                spin_loop();
            }
        }
        *reading = start.elapsed().as_nanos() as f64 / TRIPS as f64;
    }
    readings.sort_by(f64::total_cmp);
    readings[READINGS / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trip_takes_time() {
        if let Ok(cores) = Cores::choose(None, None) {
            assert!(round_trip(cores).expect("both cores are ours") > 1.0);
        }
    }

    #[test]
    fn a_core_that_does_not_exist_ends_the_probe() {
        let allowed = cores::allowed()[0];
        let cores = Cores { server: 1023, client: allowed };
        assert!(round_trip(cores).is_err());
        assert!(round_trip(Cores { server: allowed, client: 1023 }).is_err());
    }
}
