//! [`LogCursor`]: one more reader of a log.

use std::{
    fmt,
    rc::Rc,
    task::{Context, Poll},
};

use hemi_queue::{Pop, Result, Waiter};
use hemi_storage::{CursorId, Lsn, Record};

use super::shared::Shared;

/// A reader of a log, at a place of its own: a queue of [`Record`]s. At the tail a pop waits for the next unit, and gets it from
/// memory; a reader that is behind reads ahead from the device. The log stays open while a cursor is.
///
/// # Errors of a pop
/// [`LogError::Truncated`](super::LogError::Truncated) when the record was truncated meanwhile, and
/// [`LogError::Unreadable`](super::LogError::Unreadable) when it is damaged (both wrapped in
/// [`Error::Other`](crate::Error::Other)): told once, then the next pop goes on where they say.
///
/// ```
/// use hemi::{LogQueue, Lsn, Pop, Push};
///
/// # let runtime = hemi::Runtime::builder().simulated(1).build()?;
/// # runtime.block_on(async {
/// let mut log = LogQueue::create("mem:cursors").await?;
/// for unit in ["a", "b", "c"] {
///     log.push(unit).await?;
/// }
/// let mut reader = log.cursor(Lsn(1));
/// let record = reader.pop().await?.unwrap();
/// assert_eq!((record.lsn, record.unit.to_vec()), (Lsn(1), b"b".to_vec()));
/// # Ok::<(), hemi::Error>(())
/// # })?;
/// # Ok::<(), hemi::Error>(())
/// ```
pub struct LogCursor {
    shared: Rc<Shared>,
    id: CursorId,
    waiter: Rc<Waiter>,
}

impl LogCursor {
    pub(super) fn new(shared: &Rc<Shared>, from: Lsn) -> Self {
        shared.handle_opened();
        let (id, waiter) = shared.cursor(from);
        Self { shared: Rc::clone(shared), id, waiter }
    }

    /// The LSN that the next pop looks at.
    pub fn position(&self) -> Lsn {
        self.shared.position(self.id)
    }

    /// Go on at record `to`; later records may not be there yet.
    pub fn seek(&mut self, to: Lsn) {
        self.shared.seek(self.id, to);
    }

    /// Go on at the first record appended at `time` (nanoseconds since the Unix epoch) or later.
    pub fn seek_time(&mut self, time: u64) {
        self.shared.seek_time(self.id, time);
    }
}

/// Cancel-safe: dropping a pop loses nothing. `None` is the end of a log that is closed or open for reading only.
impl Pop for LogCursor {
    type Unit = Record;

    fn poll_pop(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Record>>> {
        self.shared.poll_pop(self.id, &self.waiter, cx)
    }
}

impl Drop for LogCursor {
    fn drop(&mut self) {
        self.shared.drop_cursor(self.id);
        self.shared.handle_closed();
    }
}

impl fmt::Debug for LogCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogCursor").field("position", &self.position()).finish_non_exhaustive()
    }
}
