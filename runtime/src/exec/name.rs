//! The word that names a task to its wakers.
//!
//! ```text
//!  63            40 39        24 23             0
//! ┌────────────────┬────────────┬────────────────┐
//! │ generation  24 │ executor 16│ slot        24 │
//! └────────────────┴────────────┴────────────────┘
//! ```
//!
//! A name is never an identity: the generation wraps after 2^24 tasks in one slot, and what a wrapped name can do is
//! one spurious poll. Executor 0 does not exist, so a word whose executor field is zero is nobody's name: a slot holds
//! such a word while its task is queued, and while it is free.

pub(super) const SLOT_MASK: u64 = (1 << 24) - 1;
pub(super) const EXEC_SHIFT: u32 = 24;
pub(super) const EXEC_MASK: u64 = 0xffff << EXEC_SHIFT;
pub(super) const GENERATION_SHIFT: u32 = 40;

/// The most slots an executor can have: tasks alive at once.
pub(super) const MAX_SLOTS: usize = 1 << 24;

/// The slot's index.
#[inline(always)]
pub(super) const fn slot(name: u64) -> u32 {
    (name & SLOT_MASK) as u32
}

/// The executor's number.
#[inline(always)]
pub(super) const fn executor(name: u64) -> u16 {
    (name >> EXEC_SHIFT) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_do_not_overlap() {
        let name = (0xabc_def << GENERATION_SHIFT) | (0x1234 << EXEC_SHIFT) | 0x56_789a;
        assert_eq!((slot(name), executor(name)), (0x56_789a, 0x1234));
        assert_eq!(name & EXEC_MASK, 0x1234 << EXEC_SHIFT);
    }
}
