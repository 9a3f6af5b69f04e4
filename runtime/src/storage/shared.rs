//! [`Shared`]: one open log: engine, device, and who waits for what.

use std::{
    cell::{Cell, RefCell, RefMut},
    collections::{HashMap, VecDeque},
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use hemi_queue::{Error, Progress, Result, Sga, Waiter, Wakeup, time::Instant};
use hemi_storage::{BlockDevice, CursorId, Done, Log, LogError, Lsn, Popped, Record, Recovery};

use super::{open::Wall, reactor::Served};
use crate::context::{self, Core};

/// How soon to look again when a batch waits for memory that nobody tells of, or a full disk may have room again.
const NAP: Duration = Duration::from_millis(1);
const RETRY_GROWTH: Duration = Duration::from_secs(1);
/// How often the core's clock is compared with the wall's.
const RESYNC: Duration = Duration::from_secs(1);

/// One log of one core. Its handles share it; it is closed when the last has gone.
pub(super) struct Shared {
    inner: RefCell<Inner>,
    /// What the last turn found: units below it are durable.
    durable: Cell<Lsn>,
    pub(super) found: Recovery,
    wall: Cell<Wall>,
    synced: Cell<Instant>,
    /// Handles and cursors.
    handles: Cell<usize>,
    /// The last one has gone, or the runtime ends.
    closing: Cell<bool>,
    /// Wakers on their way, kept for its capacity: they are woken outside of the borrow, for a waker may do anything.
    ready: RefCell<Vec<Waker>>,
    over: Cell<bool>,
    /// Something was asked for since the last turn.
    asked: Cell<bool>,
}

struct Inner {
    log: Log,
    device: Box<dyn BlockDevice>,
    done: Vec<Done>,
    /// Who waits for an LSN to be durable, and to be written, by LSN.
    durable: Waiting,
    written: Waiting,
    room: Vec<Waker>,
    /// Who waits for the superblock: truncations, and the close.
    master: Vec<Waker>,
    readers: HashMap<CursorId, Rc<Waiter>>,
    said_full: bool,
    /// When to try to grow again.
    retry: Option<Instant>,
}

/// Wakers by the LSN that they wait for.
#[derive(Default)]
struct Waiting(VecDeque<(Lsn, Waker)>);

impl Waiting {
    fn register(&mut self, lsn: Lsn, waker: &Waker) {
        // Most wait for the newest.
        if self.0.back().is_none_or(|(last, _)| *last < lsn) {
            self.0.push_back((lsn, waker.clone()));
            return;
        }
        let from = self.0.partition_point(|(at, _)| *at < lsn);
        let same = |(at, kept): &(Lsn, Waker)| *at == lsn && kept.will_wake(waker);
        if !self.0.iter().skip(from).take_while(|(at, _)| *at == lsn).any(same) {
            self.0.insert(from, (lsn, waker.clone()));
        }
    }

    /// Add those that wait for something below `until` to `ready`.
    #[inline]
    fn wake(&mut self, until: Lsn, ready: &mut Vec<Waker>) {
        let all = self.0.back().is_some_and(|(lsn, _)| *lsn < until);
        let count =
            if all { self.0.len() } else { self.0.iter().take_while(|(lsn, _)| *lsn < until).count() };
        ready.reserve(count);
        for (_, waker) in self.0.drain(..count) {
            ready.push(waker);
        }
    }
}

impl Shared {
    pub(super) fn new(core: &Core, log: Log, device: Box<dyn BlockDevice>, found: Recovery) -> Rc<Self> {
        let inner = Inner {
            log,
            device,
            done: Vec::new(),
            durable: Waiting::default(),
            written: Waiting::default(),
            room: Vec::new(),
            master: Vec::new(),
            readers: HashMap::new(),
            said_full: false,
            retry: None,
        };
        Rc::new(Self {
            durable: Cell::new(inner.log.durable()),
            inner: RefCell::new(inner),
            found,
            wall: Cell::new(Wall::new(core)),
            synced: Cell::new(core.now()),
            handles: Cell::new(0),
            closing: Cell::new(false),
            ready: RefCell::default(),
            over: Cell::new(false),
            asked: Cell::new(false),
        })
    }

    pub(super) fn with<R>(&self, f: impl FnOnce(&Log) -> R) -> R {
        f(&self.inner.borrow().log)
    }

    pub(super) fn describe(&self) -> String {
        self.inner.borrow().device.describe()
    }

    fn ask(&self) -> RefMut<'_, Inner> {
        self.asked.set(true);
        self.inner.borrow_mut()
    }

    /// Hand a unit over, out of `unit`; where it is refused it stays there.
    #[inline]
    pub(super) fn push(&self, unit: &mut Option<Sga>, durable: bool) -> Result<Lsn> {
        let wall = self.wall.get();
        let Some(time) = context::try_with(|core| wall.at(core)) else { return Err(Error::NoRuntime) };
        match self.ask().log.push_from(unit, time, durable) {
            Ok(lsn) => Ok(lsn),
            Err(error) => Err(error.into()),
        }
    }

    #[inline]
    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if self.inner.borrow().log.takes_more() { Poll::Ready(Ok(())) } else { self.wait_for_room(cx) }
    }

    #[cold]
    fn wait_for_room(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let inner = &mut *self.inner.borrow_mut();
        if let Some(poison) = inner.log.poison() {
            return Poll::Ready(Err(poison.clone().into()));
        }
        if inner.log.has_room() || inner.refuses() || self.is_closing() {
            return Poll::Ready(Ok(()));
        }
        register(&mut inner.room, cx.waker());
        Poll::Pending
    }

    #[inline]
    pub(super) fn poll_durable(&self, lsn: Lsn, cx: &mut Context<'_>) -> Poll<Result<Lsn>> {
        if self.durable.get() > lsn { Poll::Ready(Ok(lsn)) } else { self.wait_for(lsn, cx, true) }
    }

    pub(super) fn poll_written(&self, lsn: Lsn, cx: &mut Context<'_>) -> Poll<Result<Lsn>> {
        if self.with(Log::written) > lsn { Poll::Ready(Ok(lsn)) } else { self.wait_for(lsn, cx, false) }
    }

    fn wait_for(&self, lsn: Lsn, cx: &mut Context<'_>, durable: bool) -> Poll<Result<Lsn>> {
        let inner = &mut *self.inner.borrow_mut();
        if let Some(poison) = inner.log.poison() {
            return Poll::Ready(Err(poison.clone().into()));
        }
        let waiting = if durable { &mut inner.durable } else { &mut inner.written };
        waiting.register(lsn, cx.waker());
        Poll::Pending
    }

    /// Ask for everything so far to be durable; above what it must be.
    pub(super) fn flush(&self) -> Lsn {
        self.ask().log.flush()
    }

    pub(super) fn truncate(&self, to: Lsn) -> Result<Lsn> {
        Ok(self.ask().log.truncate_head(to)?)
    }

    pub(super) fn poll_head(&self, head: Lsn, cx: &mut Context<'_>) -> Poll<Result<Lsn>> {
        let inner = &mut *self.inner.borrow_mut();
        if inner.log.head() >= head {
            return Poll::Ready(Ok(inner.log.head()));
        }
        if let Some(poison) = inner.log.poison() {
            return Poll::Ready(Err(poison.clone().into()));
        }
        register(&mut inner.master, cx.waker());
        Poll::Pending
    }

    pub(super) fn cursor(&self, from: Lsn) -> (CursorId, Rc<Waiter>) {
        let inner = &mut *self.inner.borrow_mut();
        let (id, waiter) = (inner.log.cursor(from), Rc::new(Waiter::new()));
        inner.readers.insert(id, Rc::clone(&waiter));
        (id, waiter)
    }

    pub(super) fn drop_cursor(&self, id: CursorId) {
        let inner = &mut *self.inner.borrow_mut();
        inner.log.drop_cursor(id);
        inner.readers.remove(&id);
    }

    pub(super) fn seek(&self, id: CursorId, to: Lsn) {
        self.inner.borrow_mut().log.seek(id, to);
    }

    pub(super) fn seek_time(&self, id: CursorId, time: u64) {
        self.inner.borrow_mut().log.seek_time(id, time);
    }

    pub(super) fn position(&self, id: CursorId) -> Lsn {
        self.with(|log| log.position(id)).unwrap_or_default()
    }

    pub(super) fn poll_pop(
        &self,
        id: CursorId,
        waiter: &Waiter,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Record>>> {
        match self.inner.borrow_mut().log.pop(id) {
            Ok(Popped::Record(record)) => Poll::Ready(Ok(Some(record))),
            Ok(Popped::End) => Poll::Ready(Ok(None)),
            Ok(Popped::Wait) => {
                waiter.register(cx.waker());
                self.asked.set(true); // it may have asked for a read
                Poll::Pending
            }
            Err(e) => Poll::Ready(Err(e.into())),
        }
    }

    pub(super) fn handle_opened(&self) {
        self.handles.set(self.handles.get() + 1);
    }

    /// A handle has gone; with the last one the log is closed, in the background.
    pub(super) fn handle_closed(&self) {
        self.handles.set(self.handles.get() - 1);
        if self.handles.get() == 0 {
            self.begin_close();
        }
    }

    fn begin_close(&self) {
        if !self.closing.replace(true) {
            self.ask().log.close();
        }
    }

    fn is_closing(&self) -> bool {
        self.closing.get()
    }

    fn wake_ready(&self) {
        let mut ready = self.ready.take();
        ready.drain(..).for_each(Waker::wake);
        self.ready.replace(ready);
    }

    /// Wait until a log whose last handle has gone is closed.
    pub(super) fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let inner = &mut *self.inner.borrow_mut();
        if !self.is_closing() {
            return Poll::Ready(Ok(())); // others go on with it
        }
        if let Some(poison) = inner.log.poison() {
            return Poll::Ready(Err(poison.clone().into()));
        }
        if self.over.get() {
            return Poll::Ready(Ok(()));
        }
        register(&mut inner.master, cx.waker());
        Poll::Pending
    }
}

