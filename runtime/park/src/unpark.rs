//! The handshake between the one that sleeps and those who wake it.
//!
//! ```text
//!              begin (1)                     unpark (3)
//!    AWAKE ───────────────► SLEEPING ──────────────────────► NOTIFIED + eventfd write
//!      ▲  ▲                     │ end (2)                        │ end (2)
//!      │  └─────────────────────┘◄───────────────────────────────┘
//!      │ begin refuses (1)
//!   NOTIFIED ◄── unpark (3) ── AWAKE
//! ```
//! All transitions are read-modify-writes of one word, hence totally ordered: an `unpark` either comes before `begin`, which then
//! refuses to sleep and sees everything the waker wrote before; or after it, finds SLEEPING, and writes the event
//! descriptor. So a wake is never lost, and costs one atomic while the core is awake.

use std::{
    fmt, io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    sync::Arc,
};

use crate::sync::{AtomicU8, Ordering};

const AWAKE: u8 = 0;
const SLEEPING: u8 = 1;
const NOTIFIED: u8 = 2;

/// The word that sleeper and wakers share; apart from the descriptor so that loom can check it.
pub(crate) struct Handshake(AtomicU8);

impl Handshake {
    pub(crate) fn new() -> Self {
        Self(AtomicU8::new(AWAKE))
    }

    /// (1) Announce the sleep. False: somebody notified since the last sleep, which is now consumed; look for work.
    #[inline]
    pub(crate) fn begin(&self) -> bool {
        if self.0.compare_exchange(AWAKE, SLEEPING, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            return true;
        }
        self.0.swap(AWAKE, Ordering::AcqRel);
        false
    }

    /// (2) Awake again. True: somebody notified during the sleep, and wrote or is about to write the descriptor.
    #[inline]
    pub(crate) fn end(&self) -> bool {
        self.0.swap(AWAKE, Ordering::AcqRel) == NOTIFIED
    }

    /// (3) Notify. True: the other side sleeps, the descriptor must be written.
    #[inline]
    pub(crate) fn notify(&self) -> bool {
        self.0.swap(NOTIFIED, Ordering::AcqRel) == SLEEPING
    }
}

struct Shared {
    state: Handshake,
    event: OwnedFd,
}

/// The sleeping side.
pub(crate) struct Sleeper(Arc<Shared>);

impl Sleeper {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the result is checked.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a descriptor just made, owned by nobody else.
        let event = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self(Arc::new(Shared { state: Handshake::new(), event })))
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.0.event.as_raw_fd()
    }

    pub(crate) fn begin(&self) -> bool {
        self.0.state.begin()
    }

    pub(crate) fn end(&self) {
        if self.0.state.end() {
            let mut count = 0_u64;
            // SAFETY: reads 8 bytes into a local. EAGAIN (the waker has not written yet) costs one early return later.
            unsafe { libc::read(self.fd(), (&raw mut count).cast(), 8) };
        }
    }

    pub(crate) fn unparker(&self) -> Unparker {
        Unparker(Arc::clone(&self.0))
    }
}

/// Wakes a core that sleeps in [`Park::park`](crate::Park::park): from any thread, from a signal handler, also after the
/// park is gone (then it does nothing).
///
/// One atomic swap while the core is awake, one `write` when it sleeps. A wake before the sleep is remembered once.
#[derive(Clone)]
pub struct Unparker(Arc<Shared>);

impl Unparker {
    /// Wake the core, or keep it from falling asleep.
    #[inline]
    pub fn unpark(&self) {
        if self.0.state.notify() {
            self.write();
        }
    }

    #[cold]
    fn write(&self) {
        let one = 1_u64;
        // SAFETY: errno is a thread-local int; kept for the code that a signal handler interrupted.
        let errno = unsafe { *libc::__errno_location() };
        // SAFETY: writes 8 bytes from a local. It cannot fail but by a full counter, and then the sleeper is woken already.
        unsafe { libc::write(self.0.event.as_raw_fd(), (&raw const one).cast(), 8) };
        // SAFETY: as above.
        unsafe { *libc::__errno_location() = errno };
    }
}

impl fmt::Debug for Unparker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unparker").finish_non_exhaustive()
    }
}

#[cfg(all(test, loom))]
mod loom {
    use ::loom::{
        sync::{
            Arc, Condvar, Mutex,
            atomic::{AtomicBool, Ordering},
        },
        thread,
    };

    use super::Handshake;

    struct World {
        state: Handshake,
        inbox: AtomicBool,
        event: Mutex<u32>,
        written: Condvar,
    }

    /// The sleeper must see the item, whatever the order: else it blocks for ever, which loom reports as a deadlock.
    #[test]
    fn no_wake_is_lost() {
        let mut model = ::loom::model::Builder::new();
        model.preemption_bound = Some(3); // covers every pair of transitions, in seconds
        model.check(|| {
            let world = Arc::new(World {
                state: Handshake::new(),
                inbox: AtomicBool::new(false),
                event: Mutex::new(0),
                written: Condvar::new(),
            });
            let wakers: Vec<_> = (0..2)
                .map(|i| {
                    let world = Arc::clone(&world);
                    thread::spawn(move || {
                        if i == 0 {
                            world.inbox.store(true, Ordering::Relaxed);
                        }
                        if world.state.notify() {
                            *world.event.lock().unwrap() += 1;
                            world.written.notify_one();
                        }
                    })
                })
                .collect();
            while !world.inbox.load(Ordering::Relaxed) {
                if world.state.begin() {
                    if !world.inbox.load(Ordering::Relaxed) {
                        let mut count = world.event.lock().unwrap();
                        while *count == 0 {
                            count = world.written.wait(count).unwrap();
                        }
                    }
                    if world.state.end() {
                        *world.event.lock().unwrap() = 0;
                    }
                }
            }
            for w in wakers {
                w.join().unwrap();
            }
        });
    }
}
