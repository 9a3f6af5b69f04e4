//! Which members something happened to.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Wake, Waker},
};

/// The two directions; each has its ready list and its waiting task.
#[derive(Clone, Copy)]
pub(super) enum Way {
    Pop,
    Push,
}

/// The ready lists. Behind a lock because a `Waker` must be `Sync`; members of one core never contend for it.
#[derive(Default)]
pub(super) struct Signal(Mutex<Lists>);

#[derive(Default)]
struct Lists {
    ready: [VecDeque<u32>; 2],
    tasks: [Option<Waker>; 2],
}

/// The waker of one slot. A wake that comes late for a member that has left wakes its successor, which is harmless.
pub(super) struct MemberWaker {
    signal: Arc<Signal>,
    slot: u32,
    listed: [AtomicBool; 2],
}

impl Signal {
    fn lists(&self) -> MutexGuard<'_, Lists> {
        // The lists are consistent whenever the lock is free.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The waker for `slot`.
    pub(super) fn member(self: &Arc<Self>, slot: u32) -> Arc<MemberWaker> {
        Arc::new(MemberWaker { signal: Arc::clone(self), slot, listed: Default::default() })
    }

    /// The next ready slot of one direction; none, and the task waits for one.
    pub(super) fn next(&self, way: Way, cx: &mut Context<'_>) -> Option<u32> {
        let mut lists = self.lists();
        let slot = lists.ready[way as usize].pop_front();
        if slot.is_none() {
            let task = &mut lists.tasks[way as usize];
            if !task.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
                *task = Some(cx.waker().clone());
            }
        }
        slot
    }

    pub(super) fn wake_popper(&self) {
        self.wake_task(Way::Pop);
    }

    pub(super) fn wake_pusher(&self) {
        self.wake_task(Way::Push);
    }

    fn wake_task(&self, way: Way) {
        let task = self.lists().tasks[way as usize].take();
        if let Some(task) = task {
            task.wake();
        }
    }
}

impl MemberWaker {
    /// The slot was taken off the list of `way`; from now on a wake lists it again.
    pub(super) fn unlisted(&self, way: Way) {
        self.listed[way as usize].store(false, Ordering::Release);
    }

    /// Put the slot at the back of the pop list: it may have more.
    pub(super) fn again(&self) {
        if !self.listed[Way::Pop as usize].swap(true, Ordering::AcqRel) {
            self.signal.lists().ready[Way::Pop as usize].push_back(self.slot);
        }
    }
}

impl Wake for MemberWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut tasks = [None, None];
        let mut lists = None;
        for way in [Way::Pop, Way::Push] {
            if !self.listed[way as usize].swap(true, Ordering::AcqRel) {
                let lists = lists.get_or_insert_with(|| self.signal.lists());
                lists.ready[way as usize].push_back(self.slot);
                tasks[way as usize] = lists.tasks[way as usize].take();
            }
        }
        drop(lists); // a task's wake may run anything
        tasks.into_iter().flatten().for_each(Waker::wake);
    }
}

impl fmt::Debug for MemberWaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemberWaker").field("slot", &self.slot).finish_non_exhaustive()
    }
}