impl Inner {
    /// What cannot be pushed at all is told by the push, and not waited for.
    fn refuses(&self) -> bool {
        self.log.refuses_for_space() || self.log.read_only().is_some()
    }

    /// Wake who has got what it waited for.
    fn wake(&mut self, ready: &mut Vec<Waker>) {
        let all = Lsn(u64::MAX);
        let failed = self.log.poison().is_some();
        self.durable.wake(if failed { all } else { self.log.durable() }, ready);
        self.written.wake(if failed { all } else { self.log.written() }, ready);
        if failed || self.log.has_room() || self.refuses() {
            ready.append(&mut self.room);
        }
        ready.append(&mut self.master);
        for cursor in self.log.woken() {
            ready.extend(self.readers.get(&cursor).and_then(|waiter| waiter.take()));
        }
    }

    /// A full log says so once, and a disk that was full is tried again. True: it is full since now.
    #[cold]
    fn look_at_full(&mut self, now: Instant) -> bool {
        let new = !std::mem::replace(&mut self.said_full, true);
        if new {
            let error: LogError = self.log.full();
            tracing::warn!("pushes wait, or are refused: {error}");
        }
        let retry = *self.retry.get_or_insert(now + RETRY_GROWTH);
        if now >= retry {
            self.retry = None;
            self.log.retry_growth();
        }
        new
    }
}

