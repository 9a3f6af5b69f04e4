//! [`JoinHandle`]: the other end of a task.

use std::{
    any::Any,
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    ptr::NonNull,
    task::{Context, Poll},
};

use hemi_queue::Error;

use super::cell::Header;

/// Owns the right to a task's result.
///
/// A future: awaited, it gives what the task's future returned, or why there is nothing. Dropping it detaches the task,
/// which runs on. It stays on its thread (`!Send`), and may outlive its runtime: then it gives
/// [`JoinError::Cancelled`].
///
/// Cancel-safe: `&mut handle` may be awaited again after a `select!` dropped it.
///
/// ```
/// # hemi::Runtime::builder().build()?.block_on(async {
/// let task = hemi::spawn(async { 6 * 7 });
/// assert_eq!(task.await.unwrap(), 42);
///
/// let fails = hemi::spawn(async { panic!("on purpose") });
/// let error = fails.await.unwrap_err();
/// assert_eq!(error.panic_message(), Some("on purpose"));
/// # });
/// # Ok::<(), hemi::Error>(())
/// ```
pub struct JoinHandle<T> {
    /// None once it has given the result.
    task: Option<NonNull<Header>>,
    _output: PhantomData<*const T>,
}

// The output is moved out whole, never pinned.
impl<T> Unpin for JoinHandle<T> {}

impl<T> JoinHandle<T> {
    /// # Safety
    /// `task` is a live cell with the handle flag set, of a future with the output `T`.
    #[inline(always)]
    pub(super) unsafe fn new(task: NonNull<Header>) -> Self {
        Self { task: Some(task), _output: PhantomData }
    }

    /// End the task: its future is dropped when its turn comes, and the handle gives [`JoinError::Cancelled`].
    ///
    /// A task that has ended, or that ends in the poll it is in, keeps its result. Aborting twice is aborting once.
    ///
    /// ```
    /// # hemi::Runtime::builder().build()?.block_on(async {
    /// let task = hemi::spawn(std::future::pending::<()>());
    /// task.abort();
    /// assert!(task.await.unwrap_err().is_cancelled());
    /// # });
    /// # Ok::<(), hemi::Error>(())
    /// ```
    pub fn abort(&self) {
        if let Some(task) = self.task {
            // SAFETY: the handle keeps the cell, and is !Send.
            unsafe { Header::abort(task) }
        }
    }

    /// Make the task one of the runtime's own, and let it go.
    pub(super) fn set_internal(self) {
        if let Some(task) = self.task {
            // SAFETY: as above.
            unsafe { Header::set_internal(task) }
        }
    }

    /// Whether the task has ended, so that awaiting the handle gives its result at once.
    pub fn is_finished(&self) -> bool {
        // SAFETY: as above.
        self.task.is_none_or(|task| unsafe { Header::is_done(task) })
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    /// # Panics
    /// When polled again after it gave the result.
    #[inline(always)] // else the compiler keeps it apart, and every await pays for its frame
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let task = self.task.expect("a JoinHandle was polled after it gave its result");
        // SAFETY: as above; `T` is the output by the contract of `new`; the task is forgotten once its result is taken, which
        // does not panic. (In this order the compiler knows that nothing is left for the drop to do.)
        unsafe {
            std::task::ready!(Header::join(task, cx.waker()));
            let result = Header::take(task);
            self.task = None;
            Poll::Ready(result)
        }
    }
}

impl<T> Drop for JoinHandle<T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(task) = self.task {
            // SAFETY: the handle's last act.
            unsafe { Header::drop_handle(task) }
        }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("finished", &self.is_finished()).finish_non_exhaustive()
    }
}

/// Why a task has no result.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The task was aborted, or its runtime ended first.
    #[error("the task was cancelled: it was aborted, or its runtime ended first")]
    Cancelled,
    /// The task panicked; this is what it panicked with.
    #[error("the task panicked: {}", text(.0.as_ref()).unwrap_or("(with something that is not a text)"))]
    Panicked(Box<dyn Any + Send + 'static>),
}

impl JoinError {
    /// Whether the task was aborted or its runtime ended first.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled)
    }

    /// Whether the task panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self, Self::Panicked(_))
    }

    /// The text that the task panicked with, if it was one.
    pub fn panic_message(&self) -> Option<&str> {
        match self {
            Self::Panicked(payload) => text(payload.as_ref()),
            Self::Cancelled => None,
        }
    }

    /// What the task panicked with, for [`std::panic::resume_unwind`]; `Err(self)` when it did not panic.
    pub fn try_into_panic(self) -> Result<Box<dyn Any + Send + 'static>, Self> {
        match self {
            Self::Panicked(payload) => Ok(payload),
            Self::Cancelled => Err(self),
        }
    }
}

fn text(payload: &(dyn Any + Send)) -> Option<&str> {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled => f.write_str("Cancelled"),
            Self::Panicked(payload) => f.debug_tuple("Panicked").field(&text(payload.as_ref())).finish(),
        }
    }
}

/// A [`JoinError`] as text: a panic's payload is not `Sync`, an [`Error`]'s source must be.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct TaskFailed(String);

impl From<JoinError> for Error {
    fn from(e: JoinError) -> Self {
        Self::Other(Box::new(TaskFailed(e.to_string())))
    }
}
