//! Multishot accept.

use std::rc::Rc;

use io_uring::{opcode, types};

use super::{Op, Uring};
use crate::{acceptor::Listening, inner::Inner};

impl Uring {
    pub(crate) fn arm_accept(&self, inner: &Inner, listening: &Rc<Listening>) {
        if listening.armed.replace(true) {
            return;
        }
        listening.ops.set(listening.ops.get() + 1);
        let accept = opcode::AcceptMulti::new(types::Fd(listening.fd)).flags(libc::SOCK_CLOEXEC).build();
        // SAFETY: names no memory; the entry keeps the listener, and so its descriptor, open.
        let key = unsafe { self.start(inner, Op::Accept(Rc::clone(listening)), accept) };
        listening.operation.set(key);
    }

    /// False: the listener has enough for now.
    pub(super) fn accepted(listening: &Rc<Listening>, result: i32) -> bool {
        if result >= 0 {
            return listening.accepted(result);
        }
        listening.accept_failed(-result);
        true
    }

    pub(super) fn disarm_accept(&self, inner: &Inner, listening: &Rc<Listening>) {
        if listening.armed.get() {
            self.cancel(inner, listening.operation.get());
        }
    }
}
