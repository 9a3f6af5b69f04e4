//! What the application holds of a stream.

use std::{
    rc::Rc,
    task::{Context, Poll},
};

use hemi_queue::{
    Assembler, Error, PushError, Result, Sga,
    transport::{Endpoint, StreamOption, StreamSocket},
};

use super::{Kind, Stream};
use crate::{addr, options};

/// Dropping it closes the stream.
pub(super) struct Handle(pub(super) Rc<Stream>);

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
        self.0.poll_pop(None, cx)
    }

    #[inline]
    fn poll_pop_for(&self, assembler: &Rc<dyn Assembler>, cx: &mut Context<'_>) -> Poll<Result<Option<Sga>>> {
        self.0.poll_pop(Some(assembler), cx)
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.poll_below(self.0.tx.limit, cx)
    }

    fn start_push(&self, unit: Sga) -> Result<(), PushError<Sga>> {
        self.0.start_push(unit)
    }

    fn poll_flushed(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.poll_below(1, cx)
    }

    fn poll_acked(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.poll_acked(cx)
    }

    fn shutdown(&self) -> Result<()> {
        let stream = &self.0;
        if let Some(e) = stream.tx_error() {
            return Err(e);
        }
        if !stream.tx.finish.replace(true) {
            stream.mark_dirty();
        }
        Ok(())
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
        let descriptor = self.0.descriptor.borrow();
        let at = descriptor.as_ref().ok_or(Error::Closed)?.local_addr();
        Ok(addr::from_sock(&at.map_err(|e| Error::io("getsockname", "", e))?))
    }

    fn peer_addr(&self) -> Result<Endpoint> {
        let descriptor = self.0.descriptor.borrow();
        let at = descriptor.as_ref().ok_or(Error::Closed)?.peer_addr();
        Ok(addr::from_sock(&at.map_err(|e| Error::io("getpeername", "", e))?))
    }

    fn set_option(&self, option: StreamOption) -> Result<()> {
        if let StreamOption::Linger(linger) = option {
            self.0.linger.set(linger);
            return Ok(());
        }
        let descriptor = self.0.descriptor.borrow();
        options::change(descriptor.as_ref().ok_or(Error::Closed)?, self.0.kind == Kind::Tcp, option)
    }
}
