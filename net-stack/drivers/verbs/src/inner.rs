//! The transport's state and its turn.
//!
//! ```text
//!  poll the completion queue ─► connections ─► wake tasks        what arrived, what is done
//!  every 100 µs, after a sleep: connection events, device events
//!  post receive buffers, then what connections want sent: one doorbell for each queue pair
//! ```

use std::{
    cell::{Cell, RefCell},
    mem,
    rc::Rc,
    time::Duration,
};

use hemi_queue::{
    BufMut, Pool, Progress, Result,
    time::Instant,
    wheel::{Key, Wheel},
};
use hemi_rdma::{Memory as _, ReceiveBudget, Status, WorkId};
use slab::Slab;

use crate::{
    acceptor::Listening,
    cm::{Channel, Departing, Event, Id, Kind},
    device::{
        self, Device,
        batch::Batch,
        cq::{BURST, Cq, burst},
        memory::Registry,
        qp::Qp,
        srq::{RECEIVE, Refused, Srq},
    },
    error::VerbsError,
    params::Params,
    stream::Stream,
    sys::{IBV_WC_RECV, IBV_WC_WITH_IMM, ibv_wc},
    wake::WakeSet,
};

/// Bursts of completions in one turn.
const BURSTS: usize = 4;
/// How often a busy core looks for connection and device events, which is a system call; and how often while connections are
/// being made, each of which takes several events.
const CONTROL: Duration = Duration::from_millis(1);
const SETTLING: Duration = Duration::from_micros(50);
/// How long a shortage of memory waits for a second look.
const SHORTAGE: Duration = Duration::from_millis(1);
/// Units up to so many bytes are copied out of their receive buffer, which is posted again at once. Otherwise
/// 64 bytes would pin 16 KiB for as long as the application keeps them.
const COPY_BREAK: usize = 256;
/// Receive buffers in memory of our own, registered at the start; more come from the core's pool.
const OWN_BUFFERS: usize = 128;

/// Places in the tables, as the connection manager's events carry them.
pub(crate) fn stream_place(slot: usize) -> usize {
    slot << 2
}

/// See [`stream_place`].
pub(crate) fn listener_place(slot: usize) -> usize {
    slot << 2 | 1
}

/// See [`stream_place`].
fn departing_place(number: usize) -> usize {
    number << 2 | 2
}

/// One device, its queues, and the sockets that were given out.
pub(crate) struct Inner {
    pub(crate) params: Params,
    pub(crate) channel: Rc<Channel>,
    pub(crate) budget: Rc<ReceiveBudget>,
    pub(crate) registry: Registry,
    pub(crate) device: Rc<Device>,
    pub(crate) cq: Rc<Cq>,
    srq: RefCell<Srq>,
    wake: WakeSet,
    batch: RefCell<Box<Batch>>,
    completions: RefCell<Box<[ibv_wc; BURST]>>,
    /// Received into, copied out of, to be posted again.
    spare: RefCell<Vec<BufMut>>,
    streams: RefCell<Slab<Rc<Stream>>>,
    listeners: RefCell<Slab<Rc<Listening>>>,
    departing: Departing,
    /// Queue pair numbers, sorted, and whose they are.
    numbers: RefCell<Vec<(u32, usize)>>,
    /// Connections with something to do, each once.
    dirty: RefCell<Vec<Rc<Stream>>>,
    driven: RefCell<Vec<Rc<Stream>>>,
    timers: RefCell<Wheel<u32>>,
    now: Cell<Instant>,
    next_control: Cell<Instant>,
    /// Streams that are being connected or accepted.
    settling: Cell<usize>,
    generation: Cell<u32>,
    /// Completions that all queue pairs may have outstanding.
    promised: Cell<usize>,
    /// There was no memory for a receive buffer or a copy: when to look again.
    short: Cell<Option<Instant>>,
    /// Connections that wait for it.
    starved: RefCell<Vec<Rc<Stream>>>,
    armed: Cell<bool>,
    down: Cell<bool>,
    /// The shared receive queue failed, and the turn has yet to say so.
    broken: RefCell<Option<String>>,
    lost: RefCell<Option<String>>,
    shut: Cell<bool>,
}

