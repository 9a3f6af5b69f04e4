//! Multishot receive into the buffer ring.

use std::rc::Rc;

use io_uring::{cqueue, opcode, squeue, types};

use super::{Op, STREAMS, Uring, files::on};
use crate::{
    inner::Inner,
    stream::{Life, Mode, Stream},
};

/// Where `io_uring_sqe::optlen` lies; the io-uring crate does not set it for a receive.
const OPTLEN: usize = 44;
const _: () = assert!(size_of::<squeue::Entry>() == 64);

impl Uring {
    pub(crate) fn arm_recv(&self, inner: &Inner, stream: &Rc<Stream>) {
        stream.rx.mode.set(Mode::Armed);
        stream.ops.set(stream.ops.get() + 1);
        let Some(ring) = inner.park.ring() else { return };
        let slot = self.files.slot(&stream.slot, ring, stream.fd);
        let recv = on!(slot, stream.fd, |target| opcode::RecvMulti::new(target, STREAMS));
        let recv = self.bounded(recv, stream.rx.room());
        // SAFETY: writes go to buffers of the ring, which `Inner`, the park's handler, owns; the entry keeps the stream,
        // and so its descriptor, open.
        let key = unsafe { self.start(inner, Op::Recv(Rc::clone(stream)), recv) };
        stream.rx.operation.set(Some(key));
    }

    /// A multishot receive of at most `room` bytes in all, where the kernel can count them (Linux 6.17); elsewhere the limit
    /// is kept by cancelling, and what arrives before that takes effect is over it.
    fn bounded(&self, recv: opcode::RecvMulti, room: usize) -> squeue::Entry {
        if !self.counted.get() {
            return recv.build();
        }
        let room = u32::try_from(room).unwrap_or(u32::MAX).max(1);
        let mut entry = recv.len(room).build();
        // SAFETY: an entry is `repr(C)` over the kernel's `io_uring_sqe` of 64 bytes, in which `optlen` is the u32 at 44.
        unsafe { (&raw mut entry).cast::<u32>().byte_add(OPTLEN).write(room) };
        entry
    }

    pub(crate) fn disarm_recv(&self, inner: &Inner, stream: &Rc<Stream>) {
        if stream.rx.mode.get() != Mode::Armed {
            return;
        }
        if let Some(key) = stream.rx.operation.get() {
            stream.rx.mode.set(Mode::Disarming);
            self.cancel(inner, key);
        } else {
            // Starved: nothing is in flight.
            stream.rx.mode.set(Mode::Idle);
            self.starved.borrow_mut().retain(|s| !Rc::ptr_eq(s, stream));
        }
    }

    /// One completion of a receive. False: the stream should get no more for now.
    pub(super) fn received(&self, inner: &Inner, stream: &Rc<Stream>, result: i32, flags: u32) -> bool {
        let Some(bid) = cqueue::buffer_select(flags) else { return true };
        let n = usize::try_from(result).unwrap_or(0);
        let Some(buf) = self.buffers.take(&inner.pool, bid, n, cqueue::buffer_more(flags)) else {
            return true;
        };
        stream.received(buf)
    }

    /// The last completion of a receive, after its data.
    pub(super) fn recv_ended(&self, stream: &Rc<Stream>, result: i32) {
        stream.rx.mode.set(Mode::Idle);
        stream.rx.operation.set(None);
        match result {
            0 => stream.peer_finished(),
            n if n > 0 => {}
            _ => match -result {
                libc::ENOBUFS => {
                    stream.rx.mode.set(Mode::Armed);
                    self.starved.borrow_mut().push(Rc::clone(stream));
                    return;
                }
                // This kernel cannot count: told with the first receive, before any data.
                libc::EINVAL if self.counted.replace(false) => {}
                libc::ECANCELED | libc::EAGAIN | libc::EINTR => {}
                errno => stream.recv_failed(errno),
            },
        }
        if stream.rx.waiter.is_waiting() {
            stream.want_recv();
        } else {
            stream.rx.paused.set(!stream.rx.is_over());
        }
    }

    /// There are buffers again.
    pub(super) fn rearm(&self, inner: &Inner, stream: &Rc<Stream>) {
        if stream.life.get() == Life::Open {
            self.arm_recv(inner, stream);
        }
    }
}
