//! io_uring: multishot operations into rings of pooled buffers.
//!
//! ```text
//!   arm_recv ──► RECV multishot ──► completion: data in a ring buffer ──► Stream::received ──► goes on ...
//!                     ▲                                                     │ limit reached
//!                     └───── re-armed on pop ◄── last completion ◄── cancel ┘
//! ```
//! Every operation in flight has an entry in the table (`ops.rs`) that owns what the kernel was told of: the socket, and the
//! buffers of a send. It is given up by the operation's last completion and by nothing else, so an operation that its
//! owner abandoned keeps its memory for as long as the kernel may touch it.
//!
//! Direct system calls and operations do not mix on one direction of one stream: a stream whose receive is armed is
//! not in the hot set before the last completion has come, so bytes are never taken out of order.

mod accept;
mod bufring;
mod files;
mod ops;
mod recv;
mod send;

use std::{
    cell::{Cell, RefCell},
    os::fd::RawFd,
    rc::Rc,
};

use hemi_park::{HandlerId, Park, Ring};
use hemi_queue::{Error, Pool, Result};
use io_uring::{cqueue, opcode, squeue, types};
use slab::Slab;

use crate::{Tuning, datagram::Datagram, inner::Inner, stream::Stream};
use bufring::BufRing;
use files::Files;
pub(crate) use files::Slot;
use ops::{Op, SendOp};

/// The buffer group of stream receives.
const STREAMS: u16 = 0;

pub(crate) struct Uring {
    id: Cell<Option<HandlerId>>,
    ops: RefCell<Slab<Op>>,
    buffers: BufRing,
    files: Files,
    /// The kernel can bound the bytes of a multishot receive.
    counted: Cell<bool>,
    /// Streams whose receive ended because the buffer ring was empty.
    starved: RefCell<Vec<Rc<Stream>>>,
    /// Send operations to be used again, so that steady state allocates none.
    #[allow(clippy::vec_box)] // the kernel knows the address
    spare: RefCell<Vec<Box<SendOp>>>,
}

impl Uring {
    pub(crate) fn new(ring: &Ring, pool: &Pool, tuning: Tuning) -> Result<Self> {
        let mut probe = io_uring::Probe::new();
        let registrar = ring.registrar();
        registrar.register_probe(&mut probe).map_err(|e| Error::io("io_uring probe", "", e))?;
        // Multishot receive came with 6.0, as SEND_ZC did; it cannot be asked for by itself.
        if !probe.is_supported(opcode::SendZc::CODE) {
            return Err(Error::unsupported("multishot receive", "kernel", "Linux 6.0 or backend=epoll"));
        }
        let buffers = BufRing::new(&registrar, STREAMS, pool, tuning.old)?;
        Ok(Self {
            id: Cell::new(None),
            ops: RefCell::default(),
            buffers,
            files: Files::new(tuning.files),
            counted: Cell::new(!tuning.old),
            starved: RefCell::default(),
            spare: RefCell::default(),
        })
    }

    pub(crate) fn attached(&self, id: HandlerId) {
        self.id.set(Some(id));
    }

    pub(crate) fn describe(&self) -> String {
        let how = if self.buffers.is_incremental() { "incremental" } else { "whole" };
        format!("kernel sockets, io_uring, {} receive buffers used {how}", self.buffers.len())
    }

    /// Start an operation that `op` keeps alive.
    ///
    /// # Safety
    /// Everything that `entry` names is owned by `op` or by the park's handler (the transport's `Inner`).
    unsafe fn start(&self, inner: &Inner, op: Op, entry: squeue::Entry) -> usize {
        let (Some(id), Some(ring)) = (self.id.get(), inner.park.ring()) else { return usize::MAX };
        let key = self.ops.borrow_mut().insert(op);
        // SAFETY: by contract; the table's entry lives until the last completion.
        unsafe { ring.push(id, key as u64, entry) };
        key
    }

    /// Cancel the operation `key`. It is in flight, and entries are taken in order, so no other can have its name when
    /// the kernel sees this.
    fn cancel(&self, inner: &Inner, key: usize) {
        let Some(id) = self.id.get() else { return };
        let cancel = opcode::AsyncCancel::new(id.user_data(key as u64)).build();
        // SAFETY: a cancel names no memory.
        unsafe { self.start(inner, Op::Cancel, cancel) };
    }

