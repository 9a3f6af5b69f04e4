//! What happens later: connect timeouts, accept back-off, closing.

use std::rc::Rc;

use crate::{acceptor::Listening, datagram::Datagram, stream::Stream};

/// Who is to be looked at when its time has come.
pub(crate) enum Timer {
    /// Give up connecting.
    Connect(Rc<Stream>),
    /// Look again whether a closing stream may end.
    Close(Rc<Stream>),
    /// Look what the peer has acknowledged.
    Acked(Rc<Stream>),
    /// Try to send again.
    Send(Rc<Datagram>),
    /// Try to accept again.
    Accept(Rc<Listening>),
}
