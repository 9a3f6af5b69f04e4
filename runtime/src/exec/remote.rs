//! The half of an executor that other threads see, found by the executor's number.
//!
//! A waker may outlive its executor by any time, on any thread, and holds no count of anything. So a [`Remote`] is never
//! freed: when its executor ends, it goes back to the list of numbers for the next one. A wake that comes too late sets a
//! bit in whoever has the number then, which is one spurious poll at most. There are as many as there were executors
//! at once.

use std::{
    panic::Location,
    ptr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicPtr, AtomicU64, Ordering},
    },
};

use hemi_park::Unparker;

use super::{inbox::Inbox, name, slots::Slots};

/// What the watchdog looks at. On its own cache line: written at every poll.
#[repr(align(64))]
pub(crate) struct Beat {
    /// Where the task that is being polled was spawned; null between polls.
    pub(crate) running: AtomicPtr<Location<'static>>,
    /// Counts turns.
    pub(crate) turns: AtomicU64,
}

impl Beat {
    /// A turn has begun. One thread counts: no read-modify-write.
    #[inline]
    pub(crate) fn turn(&self) {
        self.turns.store(self.turns.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }
}

/// What other threads use of an executor.
pub(crate) struct Remote {
    id: u16,
    pub(super) inbox: Inbox,
    pub(crate) beat: Beat,
    /// Set while an executor has this number.
    unparker: Mutex<Option<Unparker>>,
    /// How many executors had this number.
    lives: AtomicU64,
    /// The slots of the executor that has this number, for use on its own thread; null when none has.
    slots: AtomicPtr<Slots>,
}

static TABLE: [AtomicPtr<Remote>; 1 << 16] = [const { AtomicPtr::new(ptr::null_mut()) }; 1 << 16];

struct Numbers {
    unused: Vec<&'static Remote>,
    next: u32,
}

static NUMBERS: Mutex<Numbers> = Mutex::new(Numbers { unused: Vec::new(), next: 1 });

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Remote {
    /// A number for a new executor; `None` when 65,535 are in use.
    pub(super) fn acquire() -> Option<&'static Self> {
        let mut numbers = lock(&NUMBERS);
        if let Some(remote) = numbers.unused.pop() {
            remote.lives.fetch_add(1, Ordering::Relaxed);
            return Some(remote);
        }
        let id = u16::try_from(numbers.next).ok()?;
        numbers.next += 1;
        let remote: &'static Self = Box::leak(Box::new(Self {
            id,
            inbox: Inbox::new(name::MAX_SLOTS),
            beat: Beat { running: AtomicPtr::new(ptr::null_mut()), turns: AtomicU64::new(0) },
            unparker: Mutex::new(None),
            lives: AtomicU64::new(0),
            slots: AtomicPtr::new(ptr::null_mut()),
        }));
        TABLE[usize::from(id)].store(ptr::from_ref(remote).cast_mut(), Ordering::Release);
        Some(remote)
    }

    /// The executor is gone; its number may be given out again.
    pub(super) fn release(&'static self) {
        *lock(&self.unparker) = None;
        self.slots.store(ptr::null_mut(), Ordering::Relaxed);
        self.inbox.drain(name::MAX_SLOTS as u32, |_| {});
        lock(&NUMBERS).unused.push(self);
    }

    pub(super) fn id(&self) -> u16 {
        self.id
    }

    pub(super) fn lives(&self) -> u64 {
        self.lives.load(Ordering::Relaxed)
    }

    /// Where the executor's slots are from now on.
    pub(super) fn set_slots(&self, slots: &Slots) {
        self.slots.store(ptr::from_ref(slots).cast_mut(), Ordering::Relaxed);
    }

    /// How to end the executor's sleep.
    pub(crate) fn set_unparker(&self, unparker: Unparker) {
        *lock(&self.unparker) = Some(unparker);
    }

    /// End the executor's sleep, or keep it from the next.
    pub(crate) fn unpark(&self) {
        if let Some(unparker) = &*lock(&self.unparker) {
            unparker.unpark();
        }
    }

    /// Whether wakes wait in the inbox.
    #[inline]
    pub(crate) fn is_pending(&self) -> bool {
        self.inbox.is_pending()
    }
}

/// Wake by name from a thread on which the named executor does not run.
pub(super) fn wake(name: u64) {
    let remote = TABLE[usize::from(name::executor(name))].load(Ordering::Acquire);
    // SAFETY: the table holds null and pointers to leaked boxes.
    let Some(remote) = (unsafe { remote.as_ref() }) else { return };
    if remote.inbox.set(name::slot(name)) {
        remote.unpark();
    }
}

/// End the task called `name` when its turn comes.
///
/// # Safety
/// The task is not DONE, and its executor, which therefore has not ended, is one of this thread's.
pub(super) unsafe fn abort(name: u64) {
    let remote = TABLE[usize::from(name::executor(name))].load(Ordering::Relaxed);
    // SAFETY: by contract there is a remote, and slots that stay where they are while their executor has tasks; null
    // before the executor is `placed`.
    unsafe {
        if let Some(slots) = (*remote).slots.load(Ordering::Relaxed).as_ref() {
            slots.abort(name);
        }
    }
}
