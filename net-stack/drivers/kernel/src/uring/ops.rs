//! Operations in flight, and what the kernel was told of by each.

use std::rc::Rc;

use hemi_queue::Buf;

use crate::{
    acceptor::Listening,
    datagram::Datagram,
    stream::Stream,
    sys::{MAX_PARTS, NO_IOVEC, fill_iovecs, no_msghdr},
};

/// An operation that has not had its last completion.
pub(super) enum Op {
    Recv(Rc<Stream>),
    Send(Rc<Stream>, Box<SendOp>),
    Accept(Rc<Listening>),
    Connect(Rc<Stream>),
    /// A poll, and what for.
    Datagram(Rc<Datagram>, i16),
    Cancel,
}

/// A vectored send: the header, the vectors and the buffers that the kernel reads.
pub(super) struct SendOp {
    msg: libc::msghdr,
    vecs: [libc::iovec; MAX_PARTS],
    pub(super) bufs: Vec<Buf>,
}

impl SendOp {
    pub(super) fn new() -> Box<Self> {
        Box::new(Self { msg: no_msghdr(), vecs: [NO_IOVEC; MAX_PARTS], bufs: Vec::with_capacity(MAX_PARTS) })
    }

    /// The header for what is in `bufs` now. Points into `self`, which must stay where it is.
    pub(super) fn header(&mut self) -> *const libc::msghdr {
        self.msg.msg_iovlen = fill_iovecs(&mut self.vecs, self.bufs.iter());
        self.msg.msg_iov = self.vecs.as_mut_ptr();
        &raw const self.msg
    }
}
