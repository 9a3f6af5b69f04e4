//! The executor: tasks whose wakers are names.
//!
//! # The life of a task
//!
//! ```text
//!                    1 spawn
//!                       │          ┌──────────── 4 a wake: the waker's name equals the slot's word ◄── 3 ──┐
//!                       ▼          ▼                                                                       │
//!   (free slot) ──► QUEUED ──────────── 2 Exec::run pops it, arms the slot, polls ──► ARMED (polled, then waiting)
//!        ▲             │ 2                                                                │
//!        │             │                                                                  │ 5 the future is ready, panicked,
//!        │             └─ 6 abort, or the executor's end: polled by `cancel`              │   or 6 was cancelled
//!        │                                                                                ▼
//!        └──────── 8 Slots::retire ◄──────────── 7 cell::finish: outcome stored, the joiner woken: DONE
//!                    (at once, or when a slot that was queued meanwhile comes out of the list)
//!
//!   cell: allocated by 1; freed by 7 if the JoinHandle is gone, else by the JoinHandle's drop
//! ```
//! 1. `Exec::spawn` writes header and future into one block of the arena, takes a slot and queues it. The slot's word
//!    has no executor field: it is nobody's name, so a wake finds it "queued already".
//! 2. `Exec::run` takes the oldest queued slot. From here a wake matches again, so a wake during the poll queues the
//!    task anew.
//! 3. A waker is the name itself; cloning and dropping it does nothing.
//! 4. On the executor's thread a wake is one comparison and an append ([`slots`]); from another thread, or from inside
//!    another executor, it is a bit in the [`inbox`] of [`remote`], and an unpark if the core sleeps.
//! 5. The poll function knows the future's type. Panics end there, as the outcome.
//! 6. `abort` exchanges the task's poll function for `cancel` and queues it: the hot path has no "aborted?" branch.
//! 7. The future is dropped before its outcome is published; the outcome takes its place.
//! 8. The generation in the slot's word moves on, so that wakers of this life match nothing.
//!
//! What it deliberately leaves out: work stealing, priorities, task-local storage, and `Send` futures. Cores share
//! nothing; they talk through [`crate::cross`]. What runs between batches (devices, timers, sleep) is in `turn.rs`.

#![allow(unsafe_code)]

mod alarm;
mod arena;
mod blocking;
mod cell;
pub(crate) mod cross;
pub(crate) mod current;
mod idle;
mod inbox;
mod join;
mod name;
mod remote;
mod root;
mod slots;
mod sync;
mod waker;
pub(crate) mod watchdog;
mod yield_now;

use std::{
    future::Future,
    panic::Location,
    ptr::{self, NonNull},
    sync::atomic::Ordering,
    task::{Context, Waker},
};

pub(crate) use alarm::{Alarm, Alarms};
pub(crate) use blocking::BlockingPool;
pub use blocking::spawn_blocking;
pub use idle::Idle;
pub(crate) use idle::{Spin, Verdict};
pub use join::{JoinError, JoinHandle};
pub(crate) use remote::Remote;
pub use yield_now::{YieldNow, yield_now};

use cell::Header;
use hemi_queue::Error;
use slots::Slots;

/// The tasks of one core.
pub(crate) struct Exec {
    slots: Slots,
    remote: &'static Remote,
}

impl Exec {
    pub(crate) fn new() -> Result<Self, Error> {
        let remote = Remote::acquire().ok_or(Error::Busy)?;
        Ok(Self { slots: Slots::new(remote.id(), remote.lives()), remote })
    }

    /// The executor is where it will stay until it ends.
    pub(crate) fn placed(&self) {
        self.remote.set_slots(&self.slots);
    }

