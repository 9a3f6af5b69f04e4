//! The core's io_uring, its epoll fallback and its wake-ups.
//!
//! A [`Park`] is what one core sleeps in. It owns the one io_uring that all drivers of the core share, or an epoll
//! where io_uring is forbidden or too old, and the event descriptor through which other threads wake the core.
//!
//! ```text
//!   Unparker::unpark (any thread, signal handler)          drivers: Ring::push(entry)     Park::watch(fd)
//!          │ swap NOTIFIED; eventfd if SLEEPING                  │                             │ armed only for a sleep
//!          ▼                                                     ▼                             ▼
//!   ┌─ Park ──────────────────────────────────────────────────────────────────────────────────────┐
//!   │ poll():  submit what is queued, run deferred work, dispatch completions to Handlers         │
//!   │ park():  AWAKE → SLEEPING, ask `still_idle`, sleep in one system call → AWAKE               │
//!   └─────────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! | what | where |
//! |---|---|
//! | the handshake between sleeper and wakers | `unpark.rs` |
//! | the ring: set-up, submission, one cheap look per idle turn | `ring.rs` |
//! | files and memory that the kernel was told of once | `registered.rs` |
//! | who gets which completion, and memory that must outlive an operation | `dispatch.rs` |
//! | descriptors that end a sleep | `watch.rs` (ring), `epoll.rs` |
//!
//! It deliberately knows nothing of sockets, tasks, timers or clocks: deadlines come in as the timeout of
//! [`Park::park`].

mod dispatch;
mod epoll;
mod registered;
mod ring;
mod sync;
mod unpark;
mod watch;

use std::{fmt, os::fd::RawFd, rc::Rc, time::Duration};

use hemi_queue::{Error, Progress, Result};

pub use dispatch::{Handler, HandlerId};
pub use ring::Ring;
pub use unpark::Unparker;

use dispatch::Handlers;
use epoll::Epoll;
use unpark::Sleeper;
use watch::Watches;

/// Which kernel facility a core sleeps in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// One io_uring, shared by all drivers of the core.
    Uring,
    /// An epoll: sleeping and descriptor readiness only; drivers bring their own system calls.
    Epoll,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uring => "io_uring",
            Self::Epoll => "epoll",
        })
    }
}

/// How a [`Park`] is made.
#[derive(Clone, Debug)]
pub struct ParkConfig {
    /// Insist on a backend; `None` takes io_uring, else epoll and says so once in the log.
    pub backend: Option<Backend>,
    /// Entries of the submission queue; a batch larger than this takes several system calls. Default: 512.
    pub submission_entries: u32,
    /// Entries of the completion queue. Default: 4096.
    pub completion_entries: u32,
}

impl Default for ParkConfig {
    fn default() -> Self {
        Self { backend: None, submission_entries: 512, completion_entries: 4096 }
    }
}

enum Kind {
    Uring { ring: Box<Ring>, watches: Watches },
    Epoll(Epoll),
}

/// What one core sleeps in, and the io_uring that its drivers share.
///
/// # How it is driven
/// By the executor, once per turn: [`poll`](Self::poll). When nothing is runnable and every reactor agreed:
/// [`park`](Self::park), then the next turn. By drivers: [`attach`](Self::attach) a [`Handler`], queue operations with
/// [`Ring::push`]; they are submitted together by the next `poll` or `park`, and their completions are dispatched by
/// `poll`. By reactors with [`Wakeup::Fd`](hemi_queue::Wakeup::Fd): [`watch`](Self::watch).
///
/// ```
/// use std::time::Duration;
/// use hemi_park::{Park, ParkConfig};
///
/// let park = Park::new(&ParkConfig::default())?;
/// let unparker = park.unparker();
/// let other = std::thread::spawn(move || unparker.unpark());
/// park.park(Some(Duration::from_secs(5)), || true); // ends with the wake, whichever comes first
/// park.poll();
/// # other.join().unwrap();
/// # Ok::<(), hemi_queue::Error>(())
/// ```
///
/// # When it is dropped
/// With operations in flight, it cancels them and waits for their last completions; a handler whose operations
/// cannot be cancelled in time is leaked rather than freed, because the device may still write to its memory.
pub struct Park {
    kind: Kind,
    handlers: Handlers,
    sleeper: Sleeper,
}

impl Park {
    /// Make the core's park. The io_uring belongs to the calling thread.
    pub fn new(config: &ParkConfig) -> Result<Rc<Self>> {
        let sleeper = Sleeper::new().map_err(|e| Error::io("eventfd", "", e))?;
        let kind = match config.backend {
            Some(Backend::Epoll) => Self::epoll(&sleeper)?,
            Some(Backend::Uring) => {
                Self::uring(config, &sleeper).map_err(|e| Error::io("io_uring_setup", "", e))?
            }
            None => match Self::uring(config, &sleeper) {
                Ok(kind) => kind,
                Err(why) => {
                    say_once(&why);
                    Self::epoll(&sleeper)?
                }
            },
        };
        Ok(Rc::new(Self { kind, handlers: Handlers::default(), sleeper }))
    }

