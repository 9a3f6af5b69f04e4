//! The bound, the waiting at it, and who outlives whom.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
};

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::Buf;

/// One class, `n` buffers of 4 KiB in all.
fn small(n: usize) -> Pool {
    let classes = vec![ClassConfig { size: 4096 }];
    Pool::with(&PoolConfig { classes, limit: n * 4096, region: 1 }).unwrap()
}

fn classes(sizes: &[usize], limit: usize) -> PoolConfig {
    let classes = sizes.iter().map(|&size| ClassConfig { size }).collect();
    PoolConfig { classes, limit, region: 2 << 20 }
}

/// Counts its wakes.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Bell {
    fn rung(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// An allocation that waits, with its bell.
struct Waiting {
    bell: Arc<Bell>,
    alloc: Alloc,
}

impl Waiting {
    fn start(pool: &Pool, len: usize) -> Self {
        let mut waiting = Self { bell: Arc::default(), alloc: pool.alloc(len) };
        assert!(waiting.poll().is_none(), "the pool was to be drained");
        waiting
    }

    fn poll(&mut self) -> Option<BufMut> {
        let waker = Waker::from(Arc::clone(&self.bell));
        match Pin::new(&mut self.alloc).poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(own) => Some(own.unwrap()),
            Poll::Pending => None,
        }
    }

    fn rung(&self) -> usize {
        self.bell.rung()
    }
}

fn drain(pool: &Pool, len: usize) -> Vec<BufMut> {
    std::iter::from_fn(|| pool.try_alloc(len).ok()).collect()
}

#[test]
fn the_bound_holds_to_the_byte_and_everything_comes_back() {
    for n in [1, 3, 16, 513] {
        let pool = small(n);
        let held = drain(&pool, 1);
        assert_eq!(held.len(), n);
        assert_eq!(pool.try_alloc(1).unwrap_err(), AllocError::Drained { limit: n * 4096 });
        assert_eq!((pool.stats().mapped, pool.stats().in_use), (n * 4096, n));
        drop(held);
        assert_eq!(pool.stats(), PoolStats { mapped: n * 4096, drained: 2, ..PoolStats::default() });
        assert_eq!(drain(&pool, 4096).len(), n);
    }
}

#[test]
fn every_class_is_sure_of_a_share() {
    let pool = Pool::with(&classes(&[256, 2048, 65536], 1 << 20)).unwrap();
    let small = drain(&pool, 256);
    assert!(small.len() * 256 >= (1 << 20) / 4);
    // Small ones may take free large ones, but no large region exists before somebody asks for it.
    let large = drain(&pool, 65536);
    assert!(large.len() >= 4, "{}", large.len());
    assert!(pool.stats().mapped <= 1 << 20);
}

#[test]
fn a_limit_below_one_buffer_of_each_class_is_refused() {
    let error = Pool::with(&classes(&[256, 65536], 65536)).unwrap_err();
    assert_eq!(error, AllocError::LimitTooSmall { limit: 65536, needed: 69632 });
    assert!(error.to_string().contains("raise it to 69632"));
    let pool = Pool::with(&classes(&[256, 65536], 69632)).unwrap();
    assert!(pool.try_alloc(65536).is_ok() && pool.try_alloc(1).is_ok());
}

#[test]
fn the_first_region_is_mapped_at_once() {
    assert_eq!(Pool::new().unwrap().stats().mapped, 2 << 20);
    let pool = Pool::with(&classes(&[64, 128], usize::MAX)).unwrap();
    assert_eq!((pool.stats().mapped, pool.try_alloc(1).is_ok()), (2 << 20, true));
}

#[test]
fn odd_configurations_are_made_usable() {
    // Unsorted, doubled, not multiples of 64, too small, more than 16.
    let pool = Pool::with(&classes(&[5000, 1, 100, 100], 1 << 20)).unwrap();
    assert_eq!(pool.largest(), 5056);
    assert_eq!(pool.try_alloc(0).unwrap().capacity(), 64);
    assert_eq!(pool.try_alloc(65).unwrap().capacity(), 128);
    assert_eq!(pool.try_alloc(129).unwrap().capacity(), 5056);
    let none = Pool::with(&classes(&[], 1 << 20)).unwrap();
    assert_eq!(none.largest(), 2048);
    let many: Vec<usize> = (1..=40).map(|i| i * 64).collect();
    let pool = Pool::with(&classes(&many, 4 << 20)).unwrap();
    assert_eq!(pool.largest(), 2560);
    assert_eq!(pool.try_alloc(1).unwrap().capacity(), 25 * 64);
    // A class larger than 2 MiB that is no multiple of it.
    let pool = Pool::with(&classes(&[3 << 20], 7 << 20)).unwrap();
    assert_eq!(drain(&pool, 3 << 20).len(), 2);
}