    /// Cancel everything on a descriptor.
    pub(crate) fn cancel_all(&self, inner: &Inner, fd: RawFd) {
        let target = types::CancelBuilder::fd(types::Fd(fd)).all();
        // SAFETY: a cancel names no memory.
        unsafe { self.start(inner, Op::Cancel, opcode::AsyncCancel2::new(target).build()) };
    }

    /// A stream's descriptor is about to be closed.
    pub(crate) fn forget(&self, inner: &Inner, stream: &Stream) {
        if let Some(ring) = inner.park.ring() {
            self.files.clear(&stream.slot, ring);
        }
    }

    /// The outcome of a connect: when the descriptor becomes writable.
    pub(crate) fn arm_connect(&self, inner: &Inner, stream: &Rc<Stream>) {
        stream.ops.set(stream.ops.get() + 1);
        let poll = opcode::PollAdd::new(types::Fd(stream.fd), libc::POLLOUT as u32).build();
        // SAFETY: a poll names no memory; the entry keeps the stream, and so its descriptor, open.
        unsafe { self.start(inner, Op::Connect(Rc::clone(stream)), poll) };
    }

    /// Tell of datagrams (`POLLIN`) or room (`POLLOUT`), once.
    pub(crate) fn arm_datagram(&self, inner: &Inner, socket: &Rc<Datagram>, what: i16) {
        socket.ops.set(socket.ops.get() + 1);
        let poll = opcode::PollAdd::new(types::Fd(socket.fd), what as u32).build();
        // SAFETY: a poll names no memory; the entry keeps the socket, and so its descriptor, open.
        unsafe { self.start(inner, Op::Datagram(Rc::clone(socket), what), poll) };
    }

    pub(crate) fn turn(&self, inner: &Inner) -> bool {
        if self.buffers.is_short() {
            self.buffers.refill(&inner.pool);
        }
        if !self.starved.borrow().is_empty() && self.buffers.has_some() {
            for stream in self.starved.take() {
                self.rearm(inner, &stream);
            }
            return true;
        }
        false
    }

    /// Whether streams wait for buffers: nothing else than a freed buffer helps them.
    pub(crate) fn is_starved(&self) -> bool {
        !self.starved.borrow().is_empty()
    }

    pub(crate) fn complete(&self, inner: &Inner, key: u64, result: i32, flags: u32) {
        let key = key as usize;
        if cqueue::more(flags) {
            self.goes_on(inner, key, result, flags);
            return;
        }
        // The operation leaves the table with its last completion, and only then.
        let Some(op) = self.ops.borrow_mut().try_remove(key) else { return };
        match op {
            Op::Recv(stream) => {
                self.received(inner, &stream, result, flags);
                self.recv_ended(&stream, result);
                stream.op_done();
            }
            Op::Send(stream, send) => {
                self.sent(&stream, send, result);
                stream.op_done();
            }
            Op::Accept(listening) => {
                listening.armed.set(false);
                Self::accepted(&listening, result);
                listening.op_done();
            }
            Op::Connect(stream) => {
                stream.connect_done();
                stream.op_done();
            }
            Op::Datagram(socket, what) => {
                if result >= 0 && what == libc::POLLIN {
                    socket.readable();
                } else if result >= 0 {
                    socket.writable();
                }
                socket.op_done();
            }
            Op::Cancel => {}
        }
    }

    /// A completion of a multishot operation that stays armed.
    fn goes_on(&self, inner: &Inner, key: usize, result: i32, flags: u32) {
        // Cloned out of the table: what follows may start operations.
        let op = match self.ops.borrow().get(key) {
            Some(Op::Recv(stream)) => Op::Recv(Rc::clone(stream)),
            Some(Op::Accept(listening)) => Op::Accept(Rc::clone(listening)),
            _ => return,
        };
        match op {
            Op::Recv(stream) if !self.received(inner, &stream, result, flags) => {
                self.disarm_recv(inner, &stream);
            }
            Op::Accept(listening) if !Self::accepted(&listening, result) => {
                self.disarm_accept(inner, &listening);
            }
            _ => {}
        }
    }

    pub(crate) fn is_quiet(&self, park: &Park) -> bool {
        self.id.get().is_none_or(|id| park.in_flight(id) == 0)
    }

    /// The transport ends: what starves is let go.
    pub(crate) fn stop(&self, _inner: &Inner) {
        self.starved.take();
    }

    pub(crate) fn detach(&self, park: &Park) {
        if let Some(id) = self.id.take() {
            if let Some(ring) = park.ring() {
                self.buffers.unregister(&ring.registrar());
            }
            park.detach(id);
        }
    }
}
