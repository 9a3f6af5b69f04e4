//! Who gets which completion.
//!
//! `user_data` is `[handler 8][key 56]`: the handler's number and a name of the operation that only the handler
//! understands. A handler is kept alive until its last operation has completed: free-protection for whatever memory of
//! it the kernel was told of.

use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::Rc,
};

const KEY_BITS: u32 = 56;
/// Handler 255 is the park itself: its watches.
pub(crate) const OWN: HandlerId = HandlerId(u8::MAX);
pub(crate) const MAX_HANDLERS: usize = 256;

/// A driver's completions arrive here.
pub trait Handler {
    /// The operation `key` completed with `result` (negative: an errno) and the CQE's `flags`; there is more to come when
    /// [`io_uring::cqueue::more`] says so. Called by [`Park::poll`](crate::Park::poll), never from within
    /// [`Ring::push`](crate::Ring::push); may push new operations and wake tasks, must not call `poll`.
    fn complete(&self, key: u64, result: i32, flags: u32);
}

/// The number of an attached [`Handler`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandlerId(u8);

impl HandlerId {
    /// The `user_data` of this handler's operation `key`; bits above 56 are cut off. To name the target of a cancel.
    #[inline]
    pub fn user_data(self, key: u64) -> u64 {
        u64::from(self.0) << KEY_BITS | (key & ((1 << KEY_BITS) - 1))
    }

    #[inline]
    pub(crate) fn split(user_data: u64) -> (Self, u64) {
        (Self((user_data >> KEY_BITS) as u8), user_data & ((1 << KEY_BITS) - 1))
    }

    #[inline]
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}

#[derive(Default)]
pub(crate) struct Handlers {
    table: RefCell<Vec<Entry>>,
    /// Some are detached and wait for their last completion.
    leaving: Cell<bool>,
}

struct Entry {
    handler: Option<Rc<dyn Handler>>,
    detached: bool,
}

impl Handlers {
    pub(crate) fn attach(&self, handler: Rc<dyn Handler>) -> Option<HandlerId> {
        let mut table = self.table.borrow_mut();
        let entry = Entry { handler: Some(handler), detached: false };
        let free = table.iter().position(|e| e.handler.is_none());
        let at = match free {
            Some(at) => {
                table[at] = entry;
                at
            }
            None if table.len() < OWN.index() => {
                table.push(entry);
                table.len() - 1
            }
            None => return None,
        };
        Some(HandlerId(at as u8))
    }

    pub(crate) fn detach(&self, id: HandlerId) {
        if let Some(entry) = self.table.borrow_mut().get_mut(id.index()) {
            entry.detached = true;
            self.leaving.set(true);
        }
    }

    #[inline]
    pub(crate) fn get(&self, id: HandlerId) -> Option<Rc<dyn Handler>> {
        self.table.borrow().get(id.index())?.handler.clone()
    }

    /// Drop detached handlers that have nothing in flight.
    #[inline]
    pub(crate) fn sweep(&self, in_flight: impl Fn(HandlerId) -> usize) {
        if self.leaving.get() {
            self.sweep_leaving(&in_flight);
        }
    }

    #[cold]
    fn sweep_leaving(&self, in_flight: &dyn Fn(HandlerId) -> usize) {
        let mut gone = Vec::new();
        let mut left = false;
        for (at, entry) in self.table.borrow_mut().iter_mut().enumerate() {
            if entry.detached && entry.handler.is_some() {
                if in_flight(HandlerId(at as u8)) == 0 {
                    gone.push(entry.handler.take());
                } else {
                    left = true;
                }
            }
        }
        self.leaving.set(left);
        drop(gone); // outside of the borrow: a handler's drop may detach others
    }

    /// Never free any handler: the kernel may still write to their memory.
    pub(crate) fn leak(&self) {
        std::mem::forget(self.table.take());
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handlers").field("attached", &self.table.borrow().len()).finish()
    }
}
