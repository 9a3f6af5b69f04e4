//! The transport's state and its turn.

use std::{
    cell::{Cell, RefCell},
    num::NonZeroU32,
    rc::Rc,
    time::Duration,
};

use hemi_net::{ConnId, Device, Event, Host, ListenerId, Stack, UdpId};
use hemi_queue::{
    Error, Progress, Result,
    time::Instant,
    wheel::{Key, Wheel},
};

use crate::{acceptor::Listening, datagram::Datagram, error::Loss, stream::Stream};

/// What a stream has an appointment for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Timer {
    /// Give up connecting.
    Connect(ConnId),
    /// Give up closing.
    Close(ConnId),
}

/// Sockets by the slot of their name in the stack.
struct Table<T>(RefCell<Vec<Option<Rc<T>>>>);

impl<T> Table<T> {
    const fn new() -> Self {
        Self(RefCell::new(Vec::new()))
    }

    fn put(&self, slot: usize, socket: Rc<T>) {
        let mut slots = self.0.borrow_mut();
        if slots.len() <= slot {
            slots.resize_with(slot + 1, || None);
        }
        slots[slot] = Some(socket);
    }

    #[inline]
    fn get(&self, slot: usize) -> Option<Rc<T>> {
        self.0.borrow().get(slot)?.clone()
    }

    fn take(&self, slot: usize) {
        let gone = self.0.borrow_mut().get_mut(slot).and_then(Option::take);
        drop(gone); // outside of the borrow
    }

    fn all(&self) -> Vec<Rc<T>> {
        self.0.borrow().iter().flatten().cloned().collect()
    }

    fn is_empty(&self) -> bool {
        self.0.borrow().iter().all(Option::is_none)
    }
}

/// One stack, its device, and the sockets that were given out.
pub(crate) struct Inner {
    host: RefCell<Host<Box<dyn Device>>>,
    now: Cell<Instant>,
    streams: Table<Stream>,
    listeners: Table<Listening>,
    datagrams: Table<Datagram>,
    /// Datagram sockets with something that the transmit queue had no room for.
    blocked: RefCell<Vec<Rc<Datagram>>>,
    timers: RefCell<Wheel<Timer>>,
    /// Something was done after the turn's flush that makes frames.
    unflushed: Cell<bool>,
    lost: Cell<bool>,
    loss: Loss,
    /// The mark of the next rewrite.
    pub(crate) marks: Cell<NonZeroU32>,
    /// No new sockets.
    shut: Cell<bool>,
}

impl Inner {
    pub(crate) fn new(host: Host<Box<dyn Device>>) -> Rc<Self> {
        Rc::new(Self {
            host: RefCell::new(host),
            now: Cell::new(Instant::ZERO),
            streams: Table::new(),
            listeners: Table::new(),
            datagrams: Table::new(),
            blocked: RefCell::default(),
            timers: RefCell::new(Wheel::new()),
            unflushed: Cell::new(false),
            lost: Cell::new(false),
            loss: Loss::default(),
            marks: Cell::new(NonZeroU32::MIN),
            shut: Cell::new(false),
        })
    }

    /// A call to the stack, at the clock of the last turn.
    #[inline]
    pub(crate) fn stack<R>(&self, call: impl FnOnce(&mut Stack, Instant) -> R) -> R {
        call(&mut self.host.borrow_mut().stack, self.now.get())
    }

    pub(crate) fn device<R>(&self, call: impl FnOnce(&mut Box<dyn Device>) -> R) -> R {
        call(&mut self.host.borrow_mut().device)
    }

    // ---- the turn

    /// Receive a burst, let time pass, send: what tasks have pushed in the batch before leaves here. Then wake whoever waited
    /// for what happened.
    pub(crate) fn turn(&self, now: Instant) -> Progress {
        if self.lost.get() {
            return Progress::Idle;
        }
        self.now.set(now);
        self.fire_timers(now);
        let polled = self.host.borrow_mut().poll(now);
        let mut busy = match polled {
            Ok(progress) => progress == Progress::Busy,
            Err(gone) => {
                self.lose(gone);
                return Progress::Busy;
            }
        };
        busy |= self.dispatch();
        self.unblock();
        if self.unflushed.replace(false) {
            let flushed = self.host.borrow_mut().flush(now);
            match flushed {
                Ok(sent) => busy |= sent > 0,
                Err(gone) => self.lose(gone),
            }
            busy |= self.dispatch();
        }
        if busy { Progress::Busy } else { Progress::Idle }
    }

    /// Tell the waiters of what the stack has completed.
    #[inline]
    fn dispatch(&self) -> bool {
        let mut any = false;
        loop {
            // Not borrowed while waking: a waker may be anybody's.
            let event = self.host.borrow_mut().stack.poll_event();
            match event {
                None => return any,
                Some(Event::Tcp(id, what)) => {
                    if let Some(stream) = self.streams.get(id.slot()).filter(|s| s.id == id) {
                        stream.on_event(what);
                    }
                }
                Some(Event::Acceptable(id)) => {
                    if let Some(listening) = self.listeners.get(id.slot()).filter(|l| l.id == id) {
                        listening.on_event();
                    }
                }
                Some(Event::Udp(id)) => {
                    if let Some(datagram) = self.datagrams.get(id.slot()).filter(|d| d.id == id) {
                        datagram.on_event();
                    }
                }
                Some(_) => {}
            }
            any = true;
        }
    }

    fn fire_timers(&self, now: Instant) {
        if self.timers.borrow().is_empty() {
            return;
        }
        loop {
            let Some(timer) = self.timers.borrow_mut().pop(now) else { return };
            let (Timer::Connect(id) | Timer::Close(id)) = timer;
            let Some(stream) = self.streams.get(id.slot()).filter(|s| s.id == id) else { continue };
            match timer {
                Timer::Connect(_) => stream.connect_timed_out(),
                Timer::Close(_) => stream.close_timed_out(),
            }
        }
    }

