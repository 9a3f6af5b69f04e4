//! `wait`, `wait_any`, `wait_all` in tasks: conveniences on awaiting a token and on [`TokenSet`].

use std::{future::poll_fn, task::Poll, time::Duration};

use hemi_queue::{Completion, Error, Result};

use super::{QToken, TokenSet};
use crate::{
    context::{self, Core},
    time,
};

/// The result of one operation, within `limit` if there is one.
///
/// # Errors
/// What the operation failed with; [`Error::TimedOut`] when `limit` passed: the operation goes on and can be
/// waited for again.
pub async fn wait(token: QToken, limit: Option<Duration>) -> Result<Completion> {
    let Some(limit) = limit else { return token.await };
    if let Ok(result) = time::timeout(limit, token).await {
        return result;
    }
    context::with(|core| token.of(core).map(|t| core.names.tokens.forget_waiter(t)))??;
    Err(Error::TimedOut("wait"))
}

/// The first of `tokens` to complete: its index and its result. The others go on.
///
/// # Errors
/// [`Error::TimedOut`] when `limit` passed; [`Error::StaleToken`] when there are no tokens; and what makes a token
/// unfit to be waited for. An operation's own failure is in the inner result.
pub async fn wait_any(tokens: &[QToken], limit: Option<Duration>) -> Result<(usize, Result<Completion>)> {
    let mut set = TokenSet::new();
    for token in tokens {
        set.insert(*token)?;
    }
    let next = match limit {
        None => set.next().await,
        Some(limit) => time::timeout(limit, set.next()).await.map_err(|_| Error::TimedOut("wait_any"))?,
    };
    let (token, result) = next.ok_or(Error::StaleToken)?;
    let index = tokens.iter().position(|t| *t == token).ok_or(Error::StaleToken)?;
    Ok((index, result))
}

/// All results, in the order of `tokens`.
///
/// # Errors
/// [`Error::TimedOut`] when `limit` passed before the last: none is taken then, and all can be waited for
/// again; and what makes a token unfit to be waited for. An operation's own failure is in its place.
pub async fn wait_all(tokens: &[QToken], limit: Option<Duration>) -> Result<Vec<Result<Completion>>> {
    let all_done = async {
        for token in tokens {
            done(*token).await?;
        }
        Ok::<(), Error>(())
    };
    match limit {
        None => all_done.await?,
        Some(limit) => time::timeout(limit, all_done).await.map_err(|_| Error::TimedOut("wait_all"))??,
    }
    context::with(|core| tokens.iter().map(|token| claim(core, *token)).collect())
}

/// Take the result of an operation that is done; one that was claimed since (named twice) tells so in its place.
pub(super) fn claim(core: &Core, token: QToken) -> Result<Completion> {
    core.names.tokens.try_claim(token.of(core)?)?.unwrap_or(Err(Error::StaleToken))
}

/// Wait until an operation is complete, without taking its result.
async fn done(token: QToken) -> Result<()> {
    poll_fn(|cx| {
        let polled = context::with(|core| Ok(core.names.tokens.poll_done(token.of(core)?, cx)));
        polled.and_then(|p: Result<Poll<Result<()>>>| p).unwrap_or_else(|e| Poll::Ready(Err(e)))
    })
    .await
}
