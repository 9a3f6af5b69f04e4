//! The blocking waits: methods of [`Runtime`], for programs written as a loop around `wait_any`, as in the papers.
//!
//! They drive the turn themselves, so that tasks go on meanwhile. Inside a task they would wait for the loop that runs
//! them: [`Error::WouldDeadlock`].

use std::{rc::Rc, time::Duration};

use hemi_queue::{Completion, Error, Result, Sga, time::Instant};

use super::{QToken, TokenSet, wait::claim};
use crate::{Runtime, context::Core};

impl Runtime {
    /// Call `f` with this runtime as the thread's own, without running its tasks: so that sockets can be opened and
    /// operations submitted outside of [`block_on`](Self::block_on).
    pub fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        let _entered = self.core().enter();
        f()
    }

    /// Block until one operation is complete, as [`token::wait`](super::wait) does in a task.
    ///
    /// ```
    /// use hemi::{Completion, Sga, qd};
    ///
    /// let runtime = hemi::Runtime::builder().build()?;
    /// let (push, pop) = runtime.enter(|| {
    ///     let queue = qd::queue(1)?;
    ///     Ok::<_, hemi::Error>((qd::push(queue, Sga::from("unit"))?, qd::pop(queue)?))
    /// })?;
    /// runtime.wait(push, None)?;
    /// assert!(matches!(runtime.wait(pop, None)?, Completion::Popped(Some(_))));
    /// # Ok::<(), hemi::Error>(())
    /// ```
    pub fn wait(&self, token: QToken, limit: Option<Duration>) -> Result<Completion> {
        let core = Rc::clone(self.core());
        let token = token.of(&core)?;
        let deadline = deadline(&core, limit);
        let claimed = self.drive_until(deadline, || core.names.tokens.try_claim(token).transpose())?;
        claimed.ok_or(Error::TimedOut("wait"))??
    }

    /// Block until the first of `tokens` is complete, as [`token::wait_any`](super::wait_any) does in a task.
    pub fn wait_any(
        &self,
        tokens: &[QToken],
        limit: Option<Duration>,
    ) -> Result<(usize, Result<Completion>)> {
        let core = Rc::clone(self.core());
        let mut set = TokenSet::new();
        self.enter(|| tokens.iter().try_for_each(|token| set.insert(*token)))?;
        if set.is_empty() {
            return Err(Error::StaleToken);
        }
        let deadline = deadline(&core, limit);
        let next = self.drive_until(deadline, || set.try_next().transpose())?;
        let (token, result) = next.ok_or(Error::TimedOut("wait_any"))??;
        let index = tokens.iter().position(|t| *t == token).ok_or(Error::StaleToken)?;
        Ok((index, result))
    }

    /// Block until all of `tokens` are complete, as [`token::wait_all`](super::wait_all) does in a task.
    pub fn wait_all(&self, tokens: &[QToken], limit: Option<Duration>) -> Result<Vec<Result<Completion>>> {
        let core = Rc::clone(self.core());
        let bare = tokens.iter().map(|t| t.of(&core)).collect::<Result<Vec<_>>>()?;
        let mut at = 0;
        let all_done = self.drive_until(deadline(&core, limit), || {
            while let Some(token) = bare.get(at) {
                match core.names.tokens.is_pending(*token) {
                    Ok(true) => return None,
                    Ok(false) => at += 1,
                    Err(e) => return Some(Err(e)),
                }
            }
            Some(Ok(()))
        })?;
        all_done.ok_or(Error::TimedOut("wait_all"))??;
        Ok(tokens.iter().map(|token| claim(&core, *token)).collect())
    }

    /// [`QToken::cancel`] from outside of tasks.
    pub fn cancel(&self, token: QToken) -> Result<Option<Sga>> {
        self.enter(|| token.cancel())
    }
}

/// When a wait of `limit` from now ends.
fn deadline(core: &Core, limit: Option<Duration>) -> Option<Instant> {
    limit.map(|limit| core.clock.read() + limit)
}
