//! [`TokenSet`]: waiting for whichever of many operations completes next.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use hemi_queue::{Completion, Error, Result, Token};

use super::{QToken, table::SetShared};
use crate::context;

/// A set of operations in flight, and the one waiter of each of them.
///
/// A completion puts its token on the set's list, so [`next`](Self::next) costs the same with 10,000 members as with
/// one. Dropping the set leaves the operations alone; they can be waited for again.
///
/// ```
/// use hemi::{Completion, Sga, qd, token::TokenSet};
///
/// let runtime = hemi::Runtime::builder().build()?;
/// runtime.block_on(async {
///     let (a, b) = (qd::queue(4)?, qd::queue(4)?);
///     let mut set = TokenSet::new();
///     let from_a = qd::pop(a)?;
///     let from_b = qd::pop(b)?;
///     set.insert(from_a)?;
///     set.insert(from_b)?;
///     qd::push(b, Sga::from("first"))?.await?;
///     let (token, result) = set.next().await.expect("two members");
///     assert_eq!(token, from_b);
///     assert!(matches!(result?, Completion::Popped(Some(_))));
///     assert_eq!(set.len(), 1);
///     Ok::<(), hemi::Error>(())
/// })?;
/// # Ok::<(), hemi::Error>(())
/// ```
#[derive(Default)]
pub struct TokenSet {
    shared: Rc<SetShared>,
    len: usize,
    /// The runtime of all members, once there is one.
    runtime: Option<u64>,
}

impl TokenSet {
    /// No members.
    pub fn new() -> Self {
        Self::default()
    }

    /// Members whose results have not been taken.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Wait for `token` too.
    ///
    /// # Errors
    /// [`Error::StaleToken`], [`Error::ForeignToken`], and [`Error::WrongKind`] when it is a member of a set already.
    pub fn insert(&mut self, token: QToken) -> Result<()> {
        context::with(|core| {
            core.names.tokens.join_set(token.of(core)?, &self.shared)?;
            self.runtime = Some(core.names.runtime);
            self.len += 1;
            Ok(())
        })?
    }

    /// Wait for `token` no more; the operation goes on. Whether it was a member.
    pub fn remove(&mut self, token: QToken) -> bool {
        let left = context::with(|core| {
            token.of(core).is_ok_and(|token| core.names.tokens.leave_set(token, &self.shared))
        });
        let left = left.unwrap_or(false);
        self.len -= usize::from(left);
        left
    }

    /// The next member to complete and its result; `None` when the set is empty. Cancel-safe. Members come in the order
    /// they completed.
    #[allow(clippy::should_implement_trait)] // a future, as in `StreamExt::next`
    pub fn next(&mut self) -> Next<'_> {
        Next { set: self }
    }

    /// See [`next`](Self::next).
    #[inline]
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<(QToken, Result<Completion>)>> {
        if self.len == 0 {
            return Poll::Ready(None);
        }
        match self.try_next() {
            Ok(Some(done)) => return Poll::Ready(Some(done)),
            Ok(None) => {}
            // Outside of the members' runtime: they cannot complete here.
            Err(_) => return Poll::Ready(None),
        }
        self.shared.waiter.register(cx.waker());
        Poll::Pending
    }

    /// A member that is done already, without waiting.
    ///
    /// # Errors
    /// [`Error::NoRuntime`], and [`Error::ForeignToken`] when the members are of another runtime than this thread's.
    #[inline]
    pub fn try_next(&mut self) -> Result<Option<(QToken, Result<Completion>)>> {
        context::with(|core| {
            if self.runtime.is_some_and(|r| r != core.names.runtime) {
                return Err(Error::ForeignToken);
            }
            loop {
                let next: Option<Token> = self.shared.done.borrow_mut().pop_front();
                let Some(token) = next else { return Ok(None) };
                // One that was removed or cancelled since is skipped.
                if let Some(result) = core.names.tokens.claim_member(token, &self.shared) {
                    self.len -= 1;
                    return Ok(Some((QToken::new(token, core.names.runtime), result)));
                }
            }
        })?
    }
}

impl Drop for TokenSet {
    fn drop(&mut self) {
        self.shared.gone.set(true);
    }
}

impl fmt::Debug for TokenSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSet").field("len", &self.len).finish()
    }
}

/// The future of [`TokenSet::next`].
#[must_use = "futures do nothing until they are awaited"]
#[derive(Debug)]
pub struct Next<'s> {
    set: &'s mut TokenSet,
}

impl Future for Next<'_> {
    type Output = Option<(QToken, Result<Completion>)>;
    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.set.poll_next(cx)
    }
}
