//! Not a contestant: the harness run by an executor that does nothing but poll. What a row costs here
//! is the harness's own share (futures, loop counters, reference counts, the waker's indirect calls),
//! and is subtracted in the brackets. It wakes nobody and allocates nothing per operation, and its
//! queue is a `VecDeque`; so what remains of a runtime's cost after the subtraction is the runtime's.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::peer::{Channel, Peer, Queues, Shared, Timers, shared};

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

    fn spawn<T: 'static>(task: impl Future<Output = T> + 'static) -> impl Future<Output = T> + 'static {
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

    fn spawn<T: 'static>(task: impl Future<Output = T> + 'static) -> impl Future<Output = T> + 'static {
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
    type Unbounded = Deque;
    type Bounded = Deque;
}

/// A ring of units, with nobody to wake.
pub struct Deque {
    units: RefCell<VecDeque<Shared>>,
    capacity: usize,
}

impl Channel for Deque {
    type Unit = Shared;
    type Tx = Rc<Deque>;
    type Rx = Rc<Deque>;

    fn unit() -> Shared {
        shared()
    }

    fn open(capacity: usize) -> (Rc<Deque>, Rc<Deque>) {
        let deque = Rc::new(Deque { units: RefCell::new(VecDeque::with_capacity(capacity)), capacity });
        (deque.clone(), deque)
    }

    async fn send(tx: &mut Rc<Deque>, unit: Shared) {
        let mut unit = Some(unit);
        poll_fn(|_| {
            let mut units = tx.units.borrow_mut();
            if units.len() == tx.capacity {
                return Poll::Pending;
            }
            unit.take().map_or(Poll::Pending, |unit| {
                units.push_back(unit);
                Poll::Ready(())
            })
        })
        .await;
    }

    async fn recv(rx: &mut Rc<Deque>) -> Shared {
        poll_fn(|_| rx.units.borrow_mut().pop_front().map_or(Poll::Pending, Poll::Ready)).await
    }
}
