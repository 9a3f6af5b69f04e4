//! What stands behind the listening queues.

use std::{
    rc::Rc,
    task::{Context, Poll},
};

use hemi_queue::{
    Result,
    transport::{Acceptor, Endpoint, StreamSocket},
};

use super::stream::{ByteStream, Framing, UnitStream};
use crate::names::{Kind, Object};

/// A listening socket and what its connections become.
pub(crate) struct Accept {
    pub(crate) acceptor: Rc<dyn Acceptor>,
    /// `None`: byte streams.
    pub(crate) framing: Option<Framing>,
}

impl Accept {
    fn object(&self, socket: Rc<dyn StreamSocket>) -> Rc<dyn Object> {
        match &self.framing {
            Some(framing) => Rc::new(UnitStream::new(socket, framing.clone())),
            None => Rc::new(ByteStream::new(socket)),
        }
    }
}

impl Object for Accept {
    fn kind(&self) -> Kind {
        Kind::Listener
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Rc<dyn Object>>>> {
        self.acceptor.poll_accept(cx).map_ok(|socket| socket.map(|socket| self.object(socket)))
    }

    fn local_addr(&self) -> Result<Endpoint> {
        self.acceptor.local_addr()
    }

    fn close(&self) {
        self.acceptor.close();
    }
}

/// The methods that all listening queues have, and their `Pop`.
macro_rules! listener {
    ($name:ident, $conn:ident) => {
        impl $name {
            /// The queue's descriptor, for the bare calls of [`qd`](crate::qd).
            pub fn qd(&self) -> hemi_queue::Qd {
                self.handle.qd()
            }

            /// Submit an accept and go on: the token's result is the new connection's descriptor.
            ///
            /// # Errors
            /// [`Error::Busy`](crate::Error::Busy) when too many operations are unclaimed.
            pub fn submit_accept(&self) -> hemi_queue::Result<crate::token::QToken> {
                self.handle.submit_accept()
            }

            /// How many accepts failed for a passing reason (too many open files, a peer that was gone again) and
            /// were retried.
            pub fn transient_failures(&self) -> u64 {
                self.handle.acceptor.transient_failures()
            }

            /// Stop listening. Connections that were not accepted are reset; a waiting pop gets `None`.
            pub fn close(&self) {
                self.handle.acceptor.close();
            }
        }

        /// A listener is a queue of connections. Cancel-safe; passing failures are retried inside.
        impl hemi_queue::Pop for $name {
            type Unit = $conn;

            fn poll_pop(
                &mut self,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<hemi_queue::Result<Option<$conn>>> {
                std::task::ready!(self.handle.poll_pop_turn(cx));
                match std::task::ready!(self.handle.acceptor.poll_accept(cx))? {
                    Some(socket) => std::task::Poll::Ready(self.accepted(socket).map(Some)),
                    None => std::task::Poll::Ready(Ok(None)),
                }
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let at = self.handle.acceptor.local_addr().ok();
                f.debug_struct(stringify!($name)).field("qd", &self.qd()).field("at", &at).finish()
            }
        }
    };
}
pub(super) use listener;
