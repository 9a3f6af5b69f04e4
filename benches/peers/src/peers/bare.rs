//! Not a contestant: the harness run by an executor that does nothing but poll. What a row costs here
//! is the harness's own share (futures, loop counters, reference counts, the waker's indirect calls),
//! and is subtracted in the brackets. It wakes nobody and allocates nothing per operation, and its
//! queue only counts; so what remains of a runtime's cost after the subtraction is the runtime's.

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
    type Unbounded = Count;
    type Bounded = Count;
}

/// A count of units, and one unit to hand out: what remains is the making, handing over and dropping of
/// a unit, and the awaits around it.
pub struct Count {
    unit: Shared,
    held: Cell<usize>,
    capacity: usize,
}

impl Channel for Count {
    type Unit = Shared;
    type Tx = Rc<Count>;
    type Rx = Rc<Count>;

    fn unit() -> Shared {
        shared()
    }

    fn open(capacity: usize) -> (Rc<Count>, Rc<Count>) {
        let count = Rc::new(Count { unit: shared(), held: Cell::new(0), capacity });
        (count.clone(), count)
    }

    fn send(tx: &mut Rc<Count>, unit: Shared) -> impl Future<Output: Outcome> {
        let mut unit = Some(unit);
        poll_fn(move |_| {
            let held = tx.held.get();
            if held == tx.capacity {
                return Poll::Pending;
            }
            tx.held.set(held + 1);
            drop(unit.take());
            Poll::Ready(())
        })
    }

    fn recv(rx: &mut Rc<Count>) -> impl Future<Output: Outcome> {
        poll_fn(|_| match rx.held.get() {
            0 => Poll::Pending,
            held => {
                rx.held.set(held - 1);
                Poll::Ready(rx.unit.clone())
            }
        })
    }
}
