//! The hot set: streams whose task waits for data that is expected now.
//!
//! They are tried directly, with one non-blocking `recv` per turn and nothing armed in the kernel: for a message at a
//! time that is the shortest way there is (no wake-up callback in the sender's context, no completion, no readiness
//! call). With many busy streams the ring is better: what has arrived on all of them comes with one system call.
//!
//! Which of the two is told by *distance*: how many pieces other streams received since this one's last. A stream
//! with a small distance is one of few busy ones and is tried; one with a large distance is told of its data by the
//! engine. A stream leaves the set when data came or when it missed too often.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
};

use crate::{Tuning, datagram::Datagram, inner::Inner, stream::Stream};

/// Tries per turn.
const BURST: usize = 64;
/// Turns that a stream among few is tried without data, some milliseconds.
const PATIENT: u32 = 10_000;
/// Turns that a stream among many is tried.
const HASTY: u32 = 8;

#[derive(Default)]
pub(crate) struct Hot {
    set: RefCell<VecDeque<Member>>,
    /// Pieces received by all streams: the clock of distances.
    pieces: Cell<u64>,
}

/// A socket that is tried.
pub(crate) enum Member {
    Stream(Rc<Stream>),
    Datagram(Rc<Datagram>),
}

impl Member {
    #[inline]
    fn try_recv(&self) -> Tried {
        match self {
            Self::Stream(s) => s.try_recv(),
            Self::Datagram(d) => d.try_recv(),
        }
    }

    fn arm_recv(&self) {
        match self {
            Self::Stream(s) => s.arm_recv(),
            Self::Datagram(d) => d.arm_recv(),
        }
    }

    fn is_untried(&self) -> bool {
        match self {
            Self::Stream(s) => s.rx.untried.get(),
            Self::Datagram(d) => d.untried.get(),
        }
    }
}

impl Hot {
    #[inline]
    pub(crate) fn add(&self, member: Member) {
        self.set.borrow_mut().push_back(member);
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.set.borrow().len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.set.borrow().is_empty()
    }

    /// A stream that last received at `seen` receives again. True: it is one of few busy ones, worth being tried directly.
    #[inline]
    pub(crate) fn is_near(&self, seen: &Cell<u64>, tuning: Tuning) -> bool {
        let now = self.pieces.get() + 1;
        self.pieces.set(now);
        now - seen.replace(now) <= tuning.hot as u64
    }

    pub(crate) fn turn(&self, inner: &Rc<Inner>) -> bool {
        let len = self.set.borrow().len();
        if len == 0 {
            return false;
        }
        let patience = match len {
            _ if inner.engine.never_arms() => u32::MAX,
            _ if len <= inner.tuning.hot => PATIENT,
            _ => HASTY,
        };
        let mut busy = false;
        inner.starving.set(false);
        for _ in 0..len.min(BURST) {
            let Some(member) = self.set.borrow_mut().pop_front() else { break };
            match member.try_recv() {
                Tried::Miss(misses) if misses < patience => self.set.borrow_mut().push_back(member),
                Tried::Miss(_) => member.arm_recv(),
                Tried::Starved => self.set.borrow_mut().push_back(member),
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
            let Some(member) = self.pop() else { break };
            if inner.engine.tells_edges() && (member.is_untried() || inner.starving.get()) {
                // A starving socket has data that no edge will tell of again: it is tried when the nap is over.
                all &= inner.starving.get();
                self.set.borrow_mut().push_back(member);
            } else {
                member.arm_recv();
            }
        }
        all
    }

    fn pop(&self) -> Option<Member> {
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
    /// The pool is drained: the data waits in the kernel until a buffer is free.
    Starved,
    /// Data, the end, an error, or nobody waits: out of the set.
    Left,
}
