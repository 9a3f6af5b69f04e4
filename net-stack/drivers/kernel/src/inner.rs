//! The transport's state and its turn.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use hemi_park::{Handler, Park};
use hemi_queue::{
    Error, Pool, Progress, Result,
    time::Instant,
    wheel::{Key, Wheel},
};
use slab::Slab;

use crate::{
    Backend, Tuning,
    acceptor::Listening,
    datagram::{Datagram, Scratch},
    fill::Fill,
    hot::Hot,
    ready::Ready,
    stream::Stream,
    timers::Timer,
    uring::Uring,
};

/// Streams flushed per turn.
const FLUSH_BURST: usize = 256;
/// With the pool drained, how soon to look again: nothing tells when another thread gives a buffer back.
const STARVED_NAP: Duration = Duration::from_millis(1);
/// How long `Kernel::drop` waits for operations that were not shut down before.
const DROP_PATIENCE: u32 = 200;

pub(crate) struct Inner {
    pub(crate) park: Rc<Park>,
    pub(crate) pool: Pool,
    pub(crate) engine: Engine,
    pub(crate) hot: Hot,
    pub(crate) tuning: Tuning,
    pub(crate) fill: Fill,
    /// Made with the first datagram socket.
    scratch: RefCell<Option<Box<Scratch>>>,
    /// Datagrams lost because the pool was drained.
    dropped: Cell<u64>,
    sockets: RefCell<Slab<Socket>>,
    /// Streams with something to send that was accepted in this turn.
    dirty: RefCell<Vec<Rc<Stream>>>,
    /// Those that are being flushed; kept for its capacity.
    flushing: RefCell<Vec<Rc<Stream>>>,
    timers: RefCell<Wheel<Timer>>,
    now: Cell<Instant>,
    /// A socket that is tried has data, and the pool no buffer.
    pub(crate) starving: Cell<bool>,
    /// No new sockets.
    pub(crate) shut: Cell<bool>,
}

/// An open socket, held until it is closed and its last operation has completed.
#[derive(Clone)]
pub(crate) enum Socket {
    Stream(Rc<Stream>),
    Listening(Rc<Listening>),
    Datagram(Rc<Datagram>),
}

/// How the kernel tells of data on cold sockets.
#[allow(clippy::large_enum_variant)] // one per core, and on the data path: not behind a pointer
pub(crate) enum Engine {
    Uring(Uring),
    Ready(Ready),
}

impl Engine {
    pub(crate) fn backend(&self) -> Backend {
        match self {
            Self::Uring(_) => Backend::Uring,
            Self::Ready(r) => r.backend(),
        }
    }

    pub(crate) fn wakeup(&self) -> hemi_queue::Wakeup {
        match self {
            Self::Uring(_) => hemi_queue::Wakeup::Core,
            Self::Ready(r) => hemi_queue::Wakeup::Fd(r.fd()),
        }
    }

    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Uring(u) => u.describe(),
            Self::Ready(r) => format!("kernel sockets, {}", r.backend()),
        }
    }

    /// Whether waiting sockets are tried every turn, for ever.
    pub(crate) fn never_arms(&self) -> bool {
        self.backend() == Backend::Poll
    }

    /// Whether the engine tells of changes only: what was there before must be found by trying.
    pub(crate) fn tells_edges(&self) -> bool {
        matches!(self, Self::Ready(_))
    }

    /// Whether descriptors must carry `O_NONBLOCK` where the engine accepts from them.
    pub(crate) fn nonblocking_accept(&self) -> bool {
        matches!(self, Self::Ready(_))
    }
}

impl Inner {
    pub(crate) fn open(
        backend: Backend,
        forced: bool,
        tuning: Tuning,
        pool: &Pool,
        park: &Rc<Park>,
    ) -> Result<Rc<Self>> {
        let engine = match (backend, park.ring()) {
            (Backend::Uring, Some(ring)) => match Uring::new(ring, pool, tuning) {
                Ok(uring) => Engine::Uring(uring),
                Err(e) if forced => return Err(e),
                Err(e) => {
                    tracing::warn!(error = %e, "kernel sockets fall back from io_uring to epoll");
                    Engine::Ready(Ready::new(Backend::Epoll)?)
                }
            },
            (Backend::Uring, None) => Engine::Ready(Ready::new(Backend::Epoll)?),
            (other, _) => Engine::Ready(Ready::new(other)?),
        };
        let inner = Rc::new(Self {
            park: Rc::clone(park),
            pool: pool.clone(),
            engine,
            hot: Hot::default(),
            tuning,
            fill: Fill::default(),
            scratch: RefCell::default(),
            dropped: Cell::new(0),
            sockets: RefCell::default(),
            dirty: RefCell::default(),
            flushing: RefCell::default(),
            timers: RefCell::new(Wheel::new()),
            now: Cell::new(Instant::ZERO),
            starving: Cell::new(false),
            shut: Cell::new(false),
        });
        if let Engine::Uring(uring) = &inner.engine {
            uring.attached(park.attach(Rc::clone(&inner) as Rc<dyn Handler>)?);
        }
        Ok(inner)
    }

    /// One burst of everything. The order is that of latency: what tasks have just pushed goes out first.
    pub(crate) fn turn(self: &Rc<Self>, now: Instant) -> Progress {
        self.now.set(now);
        let mut busy = self.fire_timers(now);
        busy |= self.flush_dirty();
        busy |= match &self.engine {
            Engine::Uring(uring) => uring.turn(self),
            Engine::Ready(ready) => ready.turn(self),
        };
        busy |= self.hot.turn(self);
        if busy { Progress::Busy } else { Progress::Idle }
    }

