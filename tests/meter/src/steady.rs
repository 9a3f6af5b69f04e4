//! [`Steady`]: whether operations allocate nothing once everything has found its size.

use std::fmt;

use crate::allocations;

/// Windows that are looked at before the verdict.
const WINDOWS: usize = 40;

/// Looks for one window of operations without an allocation.
///
/// Queues grow to a high-water mark, and when they reach it is the scheduler's business: on a loaded machine the
/// largest burst can come late. So no number of allocations is right or wrong after some warm-up. What must hold is
/// that the growth ends, and then whole windows allocate nothing; an operation that allocates by itself, even one in
/// a hundred, leaves no window clean.
///
/// # How it is driven
/// [`operation`](Self::operation) once for each operation, on the thread that is measured, until it says a [`Verdict`].
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: hemi_meter::Counting = hemi_meter::Counting;
///
/// let (mut steady, mut queue) = (hemi_meter::Steady::over(100), std::collections::VecDeque::new());
/// let verdict = loop {
///     queue.push_back(1); // grows once, early
///     if let Some(verdict) = steady.operation() {
///         break verdict;
///     }
///     queue.clear();
/// };
/// assert!(verdict.is_clean(), "{verdict}");
/// ```
#[derive(Debug)]
pub struct Steady {
    size: usize,
    done: usize,
    begin: u64,
    /// In place: a measurement that allocates would measure itself.
    windows: [u64; WINDOWS],
    seen: usize,
}

impl Steady {
    /// Windows of `size` operations.
    ///
    /// # Panics
    /// When `size` is 0.
    pub fn over(size: usize) -> Self {
        assert!(size > 0, "a window of no operations shows nothing");
        Self { size, done: 0, begin: allocations(), windows: [0; WINDOWS], seen: 0 }
    }

    /// The most operations until there is a verdict.
    pub fn longest(&self) -> usize {
        self.size * WINDOWS
    }

    /// One operation was done. The verdict, when a window was clean, or when none of 40 was.
    pub fn operation(&mut self) -> Option<Verdict> {
        self.done += 1;
        if self.done < self.size {
            return None;
        }
        self.done = 0;
        let now = allocations();
        let grown = now - std::mem::replace(&mut self.begin, now);
        self.windows[self.seen] = grown;
        self.seen += 1;
        let over = grown == 0 || self.seen == WINDOWS;
        over.then_some(Verdict { size: self.size, windows: self.windows, seen: self.seen })
    }
}

/// What [`Steady`] saw.
#[derive(Debug, Clone)]
pub struct Verdict {
    size: usize,
    windows: [u64; WINDOWS],
    seen: usize,
}

impl Verdict {
    /// Whether the last window had no allocation.
    pub fn is_clean(&self) -> bool {
        self.windows[..self.seen].last() == Some(&0)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let windows = &self.windows[..self.seen];
        write!(f, "allocations in windows of {} operations: {windows:?}", self.size)
    }
}
