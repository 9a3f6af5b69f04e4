//! The shared receive queue: buffers that wait for whatever arrives, on any queue pair of the device.

use std::{mem, ptr, ptr::NonNull, rc::Rc};

use hemi_queue::BufMut;

use super::Device;
use crate::{
    error::VerbsError,
    sys::{ibv_recv_wr, ibv_sge, ibv_srq, ibv_srq_attr, ibv_srq_init_attr},
};

/// Buffers posted with one doorbell.
const BATCH: usize = 16;

/// A receive's name has this bit, and its place in the table below.
pub(crate) const RECEIVE: u64 = 1 << 63;

/// Why a buffer was not taken.
pub(crate) enum Refused {
    /// The queue is full.
    Full(BufMut),
    /// Others before it could not be handed to the device.
    Failed(VerbsError),
}

/// The queue, the buffers that the device has, and those about to be posted.
pub(crate) struct Srq {
    device: Rc<Device>,
    raw: NonNull<ibv_srq>,
    /// What the device has, by the number in the work request's name.
    posted: Vec<Option<BufMut>>,
    free: Vec<u32>,
    requests: Box<([ibv_recv_wr; BATCH], [ibv_sge; BATCH])>,
    /// Filled and not posted.
    len: usize,
}

impl Srq {
    /// A queue for `size` buffers.
    pub(crate) fn new(device: &Rc<Device>, size: usize) -> Result<Self, VerbsError> {
        let attr = ibv_srq_attr { max_wr: size as u32, max_sge: 1, srq_limit: 0 };
        let mut init = ibv_srq_init_attr { srq_context: ptr::null_mut(), attr };
        // SAFETY: a live protection domain.
        let srq = unsafe { (device.rdma.verbs.create_srq)(device.pd(), &raw mut init) };
        let srq = NonNull::new(srq).ok_or_else(|| {
            VerbsError::last("ibv_create_srq", &device.name, "ask for fewer receive buffers with recv=")
        })?;
        Ok(Self {
            device: Rc::clone(device),
            raw: srq,
            posted: (0..size).map(|_| None).collect(),
            free: (0..size as u32).rev().collect(),
            // SAFETY: numbers and raw pointers, all valid as zeroes.
            requests: Box::new(unsafe { mem::zeroed() }),
            len: 0,
        })
    }

    pub(crate) fn raw(&self) -> *mut ibv_srq {
        self.raw.as_ptr()
    }

    /// Places for further buffers.
    pub(crate) fn room(&self) -> usize {
        self.free.len()
    }

    /// Hand `buf`, whose memory has the key `lkey`, to the device with the next [`flush`](Self::flush). A full queue gives it back.
    #[inline]
    pub(crate) fn post(&mut self, mut buf: BufMut, lkey: u32) -> Result<(), Refused> {
        if self.len == BATCH {
            self.flush().map_err(Refused::Failed)?;
        }
        let Some(place) = self.free.pop() else { return Err(Refused::Full(buf)) };
        buf.set_len(0);
        let (requests, pieces) = &mut *self.requests;
        let addr = buf.as_mut_ptr().expose_provenance() as u64;
        pieces[self.len] = ibv_sge { addr, length: buf.capacity() as u32, lkey };
        requests[self.len].wr_id = RECEIVE | u64::from(place);
        requests[self.len].num_sge = 1;
        self.posted[place as usize] = Some(buf);
        self.len += 1;
        Ok(())
    }

    /// Ring the doorbell for what was [posted](Self::post).
    #[inline]
    pub(crate) fn flush(&mut self) -> Result<(), VerbsError> {
        if self.len == 0 {
            return Ok(());
        }
        let (requests, pieces) = &mut *self.requests;
        let (first, pieces) = (requests.as_mut_ptr(), pieces.as_mut_ptr());
        for at in 0..self.len {
            let next = if at + 1 < self.len { first.wrapping_add(at + 1) } else { ptr::null_mut() };
            // SAFETY: `at` is within both arrays, which nobody else refers to now.
            unsafe {
                (*first.add(at)).next = next;
                (*first.add(at)).sg_list = pieces.add(at);
            }
        }
        let mut refused = ptr::null_mut();
        // SAFETY: a live queue and a chain of its requests, whose buffers stay in `posted` until the device gives them back. The
        // provider's function is set.
        let errno = unsafe {
            let context = self.raw.as_ref().context;
            ((*context).ops.post_srq_recv)(self.raw(), first, &raw mut refused)
        };
        let n = mem::take(&mut self.len);
        if errno == 0 {
            return Ok(());
        }
        // What stands before the refused one is with the device; the rest comes home.
        let offset = refused.addr().wrapping_sub(first.addr()) / size_of::<ibv_recv_wr>();
        for at in offset.min(n)..n {
            let place = (self.requests.0[at].wr_id & !RECEIVE) as u32;
            self.posted[place as usize] = None;
            self.free.push(place);
        }
        Err(VerbsError::returned("ibv_post_srq_recv", &self.device.name, errno))
    }

    /// The buffer of a receive that has completed.
    #[inline]
    pub(crate) fn take(&mut self, wr_id: u64) -> Option<BufMut> {
        let place = wr_id & !RECEIVE;
        let buf = self.posted.get_mut(place as usize)?.take()?;
        self.free.push(place as u32);
        Some(buf)
    }
}

impl Drop for Srq {
    fn drop(&mut self) {
        // SAFETY: every queue pair that received from it is gone, and with it the device's interest in the buffers, which are dropped
        // afterwards: this is owned by `Inner`, and a queue pair by a stream, which has an `Rc` of `Inner` and drops it last.
        unsafe { (self.device.rdma.verbs.destroy_srq)(self.raw()) };
    }
}
