//! The shared half of a queue between cores: a ring, and who waits on either side.
//!
//! The ring is D. Vyukov's bounded multi-producer multi-consumer queue: every cell has a turn number that says whose turn
//! it is, so producers and consumers meet only on the cell they both want. It is twice as large as the capacity, because
//! a push is accepted first and waits afterwards.
//!
//! Who finds the ring not as wanted takes a seat, *then looks again*; who changes the ring *then* looks for seats. With a
//! sequentially consistent fence between the two steps on both sides, one of them sees the other. All who sit are
//! woken: a single wake could go to a future that was dropped meanwhile.

use std::{
    mem::MaybeUninit,
    sync::PoisonError,
    task::{Context, Poll, Waker},
};

use slab::Slab;

use super::sync::{AtomicBool, AtomicUsize, Mutex, MutexGuard, Ordering, UnsafeCell, fence, yield_now};

/// Ring and waiters.
pub(crate) struct Shared<T> {
    ring: Ring<T>,
    capacity: usize,
    closed: AtomicBool,
    pub(crate) poppers: Waiters,
    pub(crate) pushers: Waiters,
}

impl<T> Shared<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = capacity.clamp(1, 1 << 30);
        Self {
            ring: Ring::new(2 * capacity),
            capacity,
            closed: AtomicBool::new(false),
            poppers: Waiters::new(),
            pushers: Waiters::new(),
        }
    }

    /// Add an item; gives it back when twice the capacity is held.
    pub(crate) fn push(&self, item: T) -> Result<(), T> {
        self.ring.push(item)?;
        self.poppers.wake();
        Ok(())
    }

    pub(crate) fn pop(&self) -> Option<T> {
        let item = self.ring.pop()?;
        self.pushers.wake();
        Some(item)
    }

    pub(crate) fn len(&self) -> usize {
        self.ring.len()
    }

    /// Whether a push would not have to wait.
    pub(crate) fn has_room(&self) -> bool {
        self.len() <= self.capacity
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.poppers.wake();
        self.pushers.wake();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

/// Who waits on one side.
pub(crate) struct Waiters {
    seated: AtomicUsize,
    seats: Mutex<Seats>,
}

#[derive(Default)]
struct Seats {
    wakers: Slab<Waker>,
    /// How often all were woken, and their seats cleared.
    round: u64,
}

/// A waiter's place among them, kept by the one who waits: the key, and the round in which it is valid.
#[derive(Default)]
pub(crate) struct Seat(Option<(usize, u64)>);

impl Waiters {
    fn new() -> Self {
        Self { seated: AtomicUsize::new(0), seats: Mutex::default() }
    }

    /// Wakers do not panic; and if a foreign one does, the seats are whole.
    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `look` finds; when it finds nothing, the context's waker takes the seat.
    pub(crate) fn poll<R>(
        &self,
        seat: &mut Seat,
        cx: &mut Context<'_>,
        mut look: impl FnMut() -> Option<R>,
    ) -> Poll<R> {
        if let Some(found) = look() {
            return Poll::Ready(found);
        }
        {
            let mut seats = self.seats();
            let round = seats.round;
            match seat.0.filter(|(_, taken_in)| *taken_in == round) {
                Some((key, _)) => seats.wakers[key].clone_from(cx.waker()),
                None => seat.0 = Some((seats.wakers.insert(cx.waker().clone()), round)),
            }
            self.seated.store(seats.wakers.len(), Ordering::SeqCst);
        }
        fence(Ordering::SeqCst);
        match look() {
            Some(found) => Poll::Ready(found),
            None => Poll::Pending,
        }
    }

    /// Wake all who sit.
    fn wake(&self) {
        fence(Ordering::SeqCst);
        if self.seated.load(Ordering::SeqCst) != 0 {
            self.wake_all();
        }
    }

    #[cold]
    fn wake_all(&self) {
        let woken = {
            let mut seats = self.seats();
            self.seated.store(0, Ordering::SeqCst);
            seats.round += 1;
            std::mem::take(&mut seats.wakers)
        };
        for (_, waker) in woken {
            waker.wake();
        }
    }

    /// Give the seat up.
    pub(crate) fn leave(&self, seat: &mut Seat) {
        let Some((key, round)) = seat.0.take() else { return };
        let mut seats = self.seats();
        if seats.round == round {
            let waker = seats.wakers.try_remove(key);
            drop(seats);
            drop(waker);
        }
    }
}

/// The ring.
struct Ring<T> {
    cells: Box<[Turn<T>]>,
    mask: usize,
    head: Padded,
    tail: Padded,
}

struct Turn<T> {
    /// `n`: free for the push numbered n; `n + 1`: holds its item; then free for the push one round later.
    turn: AtomicUsize,
    item: UnsafeCell<MaybeUninit<T>>,
}

/// Away from the other counter's cache line.
#[repr(align(128))]
struct Padded(AtomicUsize);

// SAFETY: an item is written by the one thread that won its push number and read by the one that won its pop number,
// with the cell's turn as the release/acquire pair between them; so items only move between threads.
unsafe impl<T: Send> Send for Ring<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Ring<T> {}

impl<T> Ring<T> {
    fn new(least: usize) -> Self {
        let size = least.next_power_of_two().max(2);
        let cell = |n| Turn { turn: AtomicUsize::new(n), item: UnsafeCell::new(MaybeUninit::uninit()) };
        Self {
            cells: (0..size).map(cell).collect(),
            mask: size - 1,
            head: Padded(AtomicUsize::new(0)),
            tail: Padded(AtomicUsize::new(0)),
        }
    }

    fn push(&self, item: T) -> Result<(), T> {
        let mut at = self.tail.0.load(Ordering::Relaxed);
        loop {
            let cell = &self.cells[at & self.mask];
            let ahead = cell.turn.load(Ordering::Acquire).wrapping_sub(at) as isize;
            if ahead < 0 {
                // The item of a round ago is still there.
                if at.wrapping_sub(self.head.0.load(Ordering::Acquire)) >= self.cells.len() {
                    return Err(item);
                }
                // No: a popper has won it and is moving it out, or this number is an old one. The queue is not full.
                yield_now();
                at = self.tail.0.load(Ordering::Relaxed);
                continue;
            }
            let next = at.wrapping_add(1);
            if ahead > 0 {
                at = self.tail.0.load(Ordering::Relaxed);
            } else {
                match self.tail.0.compare_exchange_weak(at, next, Ordering::Relaxed, Ordering::Relaxed) {
                    Ok(_) => {
                        // SAFETY: this thread won number `at`, and the cell is free for it.
                        cell.item.with_mut(|place| unsafe { (*place).write(item) });
                        cell.turn.store(next, Ordering::Release);
                        return Ok(());
                    }
                    Err(now) => at = now,
                }
            }
        }
    }

    fn pop(&self) -> Option<T> {
        let mut at = self.head.0.load(Ordering::Relaxed);
        loop {
            let cell = &self.cells[at & self.mask];
            let next = at.wrapping_add(1);
            let ahead = cell.turn.load(Ordering::Acquire).wrapping_sub(next) as isize;
            if ahead < 0 {
                return None; // not pushed yet
            }
            if ahead > 0 {
                at = self.head.0.load(Ordering::Relaxed);
            } else {
                match self.head.0.compare_exchange_weak(at, next, Ordering::Relaxed, Ordering::Relaxed) {
                    Ok(_) => {
                        // SAFETY: this thread won number `at`, and the cell holds its item, read once.
                        let item = cell.item.with(|place| unsafe { (*place).assume_init_read() });
                        cell.turn.store(at.wrapping_add(self.cells.len()), Ordering::Release);
                        return Some(item);
                    }
                    Err(now) => at = now,
                }
            }
        }
    }

    fn len(&self) -> usize {
        let head = self.head.0.load(Ordering::SeqCst);
        let tail = self.tail.0.load(Ordering::SeqCst);
        // Read at different times: a head that overtook the tail meanwhile is an empty ring.
        (tail.wrapping_sub(head) as isize).max(0) as usize
    }
}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        while self.pop().is_some() {}
    }
}

