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
//! 6. `abort` exchanges the slot's poll function for `cancel` and queues it: the hot path has no "aborted?" branch.
//! 7. The future is dropped before its outcome is published; the outcome takes its place.
//! 8. The generation in the slot's word moves on, so that wakers of this life match nothing.
//!
//! What it deliberately leaves out: work stealing, priorities, task-local storage, and `Send` futures. Cores share
//! nothing; they talk through [`crate::cross`]. What runs between batches (devices, timers, sleep) is in `turn.rs`.

#![allow(unsafe_code)]

mod arena;
mod cell;
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
mod yield_now;

use std::{
    future::Future,
    panic::Location,
    ptr,
    sync::atomic::Ordering,
    task::{Context, Waker},
};

pub use idle::Idle;
pub(crate) use idle::{Spin, Verdict};
pub use join::{JoinError, JoinHandle};
pub(crate) use remote::Remote;
pub use yield_now::{YieldNow, yield_now};

use cell::Header;
use hemi_queue::Error;
use slots::Slots;

use crate::context;

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

    /// The half that other threads see.
    pub(crate) fn remote(&self) -> &'static Remote {
        self.remote
    }

    /// How many tasks have not ended, roots included.
    pub(crate) fn live(&self) -> usize {
        self.slots.taken() as usize
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
        let (task, poll) = cell::create(self, future, spawned_at);
        // SAFETY: just created, with a handle; polled by this executor only.
        unsafe {
            match self.slots.take(task.as_ptr(), poll) {
                Some(slot) => Header::set_slot(task, slot),
                None => self.refuse(task.as_ptr()),
            }
            JoinHandle::new(task)
        }
    }

    /// No slot is left, or the executor has ended: the task is cancelled before it begins.
    ///
    /// # Safety
    /// `task` is a new cell with a handle.
    #[cold]
    #[inline(never)]
    unsafe fn refuse(&self, task: *const Header) {
        if !self.slots.is_closed() {
            tracing::error!("2^24 tasks are alive: a new one was cancelled; await some of them first");
        }
        // SAFETY: by contract.
        unsafe { cancel(task) };
    }

    /// Poll queued tasks, oldest first, until none is queued or `budget` polls are done. How many that were.
    #[inline]
    pub(crate) fn run(&self, budget: u32) -> u32 {
        let running = &self.remote.beat.running;
        let mut polls = 0;
        while polls < budget {
            let Some((slot, name)) = self.slots.pop() else { break };
            let at = self.slots.at(slot);
            let (task, poll) = (at.task.get(), at.poll.get());
            // SAFETY: a queued slot holds a task that is not DONE and the function that polls it, or a tombstone.
            unsafe {
                running.store(ptr::from_ref((*task).spawned_at).cast_mut(), Ordering::Relaxed);
                let waker = waker::waker(name);
                if poll(task, &mut Context::from_waker(&waker)) {
                    self.slots.retire(slot, name);
                }
            }
            polls += 1;
        }
        running.store(ptr::null_mut(), Ordering::Relaxed);
        polls
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
        self.remote.inbox.drain(self.slots.used(), |slot| self.slots.wake_slot(slot));
    }

    /// End the task in `slot` when its turn comes.
    fn abort(&self, slot: u32) {
        let at = self.slots.at(slot);
        // SAFETY: the caller knows that the slot's task is not DONE.
        at.poll.set(unsafe { (*at.task.get()).canceller() });
        self.slots.wake_slot(slot);
    }

    /// Cancel every task and refuse new ones. No task is armed any more when the first future is dropped: one future's
    /// drop may wake another task.
    pub(crate) fn close(&self) {
        self.slots.close();
        for index in 1..self.slots.used() {
            let task = self.slots.vacate(index);
            if !task.is_null() {
                // SAFETY: a slot's task is not DONE; nothing polls it, because a runtime that runs is not closed.
                unsafe { cancel(task) };
            }
        }
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
    let spawned_at = Location::caller();
    match context::with(|core| core.exec.spawn(future, spawned_at)) {
        Ok(handle) => handle,
        Err(e) => panic!("hemi::spawn: {e}"),
    }
}