#[test]
fn too_large_names_the_largest() {
    let pool = small(1);
    let error = pool.try_alloc(4097).unwrap_err();
    assert_eq!(error, AllocError::TooLarge { wanted: 4097, largest: 4096 });
    let waker = Waker::noop();
    let polled = pin!(pool.alloc(4097)).poll(&mut Context::from_waker(waker));
    assert!(matches!(polled, Poll::Ready(Err(AllocError::TooLarge { .. }))));
}

#[test]
fn copy_from_cuts_into_buffers_and_fails_whole() {
    let pool = small(3);
    let data: Vec<u8> = (0..10_000_u32).map(|i| i as u8).collect();
    let sga = pool.copy_from(&data).unwrap();
    assert_eq!((sga.parts(), sga.to_vec()), (3, data.clone()));
    assert!(matches!(pool.copy_from(b"x"), Err(AllocError::Drained { .. })));
    drop(sga);
    assert!(pool.copy_from(&[0; 4 * 4096]).is_err());
    assert_eq!(pool.stats().in_use, 0, "a failed copy gives back what it took");
}

#[test]
fn a_buffer_that_comes_home_wakes_one_waiter_the_oldest() {
    let pool = small(2);
    let mut held = drain(&pool, 1);
    let mut waiters: Vec<Waiting> = (0..1000).map(|_| Waiting::start(&pool, 1)).collect();
    held.pop();
    let rung: usize = waiters.iter().map(Waiting::rung).sum();
    assert_eq!((waiters[0].rung(), rung), (1, 1));
    let own = waiters[0].poll().unwrap();
    held.pop();
    assert_eq!(waiters[1].rung(), 1);
    drop(own);
    assert_eq!(waiters[2].rung(), 1);
    // The two that were woken and did not come yet leave: each passes its buffer on.
    drop(waiters.drain(..3));
    let rung: usize = waiters.iter().map(Waiting::rung).sum();
    assert!(rung >= 2, "{rung}");
    assert!(waiters[0].poll().is_some() && waiters[0].rung() == 1);
}

#[test]
fn who_was_overtaken_keeps_its_turn() {
    let pool = small(1);
    let mut held = drain(&pool, 1);
    let (mut first, second) = (Waiting::start(&pool, 1), Waiting::start(&pool, 1));
    held.clear();
    let overtaker = pool.try_alloc(1).unwrap();
    assert!(first.rung() == 1 && first.poll().is_none());
    drop(overtaker);
    assert_eq!((first.rung(), second.rung()), (2, 0));
    assert!(first.poll().is_some());
}

#[test]
fn a_waiter_of_another_class_is_not_forgotten() {
    let pool = Pool::with(&classes(&[4096, 8192], 12288)).unwrap();
    let large = pool.try_alloc(8192).unwrap();
    let small = pool.try_alloc(4096).unwrap();
    let mut wants_small = Waiting::start(&pool, 1);
    let mut wants_large = Waiting::start(&pool, 8192);
    drop(large); // fits both: the older is woken
    assert_eq!((wants_small.rung(), wants_large.rung()), (1, 0));
    drop(small); // fits only the one that is on its way already
    assert_eq!(wants_small.poll().unwrap().capacity(), 4096);
    assert_eq!(wants_large.rung(), 1, "the large buffer is left, so its waiter must hear of it");
    assert!(wants_large.poll().is_some());
}

#[test]
fn waiters_that_go_away_leave_nothing_behind() {
    let pool = small(1);
    let _held = drain(&pool, 1);
    let bell = Arc::<Bell>::default();
    let waker = Waker::from(Arc::clone(&bell));
    for _ in 0..1000 {
        let mut alloc = pool.alloc(1);
        assert!(Pin::new(&mut alloc).poll(&mut Context::from_waker(&waker)).is_pending());
        assert!(Pin::new(&mut alloc).poll(&mut Context::from_waker(&waker)).is_pending());
    }
    assert!(pool.inner.waiters.is_empty());
    drop(waker);
    assert_eq!(Arc::strong_count(&bell), 1);
}

#[derive(Clone, Debug)]
enum Step {
    Wait(usize),
    Leave(usize),
    /// Take without waiting, ahead of everybody.
    Take(usize),
    Release(usize),
    /// Send away and drop there.
    Lend(usize),
    Collect,
    /// Run what was woken, as an executor does: nothing else is polled.
    RunOne,
}

