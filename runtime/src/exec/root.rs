//! The future of `block_on`: a task without a cell, on the caller's stack.

use std::{
    any::Any,
    future::Future,
    marker::PhantomData,
    panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind},
    pin::{Pin, pin},
    task::{Context, Poll},
};

use hemi_queue::{Error, Result};

use super::{
    Exec,
    cell::{Header, Vtable},
    slots::{Place, Slots},
};

#[repr(C)]
struct Root<'f, F: Future> {
    header: Header,
    future: Pin<&'f mut F>,
    result: Option<Result<F::Output, Box<dyn Any + Send>>>,
}

struct RootType<F>(PhantomData<F>);

impl<F: Future> RootType<F> {
    const VTABLE: Vtable = Vtable::headless(poll::<F>);
}

impl Exec {
    /// Run `future` as a task in the caller's frame, calling `turn` until it is ready or a turn fails.
    ///
    /// Its panic goes on in the caller.
    pub(crate) fn run_root<F: Future>(
        &self,
        future: F,
        spawned_at: &'static Location<'static>,
        mut turn: impl FnMut() -> Result<()>,
    ) -> Result<F::Output> {
        let vacancy = self.slots.take().ok_or(Error::Closed)?;
        let header = Header::headless(vacancy.name, const { &RootType::<F>::VTABLE });
        let mut root = Root { header, future: pin!(future), result: None };
        // From here on the root is reached through this pointer only.
        let root = &raw mut root;
        let place = vacancy.fill(root.cast_const().cast(), spawned_at);
        let evict = Evict { slots: &self.slots, place, root };
        loop {
            let turned = turn();
            // SAFETY: `root` lives until the end of this function; no poll is going on.
            if let Some(result) = unsafe { (*root).result.take() } {
                std::mem::forget(evict); // `Exec::run` has retired the slot
                return result.or_else(|panic| resume_unwind(panic));
            }
            turned?;
        }
    }
}

/// Takes the root out of its slot when a turn fails or panics before it is ready.
struct Evict<'s, 'f, F: Future> {
    slots: &'s Slots,
    place: Place,
    root: *mut Root<'f, F>,
}

impl<F: Future> Drop for Evict<'_, '_, F> {
    fn drop(&mut self) {
        // SAFETY: declared after the root, hence dropped before it.
        if unsafe { (*self.root).result.is_none() } {
            self.slots.evict(self.place);
        }
    }
}

/// # Safety
/// `task` is the header of a live `Root<F>` that nobody else uses during the poll.
unsafe fn poll<F: Future>(task: *const Header, cx: &mut Context<'_>) -> bool {
    let root = task.cast::<Root<'_, F>>().cast_mut();
    // SAFETY: by contract. Not the whole root: the waker in `cx` is its header's.
    let (future, result) = unsafe { (&mut (*root).future, &mut (*root).result) };
    let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
    *result = match polled {
        Ok(Poll::Pending) => return false,
        Ok(Poll::Ready(output)) => Some(Ok(output)),
        Err(panic) => Some(Err(panic)),
    };
    true
}
