//! Wakes from other threads: one bit per slot, and a summary of which words have any.
//!
//! A waker whose clone is a no-op leaves no node that could be linked into a list, so a remote wake sets a bit. Any
//! number of wakes of one task between two turns are one bit and one poll.
//!
//! ```text
//! wake(slot):  leaf |= bit ── was 0? ──► summary |= bit ──► pending = true ── was false? ──► unpark
//! drain():     pending = false ──► summary words ──► swap(0) ──► leaves ──► swap(0) ──► each slot
//! ```
//!
//! Only the wake that finds the leaf word empty goes on to the summary: until the owner has emptied the word, the bits
//! of all others are collected with that one's. Memory is reserved for all slots at once and touched as used.

use super::sync::{AtomicBool, AtomicU64, Ordering};

/// The bits of one executor. Any thread sets, the owner drains.
pub(super) struct Inbox {
    leaves: Box<[AtomicU64]>,
    summary: Box<[AtomicU64]>,
    pending: AtomicBool,
}

impl Inbox {
    /// An inbox for slots `0..slots`.
    pub(super) fn new(slots: usize) -> Self {
        let leaves = slots.div_ceil(64);
        Self { leaves: zeroed(leaves), summary: zeroed(leaves.div_ceil(64)), pending: AtomicBool::new(false) }
    }

    /// Set the bit of `slot`; whether the owner has to be told.
    #[must_use]
    pub(super) fn set(&self, slot: u32) -> bool {
        let leaf = (slot / 64) as usize;
        let Some(word) = self.leaves.get(leaf) else { return false };
        if word.fetch_or(1 << (slot % 64), Ordering::AcqRel) != 0 {
            return false; // whoever set the first bit of this word tells
        }
        self.summary[leaf / 64].fetch_or(1 << (leaf % 64), Ordering::AcqRel);
        // SeqCst, with the load in `is_pending` and the owner's "I sleep": one of the two sees the other.
        !self.pending.swap(true, Ordering::SeqCst)
    }

    /// Whether there may be something to drain: one load, once per turn and before the owner sleeps.
    #[inline]
    pub(super) fn is_pending(&self) -> bool {
        self.pending.load(Ordering::SeqCst)
    }

    /// Take every bit out of the words that cover slots `0..slots`. Owner only.
    pub(super) fn drain(&self, slots: u32, mut each: impl FnMut(u32)) {
        if !self.pending.swap(false, Ordering::SeqCst) {
            return;
        }
        let words = (slots as usize).div_ceil(64 * 64).min(self.summary.len());
        for (s, summary) in self.summary[..words].iter().enumerate() {
            if summary.load(Ordering::Acquire) == 0 {
                continue;
            }
            for l in ones(summary.swap(0, Ordering::AcqRel)) {
                let leaf = s * 64 + l;
                for bit in ones(self.leaves[leaf].swap(0, Ordering::AcqRel)) {
                    each((leaf * 64 + bit) as u32);
                }
            }
        }
    }
}

/// The positions of the ones in `word`, lowest first.
fn ones(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let at = word.trailing_zeros() as usize;
        word &= word.wrapping_sub(1);
        (at < 64).then_some(at)
    })
}

#[cfg(not(loom))]
fn zeroed(n: usize) -> Box<[AtomicU64]> {
    // From the allocator's zero pages: 2 MiB of address space for 2^24 slots, resident where it is used.
    let words: Box<[u64]> = vec![0; n].into_boxed_slice();
    let words = Box::into_raw(words) as *mut [AtomicU64];
    // SAFETY: AtomicU64 has the size, alignment and bit validity of u64; the box was given up above.
    unsafe { Box::from_raw(words) }
}

#[cfg(loom)]
fn zeroed(n: usize) -> Box<[AtomicU64]> {
    (0..n).map(|_| AtomicU64::new(0)).collect()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn drain(inbox: &Inbox, slots: u32) -> Vec<u32> {
        let mut all = Vec::new();
        inbox.drain(slots, |s| all.push(s));
        all
    }

    #[test]
    fn many_wakes_of_a_slot_are_one() {
        let inbox = Inbox::new(1 << 20);
        assert!(!inbox.is_pending());
        assert!(inbox.set(5));
        assert!(!inbox.set(5));
        assert!(!inbox.set(70_000)); // pending already
        assert_eq!(drain(&inbox, 1 << 20), [5, 70_000]);
        assert_eq!(drain(&inbox, 1 << 20), [0_u32; 0]);
        assert!(inbox.set(5));
    }

    #[test]
    fn slots_that_never_existed_are_ignored() {
        let inbox = Inbox::new(64);
        assert!(!inbox.set(64));
        assert!(!inbox.is_pending());
    }
}

#[cfg(all(test, loom))]
mod loom {
    use std::sync::Arc;

    use super::*;

    /// No wake is lost: what was set before the last drain began is out after it, and a set that tells nobody
    /// is covered by one that does.
    #[test]
    fn no_wake_is_lost() {
        ::loom::model(|| {
            let inbox = Arc::new(Inbox::new(128));
            let told = Arc::new(AtomicU64::new(0));
            let wakers: Vec<_> = [3, 9]
                .map(|slot| {
                    let (inbox, told) = (Arc::clone(&inbox), Arc::clone(&told));
                    ::loom::thread::spawn(move || {
                        if inbox.set(slot) {
                            told.fetch_add(1, Ordering::SeqCst);
                        }
                    })
                })
                .into();
            let mut seen = 0_u64;
            inbox.drain(128, |s| seen |= 1 << s);
            for w in wakers {
                w.join().unwrap();
            }
            // All wakes are over. Whatever is missing must be announced.
            let missing = (1 << 3 | 1 << 9) & !seen;
            if missing != 0 {
                assert!(inbox.is_pending(), "a bit is left and nobody will look");
                assert!(told.load(Ordering::SeqCst) > 0, "the owner sleeps and nobody told it");
            }
            inbox.drain(128, |s| seen |= 1 << s);
            assert_eq!(seen, 1 << 3 | 1 << 9);
        });
    }

    /// What a thread wrote before its wake is visible to the owner that saw the wake.
    #[test]
    fn a_wake_publishes() {
        ::loom::model(|| {
            let inbox = Arc::new(Inbox::new(64));
            let data = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
            let wakers: Vec<_> = [0, 1]
                .map(|i| {
                    let (inbox, data) = (Arc::clone(&inbox), Arc::clone(&data));
                    ::loom::thread::spawn(move || {
                        data[i].store(1, Ordering::Relaxed);
                        let _ = inbox.set(i as u32);
                    })
                })
                .into();
            inbox.drain(64, |s| assert_eq!(data[s as usize].load(Ordering::Relaxed), 1));
            for w in wakers {
                w.join().unwrap();
            }
        });
    }
}
