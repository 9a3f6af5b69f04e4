//! The completion queue, polled once per turn, and the channel that wakes a parked core.

use std::{ffi::c_int, mem, os::fd::RawFd, ptr, ptr::NonNull, rc::Rc};

use super::{Device, set_nonblocking};
use crate::{
    error::VerbsError,
    sys::{ibv_comp_channel, ibv_cq, ibv_wc},
};

/// Completions taken at a time.
pub(crate) const BURST: usize = 32;

/// One completion queue for everything on the device.
pub(crate) struct Cq {
    device: Rc<Device>,
    raw: NonNull<ibv_cq>,
    channel: NonNull<ibv_comp_channel>,
    /// Room for completions.
    pub(crate) size: usize,
}

impl Cq {
    pub(crate) fn new(device: &Rc<Device>, size: usize) -> Result<Self, VerbsError> {
        let most = usize::try_from(device.attr.max_cqe).unwrap_or(usize::MAX);
        let size = size.clamp(1, most);
        let verbs = &device.rdma.verbs;
        // SAFETY: an open context.
        let channel = unsafe { (verbs.create_comp_channel)(device.context()) };
        let channel = NonNull::new(channel).ok_or_else(|| {
            VerbsError::last("ibv_create_comp_channel", &device.name, "too many open files?")
        })?;
        // SAFETY: an open context and its channel.
        let cq = unsafe {
            (verbs.create_cq)(device.context(), size as c_int, ptr::null_mut(), channel.as_ptr(), 0)
        };
        let Some(cq) = NonNull::new(cq) else {
            let error = VerbsError::last("ibv_create_cq", &device.name, "ask for a smaller one with cq=");
            // SAFETY: made above, used by nothing.
            unsafe { (verbs.destroy_comp_channel)(channel.as_ptr()) };
            return Err(error);
        };
        let cq = Self { device: Rc::clone(device), raw: cq, channel, size };
        set_nonblocking(cq.fd()).map_err(|source| device.failed("fcntl", source))?;
        Ok(cq)
    }

    pub(crate) fn raw(&self) -> *mut ibv_cq {
        self.raw.as_ptr()
    }

    /// Readable when a completion arrived after [`arm`](Self::arm).
    pub(crate) fn fd(&self) -> RawFd {
        // SAFETY: a channel of ours.
        unsafe { self.channel.as_ref() }.fd
    }

    /// Take up to a burst of completions into `into`; how many that was. `Err` when the queue is broken.
    #[inline]
    pub(crate) fn poll(&self, into: &mut [ibv_wc; BURST]) -> Result<usize, ()> {
        // SAFETY: a live queue; its context's functions are set by the provider, and there is room for a burst.
        let n = unsafe {
            let context = self.raw.as_ref().context;
            ((*context).ops.poll_cq)(self.raw(), BURST as c_int, into.as_mut_ptr())
        };
        usize::try_from(n).map_err(|_| ())
    }

    /// Let the next completion make the descriptor readable. What came before does not: poll once more afterwards.
    pub(crate) fn arm(&self) -> bool {
        // SAFETY: a live queue.
        unsafe {
            let context = self.raw.as_ref().context;
            ((*context).ops.req_notify_cq)(self.raw(), 0) == 0
        }
    }

    /// Take the event off the channel, after a sleep; whether there was one: the queue is no longer armed then. It was armed once, so
    /// there are not two.
    pub(crate) fn disarm(&self) -> bool {
        let (mut cq, mut context) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: a channel whose descriptor does not block, and room for the answers.
        let got = unsafe {
            (self.device.rdma.verbs.get_cq_event)(self.channel.as_ptr(), &raw mut cq, &raw mut context)
        } == 0;
        if got {
            // SAFETY: an event of this queue, the only one on the channel, was got above.
            unsafe { (self.device.rdma.verbs.ack_cq_events)(self.raw(), 1) };
        }
        got
    }
}

impl Drop for Cq {
    fn drop(&mut self) {
        while self.disarm() {}
        // SAFETY: queue pairs hold an `Rc` of this, so none uses it; every event is acknowledged.
        unsafe {
            (self.device.rdma.verbs.destroy_cq)(self.raw());
            (self.device.rdma.verbs.destroy_comp_channel)(self.channel.as_ptr());
        }
    }
}

/// Room for a burst.
pub(crate) fn burst() -> Box<[ibv_wc; BURST]> {
    // SAFETY: numbers, all valid as zeroes.
    Box::new(unsafe { mem::zeroed() })
}
