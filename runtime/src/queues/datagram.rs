//! What stands behind the datagram queues.

use std::{
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll, ready},
};

use hemi_queue::{
    Completion, Error, PushError, Result, Sga, Ticket,
    transport::{DatagramSocket, Endpoint},
};

use crate::names::{Handle, Kind, Object};

/// A datagram socket; one datagram is one unit.
pub(crate) struct Datagrams {
    pub(crate) socket: Rc<dyn DatagramSocket>,
}

impl Object for Datagrams {
    fn kind(&self) -> Kind {
        Kind::Datagram
    }

    fn poll_pop(&self, cx: &mut Context<'_>) -> Poll<Result<Completion>> {
        self.socket.poll_pop_from(cx).map_ok(|next| match next {
            Some((unit, from)) => Completion::PoppedFrom(unit, from),
            None => Completion::Popped(None),
        })
    }

    fn start_push(&self, unit: Sga, to: Option<&Endpoint>) -> Result<Ticket, PushError<Sga>> {
        self.socket.start_push_to(unit, to).map(|()| Ticket::default())
    }

    fn poll_pushed(&self, _: Ticket, cx: &mut Context<'_>) -> Poll<Result<Completion>> {
        self.socket.poll_ready(cx).map_ok(|()| Completion::Pushed)
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.socket.poll_ready(cx)
    }

    fn poll_connected(&self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(())) // nothing is exchanged to connect
    }

    fn local_addr(&self) -> Result<Endpoint> {
        self.socket.local_addr()
    }

    fn peer_addr(&self) -> Result<Endpoint> {
        self.socket.peer_addr()
    }

    fn set_peer(&self, to: &Endpoint) -> Result<()> {
        self.socket.connect(to)
    }

    fn close(&self) {
        self.socket.close();
    }
}

impl Handle<Datagrams> {
    #[inline]
    pub(super) fn poll_pop_from(&self, cx: &mut Context<'_>) -> Poll<Result<Option<(Sga, Endpoint)>>> {
        ready!(self.poll_pop_turn(cx));
        self.socket.poll_pop_from(cx)
    }

    #[inline]
    pub(super) fn put(&self, unit: Sga, to: Option<&Endpoint>) -> Result<Ticket, PushError<Sga>> {
        if self.push_is_taken() {
            return Err(PushError::new(Error::Busy, unit));
        }
        self.start_push(unit, to)
    }

    /// Hand one datagram over, then wait for room.
    pub(super) async fn push_to(&self, unit: Sga, to: Endpoint) -> Result<()> {
        poll_fn(|cx| self.poll_push_turn(cx)).await;
        self.put(unit, Some(&to))?;
        poll_fn(|cx| self.socket.poll_ready(cx)).await
    }
}

/// The methods that all datagram queues have; `Pop` and `Push` are for connected sockets.
macro_rules! datagram_queue {
    ($name:ident) => {
        impl $name {
            /// The queue's descriptor, for the bare calls of [`qd`](crate::qd).
            pub fn qd(&self) -> hemi_queue::Qd {
                self.handle.qd()
            }

            /// Submit a pop and go on; the token's result is a datagram and its sender.
            ///
            /// # Errors
            /// [`Error::Busy`](crate::Error::Busy) when too many operations are unclaimed.
            pub fn submit_pop(&self) -> hemi_queue::Result<crate::token::QToken> {
                self.handle.submit_pop()
            }

            /// Submit a push to the connected peer and go on.
            ///
            /// # Errors
            /// [`Error::Busy`](crate::Error::Busy) when too many operations are unclaimed.
            pub fn submit_push(
                &self,
                unit: impl Into<hemi_queue::Sga>,
            ) -> hemi_queue::Result<crate::token::QToken> {
                self.handle.submit_push(unit.into())
            }

            /// Wait until everything pushed so far is with the device.
            pub async fn flush(&mut self) -> hemi_queue::Result<()> {
                std::future::poll_fn(|cx| self.handle.socket.poll_flushed(cx)).await
            }

            /// Close, once everything pushed so far is with the device. Dropping the queue does the same in the background.
            pub async fn close(mut self) -> hemi_queue::Result<()> {
                let flushed = self.flush().await;
                drop(self);
                flushed
            }
        }

        /// Of a connected socket: its peer's datagrams (an unconnected one gives anybody's). Cancel-safe.
        impl hemi_queue::Pop for $name {
            type Unit = hemi_queue::Sga;

            #[inline]
            fn poll_pop(
                &mut self,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<hemi_queue::Result<Option<hemi_queue::Sga>>> {
                self.handle.poll_pop_from(cx).map_ok(|next| next.map(|(unit, _)| unit))
            }

            fn install_filter(
                &mut self,
                program: Option<&hemi_queue::program::Program>,
            ) -> hemi_queue::program::RunsIn {
                self.handle.socket.install_filter(program)
            }

            fn install_rewrite(
                &mut self,
                changes: Option<&hemi_queue::program::Changes>,
            ) -> hemi_queue::program::RunsIn {
                self.handle.socket.install_rewrite(changes)
            }

            #[inline]
            fn is_rewritten(&self) -> bool {
                self.handle.socket.is_rewritten()
            }
        }

        /// To the connected peer.
        impl hemi_queue::Push for $name {
            type Unit = hemi_queue::Sga;
            type Receipt = ();

            #[inline]
            fn poll_ready(
                &mut self,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<hemi_queue::Result<()>> {
                std::task::ready!(self.handle.poll_push_turn(cx));
                self.handle.socket.poll_ready(cx)
            }

            #[inline]
            fn start_push(
                &mut self,
                unit: hemi_queue::Sga,
            ) -> hemi_queue::Result<hemi_queue::Ticket, hemi_queue::PushError<hemi_queue::Sga>> {
                self.handle.put(unit, None)
            }

            #[inline]
            fn poll_pushed(
                &mut self,
                _: hemi_queue::Ticket,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<hemi_queue::Result<()>> {
                self.handle.socket.poll_ready(cx)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let at = self.handle.socket.local_addr().ok();
                f.debug_struct(stringify!($name)).field("qd", &self.qd()).field("at", &at).finish()
            }
        }
    };
}
pub(super) use datagram_queue;
