//! Thread per core: the same asynchronous function on every core, each with a runtime of its own.
//!
//! Nothing is shared but the shutdown and the threads for blocking work. Listeners on the same address share the
//! port (SO_REUSEPORT), so the kernel spreads connections; cores talk through [`crate::cross`].

pub(crate) mod affinity;

use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    thread,
};

use hemi_queue::{Error, Result};

use crate::{Builder, context};

impl Builder {
    /// Run `f` on every core: [`cores`](Self::cores) threads, each pinned to a CPU of those this process may use (in
    /// turn, when there are more cores than CPUs). Returns what each returned, in the order of the cores, when all have.
    ///
    /// When a core cannot be set up, or panics, the others are asked to shut down ([`crate::shutdown`]) and the failure is
    /// reported when they have ended.
    ///
    /// ```
    /// let indices = hemi::Runtime::builder().cores(2).run(|| async { hemi::core_index() })?;
    /// assert_eq!(indices, [0, 1]);
    /// # Ok::<(), hemi::Error>(())
    /// ```
    ///
    /// # Errors
    /// What kept the first failing core from being set up; [`Error::Unsupported`] in simulation, whose one clock has
    /// one thread.
    ///
    /// # Panics
    /// With the first core's panic, after all cores have ended.
    pub fn run<F, Fut, T>(self, f: F) -> Result<Vec<T>>
    where
        F: Fn() -> Fut + Send + Sync + Clone + 'static,
        Fut: Future<Output = T> + 'static,
        T: Send + 'static,
    {
        if self.is_simulated() {
            return Err(Error::unsupported(
                "several cores",
                "virtual time",
                "use Builder::build and simulate the cores as tasks of one runtime",
            ));
        }
        let cpus = affinity::allowed();
        let builder = self.shared();
        let mut threads = Vec::with_capacity(builder.core_count());
        for index in 0..builder.core_count() {
            let (core, f) = (builder.clone(), f.clone());
            let cpu = cpus.get(index % cpus.len().max(1)).copied();
            let started = thread::Builder::new().name(format!("hemi-core-{index}")).spawn(move || {
                if let Some(cpu) = cpu {
                    affinity::pin(cpu);
                }
                let ended = core.run_core(index, &f);
                if !matches!(ended, Ended::Returned(_)) {
                    core.begin_shutdown();
                }
                ended
            });
            match started {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    builder.begin_shutdown();
                    let failed = Ended::Failed(Error::io("start a thread for core", index, error));
                    return collect(threads.into_iter().map(join).chain([failed]).collect());
                }
            }
        }
        collect(threads.into_iter().map(join).collect())
    }

    fn run_core<Fut: Future>(&self, index: usize, f: &impl Fn() -> Fut) -> Ended<Fut::Output> {
        let runtime = match self.clone().build_core(index) {
            Ok(runtime) => runtime,
            Err(error) => {
                tracing::error!(core = index, %error, "a core could not be set up; the others shut down");
                return Ended::Failed(error);
            }
        };
        // The runtime is dropped after a panic as after a return, and nothing of it is looked at afterwards.
        match catch_unwind(AssertUnwindSafe(|| runtime.block_on(f()))) {
            Ok(value) => Ended::Returned(value),
            Err(panic) => Ended::Panicked(panic),
        }
    }
}

enum Ended<T> {
    Returned(T),
    Failed(Error),
    Panicked(Box<dyn Any + Send>),
}

fn join<T>(thread: thread::JoinHandle<Ended<T>>) -> Ended<T> {
    thread.join().unwrap_or_else(Ended::Panicked)
}

fn collect<T>(all: Vec<Ended<T>>) -> Result<Vec<T>> {
    let mut values = Vec::with_capacity(all.len());
    let mut failed = None;
    for ended in all {
        match ended {
            Ended::Returned(value) => values.push(value),
            Ended::Failed(error) => {
                failed.get_or_insert(error);
            }
            Ended::Panicked(panic) => resume_unwind(panic),
        }
    }
    failed.map_or(Ok(values), Err)
}

/// Which core this is, from 0 to [`core_count`] - 1.
///
/// # Panics
/// When no runtime runs on this thread.
pub fn core_index() -> usize {
    context::with(|core| core.core_index).unwrap_or_else(|e| panic!("hemi::core_index: {e}"))
}

/// How many cores run this program.
///
/// # Panics
/// When no runtime runs on this thread.
pub fn core_count() -> usize {
    context::with(|core| core.cores).unwrap_or_else(|e| panic!("hemi::core_count: {e}"))
}