    /// Nothing may be left that only a turn would find: arm the hot sockets.
    pub(crate) fn prepare_park(self: &Rc<Self>) -> Progress {
        if !self.dirty.borrow().is_empty() {
            return Progress::Busy;
        }
        if self.hot.arm_all(self) { Progress::Idle } else { Progress::Busy }
    }

    fn fire_timers(self: &Rc<Self>, now: Instant) -> bool {
        if self.timers.borrow().is_empty() {
            return false;
        }
        let mut fired = false;
        loop {
            let Some(timer) = self.timers.borrow_mut().pop(now) else { return fired };
            fired = true;
            match timer {
                Timer::Connect(stream) => stream.connect_timed_out(),
                Timer::Close(stream) => stream.closing_turn(),
                Timer::Acked(stream) => stream.ack_turn(),
                Timer::Send(socket) => socket.writable(),
                Timer::Accept(listening) => listening.retry(),
            }
        }
    }

    /// Arm a timer. The clock is that of the last turn, so the timer counts from before now; add what a turn takes.
    pub(crate) fn after(&self, delay: Duration, timer: Timer) -> Key {
        self.timers.borrow_mut().insert(self.now.get() + delay, timer)
    }

    pub(crate) fn cancel_timer(&self, key: Key) {
        self.timers.borrow_mut().cancel(key);
    }

    pub(crate) fn now(&self) -> Instant {
        self.now.get()
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let timer = self.timers.borrow().next_deadline();
        let starving = self.starving.get() || matches!(&self.engine, Engine::Uring(u) if u.is_starved());
        if !starving {
            return timer;
        }
        let again = self.now.get() + STARVED_NAP;
        Some(timer.map_or(again, |t| t.min(again)))
    }

    /// `stream` has something to send: at the next turn.
    pub(crate) fn mark_dirty(&self, stream: &Rc<Stream>) {
        self.dirty.borrow_mut().push(Rc::clone(stream));
    }

    fn flush_dirty(self: &Rc<Self>) -> bool {
        if self.dirty.borrow().is_empty() {
            return false;
        }
        let mut batch = self.flushing.borrow_mut();
        {
            let mut dirty = self.dirty.borrow_mut();
            let n = dirty.len().min(FLUSH_BURST);
            batch.extend(dirty.drain(..n));
        }
        match &self.engine {
            Engine::Uring(uring) if batch.len() >= self.tuning.batch => {
                for stream in batch.drain(..) {
                    stream.flush_by_ring(uring);
                }
            }
            _ => {
                for stream in batch.drain(..) {
                    stream.flush();
                }
            }
        }
        true
    }

    pub(crate) fn with_scratch<T>(&self, f: impl FnOnce(&mut Scratch) -> T) -> T {
        f(self.scratch.borrow_mut().get_or_insert_with(Scratch::new))
    }

    pub(crate) fn count_dropped(&self) {
        if self.dropped.replace(self.dropped.get() + 1) == 0 {
            tracing::warn!("datagrams are dropped: the buffer pool is drained");
        }
    }

    pub(crate) fn add(&self, make: impl FnOnce(usize) -> Socket) -> usize {
        let mut sockets = self.sockets.borrow_mut();
        let entry = sockets.vacant_entry();
        let id = entry.key();
        entry.insert(make(id));
        id
    }

    pub(crate) fn remove(&self, id: usize) {
        let gone = self.sockets.borrow_mut().try_remove(id);
        drop(gone); // outside of the borrow
    }

    pub(crate) fn socket(&self, id: usize) -> Option<Socket> {
        self.sockets.borrow().get(id).cloned()
    }

    fn all(&self) -> Vec<Socket> {
        self.sockets.borrow().iter().map(|(_, s)| s.clone()).collect()
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        if self.shut.get() { Err(Error::Closed) } else { Ok(()) }
    }

    /// Close every socket; streams still send what they accepted.
    pub(crate) fn shutdown(self: &Rc<Self>) {
        self.shut.set(true);
        for socket in self.all() {
            match socket {
                Socket::Stream(s) => s.close(),
                Socket::Listening(l) => l.close(),
                Socket::Datagram(d) => d.close(),
            }
        }
        self.fill.clear();
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.sockets.borrow().is_empty()
            && match &self.engine {
                Engine::Uring(uring) => uring.is_quiet(&self.park),
                Engine::Ready(_) => true,
            }
    }

    /// The transport is dropped: end everything now, unsent data included, and wait for the kernel to let go of memory.
    pub(crate) fn end(self: &Rc<Self>) {
        self.shutdown();
        for socket in self.all() {
            match socket {
                Socket::Stream(s) => s.give_up(),
                Socket::Datagram(d) => d.give_up(),
                Socket::Listening(_) => {}
            }
        }
        self.dirty.take();
        self.timers.borrow_mut().clear();
        self.hot.clear();
        let Engine::Uring(uring) = &self.engine else { return };
        uring.stop(self);
        for _ in 0..DROP_PATIENCE {
            if self.is_quiet() {
                break;
            }
            self.park.park(Some(Duration::from_millis(5)), || true);
            self.park.poll();
        }
        if !self.is_quiet() {
            // The park keeps this alive until the completions have come.
            tracing::warn!("kernel sockets were dropped with operations that do not end");
        }
        uring.detach(&self.park);
    }
}

impl Handler for Inner {
    fn complete(&self, key: u64, result: i32, flags: u32) {
        if let Engine::Uring(uring) = &self.engine {
            uring.complete(self, key, result, flags);
        }
    }
}
