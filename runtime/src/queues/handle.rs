//! The methods that all stream queues have.

use std::{
    rc::Rc,
    task::{Context, Poll},
};

use hemi_queue::{Assembler, PushError, Result};

/// What the two halves of a stream queue need of it: the same operations without exclusive access.
///
/// Implemented by [`TcpQueue`](super::TcpQueue), [`UnixQueue`](super::UnixQueue) and [`Conn`](super::Conn) only.
pub trait StreamQueue: sealed::Sealed {
    /// What it carries.
    type Unit;

    #[doc(hidden)]
    fn poll_unit(
        &self,
        assembler: Option<&Rc<dyn Assembler>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Self::Unit>>>;
    #[doc(hidden)]
    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<Result<()>>;
    #[doc(hidden)]
    fn put(&self, unit: Self::Unit) -> Result<(), PushError<Self::Unit>>;
    #[doc(hidden)]
    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<Result<()>>;
}

pub(super) mod sealed {
    /// Keeps [`StreamQueue`](super::StreamQueue) to this crate.
    pub trait Sealed {}
}

/// The methods that all stream queues have, their `Pop` and `Push`.
macro_rules! stream_queue {
    ($name:ident, $unit:ty, $poll:ident) => {
        impl $name {
            /// The queue's descriptor, for the bare calls of [`qd`](crate::qd).
            pub fn qd(&self) -> hemi_queue::Qd {
                self.handle.qd()
            }

            /// Submit a pop and go on; its result is claimed by the token.
            ///
            /// # Errors
            /// [`Error::Busy`](crate::Error::Busy) when too many operations are unclaimed.
            pub fn submit_pop(&self) -> hemi_queue::Result<crate::token::QToken> {
                self.handle.submit_pop()
            }

            /// Submit a push and go on. Operations submitted on one queue complete in order.
            ///
            /// # Errors
            /// [`Error::Busy`](crate::Error::Busy) when too many operations are unclaimed.
            pub fn submit_push(
                &self,
                unit: impl Into<hemi_queue::Sga>,
            ) -> hemi_queue::Result<crate::token::QToken> {
                self.handle.submit_push(unit.into())
            }

            /// Push one unit and wait until the peer's transport has acknowledged everything pushed so far.
            ///
            /// # Errors
            /// [`Error::Unsupported`](crate::Error::Unsupported) where the transport cannot know (kernel sockets);
            /// then nothing was pushed.
            pub async fn push_acked(&mut self, unit: impl Into<$unit>) -> hemi_queue::Result<()> {
                std::future::poll_fn(|cx| match self.handle.socket.poll_acked(cx) {
                    std::task::Poll::Ready(Err(e @ hemi_queue::Error::Unsupported(_))) => {
                        std::task::Poll::Ready(Err(e))
                    }
                    _ => std::task::Poll::Ready(Ok(())),
                })
                .await?;
                hemi_queue::Push::push(self, unit).await?;
                std::future::poll_fn(|cx| self.handle.socket.poll_acked(cx)).await
            }

            /// Wait until everything pushed so far is with the device (the kernel's send buffer).
            pub async fn flush(&mut self) -> hemi_queue::Result<()> {
                std::future::poll_fn(|cx| self.handle.socket.poll_flushed(cx)).await
            }

            /// Half-close: after everything pushed so far the peer sees the end; popping goes on. Idempotent.
            pub fn shutdown(&mut self) -> hemi_queue::Result<()> {
                self.handle.socket.shutdown()
            }

            /// Close, and wait until everything pushed has been sent (within `linger`). Dropping the queue does the same
            /// in the background.
            pub async fn close(self) -> hemi_queue::Result<()> {
                let socket = std::rc::Rc::clone(&self.handle.socket);
                drop(self); // hands submitted pushes over, then closes the socket
                std::future::poll_fn(|cx| socket.poll_closed(cx)).await
            }

            /// End the connection at once with a reset; what was not sent is dropped.
            pub fn abort(self) {
                self.handle.socket.abort();
            }

            /// Send small segments at once (Nagle off), or gather them.
            pub fn set_nodelay(&self, on: bool) -> hemi_queue::Result<()> {
                self.handle.socket.set_option(hemi_queue::transport::StreamOption::NoDelay(on))
            }

            /// Probe an idle peer after this long, or not.
            pub fn set_keep_alive(&self, idle: Option<std::time::Duration>) -> hemi_queue::Result<()> {
                self.handle.socket.set_option(hemi_queue::transport::StreamOption::KeepAlive(idle))
            }

            /// How long a close may wait for unsent data; zero makes it a reset.
            pub fn set_linger(&self, most: Option<std::time::Duration>) -> hemi_queue::Result<()> {
                self.handle.socket.set_option(hemi_queue::transport::StreamOption::Linger(most))
            }

            /// The transport's own receive buffer in bytes.
            pub fn set_recv_buffer(&self, bytes: usize) -> hemi_queue::Result<()> {
                self.handle.socket.set_option(hemi_queue::transport::StreamOption::RecvBuffer(bytes))
            }

            /// The transport's own send buffer in bytes.
            pub fn set_send_buffer(&self, bytes: usize) -> hemi_queue::Result<()> {
                self.handle.socket.set_option(hemi_queue::transport::StreamOption::SendBuffer(bytes))
            }

            /// Two halves, for a task that pops and one that pushes. The connection closes when both are dropped.
            pub fn split(self) -> (super::PopHalf<Self>, super::PushHalf<Self>) {
                super::split::split(self)
            }
        }

        impl super::handle::sealed::Sealed for $name {}

        impl super::StreamQueue for $name {
            type Unit = $unit;

            #[inline]
            fn poll_unit(
                &self,
                assembler: Option<&std::rc::Rc<dyn hemi_queue::Assembler>>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<hemi_queue::Result<Option<$unit>>> {
                std::task::ready!(self.handle.poll_pop_turn(cx));
                self.handle.$poll(assembler, cx)
            }

            #[inline]
            fn poll_room(&self, cx: &mut std::task::Context<'_>) -> std::task::Poll<hemi_queue::Result<()>> {
                std::task::ready!(self.handle.poll_push_turn(cx));
                self.handle.socket.poll_ready(cx)
            }

            #[inline]
            fn put(&self, unit: $unit) -> hemi_queue::Result<(), hemi_queue::PushError<$unit>> {
                if self.handle.push_is_taken() {
                    return Err(hemi_queue::PushError::new(hemi_queue::Error::Busy, unit));
                }
                self.handle.put(unit)
            }

            fn poll_shutdown(
                &self,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<hemi_queue::Result<()>> {
                std::task::ready!(self.handle.poll_push_turn(cx));
                std::task::Poll::Ready(self.handle.socket.shutdown())
            }
        }

        /// Cancel-safe: dropping a pop loses nothing.
        impl hemi_queue::Pop for $name {
            type Unit = $unit;

            #[inline]
            fn poll_pop(
                &mut self,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<hemi_queue::Result<Option<$unit>>> {
                super::StreamQueue::poll_unit(self, None, cx)
            }

            #[inline]
            fn poll_pop_for(
                &mut self,
                assembler: &std::rc::Rc<dyn hemi_queue::Assembler>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<hemi_queue::Result<Option<$unit>>> {
                super::StreamQueue::poll_unit(self, Some(assembler), cx)
            }
        }

        /// A push completes when the transport has taken responsibility for it. One that was begun is not retracted.
        impl hemi_queue::Push for $name {
            type Unit = $unit;
            type Receipt = ();

            #[inline]
            fn poll_ready(
                &mut self,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<hemi_queue::Result<()>> {
                super::StreamQueue::poll_room(self, cx)
            }

            #[inline]
            fn start_push(
                &mut self,
                unit: $unit,
            ) -> hemi_queue::Result<hemi_queue::Ticket, hemi_queue::PushError<$unit>> {
                super::StreamQueue::put(self, unit).map(|()| hemi_queue::Ticket::default())
            }

            #[inline]
            fn poll_pushed(
                &mut self,
                _: hemi_queue::Ticket,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<hemi_queue::Result<()>> {
                self.handle.socket.poll_ready(cx)
            }

            fn poll_finish(
                &mut self,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<hemi_queue::Result<()>> {
                super::StreamQueue::poll_shutdown(self, cx)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let ends = (self.handle.socket.local_addr().ok(), self.handle.socket.peer_addr().ok());
                f.debug_struct(stringify!($name)).field("qd", &self.qd()).field("ends", &ends).finish()
            }
        }
    };
}
pub(super) use stream_queue;
