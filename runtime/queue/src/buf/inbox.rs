//! The way home for counts dropped on other threads: a lock-free stack of nodes, each with a count of returns.
//!
//! Any thread returns, one thread collects. A node is on the stack at most once: only the return that raises its count
//! from zero links it, and the collector zeroes the count after it has read the link.

use std::ptr;

use crate::sync::{AtomicPtr, AtomicU32, Ordering};

/// The part of a node that other threads write.
pub(crate) struct Link<N> {
    returned: AtomicU32,
    next: AtomicPtr<N>,
}

impl<N> Link<N> {
    pub(crate) fn new() -> Self {
        Self { returned: AtomicU32::new(0), next: AtomicPtr::new(ptr::null_mut()) }
    }
}

/// A node that can be returned: it has a [`Link`].
pub(crate) trait Node: Sized {
    fn link(&self) -> &Link<Self>;
}

/// The stack.
pub(crate) struct Inbox<N> {
    head: AtomicPtr<N>,
}

impl<N: Node> Inbox<N> {
    pub(crate) fn new() -> Self {
        Self { head: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Return one count of `node`, from any thread. The caller keeps the node's memory alive until it is collected.
    pub(crate) fn give(&self, node: *const N) {
        // SAFETY: the caller holds a count of the node, so its memory is alive.
        let link = unsafe { (*node).link() };
        if link.returned.fetch_add(1, Ordering::AcqRel) != 0 {
            return; // already on the stack: the collector will see this count too
        }
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            link.next.store(head, Ordering::Relaxed);
            match self.head.compare_exchange_weak(head, node.cast_mut(), Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Whether anything waits to be collected (a relaxed look, once per turn).
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.head.load(Ordering::Relaxed).is_null()
    }

    /// Take everything returned so far: `each(node, counts)`. Home thread only.
    pub(crate) fn collect(&self, mut each: impl FnMut(*const N, u32)) {
        let mut at = self.head.swap(ptr::null_mut(), Ordering::AcqRel).cast_const();
        while !at.is_null() {
            // SAFETY: a node on the stack has at least one uncollected count, which keeps its memory alive.
            let link = unsafe { (*at).link() };
            // The link is read before the count is zeroed: after that the node may be linked anew.
            let next = link.next.load(Ordering::Relaxed).cast_const();
            let counts = link.returned.swap(0, Ordering::AcqRel);
            each(at, counts);
            at = next;
        }
    }
}

#[cfg(all(test, loom))]
mod loom {
    //! Every interleaving of returns and collections: no count is lost, none is seen twice, and what a returning thread
    //! read happened before the collector sees its return.

    use std::sync::Arc;

    use ::loom::{cell::UnsafeCell, model, thread};

    use super::*;

    struct Slot {
        link: Link<Self>,
        /// Read by those who hold a count, written by the collector when all are home.
        data: UnsafeCell<u32>,
    }

    // SAFETY: `data` is what the test checks: loom fails it if an access is not ordered.
    unsafe impl Sync for Slot {}
    // SAFETY: as above.
    unsafe impl Send for Slot {}

    impl Node for Slot {
        fn link(&self) -> &Link<Self> {
            &self.link
        }
    }

    fn slot() -> Slot {
        Slot { link: Link::new(), data: UnsafeCell::new(7) }
    }

    /// `threads[i]` lists the slots that thread i returns one count of each. The home thread collects meanwhile.
    fn check(slots: usize, threads: &'static [&'static [usize]]) {
        model(move || {
            let shared = Arc::new((Inbox::new(), (0..slots).map(|_| slot()).collect::<Vec<_>>()));
            let workers: Vec<_> = threads
                .iter()
                .map(|gives| {
                    let shared = Arc::clone(&shared);
                    thread::spawn(move || {
                        for &i in *gives {
                            let slot = &shared.1[i];
                            // SAFETY: checked by loom.
                            assert_eq!(slot.data.with(|data| unsafe { *data }), 7);
                            shared.0.give(slot);
                        }
                    })
                })
                .collect();

            let mut out: Vec<u32> = (0..slots)
                .map(|i| threads.iter().flat_map(|gives| gives.iter()).filter(|&&g| g == i).count() as u32)
                .collect();
            let mut collect = || {
                shared.0.collect(|node, counts| {
                    let i = shared.1.iter().position(|s| ptr::eq(s, node)).unwrap();
                    assert!(counts > 0);
                    out[i] -= counts;
                    if out[i] == 0 {
                        // The slot is free: its next owner writes.
                        // SAFETY: checked by loom.
                        shared.1[i].data.with_mut(|data| unsafe { *data = 9 });
                    }
                });
            };
            collect();
            for worker in workers {
                worker.join().unwrap();
            }
            collect();
            assert!(shared.0.is_empty());
            assert!(out.iter().all(|&n| n == 0), "counts lost: {out:?}");
        });
    }

    #[test]
    fn two_threads_return_the_same_slot() {
        check(1, &[&[0], &[0]]);
    }

    #[test]
    fn one_thread_returns_a_slot_twice() {
        check(1, &[&[0, 0]]);
    }

    #[test]
    fn two_threads_return_two_slots_in_opposite_order() {
        check(2, &[&[0, 1], &[1, 0]]);
    }
}