fn register(wakers: &mut Vec<Waker>, waker: &Waker) {
    if !wakers.iter().any(|kept| kept.will_wake(waker)) {
        wakers.push(waker.clone());
    }
}

impl Served for Shared {
    fn poll(&self, now: Instant) -> Progress {
        if now.saturating_since(self.synced.get()) > RESYNC {
            self.synced.set(now);
            if let Ok(core) = context::current() {
                self.wall.set(Wall::new(&core));
            }
        }
        self.asked.set(false);
        let mut inner = self.inner.borrow_mut();
        let Inner { log, device, done, .. } = &mut *inner;
        let mut progress = log.turn(&mut **device, now, done);
        self.durable.set(log.durable());
        let mut told = false;
        if inner.log.is_full() {
            told = inner.look_at_full(now);
        } else if inner.said_full {
            (inner.said_full, inner.retry) = (false, None);
        }
        if self.is_closing() && !self.over.get() && inner.log.is_closed() {
            self.over.set(true);
            progress = Progress::Busy;
        }
        if progress == Progress::Busy || told || inner.log.poison().is_some() {
            inner.wake(&mut self.ready.borrow_mut());
            drop(inner);
            self.wake_ready();
        }
        progress
    }

    fn deadline(&self) -> Option<Instant> {
        let inner = self.inner.borrow();
        if self.asked.get() {
            return Some(Instant::ZERO); // asked for after this turn's poll
        }
        let starved = inner.log.is_starved().then(|| context::with(|core| core.now() + NAP).ok()).flatten();
        inner.device.deadline().into_iter().chain(starved).chain(inner.retry).min()
    }

    fn wakeup(&self) -> Wakeup {
        self.inner.borrow().device.wakeup()
    }

    fn yields_core(&self) -> bool {
        self.inner.borrow().device.is_served_by_thread()
    }

    fn is_over(&self) -> bool {
        self.over.get()
    }

    fn shutdown(&self) {
        self.begin_close();
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("device", &self.describe()).finish_non_exhaustive()
    }
}
