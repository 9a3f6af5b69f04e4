//! Not a contestant: the harness run by an executor that does nothing but poll. What a row costs here
//! is the harness's own share (futures, loop counters, reference counts, the waker's indirect calls),
//! and is subtracted in the brackets. It wakes nobody and allocates nothing per operation, and its
//! queue is a ring of places; so what remains of a runtime's cost after the subtraction is the runtime's.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::peer::{Channel, Outcome, Peer, Queues, Shared, Timers, shared};

/// Polls all tasks in turn, whether or not they were woken.
pub struct Bare;

/// Spawns nothing: a task is a future that its join handle polls. For the spawn rows, where tasks
/// need not run side by side.
pub struct Inline;

type Task = Pin<Box<dyn Future<Output = ()>>>;

thread_local! {
    static NEW: RefCell<Vec<Task>> = const { RefCell::new(Vec::new()) };
}

impl Peer for Bare {
    fn run<T: 'static>(root: impl Future<Output = T> + 'static) -> T {
        let mut cx = Context::from_waker(Waker::noop());
        let mut root = pin!(root);
        let mut tasks: Vec<Task> = Vec::new();
        loop {
            if let Poll::Ready(output) = root.as_mut().poll(&mut cx) {
                return output;
            }
            tasks.append(&mut NEW.take());
            // The root only waits for its tasks, so it is not polled while there are any.
            while !tasks.is_empty() {
                let mut next = 0;
                while let Some(task) = tasks.get_mut(next) {
                    if task.as_mut().poll(&mut cx).is_pending() {
                        next += 1;
                    } else {
                        drop(tasks.swap_remove(next));
                    }
                }
            }
        }
    }

    fn spawn<T: Outcome + 'static>(
        task: impl Future<Output = T> + 'static,
    ) -> impl Future<Output: Outcome> + 'static {
        let output = Rc::new(Cell::new(None));
        let slot = output.clone();
        NEW.with_borrow_mut(|new| new.push(Box::pin(async move { slot.set(Some(task.await)) })));
        poll_fn(move |_| output.take().map_or(Poll::Pending, Poll::Ready))
    }
}

impl Peer for Inline {
    fn run<T: 'static>(root: impl Future<Output = T> + 'static) -> T {
        Bare::run(root)
    }

    fn spawn<T: Outcome + 'static>(
        task: impl Future<Output = T> + 'static,
    ) -> impl Future<Output: Outcome> + 'static {
        task
    }
}

impl Timers for Bare {
    async fn sleep(after: Duration) {
        std::hint::black_box(after);
        poll_fn(|_| Poll::Pending).await
    }
}

impl Queues for Bare {
    type Unbounded = Ring;
    type Bounded = Ring;
}

/// The least that keeps units in order: a ring of places, with nobody to wake.
pub struct Ring {
    places: Box<[Cell<Option<Shared>>]>,
    pushed: Cell<usize>,
    popped: Cell<usize>,
}

impl Channel for Ring {
    type Unit = Shared;
    type Tx = Rc<Ring>;
    type Rx = Rc<Ring>;

    fn unit() -> Shared {
        shared()
    }

    fn open(capacity: usize) -> (Rc<Ring>, Rc<Ring>) {
        let places = (0..capacity.next_power_of_two()).map(|_| Cell::new(None)).collect();
        let ring = Rc::new(Ring { places, pushed: Cell::new(0), popped: Cell::new(0) });
        (ring.clone(), ring)
    }

    fn send(tx: &mut Rc<Ring>, unit: Shared) -> impl Future<Output: Outcome> {
        let mut unit = Some(unit);
        poll_fn(move |_| {
            let pushed = tx.pushed.get();
            if pushed - tx.popped.get() == tx.places.len() {
                return Poll::Pending;
            }
            tx.places[pushed & (tx.places.len() - 1)].set(unit.take());
            tx.pushed.set(pushed + 1);
            Poll::Ready(())
        })
    }

    fn recv(rx: &mut Rc<Ring>) -> impl Future<Output: Outcome> {
        poll_fn(|_| {
            let popped = rx.popped.get();
            match rx.places[popped & (rx.places.len() - 1)].take() {
                None => Poll::Pending,
                Some(unit) => {
                    rx.popped.set(popped + 1);
                    Poll::Ready(unit)
                }
            }
        })
    }
}
