//! Instructions per appended unit: this program under callgrind.

use std::{
    cell::Cell,
    future::poll_fn,
    process::{Command, Stdio},
    rc::Rc,
};

use clap::ValueEnum;
use hemi::{Error, LogQueue, Push, Runtime, Sga};

use super::{Failure, hemi::unit};

/// Bytes per unit, and how many wait at a time.
pub const SIZE: usize = 256;
/// How many wait at a time.
pub const WAITING: usize = 64;

/// How units are pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Pattern {
    /// 64 tasks, each of which waits for its push.
    Tasks,
    /// One task that begins 64 pushes and then waits for each of them.
    Pipeline,
    /// One task, one push at a time.
    Single,
}

/// Append `units` units over `mem:`.
///
/// # Errors
/// The log's.
pub fn append(units: u64, pattern: Pattern) -> Result<(), Failure> {
    Runtime::builder().build()?.block_on(async {
        let log = LogQueue::create("mem:count").await?;
        match pattern {
            Pattern::Tasks => tasks(&log, units).await?,
            Pattern::Pipeline => pipeline(log.another()?, units, WAITING as u64).await?,
            Pattern::Single => pipeline(log.another()?, units, 1).await?,
        }
        log.close().await
    })?;
    Ok(())
}

async fn tasks(log: &LogQueue, units: u64) -> Result<(), Error> {
    let (unit, left) = (unit(SIZE)?, Rc::new(Cell::new(units)));
    let tasks: Vec<_> = (0..WAITING)
        .map(|_| {
            let (unit, left, log) = (unit.clone(), Rc::clone(&left), log.another());
            hemi::spawn(async move {
                let mut log = log?;
                while left.get() > 0 {
                    left.set(left.get() - 1);
                    log.push(Sga::from(unit.clone())).await?;
                }
                Ok::<(), Error>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}

async fn pipeline(mut log: LogQueue, units: u64, depth: u64) -> Result<(), Error> {
    let unit = unit(SIZE)?;
    let mut tickets = Vec::with_capacity(depth as usize);
    let mut left = units;
    while left > 0 {
        for _ in 0..depth.min(left) {
            poll_fn(|cx| log.poll_ready(cx)).await?;
            tickets.push(log.start_push(Sga::from(unit.clone())).map_err(|refused| refused.error)?);
            left -= 1;
        }
        for ticket in tickets.drain(..) {
            poll_fn(|cx| log.poll_pushed(ticket, cx)).await?;
        }
    }
    Ok(())
}

/// `(Ir(3N) - Ir(N)) / 2N`: what is done once cancels out.
///
/// # Errors
/// No valgrind, or the program failed under it.
pub fn instructions(pattern: Pattern) -> Result<f64, Failure> {
    let units = if pattern == Pattern::Single { 2_000 } else { 12_800 };
    let (once, thrice) = (total(units, pattern)?, total(3 * units, pattern)?);
    Ok(thrice.saturating_sub(once) as f64 / (2 * units) as f64)
}

fn total(units: u64, pattern: Pattern) -> Result<u64, Failure> {
    let name = pattern.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default();
    let out = std::env::temp_dir().join(format!("hemi-log-lab-{}-{name}-{units}", std::process::id()));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe()?)
        .args(["--count", &units.to_string(), "--pattern", &name])
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("valgrind cannot be started ({e}); install the package `valgrind`"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let text = std::fs::read_to_string(&out)?;
    std::fs::remove_file(&out)?;
    let line = text.lines().rev().find_map(|line| line.strip_prefix("totals: "));
    Ok(line.ok_or("callgrind told no total")?.trim().parse()?)
}
