//! [`Pop`]: taking units out of a queue.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use crate::Result;

/// A queue that units can be popped from.
///
/// # How it is driven
/// Implement [`poll_pop`](Self::poll_pop); callers use [`pop`](Self::pop). After `Ready(Ok(None))` the queue has
/// ended and answers `None` for ever. After an error it answers an error or `None`, never a unit, unless its type says
/// that it outlives the error: a datagram socket does, and so does a merge, which goes on with the other side.
///
/// # Cancel safety
/// `poll_pop` must keep everything that it has taken but not returned inside `self`: dropping a [`PopNext`] in a
/// `select!` loses nothing.
pub trait Pop {
    /// What one pop returns: a [`Buf`](crate::Buf), an [`Sga`](crate::Sga), a connection, a message.
    type Unit;

    /// Take the next unit, or register the context's waker for it. `None` is the end of the queue.
    fn poll_pop(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Self::Unit>>>;

    /// The next unit, `None` at the end of the queue. Cancel-safe: dropping the future loses nothing.
    fn pop(&mut self) -> PopNext<'_, Self>
    where
        Self: Sized,
    {
        PopNext { queue: self }
    }
}

impl<Q: Pop + ?Sized> Pop for &mut Q {
    type Unit = Q::Unit;
    #[inline]
    fn poll_pop(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Self::Unit>>> {
        (**self).poll_pop(cx)
    }
}

impl<Q: Pop + ?Sized> Pop for Box<Q> {
    type Unit = Q::Unit;
    #[inline]
    fn poll_pop(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Self::Unit>>> {
        (**self).poll_pop(cx)
    }
}

/// The future of [`Pop::pop`].
#[must_use = "a pop does nothing until it is awaited"]
pub struct PopNext<'q, Q: ?Sized> {
    queue: &'q mut Q,
}

impl<Q: Pop + ?Sized> Future for PopNext<'_, Q> {
    type Output = Result<Option<Q::Unit>>;
    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.queue.poll_pop(cx)
    }
}

impl<Q: ?Sized> fmt::Debug for PopNext<'_, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PopNext").finish_non_exhaustive()
    }
}
