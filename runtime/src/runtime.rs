//! [`Runtime`]: one core's executor, timers, memory and transports, on the thread that made it.

use std::{fmt, future::Future, marker::PhantomData, panic::Location, rc::Rc, time::Duration};

use hemi_queue::{Error, Result, time::Instant};

use crate::{
    Builder, JoinHandle,
    context::Core,
    shutdown::{self, Drained},
};

/// A runtime, on the thread that made it (`!Send`).
///
/// # How it is driven
/// [`block_on`](Self::block_on) runs a future, and every task spawned meanwhile, until that future is ready. Tasks that
/// have not ended then stand still until the next `block_on`. Dropping the runtime cancels them.
///
/// ```
/// let runtime = hemi::Runtime::builder().build()?;
/// let task = runtime.spawn(async { "from before" });
/// assert_eq!(runtime.block_on(task).unwrap(), "from before");
/// # Ok::<(), hemi::Error>(())
/// ```
pub struct Runtime {
    core: Rc<Core>,
    _thread: PhantomData<*const ()>,
}

impl Runtime {
    /// Options for a runtime.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A runtime with every option at its default.
    pub fn new_default() -> Result<Self> {
        Builder::default().build()
    }

    pub(crate) fn new(core: Rc<Core>) -> Self {
        Self { core, _thread: PhantomData }
    }

    /// Make a task that runs during the next [`block_on`](Self::block_on).
    #[track_caller]
    pub fn spawn<F: Future + 'static>(&self, future: F) -> JoinHandle<F::Output> {
        self.core.exec.spawn(future, Location::caller())
    }

    /// Run `future` and all tasks until `future` is ready.
    ///
    /// A panic in `future` goes on in the caller; a panic in a task arrives at its handle.
    ///
    /// # Panics
    /// When called from inside a task of the same runtime, which would wait for itself, and in a simulation that cannot
    /// go on: there [`try_block_on`](Self::try_block_on) tells instead.
    #[track_caller]
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        match self.run(future, Location::caller()) {
            Ok(output) => output,
            Err(e) => panic!("block_on: {e}"),
        }
    }

    /// As [`block_on`](Self::block_on), with what it would panic with as an error: [`Error::WouldDeadlock`] from inside
    /// this runtime, [`Error::Deadlock`] when a simulation has nothing runnable and no deadline.
    #[track_caller]
    pub fn try_block_on<F: Future>(&self, future: F) -> Result<F::Output> {
        self.run(future, Location::caller())
    }

    fn run<F: Future>(&self, future: F, at: &'static Location<'static>) -> Result<F::Output> {
        let core = &self.core;
        let _running = Running::begin(core)?;
        let _watch = core.watch();
        let _entered = core.enter();
        core.exec.run_root(future, at, || core.turn(Instant::FAR_FUTURE))
    }

    /// End gracefully: begin the [`shutdown`](crate::shutdown), run until all tasks have ended, at most for `limit`, and
    /// abort those that have not. Then the runtime is dropped.
    ///
    /// ```
    /// use std::time::Duration;
    /// let runtime = hemi::Runtime::builder().build()?;
    /// let _detached = runtime.spawn(async { hemi::shutdown::begun().await });
    /// let drained = runtime.shutdown(Duration::from_secs(1));
    /// assert_eq!((drained.finished, drained.aborted), (1, 0));
    /// # Ok::<(), hemi::Error>(())
    /// ```
    pub fn shutdown(self, limit: Duration) -> Drained {
        self.block_on(shutdown::drain(limit))
    }

    /// Run tasks until `done` gives something, or `deadline` passes (`None`). For the blocking waits.
    #[allow(dead_code)] // QUEUES' blocking waits are built on it
    pub(crate) fn drive_until<T>(
        &self,
        deadline: Option<Instant>,
        mut done: impl FnMut() -> Option<T>,
    ) -> Result<Option<T>> {
        let core = &self.core;
        let _running = Running::begin(core)?;
        let _entered = core.enter();
        let deadline = deadline.unwrap_or(Instant::FAR_FUTURE);
        loop {
            if let Some(found) = done() {
                return Ok(Some(found));
            }
            if core.now() >= deadline {
                return Ok(None);
            }
            core.turn(deadline)?;
        }
    }

    /// The core, for the runtime's own handles.
    #[allow(dead_code)] // as above
    pub(crate) fn core(&self) -> &Rc<Core> {
        &self.core
    }
}

/// How long devices may take to finish when a runtime is dropped.
const QUIET_WITHIN: Duration = Duration::from_secs(1);

/// A turn of the core is on the stack; a second one would pull the first one's tasks from under it.
struct Running<'c>(&'c Core);

impl<'c> Running<'c> {
    fn begin(core: &'c Core) -> Result<Self> {
        if core.running.replace(true) {
            return Err(Error::WouldDeadlock);
        }
        Ok(Self(core))
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.set(false);
    }
}

impl Drop for Runtime {
    /// Queues are closed, tasks are cancelled, and devices get a second to finish what is in flight, so that memory
    /// lent to them comes back. [`shutdown`](Runtime::shutdown) is the polite way.
    fn drop(&mut self) {
        let core = &self.core;
        let _entered = core.enter();
        core.names.close_all(); // begun pushes still go out, waiting tasks learn of the end
        core.exec.close();
        core.quiesce(QUIET_WITHIN);
        core.serve_others();
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("tasks", &self.core.exec.live()).finish_non_exhaustive()
    }
}
