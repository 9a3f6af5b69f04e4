//! [`Lane`]: what is to be done to a zone, in order, and what of it may be done at the same time.

use std::collections::VecDeque;

use hemi_queue::Sga;

use crate::CommandId;

/// One thing to do to a zone.
#[derive(Debug)]
pub(super) enum Work {
    /// A piece of a write: which write, where it belongs in its segment, what.
    Append { write: usize, logical: u64, data: Sga, fua: bool },
    /// And tell this command's owner, if there is one.
    Reset { tell: Option<CommandId> },
    /// Nothing more is written to it.
    Finish,
}

#[derive(Debug)]
pub(super) struct Todo {
    pub(super) zone: u32,
    pub(super) work: Work,
    /// Nothing else of the lane is in flight with it.
    pub(super) alone: bool,
}

/// Work on one zone, or on the two of the superblocks.
#[derive(Debug, Default)]
pub(super) struct Lane {
    waiting: VecDeque<Todo>,
    flying: usize,
    alone: bool,
}

impl Lane {
    pub(super) fn push(&mut self, zone: u32, work: Work, alone: bool) {
        self.waiting.push_back(Todo { zone, work, alone });
    }

    /// The next that may begin now.
    pub(super) fn begin(&mut self) -> Option<Todo> {
        let front = self.waiting.front()?;
        if self.alone || (front.alone && self.flying > 0) {
            return None;
        }
        self.alone = front.alone;
        self.flying += 1;
        self.waiting.pop_front()
    }

    /// One has completed.
    pub(super) fn end(&mut self) {
        self.flying -= 1;
        self.alone = false;
    }
}
