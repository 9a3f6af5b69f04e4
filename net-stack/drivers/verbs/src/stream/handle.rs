//! What the application holds of a stream.

use std::{
    any::Any,
    rc::Rc,
    task::{Context, Poll},
};

use hemi_queue::{
    PushError, Result, Sga,
    transport::{Endpoint, StreamOption, StreamSocket},
};
use hemi_rdma::Connection;

use super::Stream;

/// A connection of `rdma:`, as the application holds it. Dropping it closes it.
///
/// It is what [`StreamSocket::special`] of such a connection gives: for one-sided access to the peer's memory.
pub struct Handle(pub(super) Rc<Stream>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl StreamSocket for Handle {
    fn poll_connected(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.poll_connected(cx)
    }

    #[inline]
    fn poll_pop(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Sga>>> {
        self.0.poll_pop(cx)
    }

    #[inline]
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.poll_tx(cx, |conn| conn.is_ready())
    }

    #[inline]
    fn start_push(&self, unit: Sga) -> Result<(), PushError<Sga>> {
        self.0.start_push(unit)
    }

    fn poll_flushed(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.poll_tx(cx, |conn| conn.is_flushed())
    }

    fn poll_acked(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.poll_tx(cx, Connection::is_acked)
    }

    fn shutdown(&self) -> Result<()> {
        self.0.shutdown()
    }

    fn close(&self) {
        self.0.close();
    }

    fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.poll_closed(cx)
    }

    fn abort(&self) {
        self.0.abort();
    }

    fn local_addr(&self) -> Result<Endpoint> {
        Ok(self.0.local.get().into())
    }

    fn peer_addr(&self) -> Result<Endpoint> {
        Ok(self.0.peer.into())
    }

    fn set_option(&self, option: StreamOption) -> Result<()> {
        self.0.set_option(option)
    }

    fn special(&self) -> Option<&dyn Any> {
        Some(self)
    }
}
