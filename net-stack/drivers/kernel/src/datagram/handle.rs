//! What the application holds of a datagram socket.

use std::{
    rc::Rc,
    task::{Context, Poll},
};

use hemi_queue::{
    Error, PushError, Result, Sga,
    program::{Program, RunsIn},
    transport::{DatagramSocket, Endpoint},
};

use super::Datagram;
use crate::addr;

/// Dropping it closes the socket.
pub(super) struct Handle(pub(super) Rc<Datagram>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl DatagramSocket for Handle {
    fn poll_pop_from(&self, cx: &mut Context<'_>) -> Poll<Result<Option<(Sga, Endpoint)>>> {
        self.0.poll_pop_from(cx)
    }

    fn install_filter(&self, program: Option<&Program>) -> RunsIn {
        self.0.install_filter(program)
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.poll_below(self.0.send_limit, cx)
    }

    fn start_push_to(&self, unit: Sga, to: Option<&Endpoint>) -> Result<(), PushError<Sga>> {
        self.0.start_push_to(unit, to)
    }

    fn poll_flushed(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.poll_below(1, cx)
    }

    fn connect(&self, to: &Endpoint) -> Result<()> {
        self.0.connect(to)
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

    fn close(&self) {
        self.0.close();
    }
}
