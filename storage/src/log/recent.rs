//! The newest units, kept for readers at the tail: the buffers that were pushed, shared.

use std::collections::VecDeque;

use hemi_queue::{Buf, Sga};

use super::Record;
use crate::Lsn;

#[derive(Debug)]
pub(super) struct Recent {
    records: VecDeque<Record>,
    /// Memory that they pin.
    pinned: usize,
    limit: usize,
}

impl Recent {
    pub(super) fn new(limit: usize) -> Self {
        Self { records: VecDeque::new(), pinned: 0, limit }
    }

    pub(super) fn push(&mut self, lsn: Lsn, time: u64, unit: &Sga) {
        // After a time without readers there is a gap.
        if self.records.back().is_some_and(|last| last.lsn.next() != lsn) {
            self.clear();
        }
        self.pinned += pinned(unit);
        self.records.push_back(Record { lsn, time, unit: unit.clone() });
        while self.pinned > self.limit
            && let Some(oldest) = self.records.pop_front()
        {
            self.pinned -= pinned(&oldest.unit);
        }
    }

    pub(super) fn get(&self, lsn: Lsn) -> Option<&Record> {
        let first = self.records.front()?.lsn;
        self.records.get(usize::try_from(lsn.0.checked_sub(first.0)?).ok()?)
    }

    pub(super) fn drop_below(&mut self, head: Lsn) {
        while self.records.front().is_some_and(|r| r.lsn < head) {
            if let Some(oldest) = self.records.pop_front() {
                self.pinned -= pinned(&oldest.unit);
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.pinned = 0;
    }
}

/// An empty unit counts too: there is no bound on their number otherwise.
fn pinned(unit: &Sga) -> usize {
    64 + unit.iter().map(Buf::pinned).sum::<usize>()
}