fn step() -> impl Strategy<Value = Step> {
    let n = || any::<usize>();
    prop_oneof![
        4 => n().prop_map(Step::Wait),
        1 => n().prop_map(Step::Leave),
        1 => n().prop_map(Step::Take),
        3 => n().prop_map(Step::Release),
        1 => n().prop_map(Step::Lend),
        1 => Just(Step::Collect),
        3 => Just(Step::RunOne),
    ]
}

proptest! {
    /// However buffers come and go, whoever waits is woken in the end, and only those who are woken are polled.
    #[test]
    fn no_waiter_is_forgotten(steps in vec(step(), 0..200)) {
        let sizes = [64, 4096, 8192];
        let pool = Pool::with(&classes(&sizes, 4 * 4096 + 2 * 8192)).unwrap();
        let (mut held, mut waiting): (Vec<BufMut>, Vec<(Waiting, usize)>) = (Vec::new(), Vec::new());
        // Many of the smallest would only make the program long.
        held.extend(std::iter::repeat_with(|| pool.try_alloc(1)).map_while(Result::ok));

        let run_one = |waiting: &mut Vec<(Waiting, usize)>, held: &mut Vec<BufMut>| -> bool {
            let Some(at) = waiting.iter().position(|(w, seen)| w.rung() > *seen) else { return false };
            waiting[at].1 = waiting[at].0.rung();
            if let Some(own) = waiting[at].0.poll() {
                waiting.remove(at);
                held.push(own);
            }
            true
        };

        for step in steps {
            match step {
                Step::Wait(class) => {
                    let len = sizes[class % 3];
                    let mut new = Waiting { bell: Arc::default(), alloc: pool.alloc(len) };
                    match new.poll() {
                        Some(own) => held.push(own),
                        None => waiting.push((new, 0)),
                    }
                }
                Step::Leave(i) if !waiting.is_empty() => drop(waiting.remove(i % waiting.len())),
                Step::Take(class) => held.extend(pool.try_alloc(sizes[class % 3])),
                Step::Release(i) if !held.is_empty() => drop(held.swap_remove(i % held.len())),
                Step::Lend(i) if !held.is_empty() => {
                    drop(held.swap_remove(i % held.len()).freeze().into_send());
                }
                Step::Collect => pool.collect(),
                Step::RunOne => drop(run_one(&mut waiting, &mut held)),
                _ => {}
            }
            prop_assert!(pool.stats().mapped <= 4 * 4096 + 2 * 8192);
        }
        held.clear();
        pool.collect();
        while run_one(&mut waiting, &mut held) {
            held.clear();
        }
        prop_assert!(waiting.is_empty(), "{} wait for ever", waiting.len());
        prop_assert!(pool.inner.waiters.is_empty());
        prop_assert_eq!(pool.stats().in_use, 0);
    }
}

#[test]
fn a_count_that_comes_home_from_another_thread_wakes_too() {
    let pool = small(1);
    let far = drain(&pool, 1).pop().unwrap().freeze().into_send();
    let mut waiting = Waiting::start(&pool, 1);
    assert_eq!((pool.stats().in_use, pool.stats().remote), (0, 1));
    thread::spawn(move || drop(far)).join().unwrap();
    assert_eq!(waiting.rung(), 0);
    pool.collect();
    assert_eq!((waiting.rung(), pool.stats().remote), (1, 0));
    assert!(waiting.poll().is_some());
}

#[test]
fn a_drained_pool_looks_into_its_inbox_by_itself() {
    let pool = small(1);
    let far = drain(&pool, 1).pop().unwrap().freeze().into_send();
    thread::spawn(move || drop(far)).join().unwrap();
    assert!(pool.try_alloc(1).is_ok());
}

