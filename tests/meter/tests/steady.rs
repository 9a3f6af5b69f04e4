//! What [`Steady`] finds, with its allocator in place.

use hemi_meter::{Counting, Steady, Verdict};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SIZE: usize = 100;

/// Runs `operation` with its number until there is a verdict.
fn verdict(mut operation: impl FnMut(usize)) -> Verdict {
    let mut steady = Steady::over(SIZE);
    for n in 0..steady.longest() {
        operation(n);
        if let Some(verdict) = steady.operation() {
            return verdict;
        }
    }
    panic!("no verdict after {} operations", steady.longest());
}

fn allocate() {
    drop(std::hint::black_box(Box::new(1)));
}

#[test]
fn an_allocation_for_each_operation_is_found() {
    let verdict = verdict(|_| allocate());
    assert!(!verdict.is_clean(), "{verdict}");
    assert!(verdict.to_string().contains("[100, 100, "), "{verdict}");
}

#[test]
fn so_is_one_in_a_hundred() {
    let verdict = verdict(|n| {
        if n % SIZE == 37 {
            allocate();
        }
    });
    assert!(!verdict.is_clean(), "{verdict}");
}

#[test]
fn growth_that_ends_late_is_forgiven() {
    let mut queue = Vec::new();
    let verdict = verdict(|n| {
        if n < 20 * SIZE {
            queue.push(vec![n]);
        }
    });
    assert!(verdict.is_clean(), "{verdict}");
}

#[test]
fn other_threads_do_not_count() {
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                allocate();
            }
        });
        let before = hemi_meter::allocations();
        (0..1000).for_each(|_| std::thread::yield_now());
        assert_eq!(hemi_meter::allocations(), before);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}
