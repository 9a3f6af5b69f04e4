//! Putting units together in the reactor's turn: [`Assembler`], and [`PopWaiter`] for those who receive.
//!
//! A byte stream arrives in segments, an application wants units. Waking its task for every segment makes it look at half a
//! unit and go back to sleep; HotOS '19 (section 4.2, of Redis) wants it woken once for each unit. So whoever decodes
//! leaves an [`Assembler`] with the pop that waits; the reactor hands it the segments as they arrive, and wakes
//! the task when it says so.

use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::Rc,
    task::Waker,
};

use crate::{Buf, Sga, Waiter};

/// Takes segments in the reactor's turn and says when the waiting task has something to do.
///
/// # How it is driven
/// The decoder's side passes it to [`Pop::poll_pop_for`](crate::Pop::poll_pop_for). While that pop is pending the reactor
/// calls [`arrived`](Self::arrived) for every segment, in order, until it answers true; then the task is woken, and what
/// arrives before it pops again waits at the socket as usual. It is never called from within a call of the queue's owner,
/// nor when the socket holds earlier segments; nor for the end and for errors, which wake the task at once.
pub trait Assembler {
    /// Take `segment`. `Ok(true)`: the task that waits has something to do: a unit is complete, or can never be. An error
    /// gives the segment back: nobody puts units together here any more, the socket keeps it and wakes the task.
    fn arrived(&self, segment: Buf) -> Result<bool, Buf>;
}

/// The waiter of a stream's pops, and who puts units together meanwhile: the receiving side's half of [`Assembler`].
#[derive(Default)]
pub struct PopWaiter {
    waiter: Waiter,
    assembler: RefCell<Option<Rc<dyn Assembler>>>,
    assembles: Cell<bool>,
}

impl PopWaiter {
    /// No waiter yet.
    pub const fn new() -> Self {
        Self { waiter: Waiter::new(), assembler: RefCell::new(None), assembles: Cell::new(false) }
    }

    /// A pop waits: keep `waker`, and `assembler` if it left one. Without, every segment wakes.
    #[inline]
    pub fn register(&self, waker: &Waker, assembler: Option<&Rc<dyn Assembler>>) {
        self.waiter.register(waker);
        match assembler {
            None if !self.assembles.get() => {}
            _ => self.set_assembler(assembler),
        }
    }

    fn set_assembler(&self, assembler: Option<&Rc<dyn Assembler>>) {
        self.assembles.set(assembler.is_some());
        let mut kept = self.assembler.borrow_mut();
        if let (Some(old), Some(new)) = (&*kept, assembler)
            && Rc::ptr_eq(old, new)
        {
            return;
        }
        let old = std::mem::replace(&mut *kept, assembler.cloned());
        drop(kept);
        drop(old); // outside of the borrow
    }

    /// A segment has arrived, and nothing that came earlier is still at the socket. The assembler takes it, if a pop waits
    /// that left one, and the task is woken when the assembler says so. Otherwise it is given back: keep it and
    /// [`wake`](Self::wake).
    #[inline]
    #[must_use = "a segment that comes back is the socket's to keep"]
    pub fn offer(&self, segment: Buf) -> Option<Buf> {
        if !self.assembles.get() || !self.waiter.is_waiting() {
            return Some(segment);
        }
        let taken = match &*self.assembler.borrow() {
            Some(assembler) => assembler.arrived(segment),
            None => Err(segment),
        };
        if let Ok(true) = taken {
            self.waiter.wake();
        }
        taken.err()
    }

    /// As [`offer`](Self::offer), for several at once; what comes back is what the assembler had no more use for.
    #[must_use = "segments that come back are the socket's to keep"]
    pub fn offer_all(&self, segments: Sga) -> Option<Sga> {
        if !self.assembles.get() || !self.waiter.is_waiting() {
            return Some(segments);
        }
        let mut rest = Sga::new();
        for segment in segments {
            if let Some(back) = self.offer(segment) {
                rest.push(back);
            }
        }
        (!rest.is_empty()).then_some(rest)
    }

    /// Wake the waiting pop, if there is one, and forget it. Returns whether there was one.
    #[inline]
    pub fn wake(&self) -> bool {
        self.waiter.wake()
    }

    /// Whether a pop waits.
    #[inline]
    pub fn is_waiting(&self) -> bool {
        self.waiter.is_waiting()
    }
}

impl fmt::Debug for PopWaiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { waiter, assembles, .. } = self;
        f.debug_struct("PopWaiter").field("waiter", waiter).field("assembles", &assembles.get()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::Wake,
    };

    use super::*;

    #[derive(Default)]
    struct Bell(AtomicUsize);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A unit ends with a full stop.
    #[derive(Default)]
    struct Sentence(RefCell<Vec<u8>>);

    impl Assembler for Sentence {
        fn arrived(&self, segment: Buf) -> Result<bool, Buf> {
            if segment.starts_with(b"!") {
                return Err(segment);
            }
            self.0.borrow_mut().extend_from_slice(&segment);
            Ok(segment.ends_with(b"."))
        }
    }

    #[test]
    fn the_task_is_woken_when_the_unit_is_complete() {
        let (bell, sentence) = (Arc::<Bell>::default(), Rc::<Sentence>::default());
        let rings = || bell.0.load(Ordering::Relaxed);
        let assembler: Rc<dyn Assembler> = Rc::clone(&sentence) as _;
        let waiter = PopWaiter::new();
        assert_eq!(waiter.offer("early".into()), Some("early".into()), "nobody waits");
        waiter.register(&Arc::clone(&bell).into(), Some(&assembler));
        for word in ["All ", "I/O ", "is a "] {
            assert_eq!(waiter.offer(word.into()), None);
        }
        assert_eq!(waiter.offer("!".into()), Some("!".into()), "not the assembler's");
        assert_eq!(rings(), 0);
        let last = ["queue.".into(), "Next ".into()].into_iter().collect::<Sga>();
        assert_eq!(
            waiter.offer_all(last),
            Some("Next ".into()),
            "what is behind the unit stays at the socket"
        );
        assert_eq!((rings(), waiter.is_waiting()), (1, false));
        assert_eq!(*sentence.0.borrow(), b"All I/O is a queue.");
    }

    #[test]
    fn a_plain_pop_gets_every_segment_again() {
        let (bell, sentence) = (Arc::<Bell>::default(), Rc::<Sentence>::default());
        let (waker, assembler) = (Waker::from(bell), sentence as Rc<dyn Assembler>);
        let waiter = PopWaiter::default();
        waiter.register(&waker, Some(&assembler));
        waiter.register(&waker, Some(&assembler));
        assert_eq!(Rc::strong_count(&assembler), 2, "kept, not cloned again");
        waiter.register(&waker, None);
        assert_eq!(Rc::strong_count(&assembler), 1, "and let go");
        assert_eq!(waiter.offer("mine".into()), Some("mine".into()));
        assert!(waiter.is_waiting() && waiter.wake() && !waiter.wake());
    }
}