impl Inner {
    pub(crate) fn open(mut params: Params, pool: &Pool) -> Result<Rc<Self>, VerbsError> {
        let device = Device::open(&params.device, &params.ips)?;
        let channel = Channel::new(device.rdma)?;
        let cq = Rc::new(Cq::new(&device, params.completions)?);
        let most = usize::try_from(device.attr.max_srq_wr).unwrap_or(usize::MAX);
        let recv = params.recv.min(most);
        let srq = Srq::new(&device, recv)?;
        let registry =
            Registry::new(&device, pool.clone(), recv.min(OWN_BUFFERS), params.conn.buffer as usize)?;
        registry.register_all();
        if device.is_soft_roce() {
            params.suit_soft_roce(device.packet());
        }
        params.fit(&Qp::new(&device, &cq, srq.raw(), params.capacity())?.capacity, &device.name)?;
        let wake = WakeSet::new(cq.fd(), [channel.fd(), device.async_fd()])
            .map_err(|source| device.failed("epoll", source))?;
        let down = !device.is_up();
        if down {
            tracing::warn!(target: "hemi::rdma", device = %device.name, "its port is down: connections wait for it");
        }
        Ok(Rc::new(Self {
            params,
            channel,
            budget: ReceiveBudget::new(recv as u32),
            registry,
            device,
            cq,
            srq: RefCell::new(srq),
            wake,
            batch: RefCell::new(Batch::new()),
            completions: RefCell::new(burst()),
            spare: RefCell::default(),
            streams: RefCell::default(),
            listeners: RefCell::default(),
            departing: Departing::default(),
            numbers: RefCell::default(),
            dirty: RefCell::default(),
            driven: RefCell::default(),
            timers: RefCell::new(Wheel::new()),
            now: Cell::new(Instant::ZERO),
            next_control: Cell::new(Instant::ZERO),
            settling: Cell::new(0),
            generation: Cell::new(0),
            promised: Cell::new(0),
            short: Cell::new(None),
            starved: RefCell::default(),
            armed: Cell::new(false),
            down: Cell::new(down),
            broken: RefCell::default(),
            lost: RefCell::default(),
            shut: Cell::new(false),
        }))
    }

    /// The clock of the last turn.
    pub(crate) fn now(&self) -> Instant {
        self.now.get()
    }

    /// RDMA READs and atomics at a time, each way, that the device and the user allow.
    pub(crate) fn reads(&self) -> u8 {
        let attr = &self.device.attr;
        let most = attr.max_qp_rd_atom.min(attr.max_qp_init_rd_atom).clamp(0, 255);
        // One at least, for one-sided operations.
        u8::try_from(most).unwrap_or(u8::MAX).min(self.params.conn.reads.clamp(1, 255) as u8)
    }

    pub(crate) fn wake_fd(&self) -> std::os::fd::RawFd {
        self.wake.fd()
    }

