//! Thread per core: the same asynchronous function on every core, each with a runtime of its own.
//!
//! Nothing is shared but the shutdown and the threads for blocking work. Listeners on the same address share the
//! port: over kernel sockets by SO_REUSEPORT, so the kernel spreads connections; over the user-level stack, of which each core has one, by
//! the hash of their flows ([`hemi_net::cores`]). Cores talk through [`crate::cross`].
//!
//! | file | what |
//! |---|---|
//! | `start.rs` | cores open their devices in order, and start together |
//! | `groups.rs` | the user-level stacks that share addresses |
//! | `affinity.rs` | CPUs |

pub(crate) mod affinity;
mod groups;
mod start;

pub(crate) use groups::Groups;
pub(crate) use start::Start;

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
    /// When a core cannot be set up, no core starts. When one panics, the others are asked to shut down ([`crate::shutdown`]) and the failure is
    /// reported when they have ended. No core's `f` is called before all cores are set up. A core whose `f` has returned passes packets
    /// that arrive at it on to the others, until all have.
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
                core.run_core(index, &f)
            });
            match started {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    builder.start().fail();
                    let failed = Ended::Failed(Error::io("start a thread for core", index, error));
                    return collect(threads.into_iter().map(join).chain([failed]).collect());
                }
            }
        }
        collect(threads.into_iter().map(join).collect())
    }

    fn run_core<Fut: Future>(&self, index: usize, f: &impl Fn() -> Fut) -> Ended<Fut::Output> {
        let start = self.start();
        let opened =
            catch_unwind(AssertUnwindSafe(|| start.in_turn(index, || self.clone().build_core(index))));
        let runtime = match opened {
            Ok(Some(Ok(runtime))) => runtime,
            Ok(Some(Err(error))) => {
                tracing::error!(core = index, %error, "a core could not be set up; none starts");
                return Ended::Failed(error);
            }
            Ok(None) => return Ended::Abandoned,
            Err(panic) => return Ended::Panicked(panic),
        };
        if !start.all(self.core_count()) {
            return Ended::Abandoned;
        }
        // The runtime is dropped after a panic as after a return, and nothing of it is looked at afterwards. It may wait
        // for the other cores then, so they are told before.
        match catch_unwind(AssertUnwindSafe(|| runtime.block_on(f()))) {
            Ok(value) => Ended::Returned(value),
            Err(panic) => {
                self.begin_shutdown();
                Ended::Panicked(panic)
            }
        }
    }
}

enum Ended<T> {
    Returned(T),
    Failed(Error),
    /// Another core has failed before this one started.
    Abandoned,
    Panicked(Box<dyn Any + Send>),
}

fn join<T>(thread: thread::JoinHandle<Ended<T>>) -> Ended<T> {
    thread.join().unwrap_or_else(Ended::Panicked)
}

fn collect<T>(all: Vec<Ended<T>>) -> Result<Vec<T>> {
    let mut values = Vec::with_capacity(all.len());
    let (mut failed, mut abandoned) = (None, false);
    for ended in all {
        match ended {
            Ended::Returned(value) => values.push(value),
            Ended::Failed(error) => {
                failed.get_or_insert(error);
            }
            Ended::Abandoned => abandoned = true,
            Ended::Panicked(panic) => resume_unwind(panic),
        }
    }
    match failed {
        Some(error) => Err(error),
        None if abandoned => Err(Error::Closed),
        None => Ok(values),
    }
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
