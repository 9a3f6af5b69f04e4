//! A task's memory: header, then the future, later its outcome in the same place.
//!
//! Read the life cycle in the module above first. Everything here runs on the executor's thread, and goes through raw
//! pointers that cover the whole cell, because a cell may be freed in the middle of a function. It is freed by whoever
//! comes last: the end of the task when its handle is gone, else the handle.

use std::{
    alloc::Layout,
    any::Any,
    cell::{Cell, UnsafeCell},
    future::Future,
    mem::ManuallyDrop,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    ptr::{self, NonNull},
    task::{Context, Poll, Waker},
};

use super::{
    arena::{Arena, BlockKind, Class},
    join::JoinError,
    remote, waker,
};

/// Polls whatever a header belongs to. `true`: it has ended, its slot is free to go.
pub(super) type PollFn = unsafe fn(*const Header, &mut Context<'_>) -> bool;

/// The task has ended; with a handle, the stage is its outcome.
const DONE: u8 = 1;
/// A `JoinHandle` exists.
const HANDLE: u8 = 2;
/// One of the runtime's own: the root, a pump.
const INTERNAL: u8 = 4;
/// Who awaits the handle has a waker that is no name.
const FOREIGN: u8 = 8;

/// What is known of a task without knowing its future. Small, so that a task with little to keep is one cache line.
#[repr(C)]
pub(super) struct Header {
    /// Its name, as the waker that it is polled with.
    waker: ManuallyDrop<Waker>,
    vtable: Cell<&'static Vtable>,
    /// Who awaits the handle: a name (0 is nobody), or with `FOREIGN` a box.
    joiner: Cell<*mut Waker>,
    state: Cell<u8>,
    /// What kind of block the cell is.
    class: Class,
}

/// What is known of a future's type.
pub(super) struct Vtable {
    poll: PollFn,
    /// End the task: its outcome is `Cancelled`.
    cancel: PollFn,
    /// The same, but a poll is a `cancel`: what an aborted task has. None if this is it.
    aborted: Option<&'static Vtable>,
    /// Drop the outcome in the stage.
    drop_outcome: unsafe fn(*const Header),
    block: BlockKind,
}

impl Vtable {
    /// Of something without a cell, which ends when `poll` says so, or by being aborted.
    pub(super) const fn headless(poll: PollFn) -> Self {
        static ABORTED: Vtable = Vtable::new(|_, _| true, |_, _| true, |_| {}, BlockKind::NONE, None);
        Self::new(poll, |_, _| true, |_| {}, BlockKind::NONE, Some(&ABORTED))
    }

    const fn new(
        poll: PollFn,
        cancel: PollFn,
        drop_outcome: unsafe fn(*const Header),
        block: BlockKind,
        aborted: Option<&'static Self>,
    ) -> Self {
        Self { poll, cancel, aborted, drop_outcome, block }
    }
}

/// Where the stage of a cell is, unless it holds something that is aligned more.
const STAGE: usize = 40;

/// Where the stage of every cell is whose outcome is a `T`, whatever future it holds: a handle knows no more than the type
/// of the outcome.
const fn stage_of<T>() -> usize {
    STAGE.next_multiple_of(align_of::<Result<T, JoinError>>())
}

const _: () = assert!(size_of::<Header>() <= STAGE);

#[repr(C, align(64))]
struct TaskCell<F: Future> {
    header: Header,
    stage: UnsafeCell<Stage<F>>,
}

/// The future until the task is `DONE`, then its outcome. Both begin at the same address.
#[repr(C)]
union Stage<F: Future> {
    future: ManuallyDrop<F>,
    outcome: ManuallyDrop<Result<F::Output, JoinError>>,
}

impl<F: Future + 'static> TaskCell<F> {
    const BLOCK: BlockKind = BlockKind::of(Layout::new::<Self>());
    const ABORTED: Vtable = Vtable::new(cancel::<F>, cancel::<F>, drop_outcome::<F>, Self::BLOCK, None);
    const VTABLE: Vtable =
        Vtable::new(poll::<F>, cancel::<F>, drop_outcome::<F>, Self::BLOCK, Some(&Self::ABORTED));

    /// A future that must be aligned more than the outcome would shift the stage; it is boxed instead.
    const FITS: bool = std::mem::offset_of!(Self, stage) == stage_of::<F::Output>();

    /// # Safety
    /// `task` is a live cell of `F`.
    #[inline(always)]
    unsafe fn stage(task: *const Header) -> *mut Stage<F> {
        // SAFETY: by contract.
        unsafe { UnsafeCell::raw_get(&raw const (*task.cast::<Self>()).stage) }
    }
}

