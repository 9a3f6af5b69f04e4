//! Which core runs on this thread.

use std::{cell::Cell, ptr, rc::Rc};

use super::waker;
use crate::context::Core;

thread_local! {
    /// The innermost entered core; null when there is none.
    static CORE: Cell<*const Core> = const { Cell::new(ptr::null()) };
}

/// Restores what was current before. Holds the core.
pub(crate) struct Entered {
    previous: *const Core,
    _slots: waker::Entered,
    _core: Rc<Core>,
}

/// Make `core` current on this thread.
pub(crate) fn enter(core: &Rc<Core>) -> Entered {
    Entered {
        previous: CORE.replace(Rc::as_ptr(core)),
        _slots: waker::enter(&core.exec.slots),
        _core: Rc::clone(core),
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        CORE.set(self.previous);
    }
}

/// Call `f` with the current core.
#[inline(always)]
pub(crate) fn with<R>(f: impl FnOnce(&Core) -> R) -> Option<R> {
    get().map(f)
}

/// The current core, for use in this frame: what is returned must not be kept, which is why nobody outside has this.
#[inline(always)]
pub(super) fn get<'frame>() -> Option<&'frame Core> {
    // SAFETY: the core is held by the `Entered` that made it current. Guards are kept on the stack, below the caller's
    // frame, and are dropped in reverse order, so it is alive until the caller returns.
    unsafe { CORE.get().as_ref() }
}

/// A count of the current core.
pub(crate) fn rc() -> Option<Rc<Core>> {
    let core = CORE.get();
    if core.is_null() {
        return None;
    }
    // SAFETY: from `Rc::as_ptr` of an `Rc` that is alive, as above.
    unsafe {
        Rc::increment_strong_count(core);
        Some(Rc::from_raw(core))
    }
}
