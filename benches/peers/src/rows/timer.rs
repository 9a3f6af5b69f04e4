//! Timers that never fire: what every request with a time-out pays.

use std::future::Future;
use std::pin::{Pin, pin};
use std::time::{Duration, Instant};

use super::{WARM_UP, poll_once, yield_once};
use crate::peer::Timers;

/// Timers alive at once in the row that lets a turn pass.
const BATCH: u64 = 64;

/// Arms a timer and drops it again, `ops` times, beside `others` that stay armed.
pub fn insert_cancel<T: Timers>(others: u64, ops: u64) -> Duration {
    T::run(async move {
        let _armed = arm::<T>(others).await;
        churn::<T>(WARM_UP).await;
        let start = Instant::now();
        churn::<T>(ops).await;
        start.elapsed()
    })
}

/// The same with a turn of the executor between insert and cancel, 64 at a time: a runtime that puts
/// the insertion off to the end of its turn has to do it here.
pub fn insert_turn_cancel<T: Timers>(others: u64, ops: u64) -> Duration {
    T::run(async move {
        let _armed = arm::<T>(others).await;
        churn_over_turns::<T>(WARM_UP).await;
        let start = Instant::now();
        churn_over_turns::<T>(ops).await;
        start.elapsed()
    })
}

async fn arm<T: Timers>(count: u64) -> Vec<Pin<Box<dyn Future<Output = ()>>>> {
    let mut armed: Vec<Pin<Box<dyn Future<Output = ()>>>> = Vec::with_capacity(count as usize);
    for i in 0..count {
        let mut timer = Box::pin(T::sleep(deadline(i)));
        poll_once(timer.as_mut()).await;
        armed.push(timer);
    }
    yield_once().await;
    yield_once().await;
    armed
}

async fn churn<T: Timers>(ops: u64) {
    for i in 0..ops {
        let timer = pin!(T::sleep(deadline(i)));
        poll_once(timer).await;
    }
}

async fn churn_over_turns<T: Timers>(ops: u64) {
    // Pinned places that are filled and emptied, so that the harness allocates nothing per timer.
    let mut places: Vec<_> = (0..BATCH).map(|_| Box::pin(None)).collect();
    for batch in 0..ops / BATCH {
        for (i, place) in places.iter_mut().enumerate() {
            place.as_mut().set(Some(T::sleep(deadline(batch * BATCH + i as u64))));
            if let Some(timer) = place.as_mut().as_pin_mut() {
                poll_once(timer).await;
            }
        }
        yield_once().await;
        for place in &mut places {
            place.as_mut().set(None);
        }
    }
}

/// 10 to 75 seconds out, in no order: the product with an odd constant scatters `i`.
fn deadline(i: u64) -> Duration {
    let scattered = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
    Duration::from_secs(10) + Duration::from_millis(scattered)
}
