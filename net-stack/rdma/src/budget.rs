//! [`ReceiveBudget`]: the receive buffers that many connections share.

use std::{cell::Cell, rc::Rc};

use crate::hello::MIN_WINDOW;

/// The account of one receive queue, shared by its connections or of one alone.
///
/// ```text
///   posted ≥ promised: credits that connections have announced and that their peers have not used
///   reserved: windows of all connections, at most the capacity
/// ```
///
/// A message arrives only where a credit was announced, and a credit is announced only where a buffer is posted for it: so no
/// peer is ever told "receiver not ready", however many connections draw on the queue.
///
/// # How it is driven
/// The driver posts [`wanted`](Self::wanted) receive buffers and says so by [`posted`](Self::posted), whenever it has handed on
/// what was received and after each new connection. Connections do the rest. After a shortage, connections that could not announce
/// their credits are driven again: [`take_relieved`](Self::take_relieved).
///
/// ```
/// use hemi_rdma::ReceiveBudget;
/// let budget = ReceiveBudget::new(64);
/// assert_eq!(budget.wanted(), 0); // nobody is connected
/// assert_eq!(budget.reserve(32), Some(32));
/// assert_eq!(budget.wanted(), 32);
/// budget.posted(32);
/// assert_eq!(budget.reserve(1000), Some(32)); // what is left
/// assert_eq!(budget.reserve(32), None);
/// ```
#[derive(Debug)]
pub struct ReceiveBudget {
    capacity: u32,
    posted: Cell<u32>,
    promised: Cell<u32>,
    reserved: Cell<u32>,
    short: Cell<bool>,
    relieved: Cell<bool>,
}

impl ReceiveBudget {
    /// Of a receive queue of `capacity` work requests.
    pub fn new(capacity: u32) -> Rc<Self> {
        Rc::new(Self {
            capacity,
            posted: Cell::new(0),
            promised: Cell::new(0),
            reserved: Cell::new(0),
            short: Cell::new(false),
            relieved: Cell::new(false),
        })
    }

    /// Work requests that the queue can hold.
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// How many more receive buffers the driver should post.
    #[inline]
    pub fn wanted(&self) -> u32 {
        self.reserved.get().saturating_sub(self.posted.get())
    }

    /// `n` receive buffers more were posted.
    #[inline]
    pub fn posted(&self, n: u32) {
        self.posted.set(self.posted.get() + n);
        if self.short.get() && n > 0 {
            self.short.set(false);
            self.relieved.set(true);
        }
    }

    /// `n` posted receive buffers are gone without a message for a connection: flushed, or received for one that is no more.
    pub fn lost(&self, n: u32) {
        self.posted.set(self.posted.get().saturating_sub(n));
    }

    /// Whether connections should be driven that had to wait for a receive buffer. Says so once.
    #[inline]
    pub fn take_relieved(&self) -> bool {
        self.relieved.replace(false)
    }

    /// Buffers that are posted now.
    pub fn now_posted(&self) -> u32 {
        self.posted.get()
    }

    /// Credits that peers hold now.
    pub fn now_promised(&self) -> u32 {
        self.promised.get()
    }

    /// A window of up to `want` receive buffers for a connection; `None` when there are fewer than [`MIN_WINDOW`]. Given back by
    /// [`unreserve`](Self::unreserve).
    pub fn reserve(&self, want: u16) -> Option<u16> {
        let left = self.capacity - self.reserved.get();
        let window = u32::from(want.max(MIN_WINDOW)).min(left);
        if window < u32::from(MIN_WINDOW) {
            return None;
        }
        self.reserved.set(self.reserved.get() + window);
        Some(window as u16)
    }

    /// Give a window back. What was posted for it stays posted, and is used by the next.
    pub fn unreserve(&self, window: u16) {
        self.reserved.set(self.reserved.get().saturating_sub(window.into()));
    }

    /// Promise up to `n` posted buffers; returns how many.
    #[inline]
    pub(crate) fn promise(&self, n: u16) -> u16 {
        let promised = self.promised.get();
        let free = self.posted.get().saturating_sub(promised);
        let got = u32::from(n).min(free);
        if got < n.into() {
            self.short.set(true);
        }
        self.promised.set(promised + got);
        got as u16
    }

    /// A promised buffer was used.
    #[inline]
    pub(crate) fn used(&self) {
        self.posted.set(self.posted.get().saturating_sub(1));
        self.promised.set(self.promised.get() - 1);
    }

    /// `n` promises will not be used: their connection is no more.
    pub(crate) fn withdraw(&self, n: u16) {
        self.promised.set(self.promised.get() - u32::from(n));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_promised_than_is_posted() {
        let budget = ReceiveBudget::new(40);
        assert_eq!(budget.reserve(16), Some(16));
        assert_eq!(budget.reserve(16), Some(16));
        assert_eq!(budget.reserve(16), Some(8));
        assert_eq!(budget.reserve(16), None);
        budget.posted(20);
        assert_eq!(
            (budget.wanted(), budget.promise(16), budget.promise(16), budget.promise(1)),
            (20, 16, 4, 0)
        );
        assert!(!budget.take_relieved());
        budget.posted(1);
        assert!(budget.take_relieved() && !budget.take_relieved());
        budget.used();
        assert_eq!((budget.now_posted(), budget.now_promised(), budget.promise(9)), (20, 19, 1));
        budget.withdraw(20);
        budget.lost(3);
        budget.unreserve(16);
        assert_eq!((budget.now_posted(), budget.now_promised(), budget.wanted()), (17, 0, 7));
        assert_eq!(budget.reserve(0), Some(MIN_WINDOW), "the least that a connection needs");
    }
}
