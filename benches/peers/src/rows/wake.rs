//! A wake round trip: two tasks wake each other in turn while others sit idle.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use super::{WARM_UP, yield_once};
use crate::peer::{Peer, check};

/// A flag with room for one waker: the least that two tasks need to take turns.
#[derive(Default)]
struct Baton {
    up: Cell<bool>,
    waiter: RefCell<Option<Waker>>,
}

impl Baton {
    fn raise(&self) {
        self.up.set(true);
        let waiter = self.waiter.borrow_mut().take();
        if let Some(waker) = waiter {
            waker.wake();
        }
    }

    fn take(&self) -> impl Future<Output = ()> {
        poll_fn(|cx| {
            if self.up.take() {
                return Poll::Ready(());
            }
            *self.waiter.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
    }
}

/// `ops` round trips (two wakes, two polls each) beside `idle` tasks that were polled once and wait.
pub fn round_trip<P: Peer>(idle: usize, ops: u64) -> Duration {
    P::run(async move {
        for _ in 0..idle {
            // Polled at once, then never again; the runtime's end drops them. The handle is
            // forgotten because dropping it cancels the task on some runtimes.
            std::mem::forget(P::spawn(pending::<()>()));
        }
        for _ in 0..4 {
            yield_once().await;
        }
        volley::<P>(WARM_UP).await;
        let start = Instant::now();
        volley::<P>(ops).await;
        start.elapsed()
    })
}

async fn volley<P: Peer>(ops: u64) {
    let there = Rc::new(Baton::default());
    let back = Rc::new(Baton::default());
    let (there_rx, back_tx) = (there.clone(), back.clone());
    let answering = P::spawn(async move {
        for _ in 0..ops {
            there_rx.take().await;
            back_tx.raise();
        }
    });
    let asking = P::spawn(async move {
        for _ in 0..ops {
            there.raise();
            back.take().await;
        }
    });
    check(asking.await);
    check(answering.await);
}
