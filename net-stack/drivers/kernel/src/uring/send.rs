//! Sends that the kernel finishes: when its send buffer was full.

use std::rc::Rc;

use io_uring::{opcode, types};

use super::{Op, SendOp, Uring, files::on};
use crate::{
    inner::Inner,
    stream::{Stream, advance},
    sys::MAX_PARTS,
};

/// Send operations kept for reuse.
const SPARE: usize = 64;

impl Uring {
    /// Send the head of the stream's queue; completes when all of it is with the kernel.
    pub(crate) fn send(&self, inner: &Inner, stream: &Rc<Stream>) {
        let mut op = self.spare.borrow_mut().pop().unwrap_or_else(SendOp::new);
        {
            let mut queue = stream.tx.queue.borrow_mut();
            let n = queue.len().min(MAX_PARTS);
            op.bufs.extend(queue.drain(..n));
        }
        let Some(ring) = inner.park.ring() else { return };
        let slot = self.files.slot(&stream.slot, ring, stream.fd);
        let flags = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
        let send = if let [only] = &op.bufs[..] {
            let (at, len) = (only.as_ptr(), only.len() as u32);
            on!(slot, stream.fd, |target| opcode::Send::new(target, at, len)).flags(flags).build()
        } else {
            let header = op.header();
            on!(slot, stream.fd, |target| opcode::SendMsg::new(target, header)).flags(flags as u32).build()
        };
        stream.ops.set(stream.ops.get() + 1);
        // SAFETY: the one buffer is held by the operation; or the header points into the boxed operation, and its vectors to
        // buffers that it holds. The entry owns it, and keeps the stream, and so its descriptor, open.
        unsafe { self.start(inner, Op::Send(Rc::clone(stream), op), send) };
    }

    pub(super) fn sent(&self, stream: &Rc<Stream>, mut op: Box<SendOp>, result: i32) {
        let n = usize::try_from(result).unwrap_or(0);
        stream.tx.bytes.set(stream.tx.bytes.get().saturating_sub(n));
        {
            // What is left goes back to the head of the queue.
            let mut queue = stream.tx.queue.borrow_mut();
            while let Some(buf) = op.bufs.pop() {
                queue.push_front(buf);
            }
            advance(&mut queue, n);
        }
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE {
            spare.push(op);
        }
        drop(spare);
        match result {
            n if n >= 0 => stream.writable(),
            e => match -e {
                libc::EAGAIN | libc::EINTR => stream.writable(),
                libc::ECANCELED => {}
                errno => stream.engine_send_failed(errno),
            },
        }
    }
}
