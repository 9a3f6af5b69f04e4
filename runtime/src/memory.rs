//! [`pool`]: the memory of this core.

use hemi_queue::{Pool, Result};

use crate::context;

/// The buffer pool of the runtime that runs on this thread: what transports receive into, and what a program that builds
/// its own units takes them from.
///
/// ```
/// # hemi::Runtime::builder().net("mem:").build()?.block_on(async {
/// let mut unit = hemi::pool()?.alloc(64).await?; // waits while the pool is drained
/// unit.put(b"written in place");
/// let queue = hemi::queue::<hemi::Buf>(1);
/// queue.push(unit.freeze()).await?;
/// assert_eq!(queue.pop().await?.unwrap().as_ref(), b"written in place");
/// assert_eq!(hemi::pool()?.stats().in_use, 0);
/// # Ok::<(), hemi::Error>(())
/// # })?;
/// # Ok::<(), hemi::Error>(())
/// ```
///
/// # Errors
/// [`Error::NoRuntime`](crate::Error::NoRuntime) on a thread without one.
pub fn pool() -> Result<Pool> {
    context::with(|core| core.pool.clone())
}
