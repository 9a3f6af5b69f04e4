//! [`into_stream`]: a queue as a `futures` stream.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::{FusedStream, Stream};
use hemi_queue::{Pop, Result};

/// The units of `queue` as a [`Stream`] of results, which ends when the queue does.
///
/// An error is an item and does not end the stream by itself: a merge or a datagram socket goes on after one. Use
/// `try_next` or `try_for_each` to stop at the first.
///
/// ```
/// # use futures::{executor::block_on, TryStreamExt};
/// # block_on(async {
/// let q = hemi::queue(8);
/// q.push(1).await?;
/// q.push(2).await?;
/// q.close();
/// let units: Vec<u32> = hemi::adapters::into_stream(q).try_collect().await?;
/// assert_eq!(units, [1, 2]);
/// # Ok::<(), hemi::Error>(()) }).unwrap();
/// ```
pub fn into_stream<Q: Pop>(queue: Q) -> PopStream<Q> {
    PopStream { queue, ended: false }
}

/// See [`into_stream()`].
pub struct PopStream<Q> {
    queue: Q,
    ended: bool,
}

impl<Q> PopStream<Q> {
    /// The queue.
    pub fn get_ref(&self) -> &Q {
        &self.queue
    }

    /// The queue.
    pub fn get_mut(&mut self) -> &mut Q {
        &mut self.queue
    }

    /// The queue; nothing was read ahead.
    pub fn into_inner(self) -> Q {
        self.queue
    }
}

// The queue is never pinned.
impl<Q> Unpin for PopStream<Q> {}

impl<Q: Pop> Stream for PopStream<Q> {
    type Item = Result<Q::Unit>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let popped = self.queue.poll_pop(cx).map(Result::transpose);
        self.ended |= matches!(popped, Poll::Ready(None));
        popped
    }
}

impl<Q: Pop> FusedStream for PopStream<Q> {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

impl<Q> fmt::Debug for PopStream<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PopStream").field("ended", &self.ended).finish_non_exhaustive()
    }
}
