//! What is on its way through the network of one host, and until when.
//!
//! A call during a batch only notes what was sent; the poll after the batch reads the turn's clock, says when it will
//! arrive, and later delivers it. Without latency a thing arrives by the call that sends it.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fmt,
    rc::Rc,
    time::Duration,
};

use hemi_queue::time::Instant;

use crate::rand::Rng;

/// How much one poll delivers.
const BURST: usize = 256;

/// A thing on its way: what happens on its arrival.
pub(super) trait Arrive {
    /// It is there.
    fn arrive(self: Box<Self>);
}

impl<F: FnOnce()> Arrive for F {
    fn arrive(self: Box<Self>) {
        self();
    }
}

/// When the last thing sent along one path arrives: later ones do not overtake it.
pub(super) type Path = Rc<Cell<Instant>>;

struct Sent {
    path: Option<Path>,
    thing: Box<dyn Arrive>,
}

pub(super) struct Flight {
    latency: Duration,
    jitter: Duration,
    rng: RefCell<Rng>,
    fresh: RefCell<Vec<Sent>>,
    due: RefCell<BTreeMap<(Instant, u64), Box<dyn Arrive>>>,
    sent: Cell<u64>,
}

impl Flight {
    pub(super) fn new(latency: Duration, jitter: Duration, seed: u64) -> Self {
        Self {
            latency,
            jitter,
            rng: RefCell::new(Rng::new(seed ^ 0x6d65_6d3a)),
            fresh: RefCell::default(),
            due: RefCell::default(),
            sent: Cell::new(0),
        }
    }

    /// Whether things arrive by the call that sends them.
    pub(super) fn is_instant(&self) -> bool {
        self.latency.is_zero() && self.jitter.is_zero()
    }

    /// Send something. Things on one `path` arrive in the order they were sent.
    pub(super) fn send(&self, path: Option<&Path>, thing: impl FnOnce() + 'static) {
        if self.is_instant() {
            thing();
        } else {
            self.fresh.borrow_mut().push(Sent { path: path.map(Rc::clone), thing: Box::new(thing) });
        }
    }

    pub(super) fn has_fresh(&self) -> bool {
        !self.fresh.borrow().is_empty()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.due.borrow().first_key_value().map(|((at, _), _)| *at)
    }

    /// Stamp what was sent, deliver what is due; whether anything was.
    pub(super) fn poll(&self, now: Instant) -> bool {
        self.stamp(now);
        for delivered in 0..BURST {
            let mut due = self.due.borrow_mut();
            let Some(first) = due.first_entry().filter(|e| e.key().0 <= now) else { return delivered > 0 };
            let thing = first.remove();
            drop(due); // the arrival may send
            thing.arrive();
        }
        true
    }

    fn stamp(&self, now: Instant) {
        let mut fresh = self.fresh.borrow_mut();
        if fresh.is_empty() {
            return;
        }
        let (mut due, mut rng) = (self.due.borrow_mut(), self.rng.borrow_mut());
        let jitter = u64::try_from(self.jitter.as_nanos()).unwrap_or(u64::MAX);
        for sent in fresh.drain(..) {
            let late = Duration::from_nanos(rng.below(jitter.saturating_add(1)));
            let mut at = now + self.latency + late;
            if let Some(path) = &sent.path {
                at = at.max(path.get());
                path.set(at);
            }
            let number = self.sent.get();
            self.sent.set(number + 1);
            due.insert((at, number), sent.thing);
        }
    }
}

impl fmt::Display for Flight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "latency {:?} to {:?}", self.latency, self.latency + self.jitter)
    }
}
