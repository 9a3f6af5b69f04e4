//! The table of queue descriptors.

use std::{cell::RefCell, fmt, rc::Rc};

use hemi_queue::{Error, Qd, Result};
use slab::Slab;

use super::Entry;

/// Open queues by descriptor. A slot's generation counts its queues, so that an old descriptor names nothing.
#[derive(Default)]
pub(crate) struct Qds {
    inner: RefCell<Inner>,
}

#[derive(Default)]
struct Inner {
    open: Slab<Rc<Entry>>,
    generations: Vec<u32>,
}

impl Qds {
    /// Give a new queue its descriptor; `make` builds the entry that knows it.
    pub(crate) fn insert(&self, make: impl FnOnce(Qd) -> Rc<Entry>) -> Rc<Entry> {
        let mut inner = self.inner.borrow_mut();
        let slot = inner.open.vacant_key();
        if slot == inner.generations.len() {
            inner.generations.push(0);
        }
        let entry = make(Qd::new(slot as u32, inner.generations[slot]));
        inner.open.insert(Rc::clone(&entry));
        entry
    }

    /// The open queue that `qd` names.
    pub(crate) fn get(&self, qd: Qd) -> Result<Rc<Entry>> {
        let inner = self.inner.borrow();
        match inner.open.get(qd.slot() as usize) {
            Some(entry) if entry.qd() == qd => Ok(Rc::clone(entry)),
            _ => Err(Error::BadQd),
        }
    }

    /// Forget `qd`; its slot's next queue gets another descriptor.
    pub(crate) fn remove(&self, qd: Qd) {
        let mut inner = self.inner.borrow_mut();
        let slot = qd.slot() as usize;
        if inner.open.get(slot).is_some_and(|e| e.qd() == qd) {
            let entry = inner.open.remove(slot);
            inner.generations[slot] = qd.generation().wrapping_add(1);
            drop(inner); // an entry's drop may close other queues
            drop(entry);
        }
    }

    /// Some open queue.
    pub(crate) fn any(&self) -> Option<Rc<Entry>> {
        self.inner.borrow().open.iter().next().map(|(_, entry)| Rc::clone(entry))
    }

    /// How many queues are open.
    pub(crate) fn len(&self) -> usize {
        self.inner.borrow().open.len()
    }
}

impl fmt::Debug for Qds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Qds").field("open", &self.len()).finish()
    }
}
