//! [`Counting`]: the system's allocator, with a counter for each thread.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// Allocations of the calling thread so far; those that grow what was allocated before are among them. Always 0 in a
/// program that does not use [`Counting`].
pub fn allocations() -> u64 {
    COUNT.with(Cell::get)
}

/// Counts the allocations of each thread and passes them on to the system's allocator. The other threads' do not show,
/// so a test may have plain clients beside the runtime that it measures.
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: hemi_meter::Counting = hemi_meter::Counting;
///
/// let before = hemi_meter::allocations();
/// let boxed = std::hint::black_box(Box::new(7));
/// assert_eq!(hemi_meter::allocations() - before, 1);
/// # drop(boxed);
/// ```
#[derive(Debug)]
pub struct Counting;

// SAFETY: passes everything on to the system's allocator. The counter neither allocates nor has a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) };
    }
}

fn count() {
    COUNT.with(|count| count.set(count.get() + 1));
}
