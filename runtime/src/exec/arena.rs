//! Memory for task cells: size classes of 64 bytes, with a free list each.
//!
//! `malloc` and `free` cost 120 to 170 instructions per task, a free list six. Every block is its own allocation of the
//! global allocator, so a block may be freed on any arena, or on none when its executor is gone.

use std::{
    alloc::{self, Layout},
    cell::Cell,
    ptr::{self, NonNull},
};

const STEP: usize = 64;
const CLASSES: usize = 32;
/// The most free blocks that a class keeps: 4,096 tasks of 2 KiB are 8 MiB.
const KEEP: u32 = 4096;

/// Where blocks of one layout come from.
#[derive(Clone, Copy)]
pub(super) struct BlockKind {
    layout: Layout,
    class: Class,
}

/// A size class, at most `CLASSES`: that one is for what is too large or too aligned for any, and keeps nothing. Made by
/// [`BlockKind::of`] only.
#[derive(Clone, Copy)]
pub(super) struct Class(u8);

impl BlockKind {
    /// Of what has no block.
    pub(super) const NONE: Self = Self { layout: Layout::new::<()>(), class: Class(CLASSES as u8) };

    /// The kind of block that holds a value of `layout`.
    pub(super) const fn of(layout: Layout) -> Self {
        let class = layout.size().div_ceil(STEP);
        if layout.align() > STEP || class >= CLASSES {
            return Self { layout, ..Self::NONE };
        }
        match Layout::from_size_align(class * STEP, STEP) {
            Ok(layout) => Self { layout, class: Class(class as u8) },
            Err(_) => Self { layout, ..Self::NONE },
        }
    }

    /// All that the end of a block must know of it, as a rule.
    pub(super) const fn class(self) -> Class {
        self.class
    }
}

struct List {
    first: Cell<*mut u8>,
    /// How many more blocks the list may keep.
    room: Cell<u32>,
}

/// The free blocks of one executor.
pub(super) struct Arena([List; CLASSES + 1]);

impl Arena {
    pub(super) const fn new() -> Self {
        let mut lists = Self::none();
        let mut class = 0;
        while class < CLASSES {
            lists.0[class].room = Cell::new(KEEP);
            class += 1;
        }
        lists
    }

    /// An arena that keeps nothing: what is freed goes to the global allocator.
    pub(super) const fn none() -> Self {
        Self([const { List { first: Cell::new(ptr::null_mut()), room: Cell::new(0) } }; CLASSES + 1])
    }

    #[inline(always)]
    fn list(&self, class: Class) -> &List {
        // SAFETY: made by `BlockKind::of` only, which keeps the class in bounds.
        unsafe { self.0.get_unchecked(usize::from(class.0)) }
    }

    /// A block of `kind`, uninitialised.
    #[inline(always)]
    pub(super) fn alloc(&self, kind: BlockKind) -> NonNull<u8> {
        let list = self.list(kind.class);
        let Some(block) = NonNull::new(list.first.get()) else { return Self::alloc_slow(kind) };
        // SAFETY: a free block's first word is the link that `free` wrote.
        list.first.set(unsafe { block.cast::<*mut u8>().read() });
        list.room.set(list.room.get() + 1);
        block
    }

    #[cold]
    #[inline(never)]
    fn alloc_slow(kind: BlockKind) -> NonNull<u8> {
        // SAFETY: a cell has a header, so the layout is not empty.
        let block = unsafe { alloc::alloc(kind.layout) };
        NonNull::new(block).unwrap_or_else(|| alloc::handle_alloc_error(kind.layout))
    }

    /// Give a block back.
    ///
    /// # Safety
    /// `block` came from `alloc` of some arena with the kind that `class` is of and `kind` tells, and is not used
    /// afterwards.
    #[inline(always)]
    pub(super) unsafe fn free(&self, block: NonNull<u8>, class: Class, kind: impl FnOnce() -> BlockKind) {
        let list = self.list(class);
        if list.room.get() == 0 {
            // SAFETY: as promised by the caller.
            return unsafe { Self::free_slow(block, kind()) };
        }
        // SAFETY: at least 64 bytes, aligned to 64, ours.
        unsafe { block.cast::<*mut u8>().write(list.first.get()) };
        list.first.set(block.as_ptr());
        list.room.set(list.room.get() - 1);
    }

    /// Give a block straight back to the global allocator.
    ///
    /// # Safety
    /// As [`free`](Self::free).
    #[cold]
    #[inline(never)]
    unsafe fn free_slow(block: NonNull<u8>, kind: BlockKind) {
        // SAFETY: allocated with this layout by `alloc_slow`.
        unsafe { alloc::dealloc(block.as_ptr(), kind.layout) };
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        for (class, list) in self.0.iter().enumerate() {
            while let Some(block) = NonNull::new(list.first.get()) {
                // SAFETY: a free block's first word is its link.
                list.first.set(unsafe { block.cast::<*mut u8>().read() });
                let layout = Layout::from_size_align(class * STEP, STEP).expect("a class has a layout");
                // SAFETY: every block on this list was allocated with the layout of its class.
                unsafe { alloc::dealloc(block.as_ptr(), layout) };
            }
        }
    }
}