#[cfg(all(test, loom))]
mod loom {
    use std::sync::Arc;

    use ::loom::thread;

    use super::*;

    #[test]
    fn items_arrive_once_and_in_order() {
        ::loom::model(|| {
            let ring = Arc::new(Ring::new(2));
            let pushers = [1, 2].map(|i| {
                let ring = Arc::clone(&ring);
                thread::spawn(move || ring.push(Box::new(i)).is_ok())
            });
            let mut got: Vec<i32> = ring.pop().into_iter().map(|b| *b).collect();
            for p in pushers {
                assert!(p.join().unwrap(), "a ring of two takes two");
            }
            got.extend(std::iter::from_fn(|| ring.pop()).map(|b| *b));
            got.sort_unstable();
            assert_eq!(got, [1, 2]);
        });
    }

    #[test]
    fn a_popper_that_sits_is_woken() {
        ::loom::model(|| {
            let shared = Arc::new(Shared::new(1));
            let woken = Arc::new(Flag(AtomicBool::new(false)));
            let theirs = Arc::clone(&shared);
            let pusher = thread::spawn(move || theirs.push(7).unwrap());
            let waker = Waker::from(Arc::clone(&woken));
            let mut seat = Seat::default();
            let polled = shared.poppers.poll(&mut seat, &mut Context::from_waker(&waker), || shared.pop());
            pusher.join().unwrap();
            match polled {
                Poll::Ready(item) => assert_eq!(item, 7),
                Poll::Pending => {
                    assert!(woken.0.load(Ordering::SeqCst), "the item is there and nobody was told");
                    assert_eq!(shared.pop(), Some(7));
                }
            }
        });
    }

    struct Flag(AtomicBool);

    impl std::task::Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
}