impl Header {
    /// The header of what has no cell: the root of `block_on`, and slots that wait to be freed.
    ///
    /// A slot is armed with the name in its header, so that of a tombstone must not match anybody's: no executor.
    pub(super) const fn headless(name: u64, vtable: &'static Vtable) -> Self {
        Self {
            waker: waker::waker(name),
            vtable: Cell::new(vtable),
            joiner: Cell::new(ptr::null_mut()),
            state: Cell::new(DONE | INTERNAL),
            class: vtable.block.class(),
        }
    }
}

/// The name of no task: what a tombstone arms its slot with.
pub(super) const TOMBSTONE_NAME: u64 = 0;

struct Tombstone(Header);
// SAFETY: never written to: whoever meets it polls it, which does nothing, and compares its address.
unsafe impl Sync for Tombstone {}

/// What stands in a slot whose task ended while it was queued.
pub(super) fn tombstone() -> *const Header {
    static REAP: Vtable = Vtable::headless(|_, _| true);
    static TOMBSTONE: Tombstone = Tombstone(Header::headless(TOMBSTONE_NAME, &REAP));
    &raw const TOMBSTONE.0
}

/// Make a cell for `future`, with a handle.
#[inline(always)]
pub(super) fn create<F: Future + 'static>(arena: &Arena, future: F, name: u64) -> NonNull<Header> {
    if const { TaskCell::<F>::FITS } {
        create_in_place(arena, future, name)
    } else {
        create_in_place(arena, Box::pin(future), name)
    }
}

#[inline(always)]
fn create_in_place<F: Future + 'static>(arena: &Arena, future: F, name: u64) -> NonNull<Header> {
    let block = const { TaskCell::<F>::BLOCK };
    let cell = arena.alloc(block).cast::<TaskCell<F>>();
    let header = Header {
        waker: waker::waker(name),
        vtable: Cell::new(const { &TaskCell::<F>::VTABLE }),
        joiner: Cell::new(ptr::null_mut()),
        state: Cell::new(HANDLE),
        class: block.class(),
    };
    // SAFETY: a fresh block with the layout of the cell.
    unsafe {
        (&raw mut (*cell.as_ptr()).header).write(header);
        TaskCell::<F>::stage(cell.as_ptr().cast()).cast::<F>().write(future);
    }
    cell.cast()
}

/// How far one poll came, for what has to be done if it panicked there.
#[derive(Clone, Copy)]
enum Reached {
    Poll,
    FutureDropped,
    Finished,
}

/// # Safety
/// `task` is a live cell of `F` that is not `DONE`, polled by its executor only. After `true` it must not be used.
unsafe fn poll<F: Future + 'static>(task: *const Header, cx: &mut Context<'_>) -> bool {
    // SAFETY: by contract.
    let stage = unsafe { TaskCell::<F>::stage(task) };
    let mut reached = Reached::Poll;
    let polled = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: not DONE, so the stage is the future, which stays where it is until it is dropped here.
        let future = unsafe { Pin::new_unchecked(&mut *(*stage).future) };
        let Poll::Ready(output) = future.poll(cx) else { return false };
        reached = Reached::FutureDropped;
        // SAFETY: the stage is the future, not used any more.
        unsafe { ManuallyDrop::drop(&mut (*stage).future) };
        reached = Reached::Finished;
        // SAFETY: the stage is vacant.
        unsafe { finish::<F>(task, Ok(output)) };
        true
    }));
    match polled {
        Ok(ended) => ended,
        Err(panic) => {
            // SAFETY: as above.
            unsafe { panicked::<F>(task, reached, panic) };
            true
        }
    }
}

/// The future, its drop, the drop of an outcome nobody wanted, or the waker of the handle panicked.
///
/// # Safety
/// As [`poll`]; the stage is the future if `Poll` was reached, else vacant; the cell is gone if `Finished` was.
#[cold]
#[inline(never)]
unsafe fn panicked<F: Future + 'static>(task: *const Header, reached: Reached, panic: Box<dyn Any + Send>) {
    if matches!(reached, Reached::Finished) {
        return quietly(|| drop(panic));
    }
    if matches!(reached, Reached::Poll) {
        // SAFETY: the stage is the future by contract, and not used afterwards.
        quietly(|| unsafe { ManuallyDrop::drop(&mut (*TaskCell::<F>::stage(task)).future) });
    }
    // SAFETY: vacant now.
    quietly(|| unsafe { finish::<F>(task, Err(JoinError::Panicked(panic))) });
}

