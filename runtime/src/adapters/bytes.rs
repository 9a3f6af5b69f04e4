//! [`into_bytes`]: a queue of buffers as a byte stream.

use std::{
    fmt,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_io::{AsyncBufRead, AsyncRead, AsyncWrite};
use hemi_queue::{Buf, Error, Pop, Push, Result, Sga, Ticket};

use crate::context;

/// The most that one write takes: a buffer of the largest class of the default pool.
const WRITE_UP_TO: usize = 64 << 10;

/// A queue of buffers as `AsyncRead`, `AsyncBufRead` and `AsyncWrite` (of `futures`, and with the feature `tokio` of
/// tokio).
///
/// On a queue of units the borders between units are lost in reading, and every write is a unit. Reading copies out of the
/// popped buffers; `AsyncBufRead` shows them without a copy. Writing copies into pool buffers (the heap where no runtime
/// runs or the pool is drained). Closing flushes and [finishes](Push::finish) the queue, reading goes on.
///
/// ```
/// # use futures::{executor::block_on, AsyncReadExt, AsyncWriteExt};
/// use hemi::{Sga, adapters::into_bytes};
/// # block_on(async {
/// let mut bytes = into_bytes(hemi::queue::<Sga>(8));
/// bytes.write_all(b"hello ").await?;
/// bytes.write_all(b"world").await?;
/// let mut read = [0; 8];
/// bytes.read_exact(&mut read).await?;
/// assert_eq!(&read, b"hello wo");
/// let (_queue, unread) = bytes.into_parts();
/// assert_eq!(unread.to_vec(), b"rld");
/// # Ok::<(), std::io::Error>(()) }).unwrap();
/// ```
pub fn into_bytes<Q>(queue: Q) -> QueueBytes<Q> {
    QueueBytes { queue, unread: Sga::new(), ended: false, in_flight: None }
}

/// See [`into_bytes()`].
pub struct QueueBytes<Q> {
    queue: Q,
    /// What is left of the last popped unit.
    unread: Sga,
    ended: bool,
    /// The last write, which completes after all before it.
    in_flight: Option<Ticket>,
}

impl<Q> QueueBytes<Q> {
    /// The queue.
    pub fn get_ref(&self) -> &Q {
        &self.queue
    }

    /// The queue and the bytes that were popped and not read. Bytes written are already in the queue.
    pub fn into_parts(self) -> (Q, Sga) {
        (self.queue, self.unread)
    }
}

impl<Q: Pop<Unit: Into<Sga>>> QueueBytes<Q> {
    /// The next bytes, in one buffer; empty at the end.
    pub(super) fn poll_unread(&mut self, cx: &mut Context<'_>) -> Poll<Result<&[u8]>> {
        while self.unread.is_empty() && !self.ended {
            match ready!(self.queue.poll_pop(cx))? {
                Some(unit) => self.unread = unit.into(),
                None => self.ended = true,
            }
        }
        Poll::Ready(Ok(self.unread.first().map_or(&[], |buf| &buf[..])))
    }

    pub(super) fn consumed(&mut self, n: usize) {
        self.unread.advance(n);
    }
}

impl<Q: Push<Unit: From<Sga>>> QueueBytes<Q> {
    pub(super) fn poll_push<'b>(
        &mut self,
        cx: &mut Context<'_>,
        slices: impl Iterator<Item = &'b [u8]>,
    ) -> Poll<Result<usize>> {
        ready!(self.queue.poll_ready(cx))?;
        let mut unit = Sga::new();
        let mut taken = 0;
        for slice in slices {
            let slice = &slice[..slice.len().min(WRITE_UP_TO - taken)];
            unit.append(copy(slice));
            taken += slice.len();
        }
        // A write of nothing is no unit, which a reader at the other end could take for something.
        if taken > 0 {
            self.in_flight = Some(self.queue.start_push(unit.into()).map_err(Error::from)?);
        }
        Poll::Ready(Ok(taken))
    }

    pub(super) fn poll_flushed(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if let Some(ticket) = self.in_flight {
            let receipt = ready!(self.queue.poll_pushed(ticket, cx));
            self.in_flight = None;
            receipt?;
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.poll_flushed(cx))?;
        self.queue.poll_finish(cx)
    }
}

/// A copy in pool memory, else on the heap.
fn copy(bytes: &[u8]) -> Sga {
    let pooled = context::with(|core| core.pool.copy_from(bytes).ok()).ok().flatten();
    pooled.unwrap_or_else(|| Buf::from(bytes.to_vec()).into())
}

// The queue is never pinned.
impl<Q> Unpin for QueueBytes<Q> {}

impl<Q: Pop<Unit: Into<Sga>>> AsyncRead for QueueBytes<Q> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_unread(cx))?;
        let n = self.unread.copy_to(out);
        self.unread.advance(n);
        Poll::Ready(Ok(n))
    }
}

impl<Q: Pop<Unit: Into<Sga>>> AsyncBufRead for QueueBytes<Q> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        self.get_mut().poll_unread(cx).map_err(Into::into)
    }

    fn consume(mut self: Pin<&mut Self>, n: usize) {
        self.consumed(n);
    }
}

impl<Q: Push<Unit: From<Sga>>> AsyncWrite for QueueBytes<Q> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_push(cx, std::iter::once(bytes)).map_err(Into::into)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_push(cx, slices.iter().map(|s| &**s)).map_err(Into::into)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flushed(cx).map_err(Into::into)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_finished(cx).map_err(Into::into)
    }
}

impl<Q> fmt::Debug for QueueBytes<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueBytes").field("unread", &self.unread.len()).finish_non_exhaustive()
    }
}
