//! [`QToken`]: the name of a submitted operation, and a future of its result.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use hemi_queue::{Completion, Error, Result, Sga, Token};

use crate::context::{self, Core};

/// A submitted operation of one runtime.
///
/// `Copy`: it is a name. Awaiting any copy gives the result, once; a second wait answers
/// [`Error::StaleToken`], waiting in another runtime [`Error::ForeignToken`]. Dropping it changes nothing: the
/// operation goes on, and its result waits until the queue is closed.
///
/// ```
/// use hemi::{Completion, Sga, qd};
///
/// let runtime = hemi::Runtime::builder().build()?;
/// runtime.block_on(async {
///     let queue = qd::queue(16)?;
///     let pop = qd::pop(queue)?; // nothing there yet
///     let push = qd::push(queue, Sga::from("unit"))?;
///     assert!(matches!(push.await?, Completion::Pushed));
///     let Completion::Popped(Some(unit)) = pop.await? else { panic!() };
///     assert_eq!(unit.to_vec(), b"unit");
///     assert!(matches!(pop.await, Err(hemi::Error::StaleToken))); // its result was taken
///     qd::close(queue)
/// })?;
/// # Ok::<(), hemi::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[must_use = "the operation goes on, but its result has to be taken by someone"]
pub struct QToken {
    token: Token,
    runtime: u64,
    _thread: PhantomData<*const ()>,
}

impl QToken {
    pub(crate) fn new(token: Token, runtime: u64) -> Self {
        Self { token, runtime, _thread: PhantomData }
    }

    /// The bare token, if it is one of `core`'s.
    #[inline]
    pub(crate) fn of(self, core: &Core) -> Result<Token> {
        if core.names.runtime == self.runtime { Ok(self.token) } else { Err(Error::ForeignToken) }
    }

    /// Whether the operation is complete and its result not yet taken.
    pub fn is_done(self) -> Result<bool> {
        context::with(|core| Ok(!core.names.tokens.is_pending(self.of(core)?)?))?
    }

    /// Take the result if the operation is complete.
    pub fn try_take(self) -> Result<Option<Completion>> {
        context::with(|core| core.names.tokens.try_claim(self.of(core)?)?.transpose())?
    }

    /// Cancel the operation, if it has not begun: before a pop has taken its first byte, before a push was handed over.
    /// A cancelled push gives its unit back. Whoever waits for the token gets [`Error::Cancelled`].
    ///
    /// # Errors
    /// [`Error::TooLate`] when the operation has begun or is done: it goes on, and its result can still be taken.
    pub fn cancel(self) -> Result<Option<Sga>> {
        let core = context::current()?;
        self.cancel_in(&core)
    }

    pub(crate) fn cancel_in(self, core: &Rc<Core>) -> Result<Option<Sga>> {
        let token = self.of(core)?;
        core.names.tokens.entry(token)?.cancel(core, token)
    }
}

impl Future for QToken {
    type Output = Result<Completion>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        context::with(|core| match self.of(core) {
            Ok(token) => core.names.tokens.poll(token, cx),
            Err(e) => Poll::Ready(Err(e)),
        })?
    }
}

impl fmt::Debug for QToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}@{}", self.token, self.runtime)
    }
}
