//! [`Object`]: what stands behind a descriptor.

use std::{
    any::Any,
    rc::Rc,
    task::{Context, Poll},
};

use hemi_queue::{Completion, Error, PushError, Result, Sga, Ticket, transport::Endpoint};

/// What a descriptor names, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A socket that is not yet bound, listening or connected.
    Socket,
    /// A listening queue: a queue of queues.
    Listener,
    /// A connection.
    Stream,
    /// A datagram socket.
    Datagram,
    /// A queue in memory.
    Memory,
    /// A log.
    Log,
    /// A combinator over other queues.
    Adapter,
}

/// One queue, as the token layer and bare descriptors drive it. Units are [`Sga`]s.
///
/// Everything takes `&self`: a handle, the table and the pump share it. One waiter per direction; that borrowing and
/// submitted operations take turns is the entry's matter. What a kind of queue cannot do answers
/// [`Error::WrongKind`]: the defaults.
pub(crate) trait Object: Any {
    fn kind(&self) -> Kind;

    /// The next unit: `Popped`, or `PoppedFrom` on a datagram socket. Cancel-safe.
    fn poll_pop(&self, cx: &mut Context<'_>) -> Poll<Result<Completion>> {
        let _ = cx;
        Poll::Ready(Err(self.wrong("pop", "only connections, datagram sockets and memory queues hold units")))
    }

    /// The next connection, `None` when the listener is closed. Cancel-safe.
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Rc<dyn Object>>>> {
        let _ = cx;
        Poll::Ready(Err(self.wrong("accept", "only a listening queue accepts: bind and listen first")))
    }

    /// Wait for the active open.
    fn poll_connected(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let _ = cx;
        Poll::Ready(Err(self.wrong("connect", "only a socket connects")))
    }

    /// Hand over one unit; `to` is for datagram sockets.
    fn start_push(&self, unit: Sga, to: Option<&Endpoint>) -> Result<Ticket, PushError<Sga>> {
        let _ = to;
        let why = "only connections, datagram sockets and memory queues take units";
        Err(PushError::new(self.wrong("push", why), unit))
    }

    /// Wait until a push is complete: `Pushed` or `Filtered`.
    fn poll_pushed(&self, ticket: Ticket, cx: &mut Context<'_>) -> Poll<Result<Completion>> {
        let _ = (ticket, cx);
        Poll::Ready(
            Err(self.wrong("push", "only connections, datagram sockets and memory queues take units")),
        )
    }

    /// Wait for room for one more unit.
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let _ = cx;
        Poll::Ready(Ok(()))
    }

    /// This end's address.
    fn local_addr(&self) -> Result<Endpoint> {
        Err(self.wrong("local_addr", "only a socket that is bound, listening or connected has an address"))
    }

    /// The other end's address.
    fn peer_addr(&self) -> Result<Endpoint> {
        Err(self.wrong("peer_addr", "only a connected socket has a peer"))
    }

    /// Exchange datagrams with `to` only.
    fn set_peer(&self, to: &Endpoint) -> Result<()> {
        let _ = to;
        Err(self.wrong("connect", "only a socket that is not yet listening or connected can connect"))
    }

    /// The last holder lets go: what was accepted still goes out, nothing more is taken.
    fn close(&self);

    /// The error for an operation that this kind of queue does not have.
    #[cold]
    fn wrong(&self, op: &'static str, why: &'static str) -> Error {
        Error::wrong_kind(op, why)
    }
}
