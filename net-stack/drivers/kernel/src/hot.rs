//! The hot set: streams whose task waits for data that is expected now.
//!
//! They are tried directly, with one non-blocking `recv` per turn and nothing armed in the kernel: for a message at a
//! time that is the shortest way there is (no wake-up callback in the sender's context, no completion, no readiness
//! call). A stream enters when a task waits for it, leaves when data came or when it missed too often; then the engine is
//! asked to tell us. How often is too often depends on how many there are: a few may be tried for long, because
//! there is nothing better to do; many must each prove themselves, because every try costs the others a system
//! call.

use std::{cell::RefCell, collections::VecDeque, rc::Rc};

use crate::{inner::Inner, stream::Stream};

/// Tries per turn.
const BURST: usize = 64;
/// Up to so many streams are tried patiently.
const FEW: usize = 4;
/// Turns that a stream among few is tried without data, some milliseconds.
const PATIENT: u32 = 10_000;
/// Turns that a stream among many is tried.
const HASTY: u32 = 8;

#[derive(Default)]
pub(crate) struct Hot {
    set: RefCell<VecDeque<Rc<Stream>>>,
}

impl Hot {
    #[inline]
    pub(crate) fn add(&self, stream: &Rc<Stream>) {
        self.set.borrow_mut().push_back(Rc::clone(stream));
    }

    pub(crate) fn is_small(&self) -> bool {
        self.set.borrow().len() < FEW
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.set.borrow().is_empty()
    }

    pub(crate) fn turn(&self, inner: &Rc<Inner>) -> bool {
        let len = self.set.borrow().len();
        if len == 0 {
            return false;
        }
        let patience = match len {
            _ if inner.engine.never_arms() => u32::MAX,
            0..=FEW => PATIENT,
            _ => HASTY,
        };
        let mut busy = false;
        for _ in 0..len.min(BURST) {
            let Some(stream) = self.set.borrow_mut().pop_front() else { break };
            match stream.try_recv() {
                Tried::Miss(misses) if misses < patience => self.set.borrow_mut().push_back(stream),
                Tried::Miss(_) => stream.arm_recv(),
                Tried::Left => busy = true,
            }
        }
        busy
    }

    /// The core is about to sleep: nobody tries any more, so the kernel must tell. False: some must be tried first.
    pub(crate) fn arm_all(&self, inner: &Rc<Inner>) -> bool {
        let mut all = true;
        let len = self.set.borrow().len();
        for _ in 0..len {
            let Some(stream) = self.pop() else { break };
            if inner.engine.tells_edges() && stream.rx.untried.get() {
                all = false;
                self.set.borrow_mut().push_back(stream);
            } else {
                stream.arm_recv();
            }
        }
        all
    }

    fn pop(&self) -> Option<Rc<Stream>> {
        self.set.borrow_mut().pop_front()
    }

    pub(crate) fn clear(&self) {
        self.set.take();
    }
}

/// What came of one try.
pub(crate) enum Tried {
    /// No data; how often in a row.
    Miss(u32),
    /// Data, the end, an error, or nobody waits: out of the set.
    Left,
}
