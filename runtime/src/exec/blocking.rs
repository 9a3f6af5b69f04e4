//! [`spawn_blocking`]: work that would stop the turn, on a few threads beside it.

use std::{
    any::Any,
    collections::VecDeque,
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind},
    pin::Pin,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use hemi_queue::Error;

use super::{JoinHandle, current, waker};

/// How long a thread waits for work before it ends.
const KEEP: Duration = Duration::from_secs(10);

/// Run `work` on another thread and get its result through a handle: for what blocks (files, name resolution, `getpass`)
/// or computes for long.
///
/// Threads are started as needed, up to [`Builder::blocking_threads`](crate::Builder::blocking_threads), and end after ten idle
/// seconds; beyond that, work waits its turn. A panic in `work` arrives at the handle. Aborting the handle keeps work that has
/// not begun from beginning; what has begun runs to its end, also beyond the end of the runtime. In simulation the
/// work is done on the spot, so that runs repeat.
///
/// ```
/// # hemi::Runtime::builder().build()?.block_on(async {
/// let hosts = hemi::spawn_blocking(|| std::fs::read_to_string("/etc/hosts")).await.unwrap();
/// # let _ = hosts;
/// # });
/// # Ok::<(), hemi::Error>(())
/// ```
///
/// # Panics
/// When no runtime runs on this thread.
#[track_caller]
pub fn spawn_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let Some(core) = current::get() else { panic!("hemi::spawn_blocking: {}", Error::NoRuntime) };
    let at = Location::caller();
    if core.is_simulated() {
        return core.exec.spawn(async move { work() }, at);
    }
    let errand = Arc::new(Errand(Mutex::new(State::Waiting(None))));
    let theirs = Theirs(Arc::clone(&errand));
    core.blocking.submit(Box::new(move || {
        if !theirs.0.is_abandoned() {
            theirs.0.finish(State::Done(catch_unwind(AssertUnwindSafe(work))));
        }
    }));
    core.exec.spawn(Ours(errand), at)
}

type Job = Box<dyn FnOnce() + Send>;

/// What passes between the task that waits and the thread that works.
struct Errand<T>(Mutex<State<T>>);

enum State<T> {
    Waiting(Option<Waker>),
    Done(Result<T, Box<dyn Any + Send>>),
    /// The work will not be done.
    Lost,
    /// Nobody wants it.
    Abandoned,
}

impl<T> Errand<T> {
    fn is_abandoned(&self) -> bool {
        matches!(*lock(&self.0), State::Abandoned)
    }

    /// Leave `outcome`, if it is still waited for; otherwise drop it here.
    fn finish(&self, outcome: State<T>) {
        let mut state = lock(&self.0);
        if let State::Waiting(waiting) = &mut *state {
            let waker = waiting.take();
            *state = outcome;
            drop(state);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

/// The thread's end: a job that is dropped undone says so.
struct Theirs<T>(Arc<Errand<T>>);

impl<T> Drop for Theirs<T> {
    fn drop(&mut self) {
        self.0.finish(State::Lost);
    }
}

/// The task's end.
struct Ours<T>(Arc<Errand<T>>);

impl<T> Future for Ours<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let mut state = lock(&self.0.0);
        match std::mem::replace(&mut *state, State::Abandoned) {
            State::Done(Ok(result)) => Poll::Ready(result),
            State::Done(Err(panic)) => {
                drop(state);
                resume_unwind(panic)
            }
            State::Lost => {
                waker::abort_task(cx.waker());
                Poll::Pending
            }
            State::Waiting(_) | State::Abandoned => {
                *state = State::Waiting(Some(cx.waker().clone()));
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for Ours<T> {
    fn drop(&mut self) {
        let state = std::mem::replace(&mut *lock(&self.0.0), State::Abandoned);
        drop(state); // a result nobody took, outside the lock
    }
}

/// A few threads for blocking work, shared by the cores of a program. A handle; the last one to be dropped ends it.
pub(crate) struct BlockingPool(Arc<Shared>);

struct Shared {
    most: usize,
    queue: Mutex<Queue>,
    more: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
    closed: bool,
}

impl BlockingPool {
    /// No threads yet, and never more than `most` (at least one).
    pub(crate) fn new(most: usize) -> Arc<Self> {
        let shared = Shared { most: most.max(1), queue: Mutex::default(), more: Condvar::new() };
        Arc::new(Self(Arc::new(shared)))
    }

    fn submit(&self, job: Job) {
        let mut queue = lock(&self.0.queue);
        queue.jobs.push_back(job);
        if queue.idle >= queue.jobs.len() {
            drop(queue);
            self.0.more.notify_one();
            return;
        }
        if queue.threads == self.0.most {
            return;
        }
        queue.threads += 1;
        drop(queue);
        let shared = Arc::clone(&self.0);
        let started = thread::Builder::new().name("hemi-blocking".into()).spawn(move || shared.work());
        if let Err(error) = started {
            self.0.one_less(&error);
        }
    }
}

impl Shared {
    fn work(&self) {
        let mut queue = lock(&self.queue);
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                drop(queue);
                job();
                queue = lock(&self.queue);
                continue;
            }
            if queue.closed {
                break;
            }
            queue.idle += 1;
            let (back, waited) = self.more.wait_timeout(queue, KEEP).unwrap_or_else(PoisonError::into_inner);
            queue = back;
            queue.idle -= 1;
            if waited.timed_out() && queue.jobs.is_empty() {
                break;
            }
        }
        queue.threads -= 1;
    }

    /// A thread could not be started: others do its work, or it is lost.
    fn one_less(&self, error: &std::io::Error) {
        let mut queue = lock(&self.queue);
        queue.threads -= 1;
        if queue.threads == 0 {
            tracing::error!(%error, "no thread for blocking work; it is cancelled");
            let lost = std::mem::take(&mut queue.jobs);
            drop(queue);
            drop(lost);
        } else {
            tracing::warn!(%error, threads = queue.threads, "no further thread for blocking work");
        }
    }
}

impl Drop for BlockingPool {
    fn drop(&mut self) {
        let jobs = {
            let mut queue = lock(&self.0.queue);
            queue.closed = true;
            std::mem::take(&mut queue.jobs)
        };
        drop(jobs);
        self.0.more.notify_all();
    }
}

impl fmt::Debug for BlockingPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingPool").field("most", &self.0.most).finish_non_exhaustive()
    }
}

/// Nothing that runs under these locks panics.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