#[test]
fn a_region_that_a_driver_provides_is_used_and_given_back() {
    struct Owner(Arc<AtomicUsize>, Box<[Cell<u8>]>);
    // SAFETY: the cells are memory only; nobody looks at them through the owner.
    unsafe impl Sync for Owner {}
    impl Drop for Owner {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    let gone = Arc::new(AtomicUsize::new(0));
    let pool = small(1);
    let held = drain(&pool, 1);
    let mut waiting = Waiting::start(&pool, 1);
    let owner = Owner(Arc::clone(&gone), vec![Cell::new(0); 3 * 4096 + 100].into());
    let base = NonNull::from(&owner.1[0]).cast();
    // SAFETY: initialised heap memory that lives in `owner`.
    let region = unsafe { Region::provided(base, 3 * 4096 + 100, Box::new(owner)) };
    let id = pool.add_region(region, 4096).unwrap();
    assert_eq!((waiting.rung(), pool.stats().mapped), (1, 4096));

    let own = waiting.poll().unwrap();
    let rest = drain(&pool, 1);
    assert_eq!(rest.len(), 2);
    let buf = own.freeze();
    assert_eq!(buf.region(), Some((id, 0)));
    let mut seen = Vec::new();
    pool.regions(|id, region| seen.push((id, region.len())));
    assert_eq!(seen, [(RegionId(0), 4096), (id, 3 * 4096 + 100)]);

    drop((held, rest, waiting, pool));
    assert_eq!(gone.load(Ordering::Relaxed), 0, "one buffer is still out");
    drop(buf);
    assert_eq!(gone.load(Ordering::Relaxed), 1);
}

#[test]
fn a_class_size_that_no_class_has_is_refused() {
    let pool = small(1);
    let region = Region::map(8192).unwrap();
    assert!(matches!(pool.add_region(region, 8192), Err(AllocError::TooLarge { .. })));
}

#[test]
fn buffers_outlive_their_pool() {
    let pool = Pool::new().unwrap();
    let other = pool.clone();
    let mut own = pool.try_alloc(64).unwrap();
    own.put(b"still here");
    let buf = own.freeze();
    drop(pool);
    let more = other.try_alloc(1).unwrap();
    drop(other);
    let part = buf.slice(6..);
    drop(buf);
    assert_eq!(part, *b"here");
    drop((part, more)); // the pool ends here
}

#[test]
fn counts_on_other_threads_outlive_pool_and_thread() {
    let (far, bytes) = thread::spawn(|| {
        let pool = Pool::new().unwrap();
        let sga = pool.copy_from(b"from a thread that is gone").unwrap();
        let buf = sga.into_single().unwrap();
        (buf.clone().into_send(), buf.slice(5..6).into_bytes())
    })
    .join()
    .unwrap();
    assert_eq!((&far[..4], &bytes[..]), (&b"from"[..], &b"a"[..]));
    drop(bytes);
    let buf = Buf::from(far);
    assert_eq!(buf.region(), None, "foreign memory on this thread");
    assert_eq!(buf, *b"from a thread that is gone");
}

/// Wakers may do anything when they are woken: here, drop what keeps the pool alive, and use it.
#[test]
fn waking_may_end_the_pool() {
    thread_local! {
        static TASK: RefCell<Option<(Pool, Alloc)>> = const { RefCell::new(None) };
    }
    struct Ends;
    impl Wake for Ends {
        fn wake(self: Arc<Self>) {
            TASK.with(|task| {
                let (pool, alloc) = task.borrow_mut().take().unwrap();
                let own = pool.try_alloc(1).unwrap();
                drop(pool);
                drop(alloc);
                drop(own); // the last count of the last handle's pool, inside the release that woke us
            });
        }
    }

    let pool = small(1);
    let held = pool.try_alloc(1).unwrap();
    let mut alloc = pool.alloc(1);
    let waker = Waker::from(Arc::new(Ends));
    assert!(Pin::new(&mut alloc).poll(&mut Context::from_waker(&waker)).is_pending());
    TASK.with(|task| *task.borrow_mut() = Some((pool, alloc)));
    drop(held);
    assert!(TASK.with(|task| task.borrow().is_none()));
}

#[test]
fn a_pool_of_one_region_gives_its_buffers_and_no_others() {
    let region = Region::map(64 << 10).unwrap();
    let (base, len) = (region.base().as_ptr().addr(), region.len());
    let pool = Pool::of(region, 2000).unwrap();
    let mut held = Vec::new();
    let drained = loop {
        match pool.try_alloc(2000) {
            Ok(mut buf) => {
                let at = buf.as_mut_ptr().addr();
                assert!(at >= base && at + buf.capacity() <= base + len && (at - base) % 2048 == 0);
                held.push(buf);
            }
            Err(e) => break e,
        }
    };
    assert_eq!((held.len(), drained), (32, AllocError::Drained { limit: 64 << 10 }));
    assert_eq!((pool.stats().mapped, pool.stats().in_use), (64 << 10, 32));
    assert!(matches!(pool.try_alloc(2049), Err(AllocError::TooLarge { largest: 2048, .. })));
    let last = held.pop().unwrap().freeze();
    assert!(pool.try_alloc(1).is_err());
    drop(last);
    assert!(pool.try_alloc(1).is_ok());
    assert!(Pool::of(Region::map(4096).unwrap(), 5000).is_err());
}
