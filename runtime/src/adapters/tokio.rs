//! tokio's traits for [`into_bytes`](super::into_bytes()): for libraries that are written against them. Nothing of tokio's
//! runtime is used.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use hemi_queue::{Pop, Push, Sga};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};

use super::QueueBytes;

impl<Q: Pop<Unit: Into<Sga>>> AsyncRead for QueueBytes<Q> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let unread = ready!(self.poll_unread(cx))?;
        let n = unread.len().min(out.remaining());
        out.put_slice(&unread[..n]);
        self.consumed(n);
        Poll::Ready(Ok(()))
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

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flushed(cx).map_err(Into::into)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_finished(cx).map_err(Into::into)
    }
}