/// Store the outcome for the handle and tell who waits for it; without a handle, drop it and free the cell.
///
/// # Safety
/// The cell is live and its stage is vacant. It must not be used afterwards.
#[inline(always)]
unsafe fn finish<F: Future + 'static>(task: *const Header, outcome: Result<F::Output, JoinError>) {
    // SAFETY: vacant by contract.
    unsafe { TaskCell::<F>::stage(task).cast::<Result<F::Output, JoinError>>().write(outcome) };
    // SAFETY: live by contract; the reference ends before the waker runs, which may free the cell.
    let header = unsafe { &*task };
    if header.state.get() == HANDLE {
        header.state.set(HANDLE | DONE);
        waker::wake_name(header.joiner.get().addr() as u64);
    } else {
        // SAFETY: as promised by the caller; the stage is the outcome.
        unsafe { finish_otherwise(task) }
    }
}

/// The same for a task whose handle is gone, or is awaited with a waker that is no name; and for the runtime's own.
///
/// # Safety
/// The cell is live and its stage is the outcome. It must not be used afterwards.
#[inline(never)]
unsafe fn finish_otherwise(task: *const Header) {
    // SAFETY: live by contract; the reference ends before the waker runs, which may free the cell.
    let header = unsafe { &*task };
    let state = header.state.get();
    if state & HANDLE == 0 {
        header.state.set(DONE);
        let _freed = FreeOnDrop(task); // even if the outcome's drop panics
        // SAFETY: the stage is the outcome, dropped here only.
        return unsafe { (header.vtable.get().drop_outcome)(task) };
    }
    header.state.set(HANDLE | DONE);
    let joiner = header.joiner.get();
    if state & FOREIGN != 0 {
        // SAFETY: a box by the flag, which is gone now.
        unsafe { wake_foreign(joiner) }
    } else {
        waker::wake_name(joiner.addr() as u64);
    }
}

/// # Safety
/// `waker` was a box, and nobody else uses it.
#[cold]
#[inline(never)]
unsafe fn wake_foreign(waker: *mut Waker) {
    // SAFETY: by contract.
    unsafe { *Box::from_raw(waker) }.wake();
}

/// Run `f`. A panic in it has been reported by the panic hook and goes no further.
fn quietly(f: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(f)) {
        // Dropping the payload could panic again, and that one's payload too: there must be an end.
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
            std::mem::forget(again);
        }
    }
}

/// End a task before its time: drop its future and report `Cancelled`.
///
/// # Safety
/// As [`poll`], and the future is not being polled.
unsafe fn cancel<F: Future + 'static>(task: *const Header, _: &mut Context<'_>) -> bool {
    // SAFETY: not DONE, so the stage is the future, dropped in its place.
    let drop_future = || unsafe { ManuallyDrop::drop(&mut (*TaskCell::<F>::stage(task)).future) };
    let error = match catch_unwind(AssertUnwindSafe(drop_future)) {
        Ok(()) => JoinError::Cancelled,
        Err(panic) => JoinError::Panicked(panic),
    };
    // SAFETY: vacant now.
    quietly(|| unsafe { finish::<F>(task, Err(error)) });
    true
}

/// # Safety
/// The stage of this cell of `F` is an outcome that is dropped nowhere else.
unsafe fn drop_outcome<F: Future + 'static>(task: *const Header) {
    // SAFETY: by contract.
    unsafe { ManuallyDrop::drop(&mut (*TaskCell::<F>::stage(task)).outcome) };
}

/// Frees a cell that nobody uses any more and whose stage is vacant.
struct FreeOnDrop(*const Header);

impl Drop for FreeOnDrop {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: alive until freed here, with the kind of block that `create` took.
        unsafe {
            let class = (*self.0).class;
            let cell = NonNull::new_unchecked(self.0.cast_mut().cast::<u8>());
            (*waker::current()).arena.free(cell, class, || (*self.0).vtable.get().block);
        }
    }
}

/// A task as its handle and its slot see it: a pointer that covers the whole cell.
///
/// # Safety
/// All of these: the cell is live, and they are called on its thread.
impl Header {
    /// The waker that the task is polled with.
    ///
    /// # Safety
    /// See above; the result is not used after the cell is freed.
    #[inline(always)]
    pub(super) unsafe fn waker<'a>(task: *const Self) -> &'a Waker {
        // SAFETY: by contract.
        unsafe { &(*task).waker }
    }

    /// The function to poll it with.
    #[inline(always)]
    pub(super) fn poller(&self) -> PollFn {
        self.vtable.get().poll
    }