    fn uring(config: &ParkConfig, sleeper: &Sleeper) -> std::io::Result<Kind> {
        let ring = Box::new(Ring::new(config.submission_entries, config.completion_entries)?);
        let watches = Watches::default();
        watches.add(sleeper.fd());
        Ok(Kind::Uring { ring, watches })
    }

    fn epoll(sleeper: &Sleeper) -> Result<Kind> {
        let epoll = Epoll::new().map_err(|e| Error::io("epoll_create1", "", e))?;
        epoll.watch(sleeper.fd()).map_err(|e| Error::io("epoll_ctl", "eventfd", e))?;
        Ok(Kind::Epoll(epoll))
    }

    /// What this core sleeps in.
    pub fn backend(&self) -> Backend {
        match self.kind {
            Kind::Uring { .. } => Backend::Uring,
            Kind::Epoll(_) => Backend::Epoll,
        }
    }

    /// The core's io_uring, when there is one.
    #[inline]
    pub fn ring(&self) -> Option<&Ring> {
        match &self.kind {
            Kind::Uring { ring, .. } => Some(ring),
            Kind::Epoll(_) => None,
        }
    }

    /// Submit what is queued, reap and dispatch completions, at most a burst of them. Never blocks. With nothing to do it
    /// is one memory read and no system call.
    #[inline]
    pub fn poll(&self) -> Progress {
        match &self.kind {
            Kind::Uring { ring, watches } => {
                if !ring.has_work() {
                    return Progress::Idle;
                }
                ring.turn(&self.handlers, watches)
            }
            Kind::Epoll(_) => Progress::Idle,
        }
    }

    /// Sleep until a completion, a watched descriptor, an [`Unparker::unpark`] or `timeout` (`None`: for ever).
    ///
    /// `still_idle` is asked after the core has announced that it sleeps: work that another thread handed over before
    /// that is seen by it, and whoever hands work over afterwards wakes the core. Returns early, also without a reason:
    /// the caller looks again. Completions are dispatched by the next [`poll`](Self::poll).
    pub fn park(&self, timeout: Option<Duration>, still_idle: impl FnOnce() -> bool) {
        if !self.sleeper.begin() {
            return;
        }
        if still_idle() && timeout != Some(Duration::ZERO) {
            match &self.kind {
                Kind::Uring { ring, watches } => ring.sleep(timeout, watches),
                Kind::Epoll(epoll) => epoll.sleep(timeout),
            }
        }
        self.sleeper.end();
    }

    /// A handle that wakes this core from any thread or from a signal handler.
    pub fn unparker(&self) -> Unparker {
        self.sleeper.unparker()
    }

    /// Let `fd` becoming readable end a sleep, until [`unwatch`](Self::unwatch). Watching costs nothing while awake.
    pub fn watch(&self, fd: RawFd) -> Result<()> {
        match &self.kind {
            Kind::Uring { watches, .. } => watches.add(fd),
            Kind::Epoll(epoll) => {
                epoll.watch(fd).map_err(|e| Error::io("epoll_ctl", "watched descriptor", e))?;
            }
        }
        Ok(())
    }

    /// Stop watching `fd`: before it is closed. Unknown descriptors are ignored.
    pub fn unwatch(&self, fd: RawFd) {
        match &self.kind {
            Kind::Uring { ring, watches } => watches.remove(fd, ring),
            Kind::Epoll(epoll) => epoll.unwatch(fd),
        }
    }

    /// Register a driver's completion handler. It is kept alive until it is [`detach`](Self::detach)ed **and** its last
    /// operation has completed, so memory that its operations use can live in it.
    pub fn attach(&self, handler: Rc<dyn Handler>) -> Result<HandlerId> {
        self.handlers.attach(handler).ok_or(Error::Busy)
    }

    /// Let go of a handler; completions of its operations go on to arrive there until the last one.
    pub fn detach(&self, id: HandlerId) {
        self.handlers.detach(id);
        self.handlers.sweep(|id| self.in_flight(id));
    }

    /// How many operations of `id` have not completed.
    pub fn in_flight(&self, id: HandlerId) -> usize {
        self.ring().map_or(0, |ring| ring.in_flight(id))
    }
}

impl Drop for Park {
    fn drop(&mut self) {
        if let Kind::Uring { ring, watches } = &self.kind
            && !ring.drain(&self.handlers, watches)
        {
            tracing::warn!("io_uring operations could not be cancelled; their memory is leaked");
            self.handlers.leak();
        }
    }
}

impl fmt::Debug for Park {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Park").field("backend", &self.backend()).finish_non_exhaustive()
    }
}

/// One line per process, however many cores fall back.
fn say_once(why: &std::io::Error) {
    static SAID: std::sync::Once = std::sync::Once::new();
    SAID.call_once(|| {
        let hint = match why.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => {
                "forbidden here: container profile or kernel.io_uring_disabled"
            }
            Some(libc::ENOSYS) => "this kernel has none",
            Some(libc::ENOMEM) => "the locked-memory limit is too low: raise `ulimit -l`",
            Some(libc::EOPNOTSUPP | libc::EINVAL) => "this kernel's is too old",
            _ => "unexpected",
        };
        tracing::warn!(error = %why, "no io_uring ({hint}); using epoll instead");
    });
}

#[cfg(test)]
mod tests;
