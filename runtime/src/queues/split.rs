//! The two halves of a stream queue.

use std::{
    fmt,
    rc::Rc,
    task::{Context, Poll},
};

use hemi_queue::{Assembler, Pop, Push, PushError, Result, Ticket};

use super::StreamQueue;

pub(super) fn split<Q: StreamQueue>(queue: Q) -> (PopHalf<Q>, PushHalf<Q>) {
    let queue = Rc::new(queue);
    (PopHalf { queue: Rc::clone(&queue) }, PushHalf { queue })
}

/// The half of a stream queue that pops; made by its `split`.
///
/// ```
/// # use hemi::{Conn, Listener, Pop, Push, Runtime};
/// # let runtime = Runtime::builder().net("mem:").build()?;
/// # runtime.block_on(async {
/// let mut listener = Listener::bind("echo").await?;
/// let (mut replies, mut requests) = Conn::connect("echo").await?.split();
/// let server = hemi::spawn(async move {
///     let mut conn = listener.pop().await?.unwrap();
///     while let Some(unit) = conn.pop().await? {
///         conn.push(unit).await?;
///     }
///     Ok::<(), hemi::Error>(())
/// });
/// let pushing = hemi::spawn(async move {
///     for n in 0..3_u8 {
///         requests.push(vec![n]).await?;
///     }
///     requests.finish().await // half-close: the server sees the end
/// });
/// let mut got = Vec::new();
/// while let Some(unit) = replies.pop().await? {
///     got.extend(unit.to_vec());
/// }
/// assert_eq!(got, [0, 1, 2]);
/// # pushing.await.unwrap()?;
/// # server.await.unwrap()
/// # })?;
/// # Ok::<(), hemi::Error>(())
/// ```
pub struct PopHalf<Q> {
    queue: Rc<Q>,
}

/// The half of a stream queue that pushes; made by its `split`. [`finish`](Push::finish) half-closes; dropping the half alone
/// does not.
pub struct PushHalf<Q> {
    queue: Rc<Q>,
}

impl<Q: StreamQueue> PopHalf<Q> {
    /// Put the halves together again; gives them back if they are not of one queue.
    pub fn unsplit(self, push: PushHalf<Q>) -> Result<Q, (Self, PushHalf<Q>)> {
        if !Rc::ptr_eq(&self.queue, &push.queue) {
            return Err((self, push));
        }
        drop(push);
        match Rc::try_unwrap(self.queue) {
            Ok(queue) => Ok(queue),
            Err(queue) => Err((Self { queue: Rc::clone(&queue) }, PushHalf { queue })), // halves are not cloned
        }
    }
}

impl<Q: StreamQueue> Pop for PopHalf<Q> {
    type Unit = Q::Unit;

    #[inline]
    fn poll_pop(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Q::Unit>>> {
        self.queue.poll_unit(None, cx)
    }

    #[inline]
    fn poll_pop_for(
        &mut self,
        assembler: &Rc<dyn Assembler>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Q::Unit>>> {
        self.queue.poll_unit(Some(assembler), cx)
    }
}

impl<Q: StreamQueue> Push for PushHalf<Q> {
    type Unit = Q::Unit;
    type Receipt = ();

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.queue.poll_room(cx)
    }

    #[inline]
    fn start_push(&mut self, unit: Q::Unit) -> Result<Ticket, PushError<Q::Unit>> {
        self.queue.put(unit).map(|()| Ticket::default())
    }

    #[inline]
    fn poll_pushed(&mut self, _: Ticket, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.queue.poll_room(cx)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.queue.poll_shutdown(cx)
    }
}

impl<Q: fmt::Debug> fmt::Debug for PopHalf<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PopHalf").field(&self.queue).finish()
    }
}

impl<Q: fmt::Debug> fmt::Debug for PushHalf<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PushHalf").field(&self.queue).finish()
    }
}
