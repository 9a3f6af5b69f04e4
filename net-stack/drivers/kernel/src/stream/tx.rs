//! The sending half of a stream: what was accepted and is not yet with the kernel.
//!
//! `start_push` only queues; the turn flushes, so that everything pushed in one batch of tasks goes out with one vectored
//! send. What the kernel does not take at once is handed to the engine, which goes on when there is room.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    os::fd::RawFd,
};

use hemi_queue::{Buf, Sga, Waiter};

use crate::sys::{self, Errno};

pub(crate) struct Tx {
    pub(crate) queue: RefCell<VecDeque<Buf>>,
    /// Accepted bytes that are not with the kernel, in flight ones included.
    pub(crate) bytes: Cell<usize>,
    pub(crate) limit: usize,
    /// In the turn's list of streams to flush.
    pub(crate) dirty: Cell<bool>,
    /// The engine has the next word: a send in flight, or waiting for room.
    pub(crate) blocked: Cell<bool>,
    /// No more is accepted; after the last byte the peer is told.
    pub(crate) finish: Cell<bool>,
    /// The peer was told.
    pub(crate) finished: Cell<bool>,
    pub(crate) failed: Cell<Errno>,
    pub(crate) waiter: Waiter,
}

/// How far a flush came.
pub(crate) enum Flushed {
    All,
    /// The kernel takes no more now.
    Blocked,
    Failed(Errno),
}

impl Tx {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            queue: RefCell::default(),
            bytes: Cell::new(0),
            limit: limit.max(1),
            dirty: Cell::new(false),
            blocked: Cell::new(false),
            finish: Cell::new(false),
            finished: Cell::new(false),
            failed: Cell::new(0),
            waiter: Waiter::new(),
        }
    }

    #[inline]
    pub(crate) fn put(&self, unit: Sga) {
        let mut queue = self.queue.borrow_mut();
        for buf in unit {
            self.bytes.set(self.bytes.get() + buf.len());
            queue.push_back(buf);
        }
    }

    /// Send directly as much as the kernel takes.
    #[inline]
    pub(crate) fn send_now(&self, fd: RawFd) -> Flushed {
        let mut queue = self.queue.borrow_mut();
        loop {
            let (result, offered) = match queue.len() {
                0 => return Flushed::All,
                1 => {
                    let only = &queue[0];
                    (sys::send(fd, only), only.len())
                }
                _ => {
                    let offered = queue.iter().take(sys::MAX_PARTS).map(Buf::len).sum();
                    (sys::send_parts(fd, queue.iter()), offered)
                }
            };
            match result {
                Ok(n) => {
                    self.bytes.set(self.bytes.get() - n);
                    advance(&mut queue, n);
                    if n < offered {
                        return Flushed::Blocked;
                    }
                }
                Err(libc::EINTR) => {}
                Err(libc::EAGAIN) => return Flushed::Blocked,
                Err(e) => return Flushed::Failed(e),
            }
        }
    }

    pub(crate) fn fail(&self, errno: Errno) {
        if self.failed.get() == 0 {
            self.failed.set(errno);
        }
        self.queue.take();
        self.bytes.set(0);
        self.waiter.wake();
    }
}

/// Drop the first `n` bytes.
pub(crate) fn advance(queue: &mut VecDeque<Buf>, mut n: usize) {
    while n > 0 {
        let Some(front) = queue.front_mut() else { return };
        if front.len() > n {
            front.advance(n);
            return;
        }
        n -= front.len();
        queue.pop_front();
    }
}
