//! The comparison: all samples, interleaved.

use std::sync::{Mutex, PoisonError};
use std::thread;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::callgrind;
use crate::child;
use crate::cli::Compare;
use crate::error::Error;
use crate::plan::{Needs, Row, Runtime};

/// All samples of one contestant on one row.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    pub row: Row,
    pub runtime: Runtime,
    /// Micro rows: nanoseconds per operation. `tcp-ping-pong`: median round trip in nanoseconds.
    /// `tcp-64x16`: messages per second.
    pub samples: Vec<f64>,
    /// What the load generator could have driven, messages per second, per sample.
    pub ceilings: Vec<f64>,
    /// Instructions per operation, the harness's included.
    pub instructions: Option<f64>,
}

impl Cell {
    fn new(row: Row, runtime: Runtime) -> Self {
        Self { row, runtime, samples: Vec::new(), ceilings: Vec::new(), instructions: None }
    }

    /// The figure for the table: the fastest sample of a micro row, the median of a TCP row.
    pub fn figure(&self) -> Option<f64> {
        if self.row.needs() == Needs::Echo {
            median(&self.samples)
        } else {
            self.samples.iter().copied().min_by(f64::total_cmp)
        }
    }

    /// The median ceiling of the load generator.
    pub fn ceiling(&self) -> Option<f64> {
        median(&self.ceilings)
    }
}

fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

/// Every figure that was asked for, row by row.
pub fn run(options: &Compare, rows: &[Row], runtimes: &[Runtime]) -> Result<Vec<Cell>, Error> {
    let mut cells = Vec::new();
    for &row in rows {
        for &runtime in runtimes {
            if runtime.offers(row.needs()) && (runtime != Runtime::Harness || counted(options)) {
                cells.push(Cell::new(row, runtime));
            }
        }
    }
    if !options.callgrind_only {
        take_samples(&mut cells, options, rows)?;
    }
    if counted(options) {
        count_instructions(&mut cells, options)?;
    }
    Ok(cells)
}

fn counted(options: &Compare) -> bool {
    options.callgrind || options.callgrind_only
}

fn take_samples(cells: &mut [Cell], options: &Compare, rows: &[Row]) -> Result<(), Error> {
    let timed = cells.iter().filter(|cell| cell.runtime != Runtime::Harness).count();
    let progress = progress(timed as u64 * u64::from(options.rounds));
    for &row in rows {
        for _ in 0..options.rounds {
            for cell in cells.iter_mut().filter(|c| c.row == row && c.runtime != Runtime::Harness) {
                progress.set_message(format!("{}: {}", row.title(), cell.runtime.title()));
                if row.needs() == Needs::Echo {
                    let load = child::drive(row, cell.runtime, options)?;
                    cell.samples.push(if row == Row::Tcp64x16 { load.rate } else { load.p50 as f64 });
                    cell.ceilings.extend(load.ceiling);
                } else {
                    cell.samples.push(child::time(row, cell.runtime, options.cpu)?);
                }
                progress.inc(1);
            }
        }
    }
    progress.finish_and_clear();
    Ok(())
}

/// Counts do not depend on who else runs, so both cores count.
fn count_instructions(cells: &mut [Cell], options: &Compare) -> Result<(), Error> {
    let work: Vec<&mut Cell> = cells.iter_mut().filter(|cell| cell.row.needs() != Needs::Echo).collect();
    let progress = progress(work.len() as u64);
    let work = Mutex::new(work.into_iter());
    let count = |cpu| -> Result<(), Error> {
        // The lock is held for the taking only, not while counting.
        let take = || work.lock().unwrap_or_else(PoisonError::into_inner).next();
        while let Some(cell) = take() {
            progress.set_message(format!("counting {}: {}", cell.row.title(), cell.runtime.title()));
            cell.instructions = Some(callgrind::instructions(cell.row, cell.runtime, cpu)?);
            progress.inc(1);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let other = scope.spawn(|| count(options.client_cpu));
        let mine = count(options.cpu);
        other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).and(mine)
    })?;
    progress.finish_and_clear();
    Ok(())
}

fn progress(steps: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {msg}");
    ProgressBar::new(steps).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