    /// The half that other threads see.
    pub(crate) fn remote(&self) -> &'static Remote {
        self.remote
    }

    /// How many tasks have not ended, roots included.
    pub(crate) fn live(&self) -> usize {
        self.slots.tasks().len()
    }

    /// Whether a task is queued.
    #[inline]
    pub(crate) fn has_ready(&self) -> bool {
        self.slots.has_ready()
    }

    /// Make a task of `future` and queue it.
    #[inline]
    pub(crate) fn spawn<F: Future + 'static>(
        &self,
        future: F,
        spawned_at: &'static Location<'static>,
    ) -> JoinHandle<F::Output> {
        // SAFETY: the cell is new and has a handle; from here on its executor polls it, and nobody else.
        unsafe {
            let Some(vacancy) = self.slots.take() else {
                // Moved first: a future whose address an outlined function gets is built in memory, and then copied.
                let mut future = Some(future);
                return self.refuse(&mut future, spawned_at);
            };
            let task = cell::create(&self.slots.arena, future, vacancy.name);
            vacancy.fill(task.as_ptr(), spawned_at);
            JoinHandle::new(task)
        }
    }

    /// No slot is left, or the executor has ended: the task is cancelled before it begins.
    #[cold]
    #[inline(never)]
    fn refuse<F: Future + 'static>(
        &self,
        future: &mut Option<F>,
        at: &'static Location<'static>,
    ) -> JoinHandle<F::Output> {
        if !self.slots.is_closed() {
            tracing::error!(
                "2^24 tasks are alive: the one spawned at {at} was cancelled; await some of them first"
            );
        }
        let future = future.take().expect("the caller has put it there");
        let task = cell::create(&self.slots.arena, future, 0);
        // SAFETY: a new cell with a handle, in no slot.
        unsafe {
            cancel(task.as_ptr());
            JoinHandle::new(task)
        }
    }

    /// Poll queued tasks, oldest first, until none is queued or `budget` polls are done. How many that were.
    #[inline(never)]
    pub(crate) fn run(&self, budget: u32) -> u32 {
        let running = &self.remote.beat.running;
        let mut left = budget;
        'turn: while let Some((mut at, last)) = self.slots.take_ready() {
            loop {
                let slot = self.slots.at(at);
                let (task, next) = (slot.task.get(), Slots::next(slot));
                running.store(ptr::from_ref(slot.spawned_at.get()).cast_mut(), Ordering::Relaxed);
                // SAFETY: a queued slot holds a task that is not DONE, or a tombstone. The waker is used during the poll only,
                // while the cell is alive.
                unsafe {
                    let waker = Header::waker(task);
                    slot.armed.set(waker::name(waker));
                    if ((*task).poller())(task, &mut Context::from_waker(waker)) {
                        self.slots.retire(at);
                    }
                }
                left -= 1;
                if left == 0 {
                    if at != last {
                        self.slots.put_back(next, last);
                    }
                    break 'turn;
                }
                if at == last {
                    break;
                }
                at = next;
            }
        }
        running.store(ptr::null_mut(), Ordering::Relaxed);
        budget - left
    }

    /// Take the wakes of other threads out of the inbox.
    #[inline]
    pub(crate) fn collect_remote(&self) {
        if self.remote.is_pending() {
            self.drain_inbox();
        }
    }

    #[cold]
    #[inline(never)]
    fn drain_inbox(&self) {
        self.remote.inbox.drain(self.slots.used(), |index| self.slots.wake_index(index));
    }

    /// Cancel every task and refuse new ones. No task is armed any more when the first future is dropped: one future's
    /// drop may wake another task.
    pub(crate) fn close(&self) {
        for task in self.slots.close() {
            // SAFETY: a slot's task is not DONE, and only its end could free the cell; nothing polls it, because a runtime
            // that runs is not closed.
            unsafe { cancel(task.as_ptr()) };
        }
    }

    /// The tasks that users spawned and that have not ended, without the one that `caller` wakes.
    fn others(&self, caller: &Waker) -> Vec<NonNull<Header>> {
        let caller = if waker::is_name(caller) { waker::name(caller) } else { 0 };
        let mut tasks = self.slots.tasks();
        // SAFETY: tasks in slots are live.
        tasks.retain(|task| unsafe {
            !Header::is_internal(*task) && waker::name(Header::waker(task.as_ptr())) != caller
        });
        tasks
    }

    /// How many tasks have not ended, without the caller's, the roots and the runtime's own. Takes time proportional to
    /// the most tasks there ever were.
    pub(crate) fn count_others(&self, caller: &Waker) -> usize {
        self.others(caller).len()
    }

    /// Abort those. How many that were.
    pub(crate) fn abort_others(&self, caller: &Waker) -> usize {
        let others = self.others(caller);
        for task in &others {
            // SAFETY: live and not DONE: nothing runs between the look and this.
            unsafe { self.slots.abort(waker::name(Header::waker(task.as_ptr()))) };
        }
        others.len()
    }

    /// As [`spawn`](Self::spawn), for the runtime's own tasks: nobody awaits them and a drain leaves them alone.
    pub(crate) fn spawn_internal(
        &self,
        future: impl Future<Output = ()> + 'static,
        at: &'static Location<'static>,
    ) {
        self.spawn(future, at).set_internal();
    }
}

/// # Safety
/// `task` is a live cell that is not DONE and not being polled.
unsafe fn cancel(task: *const Header) {
    // SAFETY: by contract.
    unsafe { ((*task).canceller())(task, &mut Context::from_waker(Waker::noop())) };
}

impl Drop for Exec {
    fn drop(&mut self) {
        self.close();
        self.remote.release();
    }
}

/// Run `future` as a task of this thread's runtime, beginning with the next batch.
///
/// # Panics
/// When no runtime runs on this thread.
#[inline]
#[track_caller]
pub fn spawn<F: Future + 'static>(future: F) -> JoinHandle<F::Output> {
    match current::get() {
        Some(core) => core.exec.spawn(future, Location::caller()),
        None => panic!("hemi::spawn: {}", Error::NoRuntime),
    }
}
