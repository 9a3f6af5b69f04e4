//! Wakers that are names.
//!
//! The data word of the `RawWaker` is the name itself, never dereferenced. Clone and drop do nothing; a wake compares the
//! name with the word in its slot: equal means "this executor, this task, not queued yet", all at once.

use std::{
    cell::Cell,
    mem::ManuallyDrop,
    ptr,
    task::{RawWaker, RawWakerVTable, Waker},
};

use super::{remote, slots::Slots};

#[cfg(not(target_pointer_width = "64"))]
compile_error!("a waker's data word is a 64-bit name: hemi needs a 64-bit target");

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake, drop_name);

thread_local! {
    /// The slots of the executor whose turn runs on this thread; else an array in which every name is a stranger.
    static CURRENT: Cell<*const Slots> = const { Cell::new(Slots::nobody()) };
}

/// Make `slots` those of this thread until the guard is dropped. The caller keeps them alive so long.
pub(super) fn enter(slots: &Slots) -> Entered {
    Entered { previous: CURRENT.replace(slots) }
}

/// The slots of this thread; alive while their executor is entered.
#[inline(always)]
pub(super) fn current() -> *const Slots {
    CURRENT.get()
}

/// Restores the executor that was current before.
pub(crate) struct Entered {
    previous: *const Slots,
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.previous);
    }
}

/// The waker that is `name`. Nothing to drop.
#[inline(always)]
pub(super) const fn waker(name: u64) -> ManuallyDrop<Waker> {
    let data = ptr::without_provenance(name as usize);
    // SAFETY: the vtable's functions treat the data as a number, so they are safe on every thread at any time.
    ManuallyDrop::new(unsafe { Waker::from_raw(RawWaker::new(data, &VTABLE)) })
}

/// Whether `waker` is a name of ours.
#[inline(always)]
pub(super) fn is_name(waker: &Waker) -> bool {
    ptr::eq(waker.vtable(), &raw const VTABLE)
}

/// 0 for a name of ours, anything else for another waker: to be put together with other conditions.
#[inline(always)]
pub(super) fn strangeness(waker: &Waker) -> usize {
    ptr::from_ref(waker.vtable()).addr() ^ (&raw const VTABLE).addr()
}

/// Wake the task called `name`; 0 is nobody.
#[inline(always)]
pub(super) fn wake_name(name: u64) {
    if name != 0 {
        // SAFETY: the function treats the data as a number.
        unsafe { wake(ptr::without_provenance(name as usize)) }
    }
}

/// End the task whose poll is going on and whose waker this is, when its turn comes again.
pub(super) fn abort_task(waker: &Waker) {
    if is_name(waker) {
        // SAFETY: a task in its poll is not DONE, and its executor runs on this thread.
        unsafe { remote::abort(name(waker)) }
    }
}

/// The same as a pointer to nothing, for a word that may also point to a waker.
#[inline(always)]
pub(super) fn name_as_pointer(waker: &Waker) -> *mut Waker {
    waker.data().cast_mut().cast()
}

/// The name that a waker made by [`waker`] is.
#[inline(always)]
pub(super) fn name(waker: &Waker) -> u64 {
    waker.data().addr() as u64
}

unsafe fn clone(data: *const ()) -> RawWaker {
    RawWaker::new(data, &VTABLE)
}

unsafe fn drop_name(_: *const ()) {}

unsafe fn wake(data: *const ()) {
    let name = data.addr() as u64;
    // SAFETY: `CURRENT` is the static array or that of an executor that is entered on this thread, hence alive.
    let slots = unsafe { &*CURRENT.get() };
    if !slots.wake(name) {
        elsewhere(name, slots);
    }
}

/// The name is not armed here: queued already, stale, or of another executor.
#[inline(never)]
fn elsewhere(name: u64, here: &Slots) {
    if !here.owns(name) {
        remote::wake(name);
    }
}
