//! [`Pop`]: taking units out of a queue.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use crate::{
    Assembler, Result,
    program::{Changes, Program, RunsIn},
};

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
///
/// ```
/// use std::task::{Context, Poll};
/// use hemi_queue::{Pop, Result};
///
/// /// Counts down, then ends.
/// struct Countdown(u32);
///
/// impl Pop for Countdown {
///     type Unit = u32;
///     fn poll_pop(&mut self, _: &mut Context<'_>) -> Poll<Result<Option<u32>>> {
///         let left = self.0;
///         self.0 = left.saturating_sub(1);
///         Poll::Ready(Ok((left > 0).then_some(left)))
///     }
/// }
///
/// # futures::executor::block_on(async {
/// let mut queue = Countdown(2);
/// while let Some(unit) = queue.pop().await? {
///     println!("{unit}");
/// }
/// assert_eq!(queue.pop().await?, None); // ended for ever
/// # Ok::<(), hemi_queue::Error>(()) }).unwrap();
/// ```
pub trait Pop {
    /// What one pop returns: a [`Buf`](crate::Buf), an [`Sga`](crate::Sga), a connection, a message.
    type Unit;

    /// Take the next unit, or register the context's waker for it. `None` is the end of the queue.
    fn poll_pop(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Self::Unit>>>;

    /// As [`poll_pop`](Self::poll_pop), for one who puts larger units together: while this is pending the queue may hand
    /// what arrives to `assembler` in the reactor's turn, and wake the task when that says so. Default: a plain
    /// `poll_pop`, woken for everything that arrives, which is always right.
    fn poll_pop_for(
        &mut self,
        assembler: &Rc<dyn Assembler>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Self::Unit>>> {
        let _ = assembler;
        self.poll_pop(cx)
    }

    /// Let the device under the queue reject what `program` does not match, instead of what it was given before; `None`
    /// lets everything through again. Says where it runs now; what had arrived before may still be popped. Default:
    /// nobody takes it over.
    fn install_filter(&mut self, program: Option<&Program>) -> RunsIn {
        let _ = program;
        RunsIn::Software
    }

    /// Let the device under the queue make these changes to what arrives, instead of those it was given before; `None`: none any more.
    /// Says where that runs now. What the device has changed, [`is_rewritten`](Self::is_rewritten) tells; what had arrived before, and
    /// what it leaves alone, is still to be changed by the caller. Default: nobody takes it over.
    fn install_rewrite(&mut self, changes: Option<&Changes>) -> RunsIn {
        let _ = changes;
        RunsIn::Software
    }

    /// Whether the device has made the installed changes to the unit that was popped last.
    fn is_rewritten(&self) -> bool {
        false
    }

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
    #[inline]
    fn poll_pop_for(
        &mut self,
        assembler: &Rc<dyn Assembler>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Self::Unit>>> {
        (**self).poll_pop_for(assembler, cx)
    }
    fn install_filter(&mut self, program: Option<&Program>) -> RunsIn {
        (**self).install_filter(program)
    }
    fn install_rewrite(&mut self, changes: Option<&Changes>) -> RunsIn {
        (**self).install_rewrite(changes)
    }
    #[inline]
    fn is_rewritten(&self) -> bool {
        (**self).is_rewritten()
    }
}

impl<Q: Pop + ?Sized> Pop for Box<Q> {
    type Unit = Q::Unit;
    #[inline]
    fn poll_pop(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Self::Unit>>> {
        (**self).poll_pop(cx)
    }
    #[inline]
    fn poll_pop_for(
        &mut self,
        assembler: &Rc<dyn Assembler>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Self::Unit>>> {
        (**self).poll_pop_for(assembler, cx)
    }
    fn install_filter(&mut self, program: Option<&Program>) -> RunsIn {
        (**self).install_filter(program)
    }
    fn install_rewrite(&mut self, changes: Option<&Changes>) -> RunsIn {
        (**self).install_rewrite(changes)
    }
    #[inline]
    fn is_rewritten(&self) -> bool {
        (**self).is_rewritten()
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

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, pin::pin, task::Waker};

    use super::*;

    struct Units(VecDeque<u32>);

    impl Pop for Units {
        type Unit = u32;
        fn poll_pop(&mut self, _: &mut Context<'_>) -> Poll<Result<Option<u32>>> {
            self.0.pop_front().map_or(Poll::Pending, |unit| Poll::Ready(Ok(Some(unit))))
        }
    }

    #[test]
    fn a_dropped_pop_loses_nothing_and_references_and_boxes_pop_too() {
        let cx = &mut Context::from_waker(Waker::noop());
        let mut queue = Units(VecDeque::from([1, 2]));
        drop(queue.pop());
        assert!(matches!(pin!(Pop::pop(&mut &mut queue)).poll(cx), Poll::Ready(Ok(Some(1)))));
        let mut queue: Box<dyn Pop<Unit = u32>> = Box::new(queue);
        assert!(matches!(pin!(queue.pop()).poll(cx), Poll::Ready(Ok(Some(2)))));
        assert!(pin!(queue.pop()).poll(cx).is_pending());
    }
}