    /// The function that ends the task.
    pub(super) fn canceller(&self) -> PollFn {
        self.vtable.get().cancel
    }

    /// Have the next poll end the task.
    pub(super) fn cancel_next(&self) {
        if let Some(aborted) = self.vtable.get().aborted {
            self.vtable.set(aborted);
        }
    }

    /// # Safety
    /// See above.
    #[inline(always)]
    pub(super) unsafe fn is_done(task: NonNull<Self>) -> bool {
        // SAFETY: by contract.
        unsafe { task.as_ref() }.state.get() & DONE != 0
    }

    /// End the task when its turn comes.
    ///
    /// # Safety
    /// See above.
    pub(super) unsafe fn abort(task: NonNull<Self>) {
        // SAFETY: by contract; a task that is not DONE is in a slot of an executor of this thread.
        unsafe {
            if !Self::is_done(task) {
                remote::abort(waker::name(&task.as_ref().waker));
            }
        }
    }

    /// Whether the task is one of the runtime's own.
    ///
    /// # Safety
    /// See above.
    pub(super) unsafe fn is_internal(task: NonNull<Self>) -> bool {
        // SAFETY: by contract.
        unsafe { task.as_ref() }.state.get() & INTERNAL != 0
    }

    /// Make the task one of the runtime's own.
    ///
    /// # Safety
    /// See above.
    pub(super) unsafe fn set_internal(task: NonNull<Self>) {
        // SAFETY: by contract.
        let state = unsafe { &task.as_ref().state };
        state.set(state.get() | INTERNAL);
    }

    /// Have `waker` woken when the task is done, unless it is.
    ///
    /// # Safety
    /// See above.
    #[inline(always)]
    pub(super) unsafe fn join(task: NonNull<Self>, waker: &Waker) -> Poll<()> {
        // SAFETY: by contract.
        let header = unsafe { task.as_ref() };
        let state = header.state.get();
        if state & DONE != 0 {
            return Poll::Ready(());
        }
        // One branch for both: the compiler makes two and a half of a condition.
        if usize::from(state & FOREIGN) | waker::strangeness(waker) != 0 {
            header.join_slow(waker);
        } else {
            header.joiner.set(waker::name_as_pointer(waker));
        }
        Poll::Pending
    }

    #[cold]
    #[inline(never)]
    fn join_slow(&self, waker: &Waker) {
        let new = Box::into_raw(Box::new(waker.clone()));
        let old = (self.state.get() & FOREIGN != 0).then(|| self.joiner.get());
        self.joiner.set(new);
        self.state.set(self.state.get() | FOREIGN);
        if let Some(old) = old {
            // SAFETY: a box by the flag, replaced above.
            drop(unsafe { Box::from_raw(old) });
        }
    }

    /// Nobody waits for the handle any more.
    #[cold]
    #[inline(never)]
    fn forget_joiner(&self) {
        self.state.set(self.state.get() & !FOREIGN);
        // SAFETY: a box by the flag, which is gone now.
        drop(unsafe { Box::from_raw(self.joiner.replace(ptr::null_mut())) });
    }

    /// The outcome, in exchange for the handle.
    ///
    /// # Safety
    /// See above; `T` is the output of the task's future, which is done. The handle does not use the task afterwards.
    #[inline(always)]
    pub(super) unsafe fn take<T>(task: NonNull<Self>) -> Result<T, JoinError> {
        let _freed = FreeOnDrop(task.as_ptr());
        // SAFETY: DONE with a handle: the stage is the outcome, moved out here; `create` made sure that it is there; the
        // cell is freed after that.
        unsafe { task.byte_add(stage_of::<T>()).cast::<Result<T, JoinError>>().read() }
    }

    /// The handle goes away without having taken the outcome.
    ///
    /// # Safety
    /// See above; called once, by the handle, which does not use the task afterwards.
    #[inline(never)]
    pub(super) unsafe fn drop_handle(task: NonNull<Self>) {
        // SAFETY: by contract.
        let header = unsafe { task.as_ref() };
        let state = header.state.get();
        header.state.set(state & !HANDLE);
        if state & DONE == 0 {
            // Detached: the end of the task frees the cell.
            if state & FOREIGN != 0 {
                header.forget_joiner();
            }
            return;
        }
        let _freed = FreeOnDrop(task.as_ptr()); // even if the outcome's drop panics
        // SAFETY: DONE with a handle: the stage is the outcome.
        unsafe { (header.vtable.get().drop_outcome)(task.as_ptr()) };
    }
}
