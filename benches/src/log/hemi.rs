//! Loads on a hemi log.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use hemi::{Buf, LogQueue, Pool, Push, Result, Sga};

use crate::recorder::Recorder;

/// When a load ends.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After so many units.
    Units(u64),
    /// After so long.
    Time(Duration),
}

/// What was appended.
#[derive(Debug)]
pub struct Appended {
    /// How many units.
    pub units: u64,
    /// In how long.
    pub elapsed: Duration,
    /// One latency per push.
    pub latencies: Recorder,
}

/// A unit of `size` bytes of a pool of its own.
pub fn unit(size: usize) -> Result<Buf> {
    let mut buffer = Pool::new()?.try_alloc(size)?;
    buffer.put(&vec![0x5a; size]);
    Ok(buffer.freeze())
}

/// Append units of `size` bytes, `waiting` of them at a time, each a push of its own that is waited for.
pub async fn append(
    log: &LogQueue,
    size: usize,
    waiting: usize,
    timed: bool,
    until: Until,
) -> Result<Appended> {
    let unit = unit(size)?;
    let begun = Instant::now();
    let left = Rc::new(Cell::new(match until {
        Until::Units(n) => n,
        Until::Time(_) => u64::MAX,
    }));
    let tasks: Vec<_> = (0..waiting)
        .map(|_| {
            let (unit, left) = (unit.clone(), Rc::clone(&left));
            let log = log.another();
            hemi::spawn(async move {
                let mut log: LogQueue = log?;
                let mut latencies = timed.then(Recorder::new);
                let mut units = 0_u64;
                while left.get() > 0 {
                    left.set(left.get() - 1);
                    let before = timed.then(Instant::now);
                    log.push(Sga::from(unit.clone())).await?;
                    units += 1;
                    if let (Some(latencies), Some(before)) = (&mut latencies, before) {
                        latencies.record(before.elapsed().as_nanos() as u64);
                        if let Until::Time(time) = until
                            && begun.elapsed() > time
                        {
                            break;
                        }
                    }
                }
                Ok::<_, hemi::Error>((units, latencies))
            })
        })
        .collect();
    let mut all = Appended { units: 0, elapsed: Duration::ZERO, latencies: Recorder::new() };
    for task in tasks {
        let (units, latencies) = task.await.map_err(|e| hemi::Error::Other(e.to_string().into()))??;
        all.units += units;
        if let Some(latencies) = latencies {
            all.latencies.merge(&latencies);
        }
    }
    all.elapsed = begun.elapsed();
    Ok(all)
}