    /// The device is gone: everything above it fails.
    #[cold]
    fn lose(&self, gone: hemi_net::Gone) {
        tracing::error!(target: "hemi::net", error = %gone, "every queue on it fails");
        self.loss.set(gone);
        self.lost.set(true);
        self.timers.borrow_mut().clear();
        self.blocked.take();
        self.streams.all().iter().for_each(|s| s.device_lost());
        self.listeners.all().iter().for_each(|l| l.on_event());
        self.datagrams.all().iter().for_each(|d| d.device_lost());
    }

    /// Whether the device is gone.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.get()
    }

    /// `Err` once the device is gone.
    #[inline]
    pub(crate) fn check(&self, op: &'static str) -> Result<()> {
        if self.lost.get() { Err(self.loss.error(op)) } else { Ok(()) }
    }

    /// As [`check`](Self::check), for opening: also after the shutdown.
    pub(crate) fn check_open(&self, op: &'static str) -> Result<()> {
        self.check(op)?;
        if self.shut.get() { Err(Error::Closed) } else { Ok(()) }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        if self.lost.get() {
            return None;
        }
        let host = self.host.borrow().deadline();
        host.into_iter().chain(self.timers.borrow().next_deadline()).min()
    }

    /// Nothing may be left that only a turn would send; then the device arms its doorbell.
    pub(crate) fn prepare_park(&self) -> Progress {
        if self.lost.get() {
            return Progress::Idle;
        }
        let mut host = self.host.borrow_mut();
        let waiting = host.is_blocked()
            || host.stack.wants_tx()
            || !host.stack.tx_queue().is_empty()
            || !self.blocked.borrow().is_empty();
        // A device that is full and says when it will be worth trying again is taken at its word.
        if waiting && host.device.deadline().is_none() {
            return Progress::Busy;
        }
        host.device.prepare_park()
    }

    /// What was done outside of the turn, or after its flush, makes frames: look again.
    pub(crate) fn mark_unflushed(&self) {
        self.unflushed.set(true);
    }

    // ---- timers

    /// Arm a timer; it counts from the clock of the last turn.
    pub(crate) fn after(&self, delay: Duration, timer: Timer) -> Key {
        self.timers.borrow_mut().insert(self.now.get() + delay, timer)
    }

    pub(crate) fn cancel_timer(&self, key: Key) {
        self.timers.borrow_mut().cancel(key);
    }

    // ---- sockets

    pub(crate) fn add_stream(&self, stream: &Rc<Stream>) {
        self.streams.put(stream.id.slot(), Rc::clone(stream));
    }

    pub(crate) fn remove_stream(&self, id: ConnId) {
        self.streams.take(id.slot());
    }

    pub(crate) fn add_listener(&self, listening: &Rc<Listening>) {
        self.listeners.put(listening.id.slot(), Rc::clone(listening));
    }

    pub(crate) fn remove_listener(&self, id: ListenerId) {
        self.listeners.take(id.slot());
    }

    pub(crate) fn add_datagram(&self, datagram: &Rc<Datagram>) {
        self.datagrams.put(datagram.id.slot(), Rc::clone(datagram));
    }

    pub(crate) fn remove_datagram(&self, id: UdpId) {
        self.datagrams.take(id.slot());
    }

    pub(crate) fn datagrams(&self) -> Vec<Rc<Datagram>> {
        self.datagrams.all()
    }

    /// A datagram socket waits for room in the transmit queue.
    pub(crate) fn block(&self, datagram: &Rc<Datagram>) {
        self.blocked.borrow_mut().push(Rc::clone(datagram));
    }

    fn unblock(&self) {
        if self.blocked.borrow().is_empty() {
            return;
        }
        // In turn: who finds no room again goes to the end.
        let waiting = self.blocked.borrow().len();
        for _ in 0..waiting {
            if self.stack(|stack, _| !stack.tx_queue().has_room()) {
                return;
            }
            let first = self.blocked.borrow_mut().remove(0);
            first.retry();
            self.unflushed.set(true);
        }
    }

    // ---- the end

    /// Close every socket; streams still send what they accepted.
    pub(crate) fn shutdown(&self) {
        self.shut.set(true);
        self.streams.all().iter().for_each(Stream::close);
        self.listeners.all().iter().for_each(|l| l.close());
        self.datagrams.all().iter().for_each(|d| d.close());
    }

    pub(crate) fn is_quiet(&self) -> bool {
        if self.lost.get() {
            return true;
        }
        let mut host = self.host.borrow_mut();
        let sent = !host.stack.wants_tx() && host.stack.tx_queue().is_empty();
        drop(host);
        sent && self.blocked.borrow().is_empty() && self.streams.is_empty()
    }

    /// Whether other cores have queues of the same device.
    pub(crate) fn shares_device(&self) -> bool {
        self.host.borrow_mut().seat().is_some()
    }

    /// Nothing more comes from this core. Whether programs on others go on, whose packets may arrive here, or leave through here.
    pub(crate) fn stands_by(&self) -> bool {
        let mut host = self.host.borrow_mut();
        let Some(seat) = host.seat() else { return false };
        seat.finish();
        !self.lost.get() && seat.is_needed()
    }

    /// The transport is dropped: what is not sent is lost, and peers are told by resets.
    pub(crate) fn end(&self) {
        self.shutdown();
        self.streams.all().iter().for_each(Stream::abort);
        self.blocked.take();
        if !self.lost.get() {
            let _ = self.host.borrow_mut().flush(self.now.get());
        }
    }
}
