//! [`split`]: one queue, two owners.

use std::{
    cell::RefCell,
    fmt,
    rc::Rc,
    task::{Context, Poll},
};

use hemi_queue::{Pop, Push, PushError, Result, Ticket};

/// Split a queue into a half that pops and a half that pushes, so that two tasks can use it at the same time.
///
/// The queue is dropped (and with it a connection closed) when both halves are.
///
/// ```
/// # use futures::{executor::block_on, join};
/// use hemi::{Pop, Push, algebra::split};
/// # block_on(async {
/// let (mut popper, mut pusher) = split(hemi::queue::<u32>(1));
/// let (popped, pushed) = join!(popper.pop(), pusher.push(7u32));
/// pushed?;
/// assert_eq!(popped?, Some(7));
/// let _queue = popper.reunite(pusher).unwrap();
/// # Ok::<(), hemi::Error>(()) }).unwrap();
/// ```
pub fn split<Q>(queue: Q) -> (Popper<Q>, Pusher<Q>) {
    let shared = Rc::new(RefCell::new(queue));
    (Popper(Rc::clone(&shared)), Pusher(shared))
}

/// The half that pops; see [`split()`].
pub struct Popper<Q>(Rc<RefCell<Q>>);

/// The half that pushes; see [`split()`].
pub struct Pusher<Q>(Rc<RefCell<Q>>);

impl<Q> Popper<Q> {
    /// The whole queue again, when the halves are of one queue; else both back.
    pub fn reunite(self, pusher: Pusher<Q>) -> Result<Q, (Self, Pusher<Q>)> {
        if !Rc::ptr_eq(&self.0, &pusher.0) {
            return Err((self, pusher));
        }
        drop(pusher);
        Rc::try_unwrap(self.0).map(RefCell::into_inner).map_err(|shared| {
            // Halves are not `Clone`: two of one queue are all there are.
            (Self(Rc::clone(&shared)), Pusher(shared))
        })
    }

    /// Call `f` with the queue, for what the halves do not offer (addresses, options).
    pub fn with<R>(&self, f: impl FnOnce(&mut Q) -> R) -> R {
        f(&mut self.0.borrow_mut())
    }
}

impl<Q> Pusher<Q> {
    /// Call `f` with the queue, for what the halves do not offer (addresses, options).
    pub fn with<R>(&self, f: impl FnOnce(&mut Q) -> R) -> R {
        f(&mut self.0.borrow_mut())
    }
}

impl<Q: Pop> Pop for Popper<Q> {
    type Unit = Q::Unit;
    #[inline]
    fn poll_pop(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Q::Unit>>> {
        self.0.borrow_mut().poll_pop(cx)
    }
}

impl<Q: Push> Push for Pusher<Q> {
    type Unit = Q::Unit;
    type Receipt = Q::Receipt;
    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.borrow_mut().poll_ready(cx)
    }
    #[inline]
    fn start_push(&mut self, unit: Q::Unit) -> Result<Ticket, PushError<Q::Unit>> {
        self.0.borrow_mut().start_push(unit)
    }
    #[inline]
    fn poll_pushed(&mut self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<Result<Q::Receipt>> {
        self.0.borrow_mut().poll_pushed(ticket, cx)
    }
    #[inline]
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.borrow_mut().poll_finish(cx)
    }
}

impl<Q> fmt::Debug for Popper<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Popper").finish_non_exhaustive()
    }
}

impl<Q> fmt::Debug for Pusher<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pusher").finish_non_exhaustive()
    }
}
