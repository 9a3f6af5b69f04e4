//! Run worlds from seeds until one fails, or as many as are asked for.
//!
//! `cargo run --release -p hemi-net --example soak -- --seeds 1000000`
//! `cargo run --release -p hemi-net --example soak -- --seed 4711 --trace` (one, with every segment)

#[path = "../tests/world/mod.rs"]
mod world;

use std::{
    io::Write,
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use clap::Parser;
use hemi_queue::Pool;

/// Random programs on random links, each a function of its seed.
#[derive(Parser)]
struct Options {
    /// How many worlds.
    #[arg(long, default_value_t = 1_000_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Run this one only.
    #[arg(long)]
    seed: Option<u64>,
    /// Print every segment.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Threads; 0: one per core.
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let (from, to) = match options.seed {
        Some(seed) => (seed, seed + 1),
        None => (options.from, options.from.saturating_add(options.seeds)),
    };
    let threads = match options.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n,
    };
    let (next, seen, begin) = (AtomicU64::new(from), Mutex::new(world::Seen::default()), Instant::now());
    let failed = std::thread::scope(|scope| {
        let work = || {
            let pool = Pool::new().map_err(|error| error.to_string())?;
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= to {
                    return Ok(());
                }
                // The others stop too.
                let fail = |wrong| {
                    next.store(to, Ordering::Relaxed);
                    format!("seed {seed}: {wrong}")
                };
                let result = world::run(seed, &pool, options.trace).map_err(fail)?;
                *seen.lock().unwrap_or_else(PoisonError::into_inner) += result;
                let done = seed - from + 1;
                if done.is_multiple_of(1000) {
                    let rate = done as f64 / begin.elapsed().as_secs_f64();
                    print!("\r{done} worlds, {rate:.0} per second");
                    let _ = std::io::stdout().flush();
                }
            }
        };
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().find_map(|worker| match worker.join() {
            Ok(result) => result.err(),
            Err(_) => Some("a world panicked; its message is above".to_owned()),
        })
    });
    let seen = *seen.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(failed) = failed {
        println!("\nFAILED: {failed}");
        return ExitCode::FAILURE;
    }
    println!("\nall {} held: {seen:?}", to - from);
    ExitCode::SUCCESS
}