    /// Whether the device is gone.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.borrow().is_some()
    }

    /// `Err` once the device is gone.
    #[inline]
    pub(crate) fn check(&self) -> Result<()> {
        match &*self.lost.borrow() {
            None => Ok(()),
            Some(event) => {
                Err(VerbsError::DeviceGone { device: self.device.name.clone(), event: event.clone() }.into())
            }
        }
    }

    /// As [`check`](Self::check), for opening: also after the shutdown.
    pub(crate) fn check_open(&self) -> Result<()> {
        self.check()?;
        if self.shut.get() { Err(hemi_queue::Error::Closed) } else { Ok(()) }
    }

    // ---- the turn

    pub(crate) fn turn(&self, now: Instant) -> Progress {
        self.now.set(now);
        if self.is_lost() {
            return Progress::Idle;
        }
        let mut busy = self.complete();
        if now >= self.next_control.get() {
            let settling = self.settling.get() > 0;
            self.next_control.set(now + if settling { SETTLING } else { CONTROL });
            if self.wake.ready().control {
                busy |= self.control();
            }
        }
        self.fire_timers(now);
        if self.short.get().is_some_and(|again| again <= now) {
            self.short.set(None);
            self.dirty.borrow_mut().append(&mut self.starved.borrow_mut());
        }
        self.refill();
        busy |= self.drive();
        if let Some(why) = self.broken.take() {
            self.lose(&why);
        }
        if busy || self.is_lost() { Progress::Busy } else { Progress::Idle }
    }

    /// Take completions to their connections, a bounded number of them.
    #[inline]
    fn complete(&self) -> bool {
        let mut any = false;
        for _ in 0..BURSTS {
            let mut completions = self.completions.borrow_mut();
            let n = match self.cq.poll(&mut completions) {
                Ok(0) => return any,
                Ok(n) => n,
                Err(()) => {
                    drop(completions);
                    self.lose("ibv_poll_cq failed");
                    return false; // and never again: who empties the queue must come to an end
                }
            };
            for completion in &completions[..n] {
                self.dispatch(completion);
            }
            any = true;
            if n < BURST {
                return true;
            }
        }
        any
    }

    #[inline]
    fn dispatch(&self, completion: &ibv_wc) {
        let status = Status::from_raw(completion.status as u32);
        if completion.wr_id & RECEIVE != 0 {
            return self.receive(completion, status);
        }
        let id = WorkId(completion.wr_id);
        if let Some(stream) = self.stream_of(id.tag()) {
            stream.conn.borrow_mut().completed(id, status.map_or(Ok(()), Err), self.now.get());
            self.mark(&stream);
        }
    }

    fn receive(&self, completion: &ibv_wc, status: Option<Status>) {
        let Some(mut buf) = self.srq.borrow_mut().take(completion.wr_id) else { return };
        let stream = self.stream_of_qp(completion.qp_num);
        let (Some(stream), None) = (&stream, status) else {
            // Of a queue pair that is gone, or that has failed: the buffer waits for the next.
            self.spare.borrow_mut().push(buf);
            if let (Some(stream), Some(status)) = (&stream, status) {
                // It tells the budget.
                stream.conn.borrow_mut().receive_failed(status);
                self.mark(stream);
            } else {
                self.budget.lost(1);
            }
            return;
        };
        let len = completion.byte_len as usize;
        let with_imm = completion.opcode == IBV_WC_RECV && completion.wc_flags & IBV_WC_WITH_IMM != 0;
        let imm = with_imm.then(|| u32::from_be(completion.imm_data));
        buf.set_len(len);
        let data = match self.registry.pool().try_alloc(len) {
            Ok(mut small) if len <= COPY_BREAK => {
                small.put(&buf);
                self.spare.borrow_mut().push(buf);
                small.freeze()
            }
            _ => buf.freeze(),
        };
        stream.data_came();
        stream.conn.borrow_mut().received(imm, data, self.now.get());
        self.mark(stream);
    }

    /// Connection and device events.
    #[cold]
    fn control(&self) -> bool {
        let mut any = false;
        while let Some(event) = self.channel.next_event() {
            any = true;
            // What arrived before the event is told before it.
            while self.complete() {}
            self.on_event(event);
        }
        while let Some(event) = self.device.next_event() {
            any = true;
            self.on_device_event(event);
        }
        any
    }

    fn on_event(&self, event: Event) {
        let slot = event.place >> 2;
        match (event.place & 3, event.kind) {
            (1, Kind::Request(id)) => {
                let listener = self.listeners.borrow().get(slot).cloned();
                match listener {
                    Some(listener) => {
                        listener.on_request(id, &event.data, (event.responder, event.initiator));
                    }
                    None => id.reject(&hemi_rdma::Refusal::Closing.encode()),
                }
            }
            (0, kind) => {
                let stream = self.streams.borrow().get(slot).cloned();
                if let Some(stream) = stream {
                    stream.on_event(&Event { kind, ..event });
                    self.mark(&stream);
                }
            }
            // That it was established may be news of before.
            (2, Kind::Established | Kind::Other) => {}
            (2, _) => self.departing.heard(slot),
            _ => {}
        }
    }

    /// The connection of `id` is over, and the peer was told: that may have to be said again.
    pub(crate) fn depart(&self, id: Id) {
        if !self.is_lost() {
            self.departing.keep(id, departing_place);
        }
    }

    fn on_device_event(&self, event: device::Event) {
        let device = &self.device.name;
        match event {
            device::Event::PortDown => {
                self.down.set(true);
                tracing::warn!(target: "hemi::rdma", %device, "the port is down: connections retry until their patience ends");
            }
            device::Event::PortUp => {
                self.down.set(false);
                tracing::info!(target: "hemi::rdma", %device, "the port is up");
            }
            device::Event::Fatal(what) => self.lose(&what),
            device::Event::Other(what) => {
                tracing::debug!(target: "hemi::rdma", %device, %what, "device event");
            }
        }
    }

    fn fire_timers(&self, now: Instant) {
        while let Some(tag) = self.pop_timer(now) {
            if let Some(stream) = self.stream_of(tag) {
                stream.on_time(now);
                self.mark(&stream);
            }
        }
    }

    #[inline]
    fn pop_timer(&self, now: Instant) -> Option<u32> {
        let mut timers = self.timers.borrow_mut();
        if timers.is_empty() { None } else { timers.pop(now) }
    }

    /// Post as many receive buffers as connections have been promised.
    #[inline]
    pub(crate) fn refill(&self) {
        if self.budget.wanted() == 0 {
            return;
        }
        let mut srq = self.srq.borrow_mut();
        let mut posted = 0;
        let mut wanted = (self.budget.wanted() as usize).min(srq.room());
        while wanted > 0 {
            let Some((buf, key)) = self.receive_buffer() else {
                self.look_again();
                break;
            };
            match srq.post(buf, key) {
                Ok(()) => (),
                Err(Refused::Full(buf)) => {
                    self.spare.borrow_mut().push(buf);
                    break;
                }
                Err(Refused::Failed(error)) => return self.broke(&error),
            }
            posted += 1;
            wanted -= 1;
        }
        match srq.flush() {
            Ok(()) => self.budget.posted(posted),
            Err(error) => self.broke(&error),
        }
    }

    /// The receive queue does not work. Callers may be in the middle of a stream, so it is the turn that [loses](Self::lose) the
    /// device.
    #[cold]
    fn broke(&self, error: &VerbsError) {
        self.broken.replace(Some(error.to_string()));
    }

    fn receive_buffer(&self) -> Option<(BufMut, u32)> {
        let size = self.params.conn.buffer as usize;
        let spare = self.spare.borrow_mut().pop();
        if let Some(mut buf) = spare.or_else(|| self.registry.own().try_alloc(size).ok()) {
            let keys = self.registry.keys_at(buf.as_mut_ptr().addr())?;
            return Some((buf, keys.local));
        }
        let (buf, keys) = self.registry.alloc(size).ok()?;
        (buf.capacity() >= size).then_some((buf, keys.local))
    }

    /// Post what connections want sent, and tell their tasks what changed.
    fn drive(&self) -> bool {
        if self.budget.take_relieved() {
            let all: Vec<_> = self.streams.borrow().iter().map(|(_, stream)| Rc::clone(stream)).collect();
            for stream in all {
                stream.relieved();
                self.mark(&stream);
            }
        }
        if self.dirty.borrow().is_empty() {
            return false;
        }
        let mut driven = self.driven.take();
        mem::swap(&mut driven, &mut self.dirty.borrow_mut());
        for stream in driven.drain(..) {
            stream.unmark();
            stream.drive();
        }
        self.driven.replace(driven);
        self.refill();
        true
    }

    /// `stream` has something to do: it is driven at the end of this turn, or in the next.
    #[inline]
    pub(crate) fn mark(&self, stream: &Rc<Stream>) {
        if stream.mark() {
            self.dirty.borrow_mut().push(Rc::clone(stream));
        }
    }

    /// There was no memory: look again soon.
    fn look_again(&self) {
        if self.short.get().is_none() {
            self.short.set(Some(self.now.get() + SHORTAGE));
        }
    }

    /// There was no memory for what `stream` wants to send.
    pub(crate) fn starve(&self, stream: &Rc<Stream>) {
        self.look_again();
        if stream.mark() {
            self.starved.borrow_mut().push(Rc::clone(stream));
        }
    }

    /// The batch that every queue pair is posted with.
    #[inline]
    pub(crate) fn batch<R>(&self, with: impl FnOnce(&mut Batch) -> R) -> R {
        with(&mut self.batch.borrow_mut())
    }

    /// The device is gone: everything on it fails.
    #[cold]
    fn lose(&self, event: &str) {
        if self.is_lost() {
            return;
        }
        tracing::error!(target: "hemi::rdma", device = %self.device.name, event, "every queue on it fails");
        *self.lost.borrow_mut() = Some(event.to_owned());
        let streams: Vec<_> = self.streams.borrow().iter().map(|(_, s)| Rc::clone(s)).collect();
        let listeners: Vec<_> = self.listeners.borrow().iter().map(|(_, l)| Rc::clone(l)).collect();
        streams.iter().for_each(Stream::device_lost);
        self.departing.clear();
        listeners.iter().map(AsRef::as_ref).for_each(Listening::wake);
    }

    // ---- parking

    pub(crate) fn deadline(&self) -> Option<Instant> {
        if self.is_lost() {
            return None;
        }
        self.timers.borrow().next_deadline().into_iter().chain(self.short.get()).min()
    }

    /// Nothing may be left that only a turn would do; then the completion queue rings.
    pub(crate) fn prepare_park(&self) -> Progress {
        if self.is_lost() {
            return Progress::Idle;
        }
        if !self.dirty.borrow().is_empty() || self.broken.borrow().is_some() {
            return Progress::Busy;
        }
        if !self.armed.replace(true) && !self.cq.arm() {
            self.lose("ibv_req_notify_cq failed");
            return Progress::Busy;
        }
        // A completion that came before the queue was armed rings no bell.
        if self.complete() || self.is_lost() { Progress::Busy } else { Progress::Idle }
    }

    pub(crate) fn unpark(&self) {
        if self.is_lost() {
            return;
        }
        let ready = self.wake.ready();
        if ready.completions && self.cq.disarm() {
            self.armed.set(false);
        }
        if ready.control {
            self.next_control.set(Instant::ZERO);
        }
    }

    // ---- timers

    pub(crate) fn arm_timer(&self, at: Instant, tag: u32) -> Key {
        self.timers.borrow_mut().insert(at, tag)
    }

    pub(crate) fn cancel_timer(&self, key: Key) {
        self.timers.borrow_mut().cancel(key);
    }

    // ---- sockets

    /// A place for a stream, and the tag that its work requests carry.
    pub(crate) fn add_stream(
        &self,
        make: impl FnOnce(usize, u32) -> Result<Rc<Stream>>,
    ) -> Result<Rc<Stream>> {
        let slot = self.streams.borrow().vacant_key();
        let generation = self.generation.get().wrapping_add(1) & 0x7ff;
        self.generation.set(generation);
        let tag = generation << 20 | (slot as u32 & 0xf_ffff);
        let stream = make(slot, tag)?;
        self.streams.borrow_mut().insert(Rc::clone(&stream));
        self.settling.set(self.settling.get() + 1);
        self.next_control.set(Instant::ZERO);
        Ok(stream)
    }

    /// A stream is connected, or never will be.
    pub(crate) fn settled(&self) {
        self.settling.set(self.settling.get() - 1);
    }

    pub(crate) fn remove_stream(&self, slot: usize) {
        let gone = self.streams.borrow_mut().try_remove(slot);
        drop(gone); // outside of the borrow
    }

    #[inline]
    fn stream_of(&self, tag: u32) -> Option<Rc<Stream>> {
        let streams = self.streams.borrow();
        streams.get((tag & 0xf_ffff) as usize).filter(|stream| stream.tag == tag).cloned()
    }

    #[inline]
    fn stream_of_qp(&self, number: u32) -> Option<Rc<Stream>> {
        let numbers = self.numbers.borrow();
        let at = numbers.binary_search_by_key(&number, |&(number, _)| number).ok()?;
        self.streams.borrow().get(numbers[at].1).cloned()
    }

    /// A queue pair for the stream at `slot`.
    pub(crate) fn new_qp(&self, slot: usize) -> Result<Qp, VerbsError> {
        let want = self.params.capacity();
        // Whatever happens, its completions must have room: a queue that overruns is lost, and everything with it.
        let promised = self.promised.get() + want.requests + usize::from(self.params.conn.window);
        if promised > self.cq.size {
            return Err(VerbsError::Verb {
                verb: "another queue pair",
                device: self.device.name.clone(),
                cure: "its completion queue has no room for more: raise cq=, or lower depth= or window=",
                source: std::io::Error::from_raw_os_error(libc::ENOSPC),
            });
        }
        let qp = Qp::new(&self.device, &self.cq, self.srq.borrow().raw(), want)?;
        self.promised.set(promised);
        let mut numbers = self.numbers.borrow_mut();
        let at = numbers.partition_point(|&(number, _)| number < qp.number());
        numbers.insert(at, (qp.number(), slot));
        Ok(qp)
    }

    /// The queue pair of a stream goes away.
    pub(crate) fn forget_qp(&self, qp: &Qp) {
        let room = usize::from(self.params.conn.send_depth) + usize::from(self.params.conn.window);
        self.promised.set(self.promised.get() - room);
        self.numbers.borrow_mut().retain(|&(number, _)| number != qp.number());
    }

    pub(crate) fn add_listener(
        &self,
        make: impl FnOnce(usize) -> Result<Rc<Listening>>,
    ) -> Result<Rc<Listening>> {
        let slot = self.listeners.borrow().vacant_key();
        let listener = make(slot)?;
        self.listeners.borrow_mut().insert(Rc::clone(&listener));
        Ok(listener)
    }

    pub(crate) fn remove_listener(&self, slot: usize) {
        let gone = self.listeners.borrow_mut().try_remove(slot);
        drop(gone); // outside of the borrow
    }

    // ---- the end

    /// Close every socket; streams still send what they accepted.
    pub(crate) fn shutdown(&self) {
        self.shut.set(true);
        let streams: Vec<_> = self.streams.borrow().iter().map(|(_, s)| Rc::clone(s)).collect();
        let listeners: Vec<_> = self.listeners.borrow().iter().map(|(_, l)| Rc::clone(l)).collect();
        listeners.iter().map(AsRef::as_ref).for_each(Listening::close);
        streams.iter().for_each(Stream::close);
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.is_lost() || self.streams.borrow().is_empty()
    }

    /// The transport is dropped: what is not sent is lost.
    pub(crate) fn end(&self) {
        self.shutdown();
        let streams: Vec<_> = self.streams.borrow_mut().drain().collect();
        streams.iter().map(AsRef::as_ref).for_each(Stream::forget);
        self.dirty.take();
        self.starved.take();
        self.departing.clear();
    }

    /// For people.
    pub(crate) fn describe(&self) -> String {
        let state = if self.down.get() { ", port down" } else { "" };
        format!(
            "rdma: {:?}{state}, {} receive buffers of {} bytes, {} connections",
            self.device,
            self.budget.capacity(),
            self.params.conn.buffer,
            self.streams.borrow().len()
        )
    }
}
