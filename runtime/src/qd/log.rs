//! `open`, `creat`: logs behind bare descriptors.

use hemi_queue::{Qd, Result};

use crate::{context, names::Entry, storage};

/// Open the log at `uri` (`log:PATH`, `mem:NAME`; see [`storage`](crate::storage)). A push completes when its unit is durable; pops
/// begin at the head.
///
/// # Errors
/// As for [`LogQueue::open`](crate::LogQueue::open).
pub async fn open(uri: impl AsRef<str>) -> Result<Qd> {
    let object = storage::object(uri.as_ref(), false).await?;
    Ok(Entry::open(&context::current()?, object).qd())
}

/// Make a new log at `uri`.
///
/// # Errors
/// As for [`LogQueue::create`](crate::LogQueue::create).
pub async fn creat(uri: impl AsRef<str>) -> Result<Qd> {
    let object = storage::object(uri.as_ref(), true).await?;
    Ok(Entry::open(&context::current()?, object).qd())
}
